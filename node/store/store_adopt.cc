// Adoption: a file that lies outside becomes an object by one more name for it, and a record. Its
// bytes stay where they are and are read once, on the pool, which gives the block checksums, the
// bucket's checksum and what the observer keeps.
//
// The order is that of any put: bytes and name durable, then the record, then visible. One syncfs
// serves all adoptions that wait at the same time, because a sync for each file would cost a flush
// of the device each. Whatever fails before the record leaves a link that nothing refers to, which
// is removed at once, or swept at a later start.
#include <algorithm>
#include <memory>

#include "io/base/units.h"
#include "node/store/store_impl.h"

namespace penstock::node {
namespace {

constexpr size_t inline_attachment_bytes_max = 64 << 10;
constexpr size_t piece_bytes = 1 << 20;

// A job on the pool: links `path` as `to` and reads it.
struct Adoption {
    io::BlockingDisk& disk;
    std::string path;
    std::string to;
    PutOptions& options;

    bool is_linked = false;
    uint64_t size_bytes = 0;
    std::vector<uint32_t> blocks;
    ContentChecksum checksum;
    std::vector<std::byte> attachment;

    Status run() {
        TRY_STATUS(disk.link(path, to));
        is_linked = true;
        TRY(const auto file, disk.open(to, io::OpenMode::read));
        TRY(size_bytes, file->size_bytes());
        if (size_bytes > adopted_bytes_max) {
            return fail(Errc::not_implemented, path + ": too large to be linked");
        }
        TRY_STATUS(read_through(*file));
        return check_expected(*file);
    }

private:
    Status read_through(io::BlockingFile& file) {
        BlockSummer summer;
        ContentHash hash(options.checksum);
        const auto buffer = std::make_unique_for_overwrite<std::byte[]>(
            std::min<uint64_t>(piece_bytes, std::max<uint64_t>(size_bytes, 1)));
        for (uint64_t offset = 0; offset < size_bytes;) {
            const MutableBytes room(buffer.get(),
                                    std::min<uint64_t>(piece_bytes, size_bytes - offset));
            TRY(const size_t count, file.read(room, offset));
            if (count == 0) return fail(Errc::invalid, path + ": became shorter while it was read");
            const Bytes bytes = room.first(count);
            summer.add(bytes);
            hash.add(bytes);
            if (options.observer) options.observer->observe(bytes);
            offset += count;
        }
        blocks = summer.finish();
        checksum = hash.finish();
        if (options.observer) attachment = options.observer->finish();
        return {};
    }

    // The client's own checksum is of the bucket's type, or it costs a second reading: refused.
    Status check_expected(io::BlockingFile& file) const {
        TRY(const uint64_t size_now, file.size_bytes());
        if (size_now != size_bytes) {
            return fail(Errc::invalid, path + ": was written to while it was read");
        }
        if (!options.expected || options.expected->type == ChecksumType::none) return {};
        if (options.expected->type != options.checksum ||
            !std::ranges::equal(options.expected->bytes(), checksum.bytes())) {
            return fail(Errc::invalid, "the content does not have the given checksum");
        }
        return {};
    }
};

}  // namespace

io::Task<Result<ObjectAttributes>> StoreImpl::adopt(uint32_t number, ObjectName name,
                                                    std::string path, PutOptions options) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    CO_TRY_STATUS(check_object_name(name.object));
    CO_TRY_STATUS(check_custom(options.custom));
    CO_TRY_STATUS(co_await admit_bytes(from, 0));
    const FileId id = new_file_id(from);
    io::Disk& disk = *from.io.disk;
    Adoption adoption{disk.blocking(), std::move(path), object_file_path(id), options};
    const Status taken = co_await disk.pool().run(*from.io.reactor, [&] { return adoption.run(); });
    Content content;
    Status status = taken;
    if (status) {
        content.attributes.custom = options.custom;
        content.size_bytes = adoption.size_bytes;
        content.checksum = adoption.checksum;
        content.attributes.extents.push_back(
            {id, 0, adoption.size_bytes, adoption.size_bytes, 0, 0, std::move(adoption.blocks)});
        status = co_await finish_adopted(from, content, id, adoption.attachment);
    }
    if (!status) {
        if (adoption.is_linked) co_await drop_file(from, id);
        co_return std::unexpected(status.error());
    }
    Result<ObjectAttributes> committed = co_await commit_content(from, name, content, options);
    // After an error of the device the record may be durable all the same: the next start decides.
    const bool is_refused = !committed && committed.error().code != Errc::io_error;
    if (is_refused && !content.attributes.extents.empty()) {
        co_await drop_file(from, id);
        if (content.file != nullptr) co_await drop_file(from, content.file->id());
    }
    co_return committed;
}

// What the record will refer to is durable after this.
io::Task<Status> StoreImpl::finish_adopted(Core& from, Content& content, FileId id,
                                           Bytes attachment) {
    if (content.size_bytes == 0) {
        // Nothing to lie anywhere: an ordinary small object.
        content.attributes.extents.clear();
        co_await drop_file(from, id);
    }
    if (attachment.size() <= inline_attachment_bytes_max) {
        content.attributes.attachment.assign(attachment.begin(), attachment.end());
    } else {
        content.file =
            std::make_unique<ObjectFileWriter>(*from.io.disk, *from.io.buffers, new_file_id(from));
        const Status kept = co_await keep_attachment(*content.file, attachment, content.attributes);
        co_await content.file->close();
        if (!kept) {
            co_await drop_file(from, content.file->id());
            co_return kept;
        }
    }
    if (content.attributes.extents.empty()) co_return Status();
    co_return co_await from.file_system.sync();
}

// In a file of its own, because nothing may be added to the adopted one.
io::Task<Status> StoreImpl::keep_attachment(ObjectFileWriter& writer, Bytes attachment,
                                            Attributes& attributes) {
    CO_TRY_STATUS(co_await writer.open(std::nullopt));
    Attributes alone;
    CO_TRY_STATUS(co_await writer.finish(attachment, alone));
    attributes.stored_attachment = alone.stored_attachment;
    co_return Status();
}

}  // namespace penstock::node
