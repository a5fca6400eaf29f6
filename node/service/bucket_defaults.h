// What the properties of a new bucket begin with, whichever door makes it. The cluster's
// configuration says so (node/doors/ais/configuration.h); what follows from it for buckets lies
// ready beside it, so that making a bucket parses no JSON.
//
// Two values of the configuration, each u64 stamp (little-endian) and properties as
// node/metadata/commands.h encodes them: the lasting one, whose stamp is 0, and one over it that
// holds until the node stops. Its stamp is the start of the node that it was made for: another
// start does not see it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "node/service/object_service.h"

namespace penstock::node {

// `started_ns`: NodeIdentity's.
BucketProperties bucket_defaults(ObjectService& service, uint32_t core, uint64_t started_ns);

// The values that say so become part of a change. `now`: what holds until the node stops; nullopt:
// the lasting ones do.
void add_bucket_defaults(SetValues& change, uint64_t started_ns, const BucketProperties& lasting,
                         const std::optional<BucketProperties>& now);

std::string encode_bucket_defaults(const BucketProperties& properties, uint64_t stamp);
// nullopt: it is no such value, or another start's.
std::optional<BucketProperties> parse_bucket_defaults(std::string_view value, uint64_t stamp);

}  // namespace penstock::node
