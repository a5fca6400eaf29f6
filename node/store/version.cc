#include "node/store/version.h"

#include <charconv>

namespace penstock::node {
namespace {

// One number in the form that we write: lower case, no leading zeros, so that equal versions have
// equal tags.
std::optional<uint64_t> number_from_hex(std::string_view text) {
    if (text.empty() || (text.size() > 1 && text[0] == '0')) return std::nullopt;
    if (text.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
    uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stopped_at, error] = std::from_chars(text.data(), end, value, 16);
    if (error != std::errc() || stopped_at != end) return std::nullopt;
    return value;
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
    const std::optional<uint64_t> map_version = number_from_hex(etag.substr(0, dash));
    const std::optional<uint64_t> sequence = number_from_hex(etag.substr(dash + 1));
    if (!map_version || !sequence) return std::nullopt;
    return Version{*map_version, *sequence};
}

}  // namespace penstock::node
