#include "archive/tar_header.h"

#include <algorithm>
#include <charconv>

namespace penstock::archive {
namespace {

constexpr size_t size_at = 124;
constexpr size_t checksum_at = 148;
constexpr size_t checksum_bytes = 8;
constexpr size_t type_at = 156;
constexpr size_t magic_at = 257;
constexpr size_t prefix_at = 345;
constexpr size_t prefix_bytes = 155;
constexpr size_t star_prefix_bytes = 131;  // access and change times lie behind it
constexpr size_t gnu_extended_at = 482;
constexpr size_t gnu_next_extended_at = 504;

std::string_view text_at(Bytes block, size_t at, size_t bytes) {
    const std::string_view field = as_text(block.subspan(at, bytes));
    return field.substr(0, field.find('\0'));
}

std::optional<uint64_t> parse_base_256(Bytes field) {
    const auto first = std::to_integer<uint8_t>(field.front());
    if ((first & 0x40) != 0) return std::nullopt;  // negative
    uint64_t value = first & 0x3f;
    for (const std::byte byte : field.subspan(1)) {
        if (value > (tar_number_max >> 8)) return std::nullopt;
        value = value << 8 | std::to_integer<uint64_t>(byte);
    }
    return value;
}

std::string_view prefix_of(Bytes block) {
    // GNU's own magic is "ustar  ": its old format keeps times where the prefix would be.
    const std::string_view magic = as_text(block.subspan(magic_at, 8));
    if (!magic.starts_with("ustar") || magic.starts_with("ustar  ")) return {};
    const bool is_star = as_text(block.subspan(508, 4)) == std::string_view("tar\0", 4);
    return text_at(block, prefix_at, is_star ? star_prefix_bytes : prefix_bytes);
}

bool take_pax_record(std::string_view keyword, std::string_view value, PaxValues& values) {
    if (keyword == "path") {
        values.path.emplace(value);
    } else if (keyword == "size") {
        values.takes_size_back = value.empty();
        values.size.reset();
        if (value.empty()) return true;
        uint64_t size = 0;
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), size);
        if (error != std::errc() || end != value.data() + value.size() || size > tar_number_max)
            return false;
        values.size = size;
    } else if (keyword == "comment") {
        values.comment.emplace(value);
    } else if (keyword.starts_with("GNU.sparse.")) {
        values.is_sparse = true;
    }
    return true;
}

}  // namespace

std::optional<uint64_t> parse_tar_number(Bytes field) {
    if (field.empty()) return 0;
    if ((field.front() & std::byte{0x80}) != std::byte{0}) return parse_base_256(field);
    const std::string_view text = as_text(field);
    size_t at = 0;
    while (at < text.size() && text[at] == ' ') ++at;
    uint64_t value = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '7'; ++at) {
        if (value > (tar_number_max >> 3)) return std::nullopt;
        value = value << 3 | static_cast<uint64_t>(text[at] - '0');
    }
    if (at < text.size() && text[at] != ' ' && text[at] != '\0') return std::nullopt;
    return value;
}

bool is_zero_block(Bytes block) {
    uint64_t any = 0;
    for (size_t at = 0; at + 8 <= block.size(); at += 8) any |= load_le<uint64_t>(&block[at]);
    return any == 0;
}

bool has_tar_checksum(Bytes block) {
    const std::optional<uint64_t> wanted =
        parse_tar_number(block.subspan(checksum_at, checksum_bytes));
    if (!wanted) return false;
    uint32_t sum = 0;
    for (const std::byte byte : block.first(tar_block_bytes)) sum += std::to_integer<uint8_t>(byte);
    for (const std::byte byte : block.subspan(checksum_at, checksum_bytes))
        sum -= std::to_integer<uint8_t>(byte);
    sum += checksum_bytes * ' ';
    if (sum == *wanted) return true;
    const auto is_high = [](std::byte byte) { return (byte & std::byte{0x80}) != std::byte{0}; };
    auto high_count = std::ranges::count_if(block.first(tar_block_bytes), is_high);
    high_count -= std::ranges::count_if(block.subspan(checksum_at, checksum_bytes), is_high);
    return static_cast<int64_t>(sum) - 256 * high_count == static_cast<int64_t>(*wanted);
}

void TarHeader::path_into(std::string& path) const {
    path.assign(prefix);
    if (!prefix.empty()) path.push_back('/');
    path.append(name);
}

std::optional<TarHeader> parse_tar_header(Bytes block) {
    ASSERT(block.size() >= tar_block_bytes);
    if (!has_tar_checksum(block)) return std::nullopt;
    TarHeader header;
    header.type = static_cast<char>(block[type_at]);
    const std::optional<uint64_t> size = parse_tar_number(block.subspan(size_at, 12));
    if (!size) return std::nullopt;
    header.size = *size;
    header.name = text_at(block, 0, 100);
    header.prefix = prefix_of(block);
    header.has_sparse_blocks = header.type == 'S' && block[gnu_extended_at] != std::byte{0};
    return header;
}

bool has_next_sparse_block(Bytes block) {
    return block[gnu_next_extended_at] != std::byte{0};
}

std::optional<PaxValues> parse_pax_values(Bytes content) {
    PaxValues values;
    std::string_view rest = as_text(content);
    while (!rest.empty() && rest.front() != '\0') {
        size_t length = 0;
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
        const auto digits = static_cast<size_t>(end - rest.data());
        if (error != std::errc() || length > rest.size() || length < digits + 3 ||
            rest[digits] != ' ' || rest[length - 1] != '\n')
            return std::nullopt;
        const std::string_view record = rest.substr(digits + 1, length - digits - 2);
        const size_t equals = record.find('=');
        if (equals == std::string_view::npos || equals == 0) return std::nullopt;
        if (!take_pax_record(record.substr(0, equals), record.substr(equals + 1), values))
            return std::nullopt;
        rest.remove_prefix(length);
    }
    return values;
}

}  // namespace penstock::archive
