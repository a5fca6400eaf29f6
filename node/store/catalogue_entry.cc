#include "node/store/catalogue_entry.h"

#include <bit>
#include <cstring>

#include "io/base/bytes.h"

namespace penstock::node {
namespace {

constexpr uint32_t state_format = 1;
constexpr size_t state_bytes = 24;
constexpr size_t widths_bytes = 4;
constexpr uint32_t attachment_bit = 1U << 28;
constexpr uint32_t unknown_bits = ~0U << 29;

constexpr size_t number_count = 7;
constexpr std::array<uint32_t, number_count> width_max = {4, 4, 4, 4, 8, 8, 8};

uint32_t width_of(uint64_t number) {
    return (static_cast<uint32_t>(std::bit_width(number)) + 7) / 8;
}

}  // namespace

std::string catalogue_key(BucketId bucket, std::string_view name) {
    std::string key;
    key.reserve(catalogue_key_prefix_bytes + name.size());
    const uint64_t big_endian = std::byteswap(bucket.value);
    key.append(reinterpret_cast<const char*>(&big_endian), sizeof big_endian);
    key.append(name);
    return key;
}

CatalogueValue encode_catalogue_value(const CatalogueChange& change) {
    const std::array<uint64_t, number_count> numbers = {
        change.place.segment,       change.place.offset_blocks,
        change.place.record_blocks, change.place.display_version,
        change.version.map_version, change.version.sequence,
        change.size_bytes};
    CatalogueValue value;
    uint32_t widths = change.has_attachment ? attachment_bit : 0;
    size_t at = widths_bytes;
    for (size_t index = 0; index < number_count; ++index) {
        const uint32_t width = width_of(numbers[index]);
        widths |= width << (4 * index);
        std::memcpy(value.bytes.data() + at, &numbers[index], width);
        at += width;
    }
    store_le(value.bytes.data(), widths);
    value.size = at;
    return value;
}

std::optional<Catalogue::Entry> parse_catalogue_entry(std::string_view key,
                                                      std::string_view value) {
    if (key.size() <= catalogue_key_prefix_bytes) return std::nullopt;
    if (value.size() < widths_bytes || value.size() > catalogue_value_bytes_max) {
        return std::nullopt;
    }
    // With zeros behind it each number is one load and one mask.
    std::array<std::byte, catalogue_value_bytes_max + 8> bytes{};
    std::memcpy(bytes.data(), value.data(), value.size());
    const auto widths = load_le<uint32_t>(bytes.data());
    if ((widths & unknown_bits) != 0) return std::nullopt;

    std::array<uint64_t, number_count> numbers;
    size_t at = widths_bytes;
    for (size_t index = 0; index < number_count; ++index) {
        const uint32_t width = (widths >> (4 * index)) & 15;
        if (width > width_max[index]) return std::nullopt;
        const uint64_t mask = width == 8 ? UINT64_MAX : (uint64_t{1} << (8 * width)) - 1;
        numbers[index] = load_le<uint64_t>(bytes.data() + at) & mask;
        at += width;
    }
    if (at != value.size()) return std::nullopt;

    const auto bucket = load_le<uint64_t>(as_bytes(key).data());
    Catalogue::Entry entry;
    entry.bucket.value = std::byteswap(bucket);
    entry.name = key.substr(catalogue_key_prefix_bytes);
    entry.place = {static_cast<uint32_t>(numbers[0]), static_cast<uint32_t>(numbers[1]),
                   static_cast<uint32_t>(numbers[2]), static_cast<uint32_t>(numbers[3])};
    entry.version = {numbers[4], numbers[5]};
    entry.size_bytes = numbers[6];
    entry.has_attachment = (widths & attachment_bit) != 0;
    return entry;
}

std::string encode_catalogue_state(const CatalogueState& state) {
    std::array<std::byte, state_bytes> bytes{};
    store_le(bytes.data(), state_format);
    store_le(bytes.data() + 8, state.position);
    store_le(bytes.data() + 16, state.count);
    return std::string(as_text(bytes));
}

std::optional<CatalogueState> parse_catalogue_state(std::string_view value) {
    const Bytes bytes = as_bytes(value);
    if (bytes.size() != state_bytes) return std::nullopt;
    if (load_le<uint32_t>(bytes.data()) != state_format) return std::nullopt;
    if (load_le<uint32_t>(bytes.data() + 4) != 0) return std::nullopt;
    return CatalogueState{load_le<uint64_t>(bytes.data() + 8),
                          load_le<uint64_t>(bytes.data() + 16)};
}

}  // namespace penstock::node
