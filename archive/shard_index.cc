#include "archive/shard_index.h"

#include <algorithm>
#include <array>
#include <bit>

#include "io/base/checksum.h"

namespace penstock::archive {
namespace {

constexpr std::string_view magic = "PSIX";
constexpr uint16_t version = 1;
constexpr size_t format_at = 6;
constexpr size_t count_at = 8;
constexpr size_t shard_bytes_at = 12;
constexpr size_t names_bytes_at = 20;
constexpr size_t damaged_at_at = 28;
constexpr size_t checksum_at = 36;
constexpr size_t header_bytes = 44;
constexpr size_t entry_bytes = 24;
constexpr uint64_t not_damaged = UINT64_MAX;
constexpr uint32_t members_max = 16'000'000;

uint32_t checksum_of(Bytes encoded) {
    return crc32c(encoded.subspan(checksum_at + 4), crc32c(encoded.first(checksum_at)));
}

struct Keyed {
    uint64_t key;  // the first bytes behind what all names share, most significant first
    uint32_t position;
};

uint64_t key_of(std::string_view text) {
    std::array<std::byte, 8> bytes{};
    std::memcpy(bytes.data(), text.data(), std::min<size_t>(text.size(), bytes.size()));
    return std::byteswap(load_le<uint64_t>(bytes.data()));
}

}  // namespace

std::string_view plain_member_name(std::string_view name) {
    for (;;) {
        if (name.starts_with('/')) {
            name.remove_prefix(1);
        } else if (name.starts_with("./")) {
            name.remove_prefix(2);
        } else {
            return name;
        }
    }
}

Status check_member_name(std::string_view name) {
    if (name.size() > member_name_bytes_max)
        return fail(Errc::invalid, "member name is longer than 4,096 bytes");
    if (name.contains('\0')) return fail(Errc::invalid, "member name has a NUL byte");
    std::string_view rest = plain_member_name(name);
    if (rest.empty()) return fail(Errc::invalid, "member name is empty");
    while (!rest.empty()) {
        const size_t slash = rest.find('/');
        if (rest.substr(0, slash) == "..")
            return fail(Errc::invalid, "member name leaves the shard: it has a \"..\"");
        rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    }
    return {};
}

Result<ShardIndex> ShardIndex::open(std::vector<std::byte> encoded) {
    ShardIndex index(std::move(encoded));
    TRY_STATUS(index.check_header());
    TRY_STATUS(index.check_entries());
    index.make_slots();
    return index;
}

Status ShardIndex::check_header() {
    const Bytes bytes(encoded_);
    if (bytes.size() < header_bytes || as_text(bytes.first(magic.size())) != magic)
        return fail(Errc::corrupt, "shard index: no index");
    if (load_le<uint16_t>(bytes.data() + 4) != version)
        return fail(Errc::corrupt, "shard index: written by another version of Penstock");
    if (load_le<uint16_t>(bytes.data() + format_at) > static_cast<uint16_t>(Format::tar_zst))
        return fail(Errc::corrupt, "shard index: unknown shard format");
    member_count_ = load_le<uint32_t>(bytes.data() + count_at);
    const auto names_bytes = load_le<uint64_t>(bytes.data() + names_bytes_at);
    if (member_count_ > members_max || names_bytes > UINT32_MAX)
        return fail(Errc::corrupt, "shard index: more members or names than can be");
    order_at_ = header_bytes + size_t{member_count_} * entry_bytes;
    names_at_ = order_at_ + size_t{member_count_} * sizeof(uint32_t);
    if (bytes.size() != names_at_ + names_bytes)
        return fail(Errc::corrupt, "shard index: its length is wrong");
    if (checksum_of(bytes) != load_le<uint32_t>(bytes.data() + checksum_at))
        return fail(Errc::corrupt, "shard index: its checksum is wrong");
    const auto damaged = load_le<uint64_t>(bytes.data() + damaged_at_at);
    if (damaged != not_damaged && damaged > shard_bytes())
        return fail(Errc::corrupt, "shard index: damage behind the shard's end");
    return {};
}

// One walk in memory order, without a branch for each check: it decides how fast an index opens.
Status ShardIndex::check_entries() const {
    const uint64_t shard = shard_bytes();
    const uint64_t names = encoded_.size() - names_at_;
    bool is_wrong = false;
    for (uint32_t position = 0; position < member_count_; ++position) {
        const std::byte* entry = encoded_.data() + header_bytes + size_t{position} * entry_bytes;
        const auto offset = load_le<uint64_t>(entry);
        const auto size = load_le<uint64_t>(entry + 8);
        const uint64_t name_end =
            uint64_t{load_le<uint32_t>(entry + 16)} + load_le<uint32_t>(entry + 20);
        is_wrong |= offset > shard || size > shard - offset || name_end > names;
        const auto ordered =
            load_le<uint32_t>(encoded_.data() + order_at_ + size_t{position} * sizeof(uint32_t));
        is_wrong |= ordered >= member_count_;
    }
    if (is_wrong) return fail(Errc::corrupt, "shard index: a member lies outside");
    return {};
}

// The names come from users, who could choose them to collide: past a number of probes that honest
// names never need, there is no table and lookups search instead.
void ShardIndex::make_slots() {
    if (member_count_ == 0 || member_count_ > lookup_members_max) return;
    slots_.assign(std::bit_ceil(size_t{member_count_} * 2), 0);
    uint64_t probes_left = uint64_t{member_count_} * 8 + 1024;
    for (uint32_t position = 0; position < member_count_; ++position) {
        if (place_in_slots(position, probes_left)) continue;
        slots_ = {};
        return;
    }
}

bool ShardIndex::place_in_slots(uint32_t position, uint64_t& probes_left) {
    const std::string_view name = plain_member_name(name_at(position));
    const size_t mask = slots_.size() - 1;
    size_t slot = xxh64(as_bytes(name)) & mask;
    while (slots_[slot] != 0 && plain_member_name(name_at(slots_[slot] - 1)) != name) {
        if (--probes_left == 0) return false;
        slot = (slot + 1) & mask;
    }
    slots_[slot] = position + 1;  // the last of equal names wins
    return true;
}

Format ShardIndex::format() const {
    return static_cast<Format>(load_le<uint16_t>(encoded_.data() + format_at));
}

uint64_t ShardIndex::shard_bytes() const {
    return load_le<uint64_t>(encoded_.data() + shard_bytes_at);
}

uint32_t ShardIndex::member_count() const {
    return member_count_;
}

std::optional<uint64_t> ShardIndex::damaged_at() const {
    const auto at = load_le<uint64_t>(encoded_.data() + damaged_at_at);
    if (at == not_damaged) return std::nullopt;
    return at;
}

std::string_view ShardIndex::name_at(uint32_t position) const {
    const std::byte* entry = encoded_.data() + header_bytes + size_t{position} * entry_bytes;
    const std::byte* name = encoded_.data() + names_at_ + load_le<uint32_t>(entry + 16);
    return {reinterpret_cast<const char*>(name), load_le<uint32_t>(entry + 20)};
}

Member ShardIndex::member(uint32_t position) const {
    ASSERT(position < member_count_);
    const std::byte* entry = encoded_.data() + header_bytes + size_t{position} * entry_bytes;
    return {name_at(position), load_le<uint64_t>(entry), load_le<uint64_t>(entry + 8)};
}

Member ShardIndex::member_by_name_order(uint32_t order) const {
    ASSERT(order < member_count_);
    return member(load_le<uint32_t>(encoded_.data() + order_at_ + size_t{order} * 4));
}

std::optional<Member> ShardIndex::find(std::string_view name) const {
    const std::string_view plain = plain_member_name(name);
    if (slots_.empty()) return find_sorted(plain);
    const size_t mask = slots_.size() - 1;
    // At most half of the slots are taken, so the walk ends.
    for (size_t slot = xxh64(as_bytes(plain)) & mask; slots_[slot] != 0; slot = (slot + 1) & mask) {
        const uint32_t position = slots_[slot] - 1;
        if (plain_member_name(name_at(position)) == plain) return member(position);
    }
    return std::nullopt;
}

std::optional<Member> ShardIndex::find_sorted(std::string_view plain) const {
    // The first behind all equal names: the one before it is the last of them in the shard.
    uint32_t low = 0;
    uint32_t high = member_count_;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (plain_member_name(member_by_name_order(middle).name) <= plain) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) return std::nullopt;
    const Member last = member_by_name_order(low - 1);
    if (plain_member_name(last.name) != plain) return std::nullopt;
    return last;
}

