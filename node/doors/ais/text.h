// Text as JSON and AIStore's clients want it: escaped strings, strict numbers, booleans, times,
// elements of paths.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::node::ais {

// Appends `text` in quotes. Bytes that are no UTF-8 become U+FFFD, as in Go's encoder.
void append_json_string(std::string& to, std::string_view text);
void append_number(std::string& to, uint64_t value);
// Only digits, and no overflow.
std::optional<uint64_t> number_from(std::string_view text);
// Contract, section 1.3: "1 t T true ... on" and "0 f F false ... off"; nullopt for other text.
std::optional<bool> boolean_from(std::string_view text);

// "Mon, 23 Nov 2026 21:03:42 GMT" (RFC 9110, section 5.6.7), both ways, whole seconds.
std::string http_date(uint64_t wall_ns);
std::optional<uint64_t> seconds_from_http_date(std::string_view text);
// "2026-11-23T20:57:33.051046033Z"
std::string rfc3339(uint64_t wall_ns);
// In a layout of Go's time package, in UTC: "02 Jan 06 15:04 MST" gives "23 Nov 26 20:42 UTC".
std::string go_time(uint64_t wall_ns, std::string_view layout);
constexpr std::string_view rfc822_layout = "02 Jan 06 15:04 MST";

// `path` behind its first element: {"buckets", "b/dir"} of "/buckets//b/dir". Leading and doubled
// slashes before the rest are dropped; the rest keeps its own.
struct FirstElement {
    std::string_view element;
    std::string_view rest;
    bool has_rest = false;  // a slash follows, be there something behind it or not
};
FirstElement split_first(std::string_view path);

}  // namespace penstock::node::ais
