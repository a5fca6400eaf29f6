#include "node/store/segment_digests.h"

#include <algorithm>

namespace penstock::node {

bool SegmentDigests::may_hold(const Set& set, const Digest128& digest) {
    return std::ranges::binary_search(set, short_digest(digest));
}

std::shared_ptr<const SegmentDigests::Set> SegmentDigests::find(uint32_t number) const {
    const auto found = sets_.find(number);
    return found == sets_.end() ? nullptr : found->second;
}

void SegmentDigests::keep(uint32_t number, Set set) {
    std::ranges::sort(set);
    const auto repeated = std::ranges::unique(set);
    set.erase(repeated.begin(), repeated.end());
    set.shrink_to_fit();
    sets_[number] = std::make_shared<const Set>(std::move(set));
}

uint64_t SegmentDigests::memory_bytes() const {
    uint64_t bytes = 0;
    for (const auto& [number, set] : sets_) bytes += set->capacity() * sizeof(uint32_t);
    return bytes;
}

}  // namespace penstock::node