Status ShardIndexBuilder::add(std::string_view name, uint64_t offset, uint64_t size) {
    if (entries_.size() >= members_max)
        return fail(Errc::too_large, "shard: more than 16,000,000 members");
    if (name.size() > UINT32_MAX - names_.size())
        return fail(Errc::too_large, "shard: more than 4 GiB of member names");
    entries_.push_back(
        {offset, size, static_cast<uint32_t>(names_.size()), static_cast<uint32_t>(name.size())});
    names_.append(name);
    return {};
}

std::string_view ShardIndexBuilder::plain_name(uint32_t position) const {
    const Entry& entry = entries_[position];
    return plain_member_name(std::string_view(names_).substr(entry.name_offset, entry.name_bytes));
}

// Members of a dataset share a folder or a stem, so comparing their beginnings would decide
// nothing: what all names share is measured first, and the eight bytes behind it are the key.
std::vector<uint32_t> ShardIndexBuilder::sorted_positions() const {
    const uint32_t count = member_count();
    size_t shared = count == 0 ? 0 : plain_name(0).size();
    for (uint32_t position = 1; position < count && shared > 0; ++position) {
        const std::string_view first = plain_name(0).substr(0, shared);
        const std::string_view name = plain_name(position);
        shared = static_cast<size_t>(std::ranges::mismatch(first, name).in1 - first.begin());
    }
    std::vector<Keyed> keyed(count);
    for (uint32_t position = 0; position < count; ++position)
        keyed[position] = {key_of(plain_name(position).substr(shared)), position};
    const auto is_before = [this](const Keyed& left, const Keyed& right) {
        if (left.key != right.key) return left.key < right.key;
        const int order = plain_name(left.position).compare(plain_name(right.position));
        return order != 0 ? order < 0 : left.position < right.position;
    };
    if (!std::ranges::is_sorted(keyed, is_before)) std::ranges::sort(keyed, is_before);
    std::vector<uint32_t> positions(count);
    std::ranges::transform(keyed, positions.begin(), &Keyed::position);
    return positions;
}

