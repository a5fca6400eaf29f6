// LiveBytes: how much of each segment, and of each bucket, is the current record of some name. What
// else a segment holds is garbage, which compaction makes space of. Kept exactly: every change of
// the locator is told here, and at a start the catalogue's scan and the log's replay tell it all.
//
// A name in quarantine counts in the segment where its damaged record lies, which is therefore
// never freed, and in its bucket with the record that was known before, if there was one.
//
// Belongs to the mountpath's home core.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "io/base/assert.h"
#include "node/store/object_name.h"
#include "node/store/place.h"

namespace penstock::node {

class LiveBytes {
public:
    void add(const Place& place, BucketId bucket) {
        add_place(place);
        buckets_[bucket.value] += place.record_bytes();
    }
    void remove(const Place& place, BucketId bucket) {
        remove_place(place);
        remove_from_bucket(bucket, place.record_bytes());
    }

    // The two halves, for names in quarantine.
    void add_place(const Place& place) {
        segments_[place.segment] += place.record_bytes();
        total_bytes_ += place.record_bytes();
    }
    void remove_place(const Place& place) {
        take(segments_, place.segment, place.record_bytes());
        total_bytes_ -= place.record_bytes();
    }
    void remove_from_bucket(BucketId bucket, uint64_t bytes) {
        if (bytes > 0) take(buckets_, bucket.value, bytes);
    }

    uint64_t segment_bytes(uint32_t number) const { return of(segments_, number); }
    uint64_t bucket_bytes(BucketId bucket) const { return of(buckets_, bucket.value); }
    uint64_t total_bytes() const { return total_bytes_; }

    // For the snapshot at a stop: by segment number, by bucket id; nothing is counted with 0.
    const std::unordered_map<uint32_t, uint64_t>& segments() const { return segments_; }
    const std::unordered_map<uint64_t, uint64_t>& buckets() const { return buckets_; }
    void restore_segment(uint32_t number, uint64_t bytes) {
        segments_[number] = bytes;
        total_bytes_ += bytes;
    }
    void restore_bucket(BucketId bucket, uint64_t bytes) { buckets_[bucket.value] = bytes; }

private:
    template <typename Map>
    static uint64_t of(const Map& map, typename Map::key_type key) {
        const auto found = map.find(key);
        return found == map.end() ? 0 : found->second;
    }
    template <typename Map>
    static void take(Map& map, typename Map::key_type key, uint64_t bytes) {
        const auto found = map.find(key);
        ASSERT(found != map.end() && found->second >= bytes);
        found->second -= bytes;
        if (found->second == 0) map.erase(found);
    }

    std::unordered_map<uint32_t, uint64_t> segments_;
    std::unordered_map<uint64_t, uint64_t> buckets_;
    uint64_t total_bytes_ = 0;
};

}  // namespace penstock::node
