// The characters and numbers that a head may be made of (RFC 9110 section 5.6, RFC 9112), as tables
// and small functions. Everything not named is refused: what two programs could read in two ways is
// what request smuggling is made of.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::io::http {

// A method or header name: one or more of the token characters.
bool is_token(std::string_view text);
// A header's value: visible characters, blanks, tabs, and bytes above 127.
bool is_field_value(std::string_view text);
// A request target: visible ASCII without blanks; bytes above 127 must be percent-escaped.
bool is_target(std::string_view text);
// Equal but for the case of ASCII letters; `lower` is in lower case.
bool equals_ignoring_case(std::string_view text, std::string_view lower);
// A comma-separated list has this element, whatever its case.
bool list_has(std::string_view list, std::string_view lower);
// Without the blanks and tabs around it.
std::string_view trim(std::string_view text);
// Decimal digits and nothing else, below 2^63.
std::optional<uint64_t> decimal_from(std::string_view digits);
// A Host value: a name or address with an optional port, nothing that could be a path or user.
bool is_host(std::string_view text);

}  // namespace penstock::io::http
