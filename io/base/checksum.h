// Checksums and digests that more than one folder needs.
#pragma once

#include <array>
#include <cstdint>

#include "io/base/bytes.h"

namespace penstock {

// CRC-32C (Castagnoli; RFC 3720, appendix B.4). `crc` is the checksum of what came before, 0 at
// the start: crc32c(b, crc32c(a)) == crc32c(ab).
uint32_t crc32c(Bytes bytes, uint32_t crc = 0);
// The CRC-32C of two strings joined, from theirs and the second one's length.
uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_bytes);

// XXH64 (xxHash specification 0.1.1), what AIStore calls `xxhash` and `xxhash2` (seed 0).
uint64_t xxh64(Bytes bytes, uint64_t seed = 0);

// 128-bit digest, equal on every node and in every run for equal (seed, bytes): XXH3-128.
struct Digest128 {
    uint64_t low = 0;
    uint64_t high = 0;
    bool operator==(const Digest128&) const = default;
};
Digest128 xxh3_128(Bytes bytes, uint64_t seed);

// The seed of AIStore's placement digest (contract, section 1.15).
constexpr uint64_t placement_seed = 1103515245;
// The score that a target with this id digest has for a name with that digest; the highest wins.
uint64_t hrw_score(uint64_t target_digest, uint64_t name_digest);

}  // namespace penstock
