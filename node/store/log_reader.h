// Reading segments: walks the records of one, finds where the log ends, and tells a torn tail from
// rot. All of it waits for the disk: for recovery, which is a job on the pool.
//
// A bad record is rot if a durable mark in the log covers it: it was on the device once, and may
// have been acknowledged. It is also rot if no block of it is zeros, because segments are born as
// zeros and blocks of 512 bytes reach the device whole or not at all: what a power cut leaves out
// reads as zeros. Everything else at the end is the torn tail: never acknowledged, and cut.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "io/blocking_disk.h"
#include "node/store/place.h"
#include "node/store/record.h"
#include "node/store/segment.h"

namespace penstock::node {

// Bytes of one segment, read in pieces: of up to 1 MiB where they are asked for in order, of 8 KiB
// behind a leap, so that who wants the headers of large records reads little else. Pieces are
// aligned: the file may be one that is read past the page cache.
class SegmentBytes {
public:
    // `file` must outlive it.
    SegmentBytes(io::BlockingFile& file, uint32_t number, uint64_t size_bytes)
        : file_(file), number_(number), size_bytes_(size_bytes) {}

    uint32_t number() const { return number_; }
    uint64_t size_bytes() const { return size_bytes_; }
    // The view is good until the next call. Fewer bytes than asked for at the file's end.
    Result<Bytes> view(uint64_t offset, uint64_t bytes);

private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };

    Status hold(uint64_t begin, uint64_t end);

    io::BlockingFile& file_;
    uint32_t number_;
    uint64_t size_bytes_;
    std::unique_ptr<std::byte, Free> memory_;
    MutableBytes memory_bytes_;
    Bytes held_;  // in memory_, of the segment from here on:
    uint64_t held_offset_ = 0;
    uint64_t piece_bytes_ = 0;
};

// Bytes of the log that were records once.
struct Damage {
    Lsn from = 0;
    Lsn to = 0;
    // Whose record it was, if that can be told: from what is left of it, or from the record behind.
    std::optional<Digest128> digest;
    Place place;  // reading it fails with `corrupt`, as it must
};

struct SegmentVisitor {
    // The header is whole; of the payload nothing is known.
    std::function<Status(const RecordHeader& header, const Place& place)> on_record;
    std::function<void(const Damage& damage)> on_damage;
};

// Visits all records in [from, to) in order; every bad one there is rot. `previous_of_next` is the
// name of the last record below `to`, as the record at `to` tells it, if there is one.
Status walk_segment(SegmentBytes& segment, Lsn from, Lsn to,
                    std::optional<Digest128> previous_of_next, const SegmentVisitor& visitor);

struct SegmentEnd {
    Lsn end = 0;             // valid records, and rot among them, lie below
    Lsn durable = 0;         // the highest durable mark that was found
    bool is_closed = false;  // the last record is a closing mark and nothing lies behind it
};

// Where a segment ends that no other follows. `from` is the begin of a record, `durable` what is
// known to have been on the device.
Result<SegmentEnd> find_segment_end(SegmentBytes& segment, Lsn from, Lsn durable);

// Whether a block of these was never written: how what a power cut tore is told from rot.
bool has_zero_block(Bytes bytes);
// The place that a whole record header describes.
Place place_of(const RecordHead& head);
// The head of a block in which one bit is wrong. A header's CRC32C and TAR's sum agree on at most
// one such bit, so a name that one flipped bit hides is still found.
std::optional<RecordHead> mended_first_block(Bytes block);

}  // namespace penstock::node
