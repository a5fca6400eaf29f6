#include "node/store/version.h"

#include <charconv>

#include "node/store/hex_number.h"

namespace penstock::node {
namespace {

// Without leading zeros, so that equal versions have equal tags.
std::optional<uint64_t> number_of_tag(std::string_view text) {
    if (text.size() > 1 && text[0] == '0') return std::nullopt;
    return number_from_hex(text);
}

void append_hex(std::string& to, uint64_t value) {
    char digits[16];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value, 16);
    to.append(digits, end);
}

}  // namespace

std::string etag_from_version(Version version) {
    std::string etag = "\"";
    append_hex(etag, version.map_version);
    etag += '-';
    append_hex(etag, version.sequence);
    etag += '"';
    return etag;
}

std::optional<Version> version_from_etag(std::string_view etag) {
    if (etag.starts_with('"')) {
        if (etag.size() < 2 || !etag.ends_with('"')) return std::nullopt;
        etag = etag.substr(1, etag.size() - 2);
    }
    const size_t dash = etag.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const std::optional<uint64_t> map_version = number_of_tag(etag.substr(0, dash));
    const std::optional<uint64_t> sequence = number_of_tag(etag.substr(dash + 1));
    if (!map_version || !sequence) return std::nullopt;
    return Version{*map_version, *sequence};
}

}  // namespace penstock::node
