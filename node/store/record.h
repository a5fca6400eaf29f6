// Record: one entry of the log, which is one entry of a TAR file: the whole truth about one version
// of one object. Building and reading are pure functions over bytes; any core may call them. What
// is read may be anything: whatever the bytes say, parsing stays inside them.
//
// A record is one TAR header block and its payload, or, where the name is longer than 100 bytes or
// not UTF-8 or the object has variable attributes, a PAX header block, its data, a plain header
// block, and the payload. Our own fields lie in the *first* block, where every reader of TAR
// tolerates them: in the link name (a regular file and a PAX header have none), and in the name
// prefix behind its first byte, which is NUL and so ends it. Little-endian:
//
//     at  bytes  field                     at  bytes  field
//    157      4  magic "PSR1"             346      1  kind
//    161      4  CRC32C of this block     347      1  flags
//    165      8  LSN                      348      1  checksum type
//    173      8  durable mark             349      1  checksum bytes
//    181      8  version: map version     350      4  CRC32C of the payload
//    189      8  version: sequence        354      4  CRC32C of the other header blocks
//    197      8  bucket id                358      4  header blocks, this one too
//    205     16  digest of the name       362      4  payload bytes
//    221     16  digest of the record     366      8  expires (reserved, 0)
//                before this one          374      8  display version
//    237      8  modified, ns             382      2  object name bytes
//    245      8  content bytes            384      1  bucket label bytes
//    253      4  zero                     385      1  zero
//                                         386     64  content checksum
//                                         450     50  zero, but for 'P' at 475
//
// The block's CRC is taken with its own field zero and TAR's checksum as eight spaces. The byte at
// 475 keeps GNU tar from seeing a star header. DESIGN.md tells how a stranger reads a segment.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/base/bytes.h"
#include "io/base/checksum.h"
#include "io/base/result.h"
#include "node/store/object_name.h"
#include "node/store/place.h"
#include "node/store/store.h"
#include "node/store/version.h"

