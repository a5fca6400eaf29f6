// ShardIndexes: the indexes of shards that this core read members of lately.
//
// A shard's index comes from the attachment that its PUT made, or, where there is none, from one
// pass over the shard. What is kept belongs to one version of one object: whoever uses it compares
// that with the version of the bytes that it then reads, so a stale index is noticed and never
// used. Belongs to one core.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "archive/shard_index.h"
#include "io/buffer_pool.h"
#include "io/reactor.h"
#include "io/wait.h"
#include "node/store/store.h"

namespace penstock::node {

struct KnownShard {
    std::shared_ptr<const archive::ShardIndex> index;
    Version version;
};

class ShardIndexes {
public:
    // Keeps indexes of at most `bytes_max` together.
    ShardIndexes(io::Reactor& reactor, io::BufferPool& buffers, Store& store, uint32_t core,
                 uint64_t bytes_max)
        : reactor_(reactor),
          buffers_(buffers),
          store_(store),
          core_(core),
          bytes_max_(bytes_max),
          scans_(reactor, scans_max) {}

    // What is kept of this name, of whatever version; null: nothing.
    const KnownShard* find(ObjectName name);
    // Of the current version, as a TAR. `not_found`, `invalid` (no archive), `not_implemented`
    // (another format than TAR), and what reading the shard fails with.
    io::Task<Result<KnownShard>> load(ObjectName name, archive::Format format);
    void drop(ObjectName name);
    uint64_t kept_bytes() const { return kept_bytes_; }

private:
    // Passes over whole shards at once: each has a buffer and much CPU time.
    static constexpr uint64_t scans_max = 2;

    struct Kept {
        std::string object;
        BucketId bucket;
        Digest128 digest;
        KnownShard shard;
    };
    struct DigestHash {
        size_t operator()(const Digest128& digest) const { return digest.low; }
    };

    io::Task<Result<KnownShard>> load_attachment(ObjectName name, Version version);
    io::Task<Result<archive::Format>> detect_format(ObjectName name);
    io::Task<Result<KnownShard>> scan(ObjectName name);
    void keep(ObjectName name, const KnownShard& shard);
    void drop_last();

    io::Reactor& reactor_;
    io::BufferPool& buffers_;
    Store& store_;
    uint32_t core_;
    uint64_t bytes_max_;
    io::Semaphore scans_;
    uint64_t kept_bytes_ = 0;
    std::list<Kept> kept_;  // the last used first
    std::unordered_map<Digest128, std::list<Kept>::iterator, DigestHash> by_digest_;
};

}  // namespace penstock::node
