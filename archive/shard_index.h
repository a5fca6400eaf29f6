// ShardIndex: where each member of a shard lies. It is built while the shard is being written, at
// no extra read, and kept as an attachment of the object's version, so it cannot be stale.
//
// Encoded form (little-endian), version 1:
//
//     magic "PSIX", u16 version = 1, u16 format, u32 member count, u64 shard bytes, u64 names
//     bytes, u64 damaged_at (UINT64_MAX: whole), u32 crc32c of everything behind the header, u32
//     zero then `member count` entries of 24 bytes, in shard order:
//         u64 offset of the content, u64 size, u32 offset of the name in the names, u32 name bytes
//     then `member count` u32 positions, sorted by name: for lookup by binary search
//     then the names, back to back
//
// An encoded index is used as it lies: opening it checks lengths and the checksum once, finding a
// member touches O(log n) entries and copies nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock::archive {

enum class Format : uint16_t { none = 0, tar = 1, tgz = 2, tar_lz4 = 3, zip = 4, tar_zst = 5 };

// By the extension (".tar", ".tgz", ".tar.gz", ".tar.lz4", ".zip", ".tar.zst"), or `none`.
Format format_from_name(std::string_view object_name);
// By the first bytes ("ustar" at 257, 1f8b, PK, 04224d18, 28b52ffd); 512 bytes are enough.
Format format_from_magic(Bytes beginning);

struct Member {
    std::string_view name;
    uint64_t offset = 0;  // of its content in the shard
    uint64_t size = 0;
};

class ShardIndex {
public:
    // Checks everything that lookups rely on; `corrupt` with what is wrong. Keeps the bytes.
    static Result<ShardIndex> open(std::vector<std::byte> encoded);

    Format format() const;
    uint64_t shard_bytes() const;
    uint32_t member_count() const;
    // Where the shard is damaged: members before it are fine. nullopt: nowhere.
    std::optional<uint64_t> damaged_at() const;
    // In shard order. A name that occurs twice is two members; find() gives the last, as tar does.
    Member member(uint32_t position) const;
    std::optional<Member> find(std::string_view name) const;
    // The position in name order (0 .. member_count), for sorted listings.
    Member member_by_name_order(uint32_t order) const;
    uint64_t memory_bytes() const { return encoded_.size(); }

private:
    explicit ShardIndex(std::vector<std::byte> encoded) : encoded_(std::move(encoded)) {}
    std::vector<std::byte> encoded_;
};

// Collects members in shard order and encodes them.
class ShardIndexBuilder {
public:
    // Fails with `too_large` beyond the limits on members (16 million) or bytes of names (4 GiB).
    Status add(std::string_view name, uint64_t offset, uint64_t size);
    uint32_t member_count() const { return static_cast<uint32_t>(entries_.size()); }
    std::vector<std::byte> encode(Format format, uint64_t shard_bytes,
                                  std::optional<uint64_t> damaged_at) const;

private:
    struct Entry {
        uint64_t offset, size;
        uint32_t name_offset, name_bytes;
    };
    std::vector<Entry> entries_;
    std::string names_;
};

}  // namespace penstock::archive
