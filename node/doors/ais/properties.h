// Bucket properties as AIStore's clients know them (contract, section 2.4), and ours among them:
// `durability`, "group" or "none".
//
// What the node acts on is in BucketProperties; the rest is kept as the client set it and given
// back. Switching on what is not built (mirroring, erasure coding, eviction, rate limits) is
// refused, because a bucket that claims it would be a lie.
#pragma once

#include <expected>
#include <string>

#include "node/doors/ais/json.h"
#include "node/metadata/bucket.h"

namespace penstock::node::ais {

// The whole set, with defaults for what was never set.
OrderedJson properties_json(const Bucket& bucket);

// `changes` (the contract's BpropsToSet, or null for none) applied to `properties`.
std::expected<BucketProperties, ApiError> changed_properties(BucketProperties properties,
                                                             const Json& changes);

// `checksum.enable_read_range`: what is sent of a range is the range's own checksum.
bool has_range_checksums(const BucketProperties& properties);

}  // namespace penstock::node::ais
