// Bucket: what the cluster knows of one bucket. Values; a set of them is the metadata's state.
#pragma once

#include <cstdint>
#include <string>

#include "node/store/object_name.h"
#include "node/store/store.h"

namespace penstock::node {

// Which bucket a client means. AIStore tells same names apart by provider and namespace.
struct BucketName {
    std::string provider = "ais";
    std::string namespace_uuid;  // of a remote cluster; empty: this one
    std::string namespace_name;  // empty: the global one
    std::string name;
    auto operator<=>(const BucketName&) const = default;
};

struct BucketProperties {
    ChecksumType checksum = ChecksumType::xxhash;
    bool is_versioned = true;
    Durability durability = Durability::group;
    uint64_t access = UINT64_MAX;  // AIStore's access bits (contract, section 19.5)
    uint64_t features = 0;
    // The contract's other property groups as its clients set them: one JSON object, kept and given
    // back but not acted on yet. The door checks it before it comes here.
    std::string other_json = "{}";
    bool operator==(const BucketProperties&) const = default;
};

struct Bucket {
    BucketId id;
    BucketName name;
    BucketProperties properties;
    uint64_t created_ns = 0;
};

}  // namespace penstock::node
