// StripeRule of a bucket: which of its objects are cut into parts over several mountpaths. AIStore
// calls them chunked objects; the bucket's properties `chunks.objsize_limit` and
// `chunks.chunk_size` say so (contract, section 2.4), kept as the text that a client gave.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "node/metadata/bucket.h"

namespace penstock::node {

// "64MiB", "1GB", "4k", "300": units of 1000 (KB, MB, GB, TB) or of 1024 (K, M, G, T and KiB ...),
// in either case. nullopt: it is no size, or above 2^60.
std::optional<uint64_t> size_from_text(std::string_view text);

StripeRule stripe_rule_of(const BucketProperties& properties);
void set_stripe_rule(BucketProperties& properties, const StripeRule& rule);

}  // namespace penstock::node
