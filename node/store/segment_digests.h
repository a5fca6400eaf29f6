// SegmentDigests: which names sealed segments hold records of, so that a tombstone goes when
// nothing is left that it deletes. A segment never changes, so one scan is enough; only segments
// that a tombstone asks about are scanned, and 32 bits of each name's digest are kept: a false "may
// hold" (one in 16,000 for a full segment of the smallest records) keeps a tombstone a little
// longer.
//
// Belongs to the mountpath's home core; may_hold() of a snapshot may be called on any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "io/base/checksum.h"
#include "node/store/segment_table.h"

namespace penstock::node {

class SegmentDigests {
public:
    // Of one segment: sorted.
    using Set = std::vector<uint32_t>;

    static uint32_t short_digest(const Digest128& digest) {
        return static_cast<uint32_t>(digest.high >> 32);
    }
    static bool may_hold(const Set& set, const Digest128& digest);

    // Null if the segment was not scanned yet.
    std::shared_ptr<const Set> find(uint32_t number) const;
    void keep(uint32_t number, Set set);
    void forget(uint32_t number) { sets_.erase(number); }
    uint64_t memory_bytes() const;

private:
    std::unordered_map<uint32_t, std::shared_ptr<const Set>> sets_;
};

}  // namespace penstock::node
