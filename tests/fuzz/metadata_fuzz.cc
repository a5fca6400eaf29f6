// Metadata from a foreign disk: commands, snapshots, records of the journal, defaults of buckets.
// What reads must write the same bytes again.
#include <algorithm>
#include <cstdlib>

#include "io/base/checksum.h"
#include "node/metadata/journal_format.h"
#include "node/service/bucket_defaults.h"

using namespace penstock;

namespace {

constexpr uint64_t generation = 1;
constexpr size_t record_header_bytes = 40;
constexpr size_t snapshot_header_bytes = 56;

// The marks and checksums of random bytes are never right: written over them, they let the rest of
// the input through as a record or a snapshot of its own length.
std::vector<std::byte> mended_record(Bytes bytes) {
    std::vector<std::byte> record;
    const uint64_t version = bytes.size() >= 8 ? load_le<uint64_t>(bytes.data()) : 0;
    node::append_record(record, bytes, generation, version, version / 2);
    if (!bytes.empty() && bytes[0] == std::byte{0}) record.pop_back();
    return record;
}

std::vector<std::byte> mended_snapshot(Bytes bytes) {
    std::vector<std::byte> snapshot = encode_snapshot(*node::MetadataState::empty(), generation);
    snapshot.resize(snapshot_header_bytes);
    snapshot.insert(snapshot.end(), bytes.begin(), bytes.end());
    store_le(snapshot.data() + 32, uint64_t{bytes.size()});
    store_le(snapshot.data() + 40, crc32c(bytes));
    store_le(snapshot.data() + 52, crc32c(Bytes(snapshot).first(52)));
    return snapshot;
}

void read_journal(Bytes bytes) {
    const std::vector<std::byte> record_bytes = mended_record(bytes);
    if (const auto record = node::parse_record(record_bytes, generation)) {
        if (!std::ranges::equal(record->command, bytes)) abort();
        if (node::parse_record(record_bytes, generation + 1)) abort();
    } else if (record_bytes.size() == record_header_bytes + bytes.size()) {
        abort();
    }
    const auto snapshot = node::parse_snapshot(mended_snapshot(bytes), generation);
    if (snapshot && snapshot->end != snapshot_header_bytes + bytes.size()) abort();
}

void read_defaults(Bytes bytes) {
    const uint64_t stamp = load_le<uint64_t>(bytes.data());
    const auto defaults = node::parse_bucket_defaults(as_text(bytes), stamp);
    if (!defaults) return;
    if (node::encode_bucket_defaults(*defaults, stamp) != as_text(bytes)) abort();
    if (node::parse_bucket_defaults(as_text(bytes), stamp + 1)) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes bytes{reinterpret_cast<const std::byte*>(data), size};
    if (const auto command = node::parse_command(bytes)) {
        const std::vector<std::byte> again = node::encode_command(*command);
        if (!std::ranges::equal(again, bytes)) abort();
        [[maybe_unused]] const auto applied = node::MetadataState::empty()->apply(*command);
    }
    if (const auto state = node::MetadataState::parse(bytes)) {
        const std::vector<std::byte> again = (*state)->encode();
        if (!std::ranges::equal(again, bytes)) abort();
    }
    [[maybe_unused]] const auto snapshot = node::parse_snapshot(bytes, generation);
    [[maybe_unused]] const auto record = node::parse_record(bytes, generation);
    if (size <= node::command_bytes_max) read_journal(bytes);
    if (size >= 8) read_defaults(bytes);
    return 0;
}
