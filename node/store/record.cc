#include "node/store/record.h"

#include <algorithm>
#include <array>
#include <string>

#include "node/store/pax.h"

namespace penstock::node {
namespace {

using namespace std::string_view_literals;

// Of TAR's header (POSIX.1-1988, "ustar").
constexpr size_t name_at = 0;
constexpr size_t name_bytes_max = 100;
constexpr size_t mode_at = 100;
constexpr size_t uid_at = 108;
constexpr size_t gid_at = 116;
constexpr size_t size_at = 124;
constexpr size_t mtime_at = 136;
constexpr size_t sum_at = 148;
constexpr size_t sum_bytes = 8;
constexpr size_t type_at = 156;
constexpr size_t magic_at = 257;
constexpr size_t device_major_at = 329;
constexpr size_t device_minor_at = 337;
constexpr size_t star_guard_at = 475;

// Ours; the table in the header says what each is.
constexpr size_t our_magic_at = 157;
constexpr size_t block_crc_at = 161;
constexpr size_t lsn_at = 165;
constexpr size_t durable_at = 173;
constexpr size_t map_version_at = 181;
constexpr size_t sequence_at = 189;
constexpr size_t bucket_at = 197;
constexpr size_t digest_at = 205;
constexpr size_t previous_at = 221;
constexpr size_t modified_at = 237;
constexpr size_t content_at = 245;
constexpr size_t kind_at = 346;
constexpr size_t flags_at = 347;
constexpr size_t checksum_type_at = 348;
constexpr size_t checksum_bytes_at = 349;
constexpr size_t payload_crc_at = 350;
constexpr size_t rest_crc_at = 354;
constexpr size_t header_blocks_at = 358;
constexpr size_t payload_bytes_at = 362;
constexpr size_t expires_at = 366;
constexpr size_t display_at = 374;
constexpr size_t object_bytes_at = 382;
constexpr size_t label_bytes_at = 384;
constexpr size_t checksum_at = 386;
static_assert(content_at + 8 + 4 == magic_at, "the link name ends where TAR's magic begins");
static_assert(checksum_at + sizeof(ContentChecksum::digest) <= star_guard_at);
static_assert(star_guard_at < 500, "the prefix ends at 500");

constexpr uint32_t our_magic = 0x31525350;  // "PSR1"
constexpr std::string_view pax_entry_name = ".penstock/pax";
constexpr std::string_view long_entry_name = ".penstock/long-name";

std::string_view prefix_of(RecordKind kind) {
    switch (kind) {
        case RecordKind::segment:
            return ".penstock/segment"sv;
        case RecordKind::object:
            return ""sv;
        case RecordKind::extents:
            return ".penstock/object/"sv;
        case RecordKind::tombstone:
            return ".penstock/delete/"sv;
        case RecordKind::mark:
            return ".penstock/mark"sv;
        case RecordKind::freed:
            return ".penstock/freed"sv;
        case RecordKind::lost:
            return ".penstock/lost/"sv;
    }
    return ""sv;
}

// Objects have their content there, the others what they say in a form of their own.
bool may_have_payload(RecordKind kind) {
    return kind != RecordKind::tombstone && kind != RecordKind::mark && kind != RecordKind::lost;
}

std::string entry_name(const RecordDraft& draft) {
    std::string name(prefix_of(draft.kind));
    if (!has_object_name(draft.kind)) return name;
    name += draft.bucket_label;
    name += '/';
    name += draft.object;
    return name;
}

size_t entry_name_bytes(const RecordDraft& draft) {
    const size_t prefix_bytes = prefix_of(draft.kind).size();
    if (!has_object_name(draft.kind)) return prefix_bytes;
    return prefix_bytes + draft.bucket_label.size() + 1 + draft.object.size();
}

bool name_fits(const RecordDraft& draft) {
    return entry_name_bytes(draft) <= name_bytes_max && is_utf8(draft.object);
}

void put_octal(std::byte* block, size_t at, size_t width, uint64_t value) {
    // Digits fill the field but for its last byte, which is NUL.
    for (size_t index = width - 1; index-- > 0;) {
        block[at + index] = static_cast<std::byte>('0' + (value & 7));
        value >>= 3;
    }
    block[at + width - 1] = std::byte{0};
}

// The sum of a block's bytes: two lanes of 16 bits in each word take every other byte, and hold
// the sum of 64 words without overflowing.
uint32_t tar_sum(const std::byte* block) {
    constexpr uint64_t low_bytes = 0x00FF00FF00FF00FF;
    static_assert(block_bytes / 8 * 2 * 255 <= UINT16_MAX);
    uint64_t lanes = 0;
    for (size_t at = 0; at < block_bytes; at += 8) {
        const auto word = load_le<uint64_t>(block + at);
        lanes += (word & low_bytes) + (word >> 8 & low_bytes);
    }
    lanes = (lanes & 0x0000FFFF0000FFFF) + (lanes >> 16 & 0x0000FFFF0000FFFF);
    return static_cast<uint32_t>(lanes) + static_cast<uint32_t>(lanes >> 32);
}

// Six digits, NUL, space: the form that every writer uses.
void put_sum(std::byte* block) {
    std::memset(block + sum_at, ' ', sum_bytes);
    const uint32_t sum = tar_sum(block);
    put_octal(block, sum_at, 7, sum);
    block[sum_at + 7] = std::byte{' '};
}

// A plain header of a regular file or, with type 'x', of PAX data; without its checksum.
void put_tar_header(std::byte* block, std::string_view name, char type, uint64_t size,
                    uint64_t mtime_s) {
    constexpr uint64_t mtime_max = 077777777777;
    ASSERT(name.size() <= name_bytes_max);
    std::memset(block, 0, block_bytes);
    std::memcpy(block + name_at, name.data(), name.size());
    put_octal(block, mode_at, 8, 0644);
    put_octal(block, uid_at, 8, 0);
    put_octal(block, gid_at, 8, 0);
    put_octal(block, size_at, 12, size);
    put_octal(block, mtime_at, 12, std::min(mtime_s, mtime_max));
    block[type_at] = static_cast<std::byte>(type);
    std::memcpy(block + magic_at, "ustar\00000", 8);
    put_octal(block, device_major_at, 8, 0);
    put_octal(block, device_minor_at, 8, 0);
}

void store_digest(std::byte* to, const Digest128& digest) {
    store_le(to, digest.low);
    store_le(to + 8, digest.high);
}

Digest128 load_digest(const std::byte* from) {
    return {load_le<uint64_t>(from), load_le<uint64_t>(from + 8)};
}

void put_our_fields(std::byte* block, const RecordDraft& draft, uint32_t header_blocks,
                    uint32_t rest_crc) {
    store_le(block + our_magic_at, our_magic);
    store_le(block + bucket_at, draft.bucket.value);
    store_digest(block + digest_at, draft.digest);
    store_le(block + modified_at, draft.modified_ns);
    store_le(block + content_at, draft.content_bytes);
    block[kind_at] = static_cast<std::byte>(draft.kind);
    block[flags_at] = static_cast<std::byte>(draft.flags);
    block[checksum_type_at] = static_cast<std::byte>(draft.checksum.type);
    block[checksum_bytes_at] = static_cast<std::byte>(draft.checksum.size);
    store_le(block + payload_crc_at, draft.payload_crc);
    store_le(block + rest_crc_at, rest_crc);
    store_le(block + header_blocks_at, header_blocks);
    store_le(block + payload_bytes_at, static_cast<uint32_t>(draft.payload.size()));
    store_le(block + expires_at, draft.expires_ns);
    store_le(block + display_at, draft.display_version);
    store_le(block + object_bytes_at, static_cast<uint16_t>(draft.object.size()));
    block[label_bytes_at] = static_cast<std::byte>(draft.bucket_label.size());
    std::memcpy(block + checksum_at, draft.checksum.digest.data(), draft.checksum.size);
    block[star_guard_at] = std::byte{'P'};
}

// What a block's two checksums are computed of: each sees TAR's as spaces, ours sees its own as
// zeros.
struct BlockSums {
    uint32_t tar = 0;
    uint32_t crc = 0;
};
BlockSums sums_of(const std::byte* block) {
    std::array<std::byte, block_bytes> seen;
    std::memcpy(seen.data(), block, block_bytes);
    std::memset(seen.data() + sum_at, ' ', sum_bytes);
    BlockSums sums;
    sums.tar = tar_sum(seen.data());
    store_le(seen.data() + block_crc_at, uint32_t{0});
    sums.crc = crc32c(seen);
    return sums;
}

bool has_valid_sums(const std::byte* block) {
    const BlockSums sums = sums_of(block);
    std::array<std::byte, sum_bytes> written;
    put_octal(written.data(), 0, 7, sums.tar);
    written[7] = std::byte{' '};
    return load_le<uint32_t>(block + block_crc_at) == sums.crc &&
           std::memcmp(block + sum_at, written.data(), sum_bytes) == 0;
}

// What build_record() promises of the numbers in a head, and what parsing therefore insists on.
bool is_consistent(const RecordHead& head) {
    // In blocks: in bytes, an absurd count would wrap around to a small one.
    if (head.header_blocks < 1 || head.header_blocks > record_bytes_max / block_bytes) return false;
    if (head.header_blocks == 2) return false;
    if (head.payload_bytes > payload_bytes_max) return false;
    if (head.checksum.size > head.checksum.digest.size()) return false;
    if (head.object_bytes > object_name_bytes_max) return false;
    if (has_object_name(head.kind) != (head.object_bytes > 0)) return false;
    const bool is_object = head.kind == RecordKind::object;
    if (is_object && head.payload_bytes != head.content_bytes) return false;
    if (!may_have_payload(head.kind) && head.payload_bytes != 0) return false;
    return true;
}

uint32_t pax_data_bytes(const RecordDraft& draft) {
    size_t bytes = 0;
    if (!name_fits(draft)) {
        if (!is_ascii(draft.object)) bytes += pax_record_bytes("hdrcharset", 6);
        bytes += pax_record_bytes("path", entry_name_bytes(draft));
    }
    if (!draft.variable.empty()) bytes += pax_record_bytes("comment", draft.variable.size());
    return static_cast<uint32_t>(bytes);
}

uint32_t header_blocks_of(const RecordDraft& draft) {
    if (!needs_pax(draft)) return 1;
    return 2 + (pax_data_bytes(draft) + block_bytes - 1) / block_bytes;
}

// The PAX data and the plain header behind it.
void put_pax(const RecordDraft& draft, const std::string& name, MutableBytes headers) {
    MutableBytes data = headers.subspan(block_bytes, headers.size() - size_t{2} * block_bytes);
    std::fill(data.begin(), data.end(), std::byte{0});
    if (!name_fits(draft)) {
        // hdrcharset tells libarchive to leave the bytes as they are, whatever the locale.
        if (!is_ascii(draft.object)) data = put_pax_record(data, "hdrcharset", as_bytes("BINARY"));
        data = put_pax_record(data, "path", as_bytes(name));
    }
    if (!draft.variable.empty()) data = put_pax_record(data, "comment", draft.variable);

    std::byte* plain = headers.data() + headers.size() - block_bytes;
    put_tar_header(plain, name_fits(draft) ? std::string_view(name) : long_entry_name, '0',
                   draft.payload.size(), draft.modified_ns / 1'000'000'000);
    put_sum(plain);
}

}  // namespace

bool is_all_zero(Bytes bytes) {
    // Comparing with itself, one byte on: the library's memcmp is vectorised.
    if (bytes.empty()) return true;
    return bytes[0] == std::byte{0} &&
           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

bool needs_pax(const RecordDraft& draft) {
    return !draft.variable.empty() || !name_fits(draft);
}

uint32_t record_bytes(const RecordDraft& draft) {
    const auto payload_blocks =
        static_cast<uint32_t>((draft.payload.size() + block_bytes - 1) / block_bytes);
    return (header_blocks_of(draft) + payload_blocks) * block_bytes;
}

void build_record(const RecordDraft& draft, const RecordStamp& stamp, MutableBytes to) {
    ASSERT(to.size() == record_bytes(draft));
    ASSERT(draft.variable.size() <= variable_bytes_max);
    ASSERT(draft.payload.size() <= payload_bytes_max);
    ASSERT(draft.object.size() <= object_name_bytes_max);
    ASSERT(draft.bucket_label.size() <= UINT8_MAX);
    ASSERT(has_object_name(draft.kind) == !draft.object.empty());

    const uint32_t header_blocks = header_blocks_of(draft);
    const MutableBytes headers = to.first(size_t{header_blocks} * block_bytes);
    const std::string name = entry_name(draft);
    const uint64_t mtime_s = draft.modified_ns / 1'000'000'000;
    uint32_t rest_crc = 0;
    if (header_blocks == 1) {
        put_tar_header(to.data(), name, '0', draft.payload.size(), mtime_s);
    } else {
        put_tar_header(to.data(), pax_entry_name, 'x', pax_data_bytes(draft), mtime_s);
        put_pax(draft, name, headers);
        rest_crc = crc32c(headers.subspan(block_bytes));
    }
    put_our_fields(to.data(), draft, header_blocks, rest_crc);
    stamp_record(to, stamp);

    std::byte* payload = to.data() + headers.size();
    if (!draft.payload.empty()) {
        std::memcpy(payload, draft.payload.data(), draft.payload.size());
    }
    std::fill(payload + draft.payload.size(), to.data() + to.size(), std::byte{0});
}

void stamp_record(MutableBytes record, const RecordStamp& stamp) {
    ASSERT(record.size() >= block_bytes);
    std::byte* block = record.data();
    ASSERT(load_le<uint32_t>(block + our_magic_at) == our_magic);
    store_le(block + lsn_at, stamp.lsn);
    store_le(block + durable_at, stamp.durable);
    store_le(block + map_version_at, stamp.version.map_version);
    store_le(block + sequence_at, stamp.version.sequence);
    store_digest(block + previous_at, stamp.previous);
    store_le(block + block_crc_at, sums_of(block).crc);
    put_sum(block);
}

BlockState parse_first_block(Bytes bytes, RecordHead& head) {
    if (bytes.size() < block_bytes) return BlockState::damaged;
    const std::byte* block = bytes.data();
    if (load_le<uint32_t>(block + our_magic_at) != our_magic) {
        return is_all_zero(bytes.first(block_bytes)) ? BlockState::zero : BlockState::damaged;
    }
    if (!has_valid_sums(block)) return BlockState::damaged;
    const auto kind = static_cast<uint8_t>(block[kind_at]);
    if (kind < uint8_t(RecordKind::segment) || kind > uint8_t(RecordKind::lost)) {
        return BlockState::damaged;
    }
    const auto checksum_type = static_cast<uint8_t>(block[checksum_type_at]);
    if (checksum_type > uint8_t(ChecksumType::sha512)) return BlockState::damaged;
    head.kind = static_cast<RecordKind>(kind);
    head.flags = static_cast<uint8_t>(block[flags_at]);
    head.lsn = load_le<uint64_t>(block + lsn_at);
    head.durable = load_le<uint64_t>(block + durable_at);
    head.version = {load_le<uint64_t>(block + map_version_at),
                    load_le<uint64_t>(block + sequence_at)};
    head.bucket = {load_le<uint64_t>(block + bucket_at)};
    head.digest = load_digest(block + digest_at);
    head.previous = load_digest(block + previous_at);
    head.modified_ns = load_le<uint64_t>(block + modified_at);
    head.content_bytes = load_le<uint64_t>(block + content_at);
    head.expires_ns = load_le<uint64_t>(block + expires_at);
    head.display_version = load_le<uint64_t>(block + display_at);
    head.checksum.type = static_cast<ChecksumType>(checksum_type);
    head.checksum.size = static_cast<uint8_t>(block[checksum_bytes_at]);
    std::memcpy(head.checksum.digest.data(), block + checksum_at, head.checksum.digest.size());
    head.payload_crc = load_le<uint32_t>(block + payload_crc_at);
    head.rest_crc = load_le<uint32_t>(block + rest_crc_at);
    head.header_blocks = load_le<uint32_t>(block + header_blocks_at);
    head.payload_bytes = load_le<uint32_t>(block + payload_bytes_at);
    head.object_bytes = load_le<uint16_t>(block + object_bytes_at);
    head.label_bytes = static_cast<uint8_t>(block[label_bytes_at]);
    return is_consistent(head) ? BlockState::valid : BlockState::damaged;
}

std::optional<RecordHeader> parse_record_header(Bytes bytes) {
    RecordHeader header;
    RecordHead& head = header.head;
    if (parse_first_block(bytes, head) != BlockState::valid) return std::nullopt;
    if (bytes.size() < head.header_bytes()) return std::nullopt;

    std::string_view name = as_text(bytes.first(name_bytes_max));
    if (head.header_blocks > 1) {
        const Bytes rest = bytes.subspan(block_bytes, head.header_bytes() - block_bytes);
        if (crc32c(rest) != head.rest_crc) return std::nullopt;
        const std::optional<PaxFields> pax = parse_pax(rest.first(rest.size() - block_bytes));
        if (!pax) return std::nullopt;
        header.variable = pax->comment;
        name =
            pax->path.empty() ? as_text(rest.last(block_bytes).first(name_bytes_max)) : pax->path;
    }
    if (!has_object_name(head.kind)) return header;

    const size_t prefix_bytes = prefix_of(head.kind).size();
    const size_t label_end = prefix_bytes + head.label_bytes;
    if (name.size() < label_end + 1 + head.object_bytes) return std::nullopt;
    header.bucket_label = name.substr(prefix_bytes, head.label_bytes);
    header.object = name.substr(label_end + 1, head.object_bytes);
    return header;
}

std::optional<Bytes> checked_payload(const RecordHead& head, Bytes record) {
    if (record.size() < head.record_bytes()) return std::nullopt;
    const Bytes padded =
        record.subspan(head.header_bytes(), size_t{head.payload_blocks()} * block_bytes);
    const Bytes payload = padded.first(head.payload_bytes);
    if (!is_all_zero(padded.subspan(head.payload_bytes))) return std::nullopt;
    if (crc32c(payload) != head.payload_crc) return std::nullopt;
    return payload;
}

}  // namespace penstock::node
