#include "node/doors/bearer.h"

#include <strings.h>

namespace penstock::node {
namespace {

constexpr size_t token_bytes_max = 512;
// The SHA-256 of nothing that anybody knows.
constexpr TokenHash no_hash{};

bool is_same(std::string_view text, std::string_view expected) {
    return text.size() == expected.size() &&
           strncasecmp(text.data(), expected.data(), text.size()) == 0;
}

TokenHash hash_of_header(std::string_view value) {
    constexpr std::string_view scheme = "Bearer ";
    if (!is_same(value.substr(0, scheme.size()), scheme)) return no_hash;
    value.remove_prefix(scheme.size());
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    return value.empty() || value.size() > token_bytes_max ? no_hash : hash_of_token(value);
}

}  // namespace

Principal bearer_principal(const io::http::RequestHead& head) {
    Principal principal;
    for (const io::http::Header& header : head.headers) {
        if (!is_same(header.name, "Authorization")) continue;
        principal.token = principal.token ? no_hash : hash_of_header(header.value);
    }
    return principal;
}

}  // namespace penstock::node
