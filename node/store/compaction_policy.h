// Which segment is worth compacting, and how fast: rules without any I/O.
//
// Greedy: the segment with the largest share of garbage gives the most space for the bytes that are
// copied. Nothing is done while the log takes little more than what lives in it, because every copy
// costs: at a ratio r of space to live bytes under random overwriting, the best segment is about
// 1 - 1.5 (r - 1) / r live, and each byte that is freed costs so much more copying the closer r is
// to 1.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

#include "node/store/live_bytes.h"
#include "node/store/segment.h"
#include "node/store/segment_table.h"
#include "node/store/version.h"

namespace penstock::node {

// What is promised is 1.3. Compaction begins below, and hurries before it is reached.
constexpr double space_ratio_start = 1.24;
constexpr double space_ratio_hurry = 1.27;
// On a disk that is nearly full, space is worth more than the copying.
constexpr double space_ratio_full = 1.06;
// Less garbage than this share of a segment is not worth its copy.
constexpr double garbage_share_min = 1.0 / 16;

// Tombstones that were logged again because older segments hold what they delete.
struct KeptTombstones {
    uint64_t bytes = 0;
    uint32_t older_segments = 0;  // that there were then
};
using KeptTombstoneMap = std::unordered_map<uint32_t, KeptTombstones>;

struct CompactionView {
    std::span<const SealedSegment> sealed;  // in order
    const LiveBytes& live;
    const KeptTombstoneMap& kept;
    Lsn durable = 0;  // segments from this one's on are left alone
};

struct Victim {
    SealedSegment segment;
    uint64_t live_bytes = 0;
    uint64_t garbage_bytes = 0;  // as far as can be told
    double garbage_share() const {
        return static_cast<double>(garbage_bytes) / static_cast<double>(segment.file_bytes);
    }
};

// What of the segment would be freed. Tombstones that had to be kept count as needed, in proportion
// to how many of the segments that were older then are still there: else a segment full of them
// would be copied again and again.
uint64_t garbage_bytes(const CompactionView& view, const SealedSegment& segment);

// Bytes on disk for each live byte, over the segments that may be compacted, but for those that
// `is_barred` says are to be left alone; 1 if there are none.
template <typename F>
double space_ratio(const CompactionView& view, F is_barred) {
    uint64_t file_bytes = 0;
    uint64_t live_bytes = 0;
    for (const SealedSegment& segment : view.sealed) {
        if (segment.number >= segment_of(view.durable)) break;
        const uint64_t live = view.live.segment_bytes(segment.number);
        if (is_barred(Victim{segment, live, 0})) continue;
        file_bytes += segment.file_bytes;
        live_bytes += live;
    }
    if (file_bytes == 0) return 1;
    return static_cast<double>(file_bytes) / static_cast<double>(std::max<uint64_t>(live_bytes, 1));
}

// The segment with the largest share of garbage, the oldest of equals; nullopt if none has enough.
// `is_barred` says which ones to leave alone.
template <typename F>
std::optional<Victim> choose_victim(const CompactionView& view, F is_barred) {
    std::optional<Victim> best;
    for (const SealedSegment& segment : view.sealed) {
        if (segment.number >= segment_of(view.durable)) break;
        const Victim victim{segment, view.live.segment_bytes(segment.number),
                            garbage_bytes(view, segment)};
        if (victim.garbage_share() < garbage_share_min || is_barred(victim)) continue;
        if (!best || victim.garbage_share() > best->garbage_share()) best = victim;
    }
    return best;
}

}  // namespace penstock::node