namespace penstock::node {

constexpr uint32_t block_bytes = 512;  // TAR's unit
// What the PAX header may hold beside the name: libarchive refuses PAX headers above 1 MiB.
constexpr uint32_t variable_bytes_max = 512 << 10;
constexpr uint32_t payload_bytes_max = 1 << 20;
// No record is longer: two header blocks, a PAX part, a payload.
constexpr uint32_t record_bytes_max = payload_bytes_max + variable_bytes_max + 16 * 1024;

enum class RecordKind : uint8_t {
    segment = 1,    // the first record of a segment: ".penstock/segment" (segment_table.h)
    object = 2,     // its payload is the object: "BUCKET/OBJECT"
    extents = 3,    // an object in files; its payload says which: ".penstock/object/BUCKET/OBJECT"
    tombstone = 4,  // ".penstock/delete/BUCKET/OBJECT", empty
    mark = 5,       // carries a durable mark and nothing else: ".penstock/mark"
    freed = 6,      // segments whose files are removed next: ".penstock/freed"
    lost = 7,       // an object whose record was damaged: ".penstock/lost/BUCKET/OBJECT", empty
};

// Says something about a name: what recovery replays.
constexpr bool has_object_name(RecordKind kind) {
    return kind == RecordKind::object || kind == RecordKind::extents ||
           kind == RecordKind::tombstone || kind == RecordKind::lost;
}

// Flags of a record.
constexpr uint8_t record_has_attachment = 1;
constexpr uint8_t record_is_closing = 2;    // of a mark: the last one before an orderly stop
constexpr uint8_t record_was_in_files = 4;  // of a lost object: files of its own are still there
// Two records that are one change: the first counts only if the next record about a name is the
// second. Both lie in one group; what is logged again later stands alone.
constexpr uint8_t record_is_first_of_two = 8;
constexpr uint8_t record_is_second_of_two = 16;
constexpr uint8_t record_came_in_parts = 32;  // each extent is a part of a multipart upload
constexpr uint8_t record_is_striped = 64;     // its content lies under hidden names (stripe.h)

// Whether the content lies in files of its own, which Place::in_files_bit says.
constexpr bool lies_in_files(RecordKind kind, uint8_t flags) {
    return kind == RecordKind::extents || (flags & record_was_in_files) != 0;
}
// What Place::record_blocks says beside the size.
constexpr uint32_t place_bits(RecordKind kind, uint8_t flags) {
    if (!lies_in_files(kind, flags)) return 0;
    const bool is_striped = (flags & record_is_striped) != 0;
    return Place::in_files_bit | (is_striped ? Place::is_striped_bit : 0);
}

// What the log knows only when it takes the record in; may be stamped again when it moves.
struct RecordStamp {
    Lsn lsn = 0;
    Lsn durable = 0;  // everything below this LSN was on the device when this was written
    Version version;
    Digest128 previous;  // the name of the record before: tells what was lost if that one rots
};

struct RecordDraft {
    RecordKind kind = RecordKind::object;
    uint8_t flags = 0;
    BucketId bucket;
    std::string_view bucket_label;
    std::string_view object;
    Digest128 digest;
    uint64_t content_bytes = 0;
    uint64_t modified_ns = 0;
    uint64_t expires_ns = 0;
    uint64_t display_version = 0;
    ContentChecksum checksum;
    // Of a record that is logged again; absent: the log gives it a new one.
    Version version;
    Bytes variable;  // of an object, for the PAX comment (node/store/attributes.h)
    Bytes payload;   // of an object its content, of extents their description
    uint32_t payload_crc = 0;
};

// The first block, read and checked. It tells where the record ends.
struct RecordHead {
    RecordKind kind = RecordKind::mark;
    uint8_t flags = 0;
    Lsn lsn = 0;
    Lsn durable = 0;
    Version version;
    BucketId bucket;
    Digest128 digest;
    Digest128 previous;
    uint64_t modified_ns = 0;
    uint64_t content_bytes = 0;
    uint64_t expires_ns = 0;
    uint64_t display_version = 0;
    ContentChecksum checksum;
    uint32_t payload_crc = 0;
    uint32_t rest_crc = 0;
    uint32_t header_blocks = 0;
    uint32_t payload_bytes = 0;
    uint16_t object_bytes = 0;
    uint8_t label_bytes = 0;

    uint32_t header_bytes() const { return header_blocks * block_bytes; }
    uint32_t payload_blocks() const { return (payload_bytes + block_bytes - 1) / block_bytes; }
    uint32_t record_blocks() const { return header_blocks + payload_blocks(); }
    uint32_t record_bytes() const { return record_blocks() * block_bytes; }
};

// A whole header region, checked: the name and the variable attributes are views into the bytes.
struct RecordHeader {
    RecordHead head;
    std::string_view object;
    std::string_view bucket_label;
    Bytes variable;
};

enum class BlockState : uint8_t { valid, zero, damaged };

// How many bytes the record takes: a multiple of 512.
uint32_t record_bytes(const RecordDraft& draft);
// True if the record has a PAX header. Such a record must not reach the device in part: readers of
// TAR refuse a PAX header without its data, so its first block is written last (log.h).
bool needs_pax(const RecordDraft& draft);
// Fills `to`, exactly record_bytes(draft) of it.
void build_record(const RecordDraft& draft, const RecordStamp& stamp, MutableBytes to);
// Writes another stamp into a whole record's first block.
void stamp_record(MutableBytes record, const RecordStamp& stamp);

// Reads one block as the beginning of a record.
BlockState parse_first_block(Bytes block, RecordHead& head);
// Reads the header region at the front of `bytes` (which may go on with the payload). nullopt:
// these bytes are no whole, undamaged header region.
std::optional<RecordHeader> parse_record_header(Bytes bytes);
// The payload of a record whose header is good, if it and its padding are undamaged.
std::optional<Bytes> checked_payload(const RecordHead& head, Bytes record);

bool is_all_zero(Bytes bytes);

}  // namespace penstock::node
