// Scanning a sealed segment in steps: what its records are about, without their content. For
// compaction, which has time, but must not hold a pool's thread or memory for a whole segment.
//
// Everything waits for the disk: jobs on the pool.
#pragma once

#include <cstdint>
#include <vector>

#include "io/blocking_disk.h"
#include "node/store/log_reader.h"
#include "node/store/segment_table.h"

namespace penstock::node {

struct ScannedRecord {
    RecordKind kind = RecordKind::mark;
    Digest128 digest;
    Version version;
    Place place;
};

struct SegmentScan {
    std::vector<ScannedRecord> records;
    uint32_t next_block = 0;     // where the next step begins; the segment's end when all is done
    uint64_t damaged_bytes = 0;  // that were records once; whose is not known here
};

// The records that begin in [from_block, from_block + step_bytes) and before the segment's end.
Result<SegmentScan> scan_segment(io::BlockingDisk& disk, const SealedSegment& segment,
                                 uint32_t from_block, uint64_t step_bytes);

}  // namespace penstock::node
