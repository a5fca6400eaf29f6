#include "node/service/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

#include "io/base/bytes.h"
#include "io/base/checksum_stream.h"

namespace penstock::node {
namespace {

constexpr std::string_view role_names[] = {"read", "read-write", "admin"};

constexpr uint64_t read_bits = access::get | access::head_object | access::head_bucket |
                               access::list_objects | access::list_buckets | access::show_cluster;
constexpr uint64_t write_bits = access::put | access::append | access::delete_object |
                                access::move_object | access::update_object;
// Of the cluster, what a token for some buckets only may ask.
constexpr uint64_t seeing_bits = access::list_buckets | access::show_cluster;

// Takes the next word off a line; "" at its end.
std::string_view take_word(std::string_view& line) {
    constexpr std::string_view blanks = " \t\r";
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    const std::string_view word = line.substr(0, line.find_first_of(blanks));
    line.remove_prefix(word.size());
    return word;
}

bool is_token_name(std::string_view name) {
    constexpr size_t name_bytes_max = 64;
    return !name.empty() && name.size() <= name_bytes_max &&
           std::ranges::all_of(name, [](char letter) { return letter > 0x20 && letter < 0x7F; });
}

// As bucket_scope() writes it.
bool is_scope(std::string_view scope) {
    if (const size_t colon = scope.find("://"); colon != std::string_view::npos) {
        if (scope.substr(0, colon) == "ais") return false;
        scope.remove_prefix(colon + 3);
    }
    if (scope.starts_with('@')) {
        const size_t slash = scope.find('/');
        if (slash == std::string_view::npos || !scope.substr(0, slash).contains('#')) return false;
        scope.remove_prefix(slash + 1);
    }
    return check_bucket_name(scope).has_value();
}

std::expected<void, std::string> read_buckets(std::string_view text, AccessToken& token) {
    token.has_all_buckets = text == "*";
    if (token.has_all_buckets) return {};
    for (;;) {
        const size_t comma = text.find(',');
        std::string_view scope = text.substr(0, comma);
        if (scope.starts_with("ais://")) scope.remove_prefix(6);
        if (!is_scope(scope)) {
            return std::unexpected(fmt::format("\"{}\" is no name of a bucket, and not *", scope));
        }
        token.buckets.emplace_back(scope);
        if (comma == std::string_view::npos) break;
        text.remove_prefix(comma + 1);
    }
    std::ranges::sort(token.buckets);
    return {};
}

std::expected<AccessToken, std::string> read_line(std::string_view line) {
    AccessToken token;
    const std::string_view name = take_word(line);
    const std::string_view role = take_word(line);
    const std::string_view buckets = take_word(line);
    const std::string_view hash = take_word(line);
    if (hash.empty() || !take_word(line).empty()) {
        return std::unexpected("expected NAME ROLE BUCKETS HASH, as penstock token new writes it");
    }
    if (!is_token_name(name)) return std::unexpected("a name has 1 to 64 letters of ASCII");
    const std::optional<AccessRole> known = role_from(role);
    if (!known) {
        return std::unexpected(fmt::format("\"{}\" is none of read, read-write, admin", role));
    }
    token.name = name;
    token.role = *known;
    if (auto read = read_buckets(buckets, token); !read) return std::unexpected(read.error());
    const auto bytes = bytes_from_hex(hash);
    if (!bytes || bytes->size() != token.hash.size()) {
        return std::unexpected("the hash is no SHA-256: 64 hexadecimal digits");
    }
    std::ranges::copy(*bytes, token.hash.begin());
    return token;
}

bool is_before(const TokenHash& left, const TokenHash& right) {
    return std::memcmp(left.data(), right.data(), left.size()) < 0;
}

}  // namespace

std::string_view name_of(AccessRole role) {
    return role_names[static_cast<size_t>(role)];
}

std::optional<AccessRole> role_from(std::string_view name) {
    const auto* found = std::ranges::find(role_names, name);
    if (found == std::end(role_names)) return std::nullopt;
    return static_cast<AccessRole>(found - std::begin(role_names));
}

uint64_t allowed_bits(AccessRole role) {
    switch (role) {
        case AccessRole::read:
            return read_bits;
        case AccessRole::read_write:
            return read_bits | write_bits;
        case AccessRole::admin:
            return UINT64_MAX;
    }
    return 0;
}

TokenHash hash_of_token(std::string_view token) {
    DigestStream stream(DigestStream::Kind::sha256);
    stream.add(as_bytes(token));
    const DigestStream::Digest digest = stream.finish();
    TokenHash hash;
    ASSERT(digest.size == hash.size());
    std::memcpy(hash.data(), digest.bytes.data(), hash.size());
    return hash;
}

std::string bucket_scope(const BucketName& bucket) {
    std::string scope = bucket.provider == "ais" ? "" : bucket.provider + "://";
    if (!bucket.namespace_uuid.empty() || !bucket.namespace_name.empty()) {
        scope += fmt::format("@{}#{}/", bucket.namespace_uuid, bucket.namespace_name);
    }
    return scope += bucket.name;
}

std::string line_of(const AccessToken& token) {
    std::string buckets = token.has_all_buckets ? "*" : "";
    for (const std::string& bucket : token.buckets) {
        if (!buckets.empty()) buckets += ',';
        buckets += bucket;
    }
    return fmt::format("{} {} {} {}", token.name, name_of(token.role), buckets,
                       hex_from_bytes(token.hash));
}

std::expected<AccessList, std::string> AccessList::parse(std::string_view text) {
    if (text.size() > bytes_max) return std::unexpected("1: the list is longer than 16 MiB");
    AccessList list;
    for (size_t number = 1; !text.empty(); ++number) {
        const size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        std::string_view rest = line;
        const std::string_view first = take_word(rest);
        if (first.empty() || first.starts_with('#')) continue;
        std::expected<AccessToken, std::string> token = read_line(line);
        if (!token) return std::unexpected(fmt::format("{}: {}", number, token.error()));
        if (list.tokens_.size() == tokens_max) {
            return std::unexpected(fmt::format("{}: more than {} tokens", number, tokens_max));
        }
        list.tokens_.push_back(std::move(*token));
    }
    std::ranges::sort(list.tokens_, is_before, &AccessToken::hash);
    const auto twice = std::ranges::adjacent_find(list.tokens_, {}, &AccessToken::hash);
    if (twice != list.tokens_.end()) {
        return std::unexpected(
            fmt::format("1: {} and {} are the same token", twice->name, (twice + 1)->name));
    }
    return list;
}

std::expected<AccessList, std::string> AccessList::read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream content;
    if (file) content << file.rdbuf();
    if (!file) {
        return std::unexpected(path +
                               ":1: the list of tokens cannot be read, or is empty; see "
                               "penstock token new");
    }
    std::expected<AccessList, std::string> list = parse(content.view());
    if (!list) return std::unexpected(path + ":" + list.error());
    return list;
}

