#include "io/http/range.h"

#include <charconv>
#include <optional>

namespace penstock::io::http {
namespace {

constexpr std::string_view unit = "bytes=";

std::optional<uint64_t> number_from(std::string_view digits) {
    uint64_t number = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number);
    if (digits.empty() || error != std::errc() || stop != end) return std::nullopt;
    return number;
}

std::unexpected<std::string> refuse(std::string_view value, const char* why) {
    return std::unexpected("range '" + std::string(value.substr(0, 100)) + "' " + why);
}

}  // namespace

std::expected<ByteRange, std::string> parse_range(std::string_view value, uint64_t total_bytes) {
    if (!value.starts_with(unit)) return refuse(value, "is not in the form bytes=FIRST-LAST");
    const std::string_view range = value.substr(unit.size());
    if (range.contains(',')) return refuse(value, "has more than one part");
    const size_t dash = range.find('-');
    if (dash == std::string_view::npos) return refuse(value, "is not in the form bytes=FIRST-LAST");
    const std::string_view first_text = range.substr(0, dash);
    const std::string_view last_text = range.substr(dash + 1);

    if (first_text.empty()) {
        const std::optional<uint64_t> suffix = number_from(last_text);
        if (!suffix) return refuse(value, "is not in the form bytes=-COUNT");
        if (*suffix == 0 || total_bytes == 0) return refuse(value, "selects nothing");
        const uint64_t size = std::min(*suffix, total_bytes);
        return ByteRange{total_bytes - size, size};
    }
    const std::optional<uint64_t> first = number_from(first_text);
    const std::optional<uint64_t> last =
        last_text.empty() ? std::optional<uint64_t>(UINT64_MAX) : number_from(last_text);
    if (!first || !last) return refuse(value, "is not in the form bytes=FIRST-LAST");
    if (*last < *first) return refuse(value, "ends before it begins");
    if (*first >= total_bytes) return refuse(value, "begins behind the end");
    const uint64_t end = std::min(*last, total_bytes - 1);
    return ByteRange{*first, end - *first + 1};
}

}  // namespace penstock::io::http
