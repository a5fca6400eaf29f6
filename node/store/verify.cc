// Verifying an object where it lies: what a scrub does to each one. Reads go past the page cache
// where the file system allows it: what memory holds says nothing about the device, and a scrub
// must not wash out what others use.
#include <algorithm>

#include "io/base/checksum.h"
#include "io/base/units.h"
#include "node/store/object_file.h"
#include "node/store/reader.h"
#include "node/store/segment.h"

namespace penstock::node {
namespace {

constexpr uint32_t piece_bytes = 4 * checked_block_bytes;

// One file, past the page cache if that can be.
class DeviceFile {
public:
    io::Task<Status> open(io::Disk& disk, const std::string& path) {
        CO_TRY(file_, co_await disk.open(path, io::OpenMode::read));
        // A file system that cannot be read through its cache.
        if (auto direct = co_await disk.open(path, io::OpenMode::read_direct)) {
            direct_ = std::move(*direct);
        }
        CO_TRY(size_bytes_, co_await file_->size_bytes());
        co_return Status();
    }

    // `corrupt` if the file ends first. The view lies in `buffer`, which has room for two pages
    // more than asked for.
    io::Task<Result<Bytes>> read(MutableBytes buffer, uint64_t offset, uint64_t size) {
        const uint64_t begin = round_down(offset, io::direct_alignment);
        const uint64_t end = round_up(offset + size, io::direct_alignment);
        if (direct_ == nullptr || end > size_bytes_) {
            CO_TRY_STATUS(co_await file_->read_exactly(buffer.first(size), offset));
            co_return Bytes(buffer.first(size));
        }
        ASSERT(end - begin <= buffer.size());
        CO_TRY_STATUS(co_await direct_->read_exactly(buffer.first(end - begin), begin));
        co_return Bytes(buffer.subspan(offset - begin, size));
    }

private:
    std::unique_ptr<io::File> file_;
    std::unique_ptr<io::File> direct_;  // null: through the page cache
    uint64_t size_bytes_ = 0;
};

}  // namespace

io::Task<Result<uint64_t>> Reader::verify(ObjectName name, Place place) {
    CO_TRY(const uint64_t bytes, co_await verify_all(name, place));
    verified_objects_ += 1;
    verified_bytes_ += bytes;
    co_return bytes;
}

io::Task<Result<uint64_t>> Reader::verify_all(ObjectName name, Place place) {
    DeviceFile segment;
    CO_TRY_STATUS(co_await segment.open(*core_.disk, segment_path(place.segment)));
    const uint64_t record_bytes = place.record_bytes();
    io::Buffer buffer = core_.buffers->take(
        static_cast<uint32_t>(std::max<uint64_t>(record_bytes, piece_bytes) + 8_KiB));
    const Result<Bytes> record =
        co_await segment.read(buffer.bytes(), place.offset_bytes(), record_bytes);
    if (!record && record.error().code == Errc::corrupt) {
        co_return corrupt("a segment that ends early", place);
    }
    if (!record) co_return std::unexpected(record.error());
    const std::optional<RecordHeader> header = parse_record_header(*record);
    const bool is_right = header && header->head.lsn == begin_of(place) &&
                          header->head.bucket == name.bucket && header->object == name.object;
    if (!is_right) co_return corrupt("not the record that should be here", place);
    if (header->head.kind == RecordKind::lost) {
        co_return corrupt("an object whose record was lost", place);
    }
    const std::optional<Bytes> payload = checked_payload(header->head, *record);
    if (!payload) co_return corrupt("damaged content", place);
    const bool is_large = header->head.kind == RecordKind::extents;
    const Bytes variable = is_large ? *payload : header->variable;
    if (variable.empty()) co_return record_bytes;
    // Copies: the buffer is used for what it says.
    const std::optional<Attributes> attributes = parse_attributes(variable);
    if (!attributes) co_return corrupt("damaged attributes", place);
    uint64_t total = record_bytes;
    for (const Extent& extent : attributes->extents) {
        CO_TRY(const uint64_t bytes, co_await verify_extent(extent, buffer.bytes()));
        total += bytes;
    }
    if (attributes->stripes) {
        if (core_.stripes == nullptr) co_return corrupt("stripes that cannot be here", place);
        CO_TRY(const uint64_t bytes, co_await core_.stripes->verify_stripes(
                                         core_.number, name.bucket, attributes->stripes));
        total += bytes;
    }
    if (attributes->stored_attachment) {
        CO_TRY(const std::vector<std::byte> bytes,
               co_await stored_attachment(*attributes->stored_attachment));
        total += bytes.size();
    }
    co_return total;
}

// The part of the file that the extent shows, in whole blocks.
io::Task<Result<uint64_t>> Reader::verify_extent(const Extent& extent, MutableBytes buffer) {
    CO_TRY(const std::shared_ptr<OpenFile> known, co_await open_extent(extent));
    const std::vector<uint32_t>& blocks = known->blocks;
    DeviceFile file;
    CO_TRY_STATUS(co_await file.open(*core_.disk, object_file_path(extent.file)));
    const uint64_t begin = round_down(extent.offset, checked_block_bytes);
    const uint64_t end = std::min(round_up(extent.offset + extent.length, checked_block_bytes),
                                  extent.file_content_bytes);
    for (uint64_t offset = begin; offset < end; offset += piece_bytes) {
        const uint64_t size = std::min<uint64_t>(piece_bytes, end - offset);
        const Result<Bytes> bytes = co_await file.read(buffer, offset, size);
        if (!bytes && bytes.error().code == Errc::corrupt) {
            co_return corrupt("an object file ends early", extent.file);
        }
        if (!bytes) co_return std::unexpected(bytes.error());
        for (uint64_t at = 0; at < size; at += checked_block_bytes) {
            const uint64_t block = (offset + at) / checked_block_bytes;
            const uint64_t length = std::min<uint64_t>(checked_block_bytes, size - at);
            if (block >= blocks.size() || crc32c(bytes->subspan(at, length)) != blocks[block]) {
                co_return corrupt("a damaged block", extent.file);
            }
        }
        co_await core_.reactor->yield();
    }
    co_return end - begin;
}

}  // namespace penstock::node
