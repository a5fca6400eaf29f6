#include "archive/tar_writer.h"

#include <algorithm>

#include <optional>
#include <string>

#include "archive/tar_header.h"
#include "io/base/units.h"

namespace penstock::archive {
namespace {

constexpr uint64_t octal_11_max = (uint64_t{1} << 33) - 1;
constexpr size_t name_field_bytes = 100;
constexpr size_t prefix_field_bytes = 155;

struct SplitName {
    std::string_view prefix, name;
};

// The header has room for a name of 100 bytes behind a '/' and 155 before it.
std::optional<SplitName> split_name(std::string_view name) {
    if (name.size() <= name_field_bytes) return SplitName{{}, name};
    if (name.size() > prefix_field_bytes + 1 + name_field_bytes) return std::nullopt;
    const size_t first = name.find('/', name.size() - name_field_bytes - 1);
    if (first == std::string_view::npos || first == 0 || first > prefix_field_bytes ||
        first + 1 == name.size())
        return std::nullopt;
    return SplitName{name.substr(0, first), name.substr(first + 1)};
}

// "LENGTH KEYWORD=VALUE\n", where LENGTH counts its own digits.
void append_record(std::string& records, std::string_view keyword, std::string_view value) {
    const size_t rest = keyword.size() + value.size() + 3;
    size_t length = rest + std::to_string(rest).size();
    if (rest + std::to_string(length).size() != length) ++length;
    records.append(std::to_string(length)).append(" ").append(keyword);
    records.append("=").append(value).append("\n");
}

std::string pax_records(const TarEntry& entry) {
    std::string records;
    if (!split_name(entry.name)) append_record(records, "path", entry.name);
    if (entry.size > octal_11_max) append_record(records, "size", std::to_string(entry.size));
    if (entry.modified_s > octal_11_max)
        append_record(records, "mtime", std::to_string(entry.modified_s));
    if (!entry.comment.empty()) append_record(records, "comment", entry.comment);
    return records;
}

void put_text(MutableBytes to, std::string_view text) {
    ASSERT(text.size() <= to.size());
    std::ranges::copy(as_bytes(text), to.begin());
}

void put_octal(MutableBytes to, uint64_t value, size_t digits) {
    ASSERT(digits <= to.size());
    for (size_t at = digits; at-- > 0; value >>= 3)
        to[at] = static_cast<std::byte>('0' + (value & 7));
}

void put_block(MutableBytes block, SplitName name, char type, uint64_t size, uint64_t modified_s) {
    std::ranges::fill(block, std::byte{0});
    put_text(block.subspan(0, name_field_bytes), name.name);
    put_octal(block.subspan(100), 0644, 7);
    put_octal(block.subspan(108), 0, 7);
    put_octal(block.subspan(116), 0, 7);
    put_octal(block.subspan(124), std::min(size, octal_11_max), 11);
    put_octal(block.subspan(136), std::min(modified_s, octal_11_max), 11);
    put_text(block.subspan(148), "        ");
    block[156] = static_cast<std::byte>(type);
    put_text(block.subspan(257), std::string_view("ustar\00000", 8));
    put_text(block.subspan(345, prefix_field_bytes), name.prefix);
    uint64_t sum = 0;
    for (const std::byte byte : block) sum += std::to_integer<uint64_t>(byte);
    put_octal(block.subspan(148), sum, 6);
    block[154] = std::byte{0};
}

}  // namespace

size_t tar_header_bytes(const TarEntry& entry) {
    const size_t records = pax_records(entry).size();
    if (records == 0) return tar_block_bytes;
    return 2 * tar_block_bytes + round_up(records, tar_block_bytes);
}

MutableBytes put_tar_header(MutableBytes to, const TarEntry& entry) {
    ASSERT(!entry.name.empty());
    const std::string records = pax_records(entry);
    const SplitName name =
        split_name(entry.name).value_or(SplitName{{}, entry.name.substr(0, name_field_bytes)});
    if (!records.empty()) {
        const size_t padded = round_up(records.size(), tar_block_bytes);
        ASSERT(to.size() >= 2 * tar_block_bytes + padded);
        put_block(to.first(tar_block_bytes), {{}, "PaxHeader"}, 'x', records.size(),
                  entry.modified_s);
        to = to.subspan(tar_block_bytes);
        put_text(to, records);
        std::ranges::fill(to.subspan(records.size(), padded - records.size()), std::byte{0});
        to = to.subspan(padded);
    }
    ASSERT(to.size() >= tar_block_bytes);
    put_block(to.first(tar_block_bytes), name, '0', entry.size, entry.modified_s);
    return to.subspan(tar_block_bytes);
}

}  // namespace penstock::archive
