// Reader: from a place in the log to verified bytes, on the core that asks.
//
// A small object is one read of its whole record into one buffer: header and content are verified
// and the content is handed out where it lies, with the header's room before it for whatever goes
// in front of it on a wire. A large object is read in blocks of 64 KiB, each verified against its
// checksum, the next ones on their way while the last are sent.
//
// A block that this core has verified since it opened the file, and whose pages are resident, is
// not verified again: a member of a hot shard costs its own bytes only. Such pages leave by
// sendfile, from object files and from segments whose payload begins with a page.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "io/base/log.h"
#include "io/body.h"
#include "io/buffer_pool.h"
#include "io/disk.h"
#include "io/wait.h"
#include "node/store/attributes.h"
#include "node/store/extent_source.h"
#include "node/store/file_cache.h"
#include "node/store/place.h"
#include "node/store/record.h"
#include "node/store/store.h"

namespace penstock::node {

// A record that was read and checked. Views point into `bytes`.
struct ReadRecord {
    io::Chunk bytes;
    RecordHeader header;
};

// The same record, to be logged again: its version and times included. Views into `read`.
RecordDraft draft_of(const ReadRecord& read);

class Reader {
public:
    // All must outlive it.
    Reader(const StoreCore& core, FileCache& files, io::Gate& gate, const Log& log)
        : core_(core), files_(files), gate_(gate), log_(log) {}

    // `corrupt` if what lies at `place` is not a whole record of this object, or its content fails
    // its check; `not_found` if a file that it names is gone: it was replaced meanwhile.
    io::Task<Result<OpenedObject>> open(ObjectName name, Place place, ReadRange range);
    // If the object is one whole file: that, every block of it verified (verified_file.cc).
    io::Task<Result<std::optional<OpenedObject>>> open_file(ObjectName name, Place place);
    // Reads record, content and attachment from the device and checks all of it; gives the bytes
    // that were read (verify.cc). Errors as open().
    io::Task<Result<uint64_t>> verify(ObjectName name, Place place);
    io::Task<Result<ObjectAttributes>> stat(ObjectName name, Place place);
    // The version at this place, if it has an attachment; and that.
    io::Task<Result<std::optional<Version>>> version_with_attachment(ObjectName name, Place place);
    io::Task<Result<std::vector<std::byte>>> attachment(ObjectName name, Place place);
    // The whole record, its payload checked, whoever's it is. `not_found` if its segment is gone:
    // it was moved by compaction, or else, if the place is current, a file is missing.
    io::Task<Result<ReadRecord>> read_record(Place place);
    // As read_record(), from its segment opened past the page cache: for who reads what nobody else
    // will read there.
    io::Task<Result<ReadRecord>> read_record_directly(Place place, io::File& segment);
    // As read_record(), if it is `name`'s.
    io::Task<Result<ReadRecord>> read_record_of(ObjectName name, Place place);
    // What varies in length about a record's object.
    static Result<Attributes> attributes_of(const ReadRecord& record);

    // The file of an extent with its checksums loaded. `not_found`: it was replaced meanwhile.
    io::Task<Result<std::shared_ptr<OpenFile>>> open_extent(const Extent& extent);
    // The CRC32C of what the extents hold, combined from their files' block checksums; each must
    // be a whole file.
    io::Task<Result<uint32_t>> crc_of(const std::vector<Extent>& extents);
    // Whether somebody reads an object whose first file this is, and has not opened the others.
    bool is_pinned(const FileId& first) const { return pins_.contains(first); }

    // The range as the file's own pages, if it is worth it and they are verified and resident.
    static std::optional<io::FileRange> as_file_range(const OpenExtent& extent);
    // Reads the blocks that cover [offset, offset + size) of an object file, through `through`, and
    // verifies them; the chunk shows exactly the range.
    io::Task<Result<io::Chunk>> read_blocks(std::shared_ptr<OpenFile> file, io::File& through,
                                            FileId id, uint64_t content_bytes, uint64_t offset,
                                            uint32_t size);

    // Held by reads that nobody waits for, so that a stop does.
    io::Gate& gate() { return gate_; }
    uint64_t corruption_count() const { return corruption_count_; }
    // By verify(), those that were found whole.
    uint64_t verified_objects() const { return verified_objects_; }
    uint64_t verified_bytes() const { return verified_bytes_; }
    // What to say when a file of the object whose current record lies at `place` is not there.
    std::unexpected<Error> missing(const Place& place);

private:
    std::unexpected<Error> corrupt(const char* what, const Place& place);
    std::unexpected<Error> corrupt(const char* what, const FileId& id);
    Result<ReadRecord> checked(io::Chunk chunk, const Place& place);
    // A small object as its segment's own pages, if it is worth it and they are verified and
    // resident; nothing is said about its errors.
    std::optional<OpenedObject> open_in_place(ObjectName name, Place place, ReadRange range);
    void mark_verified(const ReadRecord& record, const Place& place);
    io::Task<Result<OpenedObject>> open_extents(ReadRecord record, ReadRange range);
    io::Task<Result<io::Body>> open_stripes(const RecordHead& head, const Attributes& attributes,
                                            ReadRange range);
    io::Task<Result<io::Body>> open_range(const Attributes& attributes, ReadRange range);
    std::shared_ptr<void> pin(const FileId& first);
    io::Task<Result<io::Chunk>> read_short(const OpenExtent& extent);
    io::Task<Result<uint64_t>> verify_all(ObjectName name, Place place);
    io::Task<Result<uint64_t>> verify_extent(const Extent& extent, MutableBytes buffer);
    io::Task<Result<std::vector<std::byte>>> stored_attachment(const StoredAttachment& stored);

    const StoreCore& core_;
    FileCache& files_;
    io::Gate& gate_;
    const Log& log_;
    uint64_t corruption_count_ = 0;
    // Objects of many files that are being read, by the first of them: how often.
    std::map<FileId, uint32_t> pins_;
    uint64_t verified_objects_ = 0;
    uint64_t verified_bytes_ = 0;
};

ObjectAttributes attributes_from(const RecordHead& head, CustomMetadata custom);
ObjectAttributes attributes_from(const RecordHead& head, Attributes attributes);

}  // namespace penstock::node
