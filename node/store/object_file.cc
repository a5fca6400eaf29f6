#include "node/store/object_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "io/base/checksum.h"
#include "io/base/units.h"
#include "node/store/hex_number.h"

namespace penstock::node {
namespace {

constexpr size_t id_digits = 16;

}  // namespace

std::string object_file_path(const FileId& id) {
    return fmt::format("{}/{:016x}-{:016x}", objects_directory, id.epoch, id.number);
}

std::optional<FileId> object_file_id(std::string_view file_name) {
    if (file_name.size() != 2 * id_digits + 1 || file_name[id_digits] != '-') return std::nullopt;
    const std::optional<uint64_t> epoch = number_from_hex(file_name.substr(0, id_digits));
    const std::optional<uint64_t> number = number_from_hex(file_name.substr(id_digits + 1));
    if (!epoch || !number) return std::nullopt;
    return FileId{*epoch, *number};
}

io::Task<Status> SharedSync::sync_now() {
    if (path_) co_return co_await disk_.sync_directory(*path_);
    io::BlockingDisk& disk = disk_.blocking();
    co_return co_await disk_.pool().run(disk_.reactor(),
                                        [&disk] { return disk.sync_file_system(); });
}

io::Task<Status> SharedSync::sync() {
    // A sync that runs already may have begun before our file had its name: wait for the next.
    if (next_ == nullptr) next_ = std::make_shared<Round>();
    const std::shared_ptr<Round> round = next_;
    while (!round->is_done) {
        if (is_running_) {
            co_await done_.wait();
            continue;
        }
        is_running_ = true;
        const std::shared_ptr<Round> mine = std::exchange(next_, nullptr);
        ASSERT(mine == round);
        mine->status = co_await sync_now();
        mine->is_done = true;
        is_running_ = false;
        done_.set();
        done_.reset();
    }
    co_return round->status;
}

io::Task<Status> ObjectFileWriter::open(std::optional<uint64_t> content_bytes) {
    const std::string path = object_file_path(id_);
    Result<std::unique_ptr<io::File>> file = co_await disk_.open(path, io::OpenMode::create_direct);
    // Not every file system can write past the page cache.
    if (!file && file.error().code == Errc::invalid) {
        file = co_await disk_.open(path, io::OpenMode::create);
    }
    if (!file) co_return std::unexpected(std::move(file).error());
    file_ = std::move(*file);
    if (content_bytes) {
        const uint64_t table_bytes = 4 * checked_block_count(*content_bytes);
        // Asked for so that a full disk says so now; a file system without it says so later.
        const Status allocated =
            co_await file_->allocate(round_up(*content_bytes, io::direct_alignment) +
                                     round_up(table_bytes, io::direct_alignment));
        if (!allocated && allocated.error().code == Errc::full) co_return allocated;
    }
    co_return Status();
}

io::Task<Status> ObjectFileWriter::append(Bytes bytes) {
    summer_.add(bytes);
    content_bytes_ += bytes.size();
    co_return co_await append_raw(bytes);
}

io::Task<Status> ObjectFileWriter::append_raw(Bytes bytes) {
    while (!bytes.empty()) {
        if (!buffer_) buffer_ = buffers_.take(write_bytes);
        const size_t taken = std::min<size_t>(bytes.size(), write_bytes - buffered_bytes_);
        std::memcpy(buffer_.data() + buffered_bytes_, bytes.data(), taken);
        buffered_bytes_ += static_cast<uint32_t>(taken);
        bytes = bytes.subspan(taken);
        if (buffered_bytes_ == write_bytes) CO_TRY_STATUS(co_await write_buffer());
    }
    co_return Status();
}

io::Task<Status> ObjectFileWriter::pad() {
    static constexpr std::array<std::byte, io::direct_alignment> zeros{};
    const uint64_t end = written_bytes_ + buffered_bytes_;
    const uint64_t padding = round_up(end, io::direct_alignment) - end;
    co_return co_await append_raw(Bytes(zeros).first(padding));
}

io::Task<Status> ObjectFileWriter::write_buffer() {
    ASSERT(buffered_bytes_ % io::direct_alignment == 0);
    co_await slots_.acquire();
    if (!status_) {
        slots_.release();
        co_return status_;
    }
    CO_TRY(io::Gate::Pass pass, gate_.enter());
    io::start_detached(
        write_one(std::move(pass), std::move(buffer_), buffered_bytes_, written_bytes_));
    written_bytes_ += std::exchange(buffered_bytes_, 0);
    co_return Status();
}

io::Task<void> ObjectFileWriter::write_one(io::Gate::Pass, io::Buffer buffer, uint32_t bytes,
                                           uint64_t offset) {
    const Status written = co_await file_->write_exactly(buffer.bytes().first(bytes), offset);
    if (!written && status_) status_ = written;
    slots_.release();
}

io::Task<Status> ObjectFileWriter::finish(Bytes attachment, Attributes& attributes) {
    CO_TRY_STATUS(co_await pad());
    Extent extent{.file = id_,
                  .length = content_bytes_,
                  .file_content_bytes = content_bytes_,
                  .blocks = summer_.finish()};
    ASSERT(extent.blocks.size() == checked_block_count(content_bytes_));
    if (is_table_apart_) content_crc_ = crc_of_blocks(extent.blocks, content_bytes_);
    const bool is_long = extent.blocks.size() > record_blocks_max;
    if (is_long || (is_table_apart_ && content_bytes_ > 0)) {
        const Bytes table = std::as_bytes(std::span(extent.blocks));
        extent.table_offset = written_bytes_ + buffered_bytes_;
        extent.table_crc = crc32c(table);
        CO_TRY_STATUS(co_await append_raw(table));
        CO_TRY_STATUS(co_await pad());
        extent.blocks.clear();
    }
    if (!attachment.empty()) {
        attributes.stored_attachment = StoredAttachment{id_, written_bytes_ + buffered_bytes_,
                                                        attachment.size(), crc32c(attachment)};
        CO_TRY_STATUS(co_await append_raw(attachment));
        CO_TRY_STATUS(co_await pad());
    }
    if (buffered_bytes_ > 0) CO_TRY_STATUS(co_await write_buffer());
    attributes.extents.push_back(std::move(extent));
    co_await gate_.close();
    CO_TRY_STATUS(status_);
    co_return co_await file_->sync();
}

io::Task<void> ObjectFileWriter::close() {
    co_await gate_.close();
    file_.reset();
    buffer_ = io::Buffer();
}

}  // namespace penstock::node
