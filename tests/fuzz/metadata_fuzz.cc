// Metadata from a foreign disk: commands, snapshots and records of the journal. What reads must
// write the same bytes again.
#include <algorithm>
#include <cstdlib>

#include "node/metadata/journal_format.h"

using namespace penstock;

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
    [[maybe_unused]] const auto snapshot = node::parse_snapshot(bytes, 1);
    [[maybe_unused]] const auto record = node::parse_record(bytes, 1);
    return 0;
}
