// MetadataState: what all commands so far have made: the buckets and the configuration values.
//
// A state is immutable and shared by every core; a command makes a new one beside it. The buckets
// lie in sorted leaves that states share, so one command among 100,000 buckets copies two small
// arrays of pointers and nothing else.
//
// Applying is a pure function of the state and the command, so every node that applies the same
// commands in the same order has the same state, bucket numbers included.
//
// Encoded (little-endian; texts, names and properties as in commands.h):
//
//     u16 version = 1, u16 zero, u32 zero, u64 state version, u64 next bucket id,
//     u32 values, then so many of (text key, text value), in order of their keys,
//     u32 buckets, then so many of (u64 id, u64 created_ns, name, properties), in order of names
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/base/result.h"
#include "node/metadata/bucket.h"
#include "node/metadata/commands.h"

namespace penstock::node {

constexpr uint32_t buckets_max = 1'000'000;
constexpr uint32_t values_max = 10'000;

class MetadataState {
public:
    static std::shared_ptr<const MetadataState> empty();

    // How many commands led here.
    uint64_t version() const { return version_; }
    uint32_t bucket_count() const { return bucket_count_; }
    // Null if there is none of this name.
    std::shared_ptr<const Bucket> find(const BucketName& name) const;
    // Sorted by provider, namespace, name.
    void for_each_bucket(
        const std::function<void(const std::shared_ptr<const Bucket>&)>& visit) const;
    // Null if the key has no value.
    const std::string* find_value(std::string_view key) const;

    struct Applied {
        std::shared_ptr<const MetadataState> state;
        BucketId bucket;  // that the command was about
    };
    // `exists` or `not_found` for a bucket, `condition_failed` where another version was expected,
    // `too_large` beyond the limits, and what check_command() says: then the command changes
    // nothing. A bucket's number is given once, whatever follows.
    Result<Applied> apply(const Command& command) const;

    std::vector<std::byte> encode() const;
    // `invalid` if a newer release wrote it, otherwise `corrupt`.
    static Result<std::shared_ptr<const MetadataState>> parse(Bytes bytes);

private:
    using Leaf = std::vector<std::shared_ptr<const Bucket>>;
    using Values = std::map<std::string, std::string, std::less<>>;
    static constexpr size_t leaf_buckets_max = 512;

    struct Place {
        size_t leaf = 0;
        size_t position = 0;
        bool is_found = false;
    };

    MetadataState() = default;
    Place locate(const BucketName& name) const;
    Result<Applied> apply_to(const CreateBucket& command) const;
    Result<Applied> apply_to(const DestroyBucket& command) const;
    Result<Applied> apply_to(const SetProperties& command) const;
    Result<Applied> apply_to(const SetValue& command) const;
    Result<Applied> apply_to(const RenameBucket& command) const;
    Result<Applied> apply_to(const SetValues& command) const;
    // A copy to change; the leaf at `place` of it is its own and given back too.
    std::shared_ptr<MetadataState> next() const;
    std::shared_ptr<Leaf> own_leaf(size_t leaf);
    void insert(const Place& place, std::shared_ptr<const Bucket> bucket);
    void erase(const Place& place);
    Status read_values(ByteReader& from);
    Status read_buckets(ByteReader& from);

    uint64_t version_ = 0;
    uint64_t next_bucket_id_ = 1;
    uint32_t bucket_count_ = 0;
    std::vector<std::shared_ptr<const Leaf>> leaves_;  // none is empty
    std::shared_ptr<const Values> values_ = std::make_shared<const Values>();
};

}  // namespace penstock::node