std::vector<std::byte> ShardIndexBuilder::encode(Format format, uint64_t shard_bytes,
                                                 std::optional<uint64_t> damaged_at) const {
    std::vector<std::byte> encoded(header_bytes + entries_.size() * (entry_bytes + 4) +
                                   names_.size());
    std::byte* to = encoded.data();
    std::memcpy(to, magic.data(), magic.size());
    store_le(to + 4, version);
    store_le(to + format_at, static_cast<uint16_t>(format));
    store_le(to + count_at, member_count());
    store_le(to + shard_bytes_at, shard_bytes);
    store_le(to + names_bytes_at, uint64_t{names_.size()});
    store_le(to + damaged_at_at, damaged_at.value_or(not_damaged));
    to += header_bytes;
    for (const Entry& entry : entries_) {
        store_le(to, entry.offset);
        store_le(to + 8, entry.size);
        store_le(to + 16, entry.name_offset);
        store_le(to + 20, entry.name_bytes);
        to += entry_bytes;
    }
    for (const uint32_t position : sorted_positions()) {
        store_le(to, position);
        to += sizeof position;
    }
    if (!names_.empty()) std::memcpy(to, names_.data(), names_.size());
    store_le(encoded.data() + checksum_at, checksum_of(encoded));
    return encoded;
}

}  // namespace penstock::archive
