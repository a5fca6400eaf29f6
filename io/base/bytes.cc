#include "io/base/bytes.h"

namespace penstock {
namespace {

constexpr char digits[] = "0123456789abcdef";

int digit_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

}  // namespace

std::string hex_from_bytes(Bytes bytes) {
    std::string text(bytes.size() * 2, '0');
    char* to = text.data();
    for (const std::byte byte : bytes) {
        *to++ = digits[std::to_integer<unsigned>(byte) >> 4];
        *to++ = digits[std::to_integer<unsigned>(byte) & 15];
    }
    return text;
}

std::string hex_from_u64(uint64_t value, size_t width) {
    ASSERT(width <= 16);
    std::string text(width, '0');
    for (size_t index = width; index-- > 0; value >>= 4) text[index] = digits[value & 15];
    return text;
}

std::optional<std::vector<std::byte>> bytes_from_hex(std::string_view text) {
    if (text.size() % 2 != 0) return std::nullopt;
    std::vector<std::byte> bytes;
    bytes.reserve(text.size() / 2);
    for (size_t index = 0; index < text.size(); index += 2) {
        const int high = digit_value(text[index]);
        const int low = digit_value(text[index + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        bytes.push_back(static_cast<std::byte>(high << 4 | low));
    }
    return bytes;
}

}  // namespace penstock