// The search compares hashes byte by byte, which tells nothing: whoever measures it learns of the
// hash of a token that they made up themselves, and no token can be made for a wanted hash. What
// decides is the last comparison, and that takes the same time wherever the difference lies.
const AccessToken* AccessList::find(const TokenHash& hash) const {
    const auto found = std::ranges::lower_bound(tokens_, hash, is_before, &AccessToken::hash);
    if (found == tokens_.end()) return nullptr;
    return is_same_secret(found->hash, hash) ? &*found : nullptr;
}

Decision Access::decide(uint32_t core, const Principal& who, uint64_t wanted,
                        const BucketName* bucket) const {
    const AccessList* list = cores_[core].list.get();
    if (list == nullptr || who.is_local_owner || wanted == access::anyone) return Decision::allowed;
    const AccessToken* token = who.token ? list->find(*who.token) : nullptr;
    if (token == nullptr) return Decision::unauthenticated;
    if ((wanted & ~allowed_bits(token->role)) != 0) return Decision::forbidden;
    if (token->has_all_buckets) return Decision::allowed;
    if (bucket == nullptr) {
        return (wanted & ~seeing_bits) == 0 ? Decision::allowed : Decision::forbidden;
    }
    return std::ranges::binary_search(token->buckets, bucket_scope(*bucket)) ? Decision::allowed
                                                                             : Decision::forbidden;
}

std::string_view Access::name_of(uint32_t core, const Principal& who) const {
    const AccessList* list = cores_[core].list.get();
    const AccessToken* token = list != nullptr && who.token ? list->find(*who.token) : nullptr;
    return token != nullptr ? std::string_view(token->name) : std::string_view();
}

}  // namespace penstock::node
