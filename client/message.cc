#include "client/message.h"

namespace penstock::client {
namespace {

// Whether `text` is UTF-8 (RFC 3629): strict servers refuse anything else as a text.
bool is_utf8(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
        const auto first = static_cast<uint8_t>(text[at++]);
        if (first < 0x80) continue;
        const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4) return false;
        uint32_t code = first & (0x3fU >> more);
        for (int index = 0; index < more; ++index) {
            if (at == text.size()) return false;
            const auto next = static_cast<uint8_t>(text[at++]);
            if ((next & 0xc0) != 0x80) return false;
            code = code << 6 | (next & 0x3f);
        }
        const uint32_t least = more == 3 ? 0x10000U : more == 2 ? 0x800U : 0x80U;
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    }
    return true;
}

uint64_t load_big_endian(const std::byte* from, size_t count) {
    uint64_t value = 0;
    for (size_t index = 0; index < count; ++index) {
        value = value << 8 | std::to_integer<uint64_t>(from[index]);
    }
    return value;
}

// What a value's first byte says of it.
struct Shape {
    uint8_t length_bytes = 0;  // of the length or count behind the first byte
    uint8_t fixed_bytes = 0;   // that follow in any case
    uint64_t count = 0;        // where there are no length bytes
    uint8_t values_each = 0;   // 1: `count` elements follow; 2: pairs; 0: `count` bytes
    bool is_good = true;
};

Shape shape_of(uint8_t type) {
    if (type <= 0x7f || type >= 0xe0) return {};
    if (type <= 0x8f) return {.count = type & 0x0fU, .values_each = 2};
    if (type <= 0x9f) return {.count = type & 0x0fU, .values_each = 1};
    if (type <= 0xbf) return {.count = type & 0x1fU};
    switch (type) {
        case 0xc0:  // nil
        case 0xc2:  // false
        case 0xc3:  // true
            return {};
        case 0xc4:  // bin
        case 0xc5:
        case 0xc6:
            return {.length_bytes = static_cast<uint8_t>(1 << (type - 0xc4))};
        case 0xc7:  // extension: a type byte behind the length
        case 0xc8:
        case 0xc9:
            return {.length_bytes = static_cast<uint8_t>(1 << (type - 0xc7)), .fixed_bytes = 1};
        case 0xca:  // float
            return {.fixed_bytes = 4};
        case 0xcb:
            return {.fixed_bytes = 8};
        case 0xcc:  // unsigned, signed
        case 0xcd:
        case 0xce:
        case 0xcf:
            return {.fixed_bytes = static_cast<uint8_t>(1 << (type - 0xcc))};
        case 0xd0:
        case 0xd1:
        case 0xd2:
        case 0xd3:
            return {.fixed_bytes = static_cast<uint8_t>(1 << (type - 0xd0))};
        case 0xd4:  // extensions of fixed length
        case 0xd5:
        case 0xd6:
        case 0xd7:
        case 0xd8:
            return {.fixed_bytes = static_cast<uint8_t>((1 << (type - 0xd4)) + 1)};
        case 0xd9:  // str
        case 0xda:
        case 0xdb:
            return {.length_bytes = static_cast<uint8_t>(1 << (type - 0xd9))};
        case 0xdc:  // array, map
        case 0xdd:
            return {.length_bytes = static_cast<uint8_t>(type == 0xdc ? 2 : 4), .values_each = 1};
        case 0xde:
        case 0xdf:
            return {.length_bytes = static_cast<uint8_t>(type == 0xde ? 2 : 4), .values_each = 2};
        default:
            return {.is_good = false};  // 0xc1 is never used
    }
}

}  // namespace

Packer& Packer::big_endian(uint8_t type, uint64_t value, int count) {
    byte(type);
    for (int at = count - 1; at >= 0; --at) byte(static_cast<uint8_t>(value >> (8 * at)));
    return *this;
}

Packer& Packer::head(uint8_t small, uint32_t below, uint8_t type, uint32_t count) {
    if (count < below) return byte(static_cast<uint8_t>(small | count));
    if (count <= UINT16_MAX) return big_endian(type, count, 2);
    return big_endian(static_cast<uint8_t>(type + 1), count, 4);
}

Packer& Packer::text(std::string_view value) {
    const auto size = static_cast<uint32_t>(value.size());
    if (size >= 32 && size <= UINT8_MAX) {
        big_endian(0xd9, size, 1);
    } else {
        head(0xa0, 32, 0xda, size);
    }
    out_ += value;
    return *this;
}

Packer& Packer::bytes_head(uint32_t size) {
    return size <= UINT8_MAX ? big_endian(0xc4, size, 1) : head(0, 0, 0xc5, size);
}

