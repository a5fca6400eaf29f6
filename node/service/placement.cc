#include "node/service/placement.h"

#include "io/base/checksum.h"

namespace penstock::node {

uint64_t placement_digest(const BucketName& bucket, std::string_view object) {
    std::string name;
    name.reserve(bucket.provider.size() + bucket.namespace_uuid.size() +
                 bucket.namespace_name.size() + bucket.name.size() + object.size() + 5);
    name.append(bucket.provider).append("/@").append(bucket.namespace_uuid).append("#");
    name.append(bucket.namespace_name).append("/").append(bucket.name).append("/").append(object);
    return xxh64(as_bytes(name), placement_seed);
}

uint64_t target_digest(std::string_view node_id) {
    return xxh64(as_bytes(node_id), placement_seed);
}

Placement::Placement(std::vector<std::string> target_ids) {
    ASSERT(!target_ids.empty());
    for (std::string& id : target_ids) {
        const uint64_t digest = target_digest(id);
        targets_.push_back({std::move(id), digest});
    }
}

const std::string& Placement::owner_of(const BucketName& bucket, std::string_view object) const {
    if (targets_.size() == 1) return targets_.front().id;

    const uint64_t digest = placement_digest(bucket, object);
    const Target* best = nullptr;
    uint64_t best_score = 0;
    for (const Target& target : targets_) {
        const uint64_t score = hrw_score(target.digest, digest);
        if (best != nullptr && score <= best_score) continue;
        best = &target;
        best_score = score;
    }
    return best->id;
}

}  // namespace penstock::node
