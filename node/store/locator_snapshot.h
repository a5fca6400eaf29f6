// The locator as a file of its own, "locator", written at an orderly stop: a start that finds one
// reads 32 bytes an object in order, instead of every name of the catalogue. Derived, like the
// catalogue: it counts only if it was made at the catalogue's own position, and may be deleted
// while nobody holds the directory.
//
// The file is a row of blocks of 1 MiB (the last may be shorter), each with a CRC-32C: first the
// facts, then the places in the order of their digests. All numbers are little-endian.
//
//     block    crc u32 (of what follows), size u32 (of the content), number u64, zeros to 32
//     facts    magic u64, key u64 (of the digests), position u64, entries u64, places u64,
//              content u64, content in files u64, hidden u64, segments u32, buckets u32,
//              then (segment u32, live bytes u64) and (bucket u64, live bytes u64)
//     place    digest low u64, high u64, segment u32, offset u32, record u32, display version u32
#pragma once

#include <cstdint>
#include <functional>

#include "io/blocking_disk.h"
#include "node/store/live_bytes.h"
#include "node/store/locator.h"

namespace penstock::node {

constexpr const char* locator_snapshot_path = "locator";

// What a snapshot belongs to, and what is counted beside the places.
struct LocatorFacts {
    uint64_t directory_key = 0;
    Lsn position = 0;          // of the catalogue
    uint64_t entry_count = 0;  // of the catalogue
    uint64_t content_bytes = 0;
    uint64_t file_content_bytes = 0;
    uint64_t hidden_count = 0;
    LiveBytes live;
};

// Replaces an earlier one; after a failure there is none that counts. Waits for the disk.
Status save_locator(io::BlockingDisk& disk, const LocatorFacts& facts, const Locator& locator);

// Fills `locator` and the rest of `facts`, whose first three fields say what the snapshot must
// belong to. False: there is none, it belongs to another state, or it has objects of a bucket that
// `is_live` denies (null: none). `corrupt`: its bytes are not those that were written; then the
// locator may hold some of the places, each of them right.
Result<bool> load_locator(io::BlockingDisk& disk, const std::function<bool(BucketId)>& is_live,
                          LocatorFacts& facts, Locator& locator);
// Not there any more, or never was.
Status remove_locator(io::BlockingDisk& disk);

}  // namespace penstock::node
