#include "io/http/head_rules.h"

#include <algorithm>
#include <array>

namespace penstock::io::http {
namespace {

enum : uint8_t { token = 1, field = 2, target_character = 4, host_character = 8 };

constexpr std::array<uint8_t, 256> make_classes() {
    std::array<uint8_t, 256> classes{};
    for (unsigned code = 0x21; code < 0x7f; ++code) classes[code] = field | target_character;
    for (unsigned code = 0x80; code < 0x100; ++code) classes[code] = field;
    classes[' '] = classes['\t'] = field;
    constexpr std::string_view token_characters =
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (const char character : token_characters) {
        classes[static_cast<unsigned char>(character)] |= token;
    }
    constexpr std::string_view host_characters =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~:[]%";
    for (const char character : host_characters) {
        classes[static_cast<unsigned char>(character)] |= host_character;
    }
    return classes;
}

constexpr std::array<uint8_t, 256> classes = make_classes();

bool all_are(std::string_view text, uint8_t wanted) {
    uint8_t common = wanted;
    for (const char character : text) common &= classes[static_cast<unsigned char>(character)];
    return common != 0;
}

}  // namespace

bool is_token(std::string_view text) {
    return !text.empty() && all_are(text, token);
}
bool is_field_value(std::string_view text) {
    return all_are(text, field);
}
bool is_target(std::string_view text) {
    return !text.empty() && all_are(text, target_character);
}
bool is_host(std::string_view text) {
    return all_are(text, host_character);
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
    if (text.size() != lower.size()) return false;
    for (size_t index = 0; index < text.size(); ++index) {
        const char character = text[index];
        const bool is_upper = character >= 'A' && character <= 'Z';
        if ((is_upper ? static_cast<char>(character | 0x20) : character) != lower[index]) {
            return false;
        }
    }
    return true;
}

bool list_has(std::string_view list, std::string_view lower) {
    while (!list.empty()) {
        const std::string_view element = list.substr(0, list.find(','));
        if (equals_ignoring_case(trim(element), lower)) return true;
        list.remove_prefix(std::min(list.size(), element.size() + 1));
    }
    return false;
}

std::string_view trim(std::string_view text) {
    const auto is_blank = [](char character) { return character == ' ' || character == '\t'; };
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

std::optional<uint64_t> decimal_from(std::string_view digits) {
    if (digits.empty() || digits.size() > 19) return std::nullopt;
    uint64_t number = 0;
    for (const char digit : digits) {
        if (digit < '0' || digit > '9') return std::nullopt;
        number = number * 10 + static_cast<uint64_t>(digit - '0');
    }
    return number > INT64_MAX ? std::nullopt : std::optional(number);
}

}  // namespace penstock::io::http
