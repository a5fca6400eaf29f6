// ShardIndex: where each member of a shard lies. It is built while the shard is being written, at
// no extra read, and kept as an attachment of the object's version, so it cannot be stale.
//
// Encoded form (little-endian), version 1:
//
//     magic "PSIX", u16 version = 1, u16 format, u32 member count, u64 shard bytes, u64 names
//     bytes, u64 damaged_at (UINT64_MAX: whole), u32 crc32c of every other byte, u32 zero
//     then `member count` entries of 24 bytes, in shard order:
//         u64 offset of the content, u64 size, u32 offset of the name in the names, u32 name bytes
//     then `member count` u32 positions, sorted by plain name, then by position
//     then the names, back to back
//
// An encoded index is used as it lies: opening it checks lengths and the checksum once; finding a
// member copies nothing. Up to `lookup_members_max` members a hash table is made when it is opened
// (a lookup is one probe instead of a walk of O(log n) cache misses), beyond that lookups search
// the sorted positions. An index belongs to no core: it never changes and can be read by all.
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

// A name as members are compared by it: without leading "/" and "./". Tools write both "a" and
// "./a" for one file; the stored spelling is kept for listings.
std::string_view plain_member_name(std::string_view name);
// `invalid` for a name that no request may use: empty, over 4,096 bytes, with a NUL, or leaving
// the shard by a ".." in it.
Status check_member_name(std::string_view name);
constexpr size_t member_name_bytes_max = 4096;

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
    // By plain name. The name in the answer is a view into this index.
    std::optional<Member> find(std::string_view name) const;
    // The position in order of plain names (0 .. member_count), for sorted listings.
    Member member_by_name_order(uint32_t order) const;
    uint64_t memory_bytes() const { return encoded_.size() + slots_.size() * sizeof(uint32_t); }

private:
    explicit ShardIndex(std::vector<std::byte> encoded) : encoded_(std::move(encoded)) {}
    Status check_header();
    Status check_entries() const;
    void make_slots();
    bool place_in_slots(uint32_t position, uint64_t& probes_left);
    std::optional<Member> find_sorted(std::string_view plain) const;
    std::string_view name_at(uint32_t position) const;

    std::vector<std::byte> encoded_;
    uint32_t member_count_ = 0;
    // Where each part begins in `encoded_`; offsets, so that moving the index keeps them right.
    size_t order_at_ = 0;
    size_t names_at_ = 0;
    // A power of two of them: position + 1, or 0 for an empty slot. Empty: no table.
    std::vector<uint32_t> slots_;
};

// A table for more members would take too long for the core that opens the index.
constexpr uint32_t lookup_members_max = 262'144;

// Collects members in shard order and encodes them.
class ShardIndexBuilder {
public:
    // Fails with `too_large` beyond the limits on members (16 million) or bytes of names (4 GiB).
    Status add(std::string_view name, uint64_t offset, uint64_t size);
    uint32_t member_count() const { return static_cast<uint32_t>(entries_.size()); }
    std::vector<std::byte> encode(Format format, uint64_t shard_bytes,
                                  std::optional<uint64_t> damaged_at) const;

private:
    std::string_view plain_name(uint32_t position) const;
    std::vector<uint32_t> sorted_positions() const;

    struct Entry {
        uint64_t offset, size;
        uint32_t name_offset, name_bytes;
    };
    std::vector<Entry> entries_;
    std::string names_;
};

}  // namespace penstock::archive
