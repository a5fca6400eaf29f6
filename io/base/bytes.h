// Bytes: views of them, little-endian numbers in them, hexadecimal text of them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/assert.h"

namespace penstock {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Little-endian numbers, wherever they lie (no alignment asked for).
static_assert(std::endian::native == std::endian::little, "big-endian hosts are not supported");

template <typename T>
    requires std::is_integral_v<T>
T load_le(const std::byte* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <typename T>
    requires std::is_integral_v<T>
void store_le(std::byte* to, T value) {
    std::memcpy(to, &value, sizeof value);
}

template <typename T>
    requires std::is_integral_v<T>
void append_le(std::vector<std::byte>& to, T value) {
    const size_t at = to.size();
    to.resize(at + sizeof value);
    store_le(to.data() + at, value);
}

// Reads numbers and spans off the front of foreign bytes; a read past the end gives nullopt and
// leaves the reader where it was.
class ByteReader {
public:
    explicit ByteReader(Bytes bytes) : rest_(bytes) {}

    template <typename T>
    std::optional<T> read_le() {
        if (rest_.size() < sizeof(T)) return std::nullopt;
        const T value = load_le<T>(rest_.data());
        rest_ = rest_.subspan(sizeof(T));
        return value;
    }
    std::optional<Bytes> read_bytes(size_t count) {
        if (rest_.size() < count) return std::nullopt;
        const Bytes taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }
    Bytes rest() const { return rest_; }
    bool is_empty() const { return rest_.empty(); }

private:
    Bytes rest_;
};

// Lower-case hexadecimal text, two digits a byte.
std::string hex_from_bytes(Bytes bytes);
// `width` digits, most significant first.
std::string hex_from_u64(uint64_t value, size_t width = 16);
// The bytes that a text of pairs of hexadecimal digits (either case) stands for.
std::optional<std::vector<std::byte>> bytes_from_hex(std::string_view text);

}  // namespace penstock
