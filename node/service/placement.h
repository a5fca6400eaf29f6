// Placement: which target owns a name, by highest random weight with AIStore's hash, so that
// clients that compute it themselves ask the right node (contract, section 1.15).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "node/metadata/bucket.h"

namespace penstock::node {

// The digest that names are ranked by: of "ais/@#/bucket/object" (contract, section 1.10).
uint64_t placement_digest(const BucketName& bucket, std::string_view object);
// The same of a target's id.
uint64_t target_digest(std::string_view node_id);

class Placement {
public:
    explicit Placement(std::vector<std::string> target_ids);
    // The id of the target with the highest score; the first one wins a tie.
    const std::string& owner_of(const BucketName& bucket, std::string_view object) const;

private:
    struct Target {
        std::string id;
        uint64_t digest;
    };
    std::vector<Target> targets_;  // at least one
};

}  // namespace penstock::node
