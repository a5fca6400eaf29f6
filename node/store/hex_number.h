// Hexadecimal numbers as names and texts of ours have them.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::node {

// Lower case alone, 1 to 16 digits: what was written by us reads back, and nothing else does.
inline std::optional<uint64_t> number_from_hex(std::string_view text) {
    if (text.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
    uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stopped_at, error] = std::from_chars(text.data(), end, value, 16);
    if (error != std::errc() || stopped_at != end) return std::nullopt;
    return value;
}

}  // namespace penstock::node
