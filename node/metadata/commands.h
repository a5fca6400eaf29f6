// Commands: what may change in the metadata, and how a change is written down.
//
// The same bytes lie in one node's journal today and travel in a cluster's Raft log later, so they
// carry a version, and reading them trusts nothing. Encoded (little-endian; a text is u32 bytes and
// the bytes):
//
//     u16 version = 1 (others: see below), u16 kind, then by kind
//       1  create a bucket:   name, properties, u64 created_ns
//       2  destroy a bucket:  name
//       3  set properties:    name, properties
//       4  set a value:       text key, text value
//       5  rename a bucket:   name, name; with version = 2, which releases before it refuse
//       6  set values:        u64 state version (0: any), u32 count, then so many of (text key,
//                             text value), in order of their keys; with version = 3
//     name:        text provider, text namespace uuid, text namespace name, text name
//     properties:  u8 checksum, u8 is_versioned, u8 durability, u8 zero, u64 access, u64 features,
//                  text other_json
//
// Nothing may follow. A version above ours is `invalid`, everything else that is wrong `corrupt`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"
#include "node/metadata/bucket.h"

namespace penstock::node {

struct CreateBucket {
    BucketName name;
    BucketProperties properties;
    uint64_t created_ns = 0;
    bool operator==(const CreateBucket&) const = default;
};
struct DestroyBucket {
    BucketName name;
    bool operator==(const DestroyBucket&) const = default;
};
struct SetProperties {
    BucketName name;
    BucketProperties properties;
    bool operator==(const SetProperties&) const = default;
};
// A configuration value; an empty one takes the key away.
struct SetValue {
    std::string key;
    std::string value;
    bool operator==(const SetValue&) const = default;
};

// Several, all of them or none.
struct SetValues {
    std::map<std::string, std::string> values;  // at least one
    // Of the state that they were made of: `condition_failed` if it is no longer the newest one.
    // 0: whatever it is.
    uint64_t expected_version = 0;
    bool operator==(const SetValues&) const = default;
};

// The bucket keeps its number, its properties and its objects, whose records go by the number.
struct RenameBucket {
    BucketName from;
    BucketName to;
    bool operator==(const RenameBucket&) const = default;
};

using Command =
    std::variant<CreateBucket, DestroyBucket, SetProperties, SetValue, RenameBucket, SetValues>;

constexpr size_t namespace_part_bytes_max = 32;
constexpr size_t other_json_bytes_max = 256 << 10;
constexpr size_t value_key_bytes_max = 256;
constexpr size_t value_bytes_max = 256 << 10;
constexpr size_t set_values_max = 1000;
constexpr size_t set_values_bytes_max = 384 << 10;  // of one command, keys and values
// Above every command that check_command() lets through.
constexpr size_t command_bytes_max = 512 << 10;

// `invalid` or `too_large` with a sentence, unless the command may be written down.
Status check_command(const Command& command);

std::vector<std::byte> encode_command(const Command& command);
Result<Command> parse_command(Bytes bytes);

// The parts that the state's snapshot shares.
void append_text(std::vector<std::byte>& to, std::string_view text);
void append_name(std::vector<std::byte>& to, const BucketName& name);
void append_properties(std::vector<std::byte>& to, const BucketProperties& properties);
std::optional<std::string> read_text(ByteReader& from, size_t bytes_max);
std::optional<BucketName> read_name(ByteReader& from);
std::optional<BucketProperties> read_properties(ByteReader& from);

}  // namespace penstock::node
