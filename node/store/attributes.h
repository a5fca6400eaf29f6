// Attributes: what varies in length about one version of an object: custom metadata, which files
// its bytes lie in, its attachment. They travel in a record, as the PAX comment of an object's
// entry or as the payload of an extents entry. Little-endian sections, each
//
//     u16 type, u16 zero, u32 bytes, then so many bytes
//
//     1  custom metadata: pairs of (u32 bytes, key, u32 bytes, value)
//     2  extent: u64 file epoch, u64 file number, u64 offset, u64 length, u64 content bytes of the
//        file, u64 offset of its block checksums in the file (0: they follow here), u32 CRC32C of
//        those, u32 mountpath (0: this one), then one u32 CRC32C for each 64 KiB block of the file,
//        or nothing
//     3  attachment: its bytes
//     4  attachment in a file: u64 epoch, u64 number, u64 offset, u64 bytes, u32 CRC32C, u32 zero
//     5  stripes (stripe.h): u64 id, low and high, u64 object's bytes, u64 part's bytes, u32 unit's
//        bytes, u32 width, then one u32 for each part: its number. Where there are several, one
//        behind the other, a section 5 of 4 bytes comes before them: u32, how many follow. (A
//        release that knows but one finds this one damaged and leaves the object alone.)
//
// A section of another type is passed over: a later release wrote it. Parsing stays inside whatever
// bytes it is given.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/base/bytes.h"
#include "node/store/store.h"
#include "node/store/stripe.h"

namespace penstock::node {

// Names a file under objects/, once and never again: the log's end when the store was opened, and
// a count since then.
struct FileId {
    uint64_t epoch = 0;
    uint64_t number = 0;
    auto operator<=>(const FileId&) const = default;
};

// A stretch of an object's content in a file, and what proves that file's blocks.
struct Extent {
    FileId file;
    uint64_t offset = 0;  // in the file
    uint64_t length = 0;
    uint64_t file_content_bytes = 0;  // the blocks cover so much of the file
    uint64_t table_offset = 0;        // of the block checksums in the file; 0: they are in `blocks`
    uint32_t table_crc = 0;
    std::vector<uint32_t> blocks;
    // Reserved: always 0, the mountpath that this record lies on.
    uint32_t mountpath = 0;
};

struct StoredAttachment {
    FileId file;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint32_t crc = 0;
};

struct Attributes {
    CustomMetadata custom;
    std::vector<Extent> extents;
    std::vector<std::byte> attachment;
    std::optional<StoredAttachment> stored_attachment;
    std::shared_ptr<const StripeLayouts> stripes;  // null: the content is not striped
};

// Every file that they name, once.
std::vector<FileId> files_of(const Attributes& attributes);

std::vector<std::byte> encode_attributes(const Attributes& attributes);
// nullopt: the bytes are damaged, or say what cannot be.
std::optional<Attributes> parse_attributes(Bytes bytes);

}  // namespace penstock::node
