#include "node/store/reader.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "io/base/units.h"
#include "io/residency.h"
#include "node/store/log_reader.h"
#include "node/store/object_file.h"
#include "node/store/segment.h"

namespace penstock::node {
namespace {

// Room before the content of a chunk, for a head on a wire; keeps direct reads aligned.
constexpr uint32_t head_room_bytes = io::direct_alignment;

constexpr uint32_t head_room_min = 512;
// A range up to this is one chunk: read and verified at once.
constexpr uint64_t short_range_bytes_max = 256_KiB;
// From here on sendfile is cheaper than a copy (io/DESIGN.md).
constexpr uint64_t file_range_bytes_min = 48_KiB;
// Larger records are read alone: readers in random order pay for what the kernel reads beside them
// (a fifth of a cold GET of 64 KiB, DESIGN.md). Smaller ones gain more when they are read in the
// order they were written.
constexpr uint64_t read_ahead_record_bytes_max = 32_KiB;
// A cold object file of such a size is brought in whole before it is read, if half of it is wanted:
// then each later send of it costs a fifth less (DESIGN.md). In a larger one the kernel's
// read-ahead gets to large pieces by itself.
constexpr uint64_t bring_in_bytes_min = 256_KiB;
constexpr uint64_t bring_in_bytes_max = 4_MiB;
// An object of more files than this has them opened one after the other.
constexpr size_t open_extents_max = 64;
// What is read of a record to find its content: most have one header block, some a short PAX part.
constexpr uint32_t header_bytes_read = 2048;

bool begins_with_a_page(uint64_t offset) {
    return offset % segment_page_bytes == 0;
}

// The part of [0, size) that a client's range means.
ReadRange clipped(ReadRange range, uint64_t size) {
    const uint64_t offset = std::min(range.offset, size);
    return {offset, std::min(range.size, size - offset)};
}

bool is_to_be_brought_in(const OpenExtent& extent) {
    const uint64_t size = extent.content_bytes;
    if (size < bring_in_bytes_min || size > bring_in_bytes_max) return false;
    const int descriptor = extent.file->file->descriptor();
    return extent.size >= size / 2 && descriptor >= 0 && !io::is_resident(descriptor, 0, size);
}

}  // namespace

ObjectAttributes attributes_from(const RecordHead& head, CustomMetadata custom) {
    ObjectAttributes attributes;
    attributes.version = head.version;
    attributes.size_bytes = head.content_bytes;
    attributes.display_version = head.display_version;
    attributes.modified_ns = head.modified_ns;
    attributes.checksum = head.checksum;
    attributes.custom = std::move(custom);
    attributes.has_attachment = (head.flags & record_has_attachment) != 0;
    return attributes;
}

ObjectAttributes attributes_from(const RecordHead& head, Attributes attributes) {
    ObjectAttributes result = attributes_from(head, std::move(attributes.custom));
    const bool came_in_parts = (head.flags & record_came_in_parts) != 0;
    if (attributes.stripes && !came_in_parts) {
        const StripeLayout& layout = attributes.stripes->front();
        result.part_count = static_cast<uint32_t>(layout.numbers.size());
        result.part_bytes_max = layout.bytes_before(0, layout.size_bytes);
    }
    if (!came_in_parts) return result;
    std::vector<uint64_t> parts;  // their sizes
    for (const Extent& extent : attributes.extents) parts.push_back(extent.length);
    if (attributes.stripes) {
        for (const StripeLayout& layout : *attributes.stripes) parts.push_back(layout.size_bytes);
    }
    result.part_count = static_cast<uint32_t>(parts.size());
    if (!parts.empty()) result.part_bytes_max = std::ranges::max(parts);
    return result;
}

RecordDraft draft_of(const ReadRecord& read) {
    const RecordHead& head = read.header.head;
    RecordDraft draft;
    draft.kind = head.kind;
    // It stands alone now: whatever it was one change with is decided.
    draft.flags = head.flags & ~(record_is_first_of_two | record_is_second_of_two);
    draft.bucket = head.bucket;
    draft.bucket_label = read.header.bucket_label;
    draft.object = read.header.object;
    draft.digest = head.digest;
    draft.content_bytes = head.content_bytes;
    draft.modified_ns = head.modified_ns;
    draft.expires_ns = head.expires_ns;
    draft.display_version = head.display_version;
    draft.checksum = head.checksum;
    draft.version = head.version;
    draft.variable = read.header.variable;
    draft.payload = read.bytes.bytes().subspan(head.header_bytes(), head.payload_bytes);
    draft.payload_crc = head.payload_crc;
    return draft;
}

std::unexpected<Error> Reader::corrupt(const char* what, const Place& place) {
    corruption_count_ += 1;
    log_.error(what, {{"segment", uint64_t{place.segment}}, {"offset", place.offset_bytes()}});
    return fail(Errc::corrupt, std::string(what) + " in " + segment_path(place.segment) + " at " +
                                   std::to_string(place.offset_bytes()));
}

std::unexpected<Error> Reader::missing(const Place& place) {
    return corrupt("a file of the object is missing", place);
}

std::unexpected<Error> Reader::corrupt(const char* what, const FileId& id) {
    corruption_count_ += 1;
    const std::string path = object_file_path(id);
    log_.error(what, {{"file", std::string_view(path)}});
    return fail(Errc::corrupt, std::string(what) + " in " + path);
}

io::Task<Result<ReadRecord>> Reader::read_record(Place place) {
    std::shared_ptr<OpenFile> segment = files_.find_segment(place.segment);
    if (segment == nullptr) {
        CO_TRY(segment, co_await files_.open_segment(place.segment));
    }
    const uint64_t record_bytes = place.record_bytes();
    if (record_bytes == 0 || record_bytes > record_bytes_max) {
        co_return corrupt("a damaged record", place);
    }
    const auto size = static_cast<uint32_t>(record_bytes);
    io::Chunk chunk{core_.buffers->take(size), 0, size};
    const MutableBytes bytes = chunk.mutable_bytes();
    segment->file->read_ahead(record_bytes <= read_ahead_record_bytes_max);
    const size_t resident = segment->file->try_read(bytes, place.offset_bytes());
    if (resident < bytes.size()) {
        const Status read = co_await segment->file->read_exactly(bytes.subspan(resident),
                                                                 place.offset_bytes() + resident);
        if (!read && read.error().code == Errc::corrupt) {
            co_return corrupt("a segment ends early", place);
        }
        CO_TRY_STATUS(read);
    }
    co_return checked(std::move(chunk), place);
}

io::Task<Result<ReadRecord>> Reader::read_record_directly(Place place, io::File& segment) {
    const uint64_t begin = round_down(place.offset_bytes(), uint64_t{io::direct_alignment});
    const uint64_t end =
        round_up(place.offset_bytes() + place.record_bytes(), uint64_t{io::direct_alignment});
    if (place.record_bytes() == 0 || place.record_bytes() > record_bytes_max) {
        co_return corrupt("a damaged record", place);
    }
    io::Chunk chunk{core_.buffers->take(static_cast<uint32_t>(end - begin)),
                    static_cast<uint32_t>(place.offset_bytes() - begin),
                    static_cast<uint32_t>(place.record_bytes())};
    const Status read =
        co_await segment.read_exactly(chunk.buffer.bytes().first(end - begin), begin);
    // A segment need not end with a page.
    if (!read && read.error().code == Errc::corrupt) co_return co_await read_record(place);
    CO_TRY_STATUS(read);
    co_return checked(std::move(chunk), place);
}

Result<ReadRecord> Reader::checked(io::Chunk chunk, const Place& place) {
    const Bytes bytes = chunk.bytes();
    const std::optional<RecordHeader> header = parse_record_header(bytes);
    if (!header || header->head.lsn != begin_of(place) ||
        header->head.record_bytes() != bytes.size()) {
        return corrupt("a damaged record", place);
    }
    if (!checked_payload(header->head, bytes)) return corrupt("damaged content", place);
    return ReadRecord{std::move(chunk), *header};
}

io::Task<Result<ReadRecord>> Reader::read_record_of(ObjectName name, Place place) {
    CO_TRY(ReadRecord record, co_await read_record(place));
    const RecordHead& head = record.header.head;
    if (head.kind == RecordKind::lost) co_return corrupt("an object whose record was lost", place);
    const bool is_content = head.kind == RecordKind::object || head.kind == RecordKind::extents;
    if (!is_content || head.bucket != name.bucket || record.header.object != name.object) {
        co_return corrupt("another object's record", place);
    }
    co_return record;
}

Result<Attributes> Reader::attributes_of(const ReadRecord& record) {
    const RecordHead& head = record.header.head;
    if (head.kind == RecordKind::lost) {
        return fail(Errc::corrupt, "what belonged to a lost object is not known");
    }
    Bytes encoded = record.header.variable;
    if (head.kind == RecordKind::extents) {
        encoded = record.bytes.bytes().subspan(head.header_bytes(), head.payload_bytes);
    }
    std::optional<Attributes> attributes = parse_attributes(encoded);
    if (!attributes) return fail(Errc::corrupt, "attributes cannot be read");
    return std::move(*attributes);
}

std::optional<OpenedObject> Reader::open_in_place(ObjectName name, Place place, ReadRange range) {
    const std::shared_ptr<OpenFile> segment = files_.find_segment(place.segment);
    if (segment == nullptr || segment->file->descriptor() < 0) return std::nullopt;
    // Before a byte is read: what is not resident is read whole, by one operation.
    const uint64_t record_end = place.offset_bytes() + place.record_bytes();
    if (!segment->verified.is_marked((record_end - 1) / segment_page_bytes)) return std::nullopt;
    const int descriptor = segment->file->descriptor();
    if (!io::is_resident(descriptor, place.offset_bytes(), place.record_bytes())) {
        segment->verified.clear_all(place.offset_bytes(), place.record_bytes());
        return std::nullopt;
    }
    std::array<std::byte, header_bytes_read> bytes;
    if (segment->file->try_read(bytes, place.offset_bytes()) < bytes.size()) return std::nullopt;
    const std::optional<RecordHeader> header = parse_record_header(bytes);
    if (!header || header->head.kind != RecordKind::object || header->object != name.object ||
        header->head.bucket != name.bucket || header->head.lsn != begin_of(place) ||
        header->head.record_bytes() != place.record_bytes()) {
        return std::nullopt;
    }
    OpenedObject opened;
    opened.range = clipped(range, header->head.content_bytes);
    const uint64_t offset =
        place.offset_bytes() + header->head.header_bytes() + opened.range.offset;
    const uint64_t size = opened.range.size;
    if (size < file_range_bytes_min || !begins_with_a_page(offset)) return std::nullopt;
    if (!segment->verified.are_marked(offset, size)) return std::nullopt;
    CustomMetadata custom;
    if (!header->variable.empty()) {
        std::optional<Attributes> attributes = parse_attributes(header->variable);
        if (!attributes) return std::nullopt;
        custom = std::move(attributes->custom);
    }
    opened.attributes = attributes_from(header->head, std::move(custom));
    opened.body = io::Body(io::FileRange{descriptor, offset, size, segment});
    return opened;
}

// The record was just read whole, through the page cache, and found to be right.
void Reader::mark_verified(const ReadRecord& record, const Place& place) {
    const RecordHead& head = record.header.head;
    const uint64_t offset = place.offset_bytes() + head.header_bytes();
    if (head.payload_bytes < file_range_bytes_min || !begins_with_a_page(offset)) return;
    const std::shared_ptr<OpenFile> segment = files_.find_segment(place.segment);
    if (segment != nullptr) segment->verified.mark_all(offset, head.payload_bytes);
}

io::Task<Result<OpenedObject>> Reader::open(ObjectName name, Place place, ReadRange range) {
    const bool may_be_sent = range.size >= file_range_bytes_min && begins_with_a_page(range.offset);
    if (may_be_sent && !place.is_in_files() && place.record_bytes() > file_range_bytes_min) {
        std::optional<OpenedObject> opened = open_in_place(name, place, range);
        if (opened) co_return std::move(*opened);
    }
    CO_TRY(ReadRecord record, co_await read_record_of(name, place));
    if (record.header.head.kind == RecordKind::extents) {
        co_return co_await open_extents(std::move(record), range);
    }
    mark_verified(record, place);
    OpenedObject opened;
    const RecordHead& head = record.header.head;
    CustomMetadata custom;
    if (!record.header.variable.empty()) {
        CO_TRY(Attributes attributes, attributes_of(record));
        custom = std::move(attributes.custom);
    }
    opened.attributes = attributes_from(head, std::move(custom));
    opened.range = clipped(range, head.content_bytes);
    io::Chunk content = std::move(record.bytes);
    content.begin = head.header_bytes() + static_cast<uint32_t>(opened.range.offset);
    content.size = static_cast<uint32_t>(opened.range.size);
    opened.body = io::Body(std::move(content));
    co_return opened;
}

io::Task<Result<OpenedObject>> Reader::open_extents(ReadRecord record, ReadRange range) {
    OpenedObject opened;
    CO_TRY(Attributes attributes, attributes_of(record));
    uint64_t content_bytes = 0;
    for (const Extent& extent : attributes.extents) content_bytes += extent.length;
    if (attributes.stripes) content_bytes += size_of(*attributes.stripes);
    if (content_bytes != record.header.head.content_bytes) {
        co_return corrupt("extents that do not add up", place_of(record.header.head));
    }
    opened.range = clipped(range, content_bytes);
    if (attributes.stripes) {
        CO_TRY(opened.body, co_await open_stripes(record.header.head, attributes, opened.range));
    } else {
        CO_TRY(opened.body, co_await open_range(attributes, opened.range));
    }
    opened.attributes = attributes_from(record.header.head, std::move(attributes));
    co_return opened;
}

io::Task<Result<io::Body>> Reader::open_stripes(const RecordHead& head,
                                                const Attributes& attributes, ReadRange range) {
    const bool is_right = attributes.extents.empty() && core_.stripes != nullptr;
    if (!is_right) co_return corrupt("stripes that cannot be here", place_of(head));
    co_return co_await core_.stripes->open_stripes(core_.number, head.bucket, attributes.stripes,
                                                   range.offset, range.size);
}

std::shared_ptr<void> Reader::pin(const FileId& first) {
    pins_[first] += 1;
    return {this, [first](Reader* reader) {
                const auto found = reader->pins_.find(first);
                if (--found->second == 0) reader->pins_.erase(found);
            }};
}

// The files of an object are opened at once, so that whoever reads it keeps its bytes when it is
// replaced; where they are too many, the first is, and a pin keeps the others from being removed.
io::Task<Result<io::Body>> Reader::open_range(const Attributes& attributes, ReadRange range) {
    if (range.size == 0) co_return io::Body();
    std::vector<OpenExtent> extents;
    std::shared_ptr<void> pinned;
    if (attributes.extents.size() > open_extents_max) {
        const Extent& first = attributes.extents.front();
        pinned = pin(first.file);
        // It is the first to be removed: if it is there, so are the others while the pin lasts.
        CO_TRY_STATUS(co_await open_extent(first));
    }
    uint64_t skipped = range.offset;
    uint64_t left = range.size;
    for (const Extent& extent : attributes.extents) {
        if (left == 0) break;
        if (skipped >= extent.length) {
            skipped -= extent.length;
            continue;
        }
        OpenExtent part;
        if (pinned == nullptr || extents.empty()) {
            CO_TRY(part.file, co_await open_extent(extent));
        } else {
            part.extent = extent;
        }
        part.id = extent.file;
        part.content_bytes = extent.file_content_bytes;
        part.offset = extent.offset + skipped;
        part.size = std::min(left, extent.length - skipped);
        left -= part.size;
        skipped = 0;
        extents.push_back(std::move(part));
    }
    ASSERT(left == 0);
    if (extents.size() == 1) {
        if (std::optional<io::FileRange> pages = as_file_range(extents[0])) {
            co_return io::Body(std::move(*pages));
        }
        if (is_to_be_brought_in(extents[0])) {
            co_await extents[0].file->file->bring_in(0, extents[0].content_bytes);
        }
    }
    if (extents.size() == 1 && range.size <= short_range_bytes_max) {
        CO_TRY(io::Chunk chunk, co_await read_short(extents[0]));
        co_return io::Body(std::move(chunk));
    }
    CO_TRY(std::unique_ptr<io::Source> source,
           co_await make_extent_source(*this, core_, std::move(extents), range.size,
                                       std::move(pinned)));
    co_return io::Body(std::move(source));
}

io::Task<Result<uint32_t>> Reader::crc_of(const std::vector<Extent>& extents) {
    uint32_t crc = 0;
    for (const Extent& extent : extents) {
        if (extent.length == 0) continue;
        const bool is_whole = extent.offset == 0 && extent.length == extent.file_content_bytes;
        if (!is_whole) co_return corrupt("an extent that is no whole file", extent.file);
        CO_TRY(const std::shared_ptr<OpenFile> file, co_await open_extent(extent));
        const uint32_t part = crc_of_blocks(file->blocks, extent.length);
        crc = crc32c_combine(crc, part, extent.length);
    }
    co_return crc;
}

std::optional<io::FileRange> Reader::as_file_range(const OpenExtent& extent) {
    const int descriptor = extent.file->file->descriptor();
    if (extent.size < file_range_bytes_min || descriptor < 0) return std::nullopt;
    if (!extent.file->verified.are_marked(extent.offset, extent.size)) return std::nullopt;
    if (!io::is_resident(descriptor, extent.offset, extent.size)) {
        extent.file->verified.clear_all(extent.offset, extent.size);
        return std::nullopt;
    }
    return io::FileRange{descriptor, extent.offset, extent.size, extent.file};
}

io::Task<Result<std::shared_ptr<OpenFile>>> Reader::open_extent(const Extent& extent) {
    CO_TRY(const std::shared_ptr<OpenFile> file, co_await files_.open_object(extent.file));
    if (file->has_blocks) co_return file;
    if (extent.table_offset == 0) {
        file->blocks = extent.blocks;
        file->has_blocks = true;
        co_return file;
    }
    std::vector<uint32_t> blocks(checked_block_count(extent.file_content_bytes));
    const MutableBytes bytes = std::as_writable_bytes(std::span(blocks));
    const Status read = co_await file->file->read_exactly(bytes, extent.table_offset);
    if (!read && read.error().code == Errc::corrupt) {
        co_return corrupt("an object file ends early", extent.file);
    }
    CO_TRY_STATUS(read);
    if (crc32c(bytes) != extent.table_crc) {
        co_return corrupt("damaged block checksums", extent.file);
    }
    file->blocks = std::move(blocks);
    file->has_blocks = true;
    co_return file;
}

io::Task<Result<io::Chunk>> Reader::read_short(const OpenExtent& extent) {
    if (extent.file->verified.are_marked(extent.offset, extent.size)) {
        const auto size = static_cast<uint32_t>(extent.size);
        io::Chunk chunk{core_.buffers->take(head_room_min + size), head_room_min, size};
        if (extent.file->file->try_read(chunk.mutable_bytes(), extent.offset) == size) {
            co_return chunk;
        }
        // Not resident: what comes from the device now has not been verified yet.
        extent.file->verified.clear_all(extent.offset, extent.size);
    }
    co_return co_await read_blocks(extent.file, *extent.file->file, extent.id, extent.content_bytes,
                                   extent.offset, static_cast<uint32_t>(extent.size));
}

io::Task<Result<io::Chunk>> Reader::read_blocks(std::shared_ptr<OpenFile> file, io::File& through,
                                                FileId id, uint64_t content_bytes, uint64_t offset,
                                                uint32_t size) {
    ASSERT(size > 0 && offset + size <= content_bytes);
    const uint64_t begin = round_down(offset, checked_block_bytes);
    const uint64_t end = std::min(round_up(offset + size, checked_block_bytes), content_bytes);
    // Whole pages, for direct reads. Our files are padded to them; an adopted one is not, so its
    // end goes through the page cache.
    const bool is_end = (end - begin) % io::direct_alignment != 0;
    io::File& from = is_end ? *file->file : through;
    const auto read_bytes = static_cast<uint32_t>(end - begin);
    io::Chunk chunk{core_.buffers->take(head_room_bytes + read_bytes), head_room_bytes, 0};
    const MutableBytes bytes = chunk.buffer.bytes().subspan(head_room_bytes, read_bytes);
    const size_t resident = from.try_read(bytes, begin);
    if (resident < bytes.size()) {
        const Status read = co_await from.read_exactly(bytes.subspan(resident), begin + resident);
        if (!read && read.error().code == Errc::corrupt) {
            co_return corrupt("an object file ends early", id);
        }
        CO_TRY_STATUS(read);
    }
    for (uint64_t at = begin; at < end; at += checked_block_bytes) {
        const uint64_t block = at / checked_block_bytes;
        const uint64_t length = std::min<uint64_t>(checked_block_bytes, end - at);
        if (block >= file->blocks.size() ||
            crc32c(bytes.subspan(at - begin, length)) != file->blocks[block]) {
            co_return corrupt("a damaged block", id);
        }
        if (&from == file->file.get()) file->verified.mark(block);
    }
    chunk.begin += static_cast<uint32_t>(offset - begin);
    chunk.size = size;
    co_return chunk;
}

io::Task<Result<ObjectAttributes>> Reader::stat(ObjectName name, Place place) {
    CO_TRY(const ReadRecord record, co_await read_record_of(name, place));
    const RecordHead& head = record.header.head;
    if (head.kind == RecordKind::object && record.header.variable.empty()) {
        co_return attributes_from(head, CustomMetadata());
    }
    CO_TRY(Attributes attributes, attributes_of(record));
    co_return attributes_from(head, std::move(attributes));
}

io::Task<Result<std::optional<Version>>> Reader::version_with_attachment(ObjectName name,
                                                                         Place place) {
    CO_TRY(const ReadRecord record, co_await read_record_of(name, place));
    const RecordHead& head = record.header.head;
    if ((head.flags & record_has_attachment) == 0) co_return std::optional<Version>();
    co_return std::optional<Version>(head.version);
}

io::Task<Result<std::vector<std::byte>>> Reader::attachment(ObjectName name, Place place) {
    CO_TRY(const ReadRecord record, co_await read_record_of(name, place));
    CO_TRY(Attributes attributes, attributes_of(record));
    if (!attributes.stored_attachment) co_return std::move(attributes.attachment);
    co_return co_await stored_attachment(*attributes.stored_attachment);
}

io::Task<Result<std::vector<std::byte>>> Reader::stored_attachment(const StoredAttachment& stored) {
    constexpr uint64_t attachment_bytes_max = uint64_t{2} << 30;
    if (stored.bytes > attachment_bytes_max) co_return corrupt("an impossible size", stored.file);
    CO_TRY(const std::shared_ptr<OpenFile> file, co_await files_.open_object(stored.file));
    std::vector<std::byte> bytes(stored.bytes);
    const Status read = co_await file->file->read_exactly(bytes, stored.offset);
    if (!read && read.error().code == Errc::corrupt) {
        co_return corrupt("an object file ends early", stored.file);
    }
    CO_TRY_STATUS(read);
    if (crc32c(bytes) != stored.crc) co_return corrupt("a damaged attachment", stored.file);
    co_return bytes;
}

}  // namespace penstock::node
