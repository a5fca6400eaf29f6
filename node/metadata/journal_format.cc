#include "node/metadata/journal_format.h"

#include <utility>

#include "io/base/checksum.h"

namespace penstock::node {
namespace {

constexpr uint64_t header_magic = 0x31'41'54'45'4d'53'4e'50;  // "PNSMETA1"
constexpr uint32_t header_format = 1;
constexpr size_t header_bytes = 56;
constexpr uint32_t record_magic = 0x43'52'4d'50;  // "PMRC"
constexpr size_t record_header_bytes = 40;
constexpr size_t record_checked_bytes = record_header_bytes - 4;

uint32_t record_crc(Bytes header, Bytes command) {
    return crc32c(command, crc32c(header.first(record_checked_bytes)));
}

}  // namespace

std::vector<std::byte> encode_snapshot(const MetadataState& state, uint64_t generation) {
    const std::vector<std::byte> snapshot = state.encode();
    std::vector<std::byte> bytes;
    bytes.reserve(header_bytes + snapshot.size());
    append_le(bytes, header_magic);
    append_le(bytes, header_format);
    append_le(bytes, uint32_t{0});
    append_le(bytes, generation);
    append_le(bytes, state.version());
    append_le(bytes, uint64_t{snapshot.size()});
    append_le(bytes, crc32c(snapshot));
    append_le(bytes, uint64_t{0});
    append_le(bytes, crc32c(bytes));
    ASSERT(bytes.size() == header_bytes);
    bytes.insert(bytes.end(), snapshot.begin(), snapshot.end());
    return bytes;
}

Result<JournalSnapshot> parse_snapshot(Bytes file, uint64_t generation) {
    if (file.size() < header_bytes) return fail(Errc::corrupt, "shorter than its header");
    const Bytes header = file.first(header_bytes);
    if (load_le<uint64_t>(header.data()) != header_magic ||
        load_le<uint32_t>(header.data() + header_bytes - 4) !=
            crc32c(header.first(header_bytes - 4))) {
        return fail(Errc::corrupt, "its header is damaged");
    }
    if (load_le<uint32_t>(header.data() + 8) > header_format) {
        return fail(Errc::invalid, "the metadata was written by a newer release");
    }
    const auto version = load_le<uint64_t>(header.data() + 24);
    const auto snapshot_bytes = load_le<uint64_t>(header.data() + 32);
    if (load_le<uint64_t>(header.data() + 16) != generation ||
        snapshot_bytes > file.size() - header_bytes) {
        return fail(Errc::corrupt, "its header does not fit the file");
    }
    const Bytes snapshot = file.subspan(header_bytes, snapshot_bytes);
    if (load_le<uint32_t>(header.data() + 40) != crc32c(snapshot)) {
        return fail(Errc::corrupt, "its snapshot is damaged");
    }
    TRY(std::shared_ptr<const MetadataState> state, MetadataState::parse(snapshot));
    if (state->version() != version) return fail(Errc::corrupt, "its snapshot is another's");
    return JournalSnapshot{std::move(state), header_bytes + snapshot_bytes};
}

void append_record(std::vector<std::byte>& to, Bytes command, uint64_t generation, uint64_t version,
                   uint64_t durable_version) {
    ASSERT(command.size() <= command_bytes_max);
    const size_t begin = to.size();
    append_le(to, record_magic);
    append_le(to, static_cast<uint32_t>(command.size()));
    append_le(to, generation);
    append_le(to, version);
    append_le(to, durable_version);
    append_le(to, uint32_t{0});
    append_le(to, record_crc(Bytes(to).subspan(begin), command));
    ASSERT(to.size() == begin + record_header_bytes);
    to.insert(to.end(), command.begin(), command.end());
}

std::optional<JournalRecord> parse_record(Bytes rest, uint64_t generation) {
    if (rest.size() < record_header_bytes) return std::nullopt;
    const std::byte* header = rest.data();
    const auto command_bytes = load_le<uint32_t>(header + 4);
    if (load_le<uint32_t>(header) != record_magic || command_bytes > command_bytes_max ||
        command_bytes > rest.size() - record_header_bytes ||
        load_le<uint64_t>(header + 8) != generation) {
        return std::nullopt;
    }
    JournalRecord record;
    record.command = rest.subspan(record_header_bytes, command_bytes);
    if (load_le<uint32_t>(header + record_checked_bytes) != record_crc(rest, record.command)) {
        return std::nullopt;
    }
    record.version = load_le<uint64_t>(header + 16);
    record.durable_version = load_le<uint64_t>(header + 24);
    record.bytes = record_header_bytes + command_bytes;
    return record;
}

bool is_cut_off(Bytes rest) {
    if (rest.size() < record_header_bytes) return true;
    const auto command_bytes = load_le<uint32_t>(rest.data() + 4);
    return load_le<uint32_t>(rest.data()) == record_magic && command_bytes <= command_bytes_max &&
           command_bytes > rest.size() - record_header_bytes;
}

}  // namespace penstock::node
