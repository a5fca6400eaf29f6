#include "node/store/pax.h"

#include <algorithm>
#include <string>

namespace penstock::node {
namespace {

size_t digit_count(size_t value) {
    size_t count = 1;
    while (value >= 10) {
        value /= 10;
        ++count;
    }
    return count;
}

bool is_continuation(unsigned char byte) {
    return (byte & 0xC0) == 0x80;
}

// The bytes of the sequence at the front of `text`, 0 if it is none (Unicode 15, table 3-7).
size_t utf8_sequence_bytes(std::string_view text) {
    const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return 1;
    const size_t count = lead >= 0xC2 && lead <= 0xDF   ? 2
                         : lead >= 0xE0 && lead <= 0xEF ? 3
                         : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                        : 0;
    if (count == 0 || text.size() < count) return 0;
    for (size_t at = 1; at < count; ++at) {
        if (!is_continuation(byte(at))) return 0;
    }
    const unsigned char second = byte(1);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
    return count;
}

// The decimal number at the front of `text`, which a space ends; nullopt if there is none.
std::optional<size_t> take_length(std::string_view& text) {
    constexpr size_t digits_max = 9;
    size_t value = 0;
    size_t at = 0;
    while (at < text.size() && at < digits_max && text[at] >= '0' && text[at] <= '9') {
        value = value * 10 + static_cast<size_t>(text[at] - '0');
        ++at;
    }
    if (at == 0 || at == text.size() || text[at] != ' ') return std::nullopt;
    text.remove_prefix(at + 1);
    return value;
}

}  // namespace

size_t pax_record_bytes(std::string_view keyword, size_t value_bytes) {
    const size_t without_length = 1 + keyword.size() + 1 + value_bytes + 1;
    // The length counts its own digits; one more digit may make it one digit longer.
    size_t bytes = without_length + digit_count(without_length);
    if (digit_count(bytes) != digit_count(without_length)) ++bytes;
    return bytes;
}

MutableBytes put_pax_record(MutableBytes to, std::string_view keyword, Bytes value) {
    const size_t bytes = pax_record_bytes(keyword, value.size());
    ASSERT(bytes <= to.size());
    std::string front = std::to_string(bytes);
    front += ' ';
    front += keyword;
    front += '=';
    ASSERT(front.size() + value.size() + 1 == bytes);
    std::memcpy(to.data(), front.data(), front.size());
    if (!value.empty()) std::memcpy(to.data() + front.size(), value.data(), value.size());
    to[bytes - 1] = std::byte{'\n'};
    return to.subspan(bytes);
}

std::optional<PaxFields> parse_pax(Bytes data) {
    PaxFields fields;
    std::string_view rest = as_text(data);
    while (!rest.empty() && rest[0] != '\0') {
        std::string_view record = rest;
        const std::optional<size_t> length = take_length(record);
        if (!length || *length > rest.size()) return std::nullopt;
        const size_t digits_bytes = rest.size() - record.size();
        if (*length < digits_bytes + 2) return std::nullopt;
        record = record.substr(0, *length - digits_bytes);
        const size_t equals_at = record.find('=');
        if (equals_at == std::string_view::npos || record.back() != '\n') return std::nullopt;

        const std::string_view keyword = record.substr(0, equals_at);
        const std::string_view value = record.substr(equals_at + 1, record.size() - equals_at - 2);
        if (keyword == "path") fields.path = value;
        if (keyword == "comment") fields.comment = as_bytes(value);
        rest.remove_prefix(*length);
    }
    return fields;
}

bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char letter) { return static_cast<unsigned char>(letter) < 0x80; });
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const size_t count = utf8_sequence_bytes(text);
        if (count == 0) return false;
        text.remove_prefix(count);
    }
    return true;
}

}  // namespace penstock::node
