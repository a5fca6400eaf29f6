// The table of segments: which segments make up a log, and where each of them ends. A segment's
// header carries the table of those before it, so that a segment can be freed anywhere in the log:
// nothing about the others is written in it alone. A record of kind `freed` names segments whose
// files are removed next: a file that is missing without one is a loss, and is reported.
//
// Pure functions over bytes; what is parsed may be anything.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "io/base/bytes.h"
#include "node/store/version.h"

namespace penstock::node {

// A segment that nothing is written to any more.
struct SealedSegment {
    uint32_t number = 0;
    uint32_t end_blocks = 0;  // what lies behind is not part of the log
    uint64_t file_bytes = 0;  // on disk; not part of the table
};

// A record's payload holds so many: with segments of 256 MiB, 32 TiB of log.
constexpr size_t table_segments_max = 128 << 10;

constexpr uint64_t segment_table_bytes(size_t count) {
    return uint64_t{count} * 8;
}

// u32 number, u32 end in blocks of 512 bytes, little-endian, in order of the numbers.
std::vector<std::byte> encode_segment_table(std::span<const SealedSegment> segments);
// nullopt: not a table. No bytes are the empty one.
std::optional<std::vector<SealedSegment>> parse_segment_table(Bytes bytes);

// u32 numbers, little-endian.
std::vector<std::byte> encode_segment_numbers(std::span<const uint32_t> numbers);
std::optional<std::vector<uint32_t>> parse_segment_numbers(Bytes bytes);

}  // namespace penstock::node
