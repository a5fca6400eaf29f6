// The object service of a node: metadata, store and shards behind node/service/object_service.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/base/clock.h"
#include "io/buffer_pool.h"
#include "io/reactor.h"
#include "node/metadata/metadata_log.h"
#include "node/service/object_service.h"
#include "node/store/store.h"

namespace penstock::node {

struct ServiceOptions {
    // Indexes of shards that each core keeps.
    uint64_t shard_index_bytes_max = 64 << 20;
};

// What the service stands on; all of it outlives the service.
struct ServiceParts {
    struct Core {
        io::Reactor* reactor = nullptr;
        io::BufferPool* buffers = nullptr;
    };
    MetadataLog* metadata = nullptr;
    Store* store = nullptr;
    const Clock* clock = nullptr;
    std::vector<Core> cores;
    std::string node_id;
};

std::unique_ptr<ObjectService> make_object_service(ServiceParts parts,
                                                   const ServiceOptions& options);

}  // namespace penstock::node
