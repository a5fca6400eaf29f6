// Access: who may do what. The one place where that is decided, for every door.
//
// What somebody wants to do is a set of bits, the contract's (section 19.5): a bucket's own access
// property is made of them, too, which the object service asks. Here they are asked of the caller:
// a caller shows a token, the list of tokens says the token's role and buckets, and decide() gives
// the answer. Without a list nobody needs a token; such a node is reached from its own host alone.
//
// Tokens are 256 random bits (penstock token new). The list holds their SHA-256: nobody guesses
// what has so many bits, so neither salt nor a slow hash would add anything, and a request costs
// one short hash.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/metadata/bucket.h"

namespace penstock::node {

namespace access {

constexpr uint64_t get = 1;
constexpr uint64_t head_object = 2;
constexpr uint64_t put = 4;
constexpr uint64_t append = 8;
constexpr uint64_t delete_object = 16;
constexpr uint64_t move_object = 32;
constexpr uint64_t promote = 64;
constexpr uint64_t update_object = 128;
constexpr uint64_t head_bucket = 256;
constexpr uint64_t list_objects = 512;
constexpr uint64_t patch_bucket = 1024;
constexpr uint64_t list_buckets = 4096;
constexpr uint64_t show_cluster = 8192;
constexpr uint64_t create_bucket = 16384;
constexpr uint64_t destroy_bucket = 32768;
constexpr uint64_t move_bucket = 65536;
constexpr uint64_t admin = 131072;

// Not of the contract: what a caller needs no right for, known or not, and known by any token.
constexpr uint64_t anyone = 1ULL << 63;
constexpr uint64_t any_role = 0;

}  // namespace access

enum class AccessRole : uint8_t { read, read_write, admin };
// "read", "read-write", "admin"; as in the list of tokens.
std::string_view name_of(AccessRole role);
std::optional<AccessRole> role_from(std::string_view name);
// The bits that the role allows.
uint64_t allowed_bits(AccessRole role);

using TokenHash = std::array<std::byte, 32>;
TokenHash hash_of_token(std::string_view token);
// "name", with "@uuid#namespace/" and "PROVIDER://" before it where they are not the usual ones: as
// the list of tokens names a bucket.
std::string bucket_scope(const BucketName& bucket);

// One line of the list: NAME ROLE BUCKETS HASH, BUCKETS being "*" or names with commas between.
struct AccessToken {
    std::string name;
    AccessRole role = AccessRole::read;
    bool has_all_buckets = false;
    std::vector<std::string> buckets;  // sorted; empty with has_all_buckets
    TokenHash hash{};
};
// As one line, without its end.
std::string line_of(const AccessToken& token);

// The list of tokens, as a file holds it: a token a line, '#' begins a comment. A value that is
// never changed: a new list replaces it.
class AccessList {
public:
    // More lines, or longer ones, are no list that somebody keeps.
    static constexpr size_t tokens_max = 10'000;
    static constexpr size_t bytes_max = 16 << 20;

    // What is wrong in `text`: "LINE: what".
    static std::expected<AccessList, std::string> parse(std::string_view text);
    // The same of a file: "FILE:LINE: what".
    static std::expected<AccessList, std::string> read(const std::string& path);

    // Null: there is no such token.
    const AccessToken* find(const TokenHash& hash) const;
    const std::vector<AccessToken>& tokens() const { return tokens_; }

private:
    std::vector<AccessToken> tokens_;  // sorted by hash
};

// Who calls, as far as was shown. A value; the token's role is looked up at each decision, so that
// a token that is taken off the list is worth nothing at once, on open connections, too.
struct Principal {
    std::optional<TokenHash> token;
    // The peer of a Unix socket is the node's own user, or root.
    bool is_local_owner = false;
};

enum class Decision : uint8_t { allowed, unauthenticated, forbidden };

// The node's list, asked on every core without a lock.
class Access {
public:
    explicit Access(uint32_t core_count) : cores_(core_count) {}

    // On that core. None: no token is needed.
    void set(uint32_t core, std::shared_ptr<const AccessList> list) {
        cores_[core].list = std::move(list);
    }
    bool is_required(uint32_t core) const { return cores_[core].list != nullptr; }

    // Whether `who` may do all that `wanted` says to `bucket`, or to the cluster (null): of the
    // cluster a token for some buckets only may see what there is.
    Decision decide(uint32_t core, const Principal& who, uint64_t wanted,
                    const BucketName* bucket) const;
    // The name of the token that `who` has shown, or "".
    std::string_view name_of(uint32_t core, const Principal& who) const;

private:
    struct alignas(64) Core {
        std::shared_ptr<const AccessList> list;
    };
    std::vector<Core> cores_;
};

}  // namespace penstock::node