Packer& Packer::bytes(Bytes value) {
    bytes_head(static_cast<uint32_t>(value.size()));
    out_ += as_text(value);
    return *this;
}

Packer& Packer::name(std::string_view value) {
    return is_utf8(value) ? text(value) : bytes(as_bytes(value));
}

Packer& Packer::number(uint64_t value) {
    if (value < 128) return byte(static_cast<uint8_t>(value));
    if (value <= UINT8_MAX) return big_endian(0xcc, value, 1);
    if (value <= UINT16_MAX) return big_endian(0xcd, value, 2);
    if (value <= UINT32_MAX) return big_endian(0xce, value, 4);
    return big_endian(0xcf, value, 8);
}

bool MessageEnd::enter(uint64_t values) {
    if (depth_ == nesting_max) return false;
    left_[depth_++] = values;
    return true;
}

MessageEnd::State MessageEnd::look(Bytes bytes) {
    if (is_whole_) *this = MessageEnd();
    for (;;) {
        if (depth_ == 0 && position_ > 0) {
            // The last value's own bytes may still be on their way.
            bytes_min_ = position_;
            if (position_ > bytes.size()) return State::more;
            is_whole_ = true;
            return State::whole;
        }
        bytes_min_ = position_ + 1;
        if (position_ >= bytes.size()) return State::more;
        const std::byte* at = bytes.data() + position_;
        const Shape shape = shape_of(std::to_integer<uint8_t>(*at));
        if (!shape.is_good) return State::broken;
        bytes_min_ = position_ + 1U + shape.length_bytes;
        if (bytes_min_ > bytes.size()) return State::more;
        const uint64_t count =
            shape.length_bytes > 0 ? load_big_endian(at + 1, shape.length_bytes) : shape.count;
        const uint64_t values = count * shape.values_each;
        position_ += 1U + shape.length_bytes + shape.fixed_bytes;
        if (shape.values_each == 0) position_ += count;
        if (depth_ > 0) --left_[depth_ - 1];
        if (values > 0 && !enter(values)) return State::broken;
        while (depth_ > 0 && left_[depth_ - 1] == 0) --depth_;
    }
}

std::optional<uint8_t> Unpacker::peek() const {
    if (rest_.empty()) return std::nullopt;
    return std::to_integer<uint8_t>(rest_[0]);
}

// The number behind the first byte; both are taken.
std::optional<uint64_t> Unpacker::take_big_endian(size_t count) {
    if (rest_.size() < count + 1) {
        fail();
        return std::nullopt;
    }
    const uint64_t value = load_big_endian(rest_.data() + 1, count);
    pass(count + 1);
    return value;
}

std::optional<uint32_t> Unpacker::container(uint8_t values_each) {
    const auto type = peek();
    if (!type || shape_of(*type).values_each != values_each) {
        fail();
        return std::nullopt;
    }
    const Shape shape = shape_of(*type);
    const auto count = take_big_endian(shape.length_bytes);
    if (!count) return std::nullopt;
    return static_cast<uint32_t>(shape.length_bytes > 0 ? *count : shape.count);
}

std::optional<std::string_view> Unpacker::text() {
    const auto type = peek();
    const bool is_text =
        type && ((*type >= 0xa0 && *type <= 0xbf) || (*type >= 0xc4 && *type <= 0xc6) ||
                 (*type >= 0xd9 && *type <= 0xdb));
    if (!is_text) {
        fail();
        return std::nullopt;
    }
    const Shape shape = shape_of(*type);
    const auto taken = take_big_endian(shape.length_bytes);
    const uint64_t size = shape.length_bytes > 0 ? taken.value_or(0) : shape.count;
    if (!taken || size > rest_.size()) {
        fail();
        return std::nullopt;
    }
    const Bytes value = rest_.first(size);
    pass(size);
    return as_text(value);
}

std::optional<uint64_t> Unpacker::number() {
    const auto type = peek();
    if (type && *type <= 0x7f) {
        pass(1);
        return *type;
    }
    if (type && *type >= 0xcc && *type <= 0xcf) return take_big_endian(1U << (*type - 0xcc));
    fail();
    return std::nullopt;
}

bool Unpacker::take_nil() {
    if (peek() != 0xc0) return false;
    pass(1);
    return true;
}

bool Unpacker::skip() {
    MessageEnd end;
    if (rest_.empty() || end.look(rest_) != MessageEnd::State::whole) {
        fail();
        return false;
    }
    pass(end.message_bytes());
    return true;
}

}  // namespace penstock::client
