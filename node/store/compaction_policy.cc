#include "node/store/compaction_policy.h"

#include <algorithm>

namespace penstock::node {

uint64_t garbage_bytes(const CompactionView& view, const SealedSegment& segment) {
    uint64_t needed = view.live.segment_bytes(segment.number);
    if (const auto found = view.kept.find(segment.number); found != view.kept.end()) {
        const auto older = std::ranges::find_if(view.sealed, [&](const SealedSegment& other) {
            return other.number >= segment.number;
        });
        const auto remaining = static_cast<uint64_t>(older - view.sealed.begin());
        const KeptTombstones& kept = found->second;
        const uint64_t then = std::max<uint64_t>(kept.older_segments, 1);
        needed += kept.bytes * std::min(remaining, then) / then;
    }
    return segment.file_bytes - std::min(needed, segment.file_bytes);
}

}  // namespace penstock::node
