#include "node/store/stripe.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/store/hex_number.h"

namespace penstock::node {
namespace {

constexpr size_t id_digits = 16;
constexpr size_t number_digits = 8;

}  // namespace

uint64_t StripeLayout::part_count(uint64_t size) const {
    const uint64_t rest = size % group_bytes();
    const uint64_t units = rest / unit_bytes + (rest % unit_bytes != 0);
    return size / group_bytes() * width + std::min<uint64_t>(units, width);
}

uint64_t StripeLayout::bytes_before(uint32_t index, uint64_t size) const {
    const uint64_t begin = index / width * group_bytes();
    if (size <= begin) return 0;
    const uint64_t in_group = std::min(size - begin, group_bytes());
    const uint64_t row_bytes = uint64_t{unit_bytes} * width;
    const uint64_t lane_begin = uint64_t{unit_bytes} * (index % width);
    const uint64_t rest = in_group % row_bytes;
    const uint64_t in_last = rest > lane_begin ? rest - lane_begin : 0;
    return in_group / row_bytes * unit_bytes + std::min<uint64_t>(in_last, unit_bytes);
}

bool StripeLayout::is_possible() const {
    constexpr uint64_t part_bytes_max = uint64_t{1} << 50;
    constexpr uint32_t width_max = 64;
    if (size_bytes == 0 || size_bytes > striped_bytes_max) return false;
    if (width == 0 || width > width_max) return false;
    if (unit_bytes == 0 || part_bytes == 0 || part_bytes > part_bytes_max) return false;
    return part_bytes % unit_bytes == 0 && numbers.size() == part_count(size_bytes);
}

uint64_t size_of(const StripeLayouts& layouts) {
    uint64_t bytes = 0;
    for (const StripeLayout& layout : layouts) bytes += layout.size_bytes;
    return bytes;
}

std::string stripe_part_name(const Digest128& id, uint32_t number) {
    return fmt::format("{}{:016x}{:016x}/{:08x}", stripe_part_prefix, id.high, id.low, number);
}

std::optional<Digest128> stripe_id_from(std::string_view name) {
    if (name.size() != 1 + 2 * id_digits + 1 + number_digits) return std::nullopt;
    if (!name.starts_with(stripe_part_prefix) || name[1 + 2 * id_digits] != '/') {
        return std::nullopt;
    }
    const std::optional<uint64_t> high = number_from_hex(name.substr(1, id_digits));
    const std::optional<uint64_t> low = number_from_hex(name.substr(1 + id_digits, id_digits));
    if (!high || !low || !number_from_hex(name.substr(2 + 2 * id_digits))) return std::nullopt;
    return Digest128{*low, *high};
}

}  // namespace penstock::node
