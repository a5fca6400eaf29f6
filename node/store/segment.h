// Segments: the files of the log, "log/0000000001.tar" and on. A segment is born as zeros, written
// once from front to back and never used again; what is freed is unlinked. So its tail is a valid
// end of archive in every torn state, and what a reader still sends cannot become other bytes.
//
// An LSN is a position: the segment's number and a block in it. A record says its own, so a record
// in the wrong place (a misdirected write, a swapped file) is not believed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "io/buffer_pool.h"
#include "io/disk.h"
#include "node/store/place.h"
#include "node/store/record.h"

namespace penstock::node {

constexpr const char* log_directory = "log";
constexpr uint64_t segment_bytes_min = 4 << 20;
constexpr uint64_t segment_bytes_max = 256 << 20;
// What the device and the page cache write at once.
constexpr uint32_t segment_page_bytes = 4096;
// What stays zero at a segment's end: TAR's end of archive.
constexpr uint32_t end_of_archive_bytes = 1024;

constexpr Lsn lsn_at(uint32_t segment, uint32_t block) {
    return uint64_t{segment} << 32 | block;
}
constexpr uint32_t segment_of(Lsn lsn) {
    return static_cast<uint32_t>(lsn >> 32);
}
constexpr uint32_t block_of(Lsn lsn) {
    return static_cast<uint32_t>(lsn);
}
constexpr Lsn begin_of(const Place& place) {
    return lsn_at(place.segment, place.offset_blocks);
}

std::string segment_path(uint32_t number);
// The number in a file's name, if it is a segment's.
std::optional<uint32_t> segment_number(std::string_view file_name);

// What a segment is made with. It belongs to the disk's core.
struct SegmentMaking {
    io::Disk& disk;
    io::BufferPool& buffers;
    // Whether, with so many of its bytes written, it may come too late: no pauses for others' work.
    const std::function<bool(uint64_t)>& is_urgent;
    io::Cancel& cancel;  // ends the pauses, and the making with `unavailable`
};

// A file of zeros that survives a power cut, name and all. Whatever fails, no file stays behind
// unless removing it fails too.
io::Task<Status> create_segment(uint32_t number, uint64_t bytes, const SegmentMaking& making);

// clamp(capacity / 64, 4 MiB, 256 MiB), in whole blocks of 4 KiB.
uint64_t default_segment_bytes(uint64_t capacity_bytes);

}  // namespace penstock::node
