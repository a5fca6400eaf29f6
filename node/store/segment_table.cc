#include "node/store/segment_table.h"

#include "io/base/assert.h"

namespace penstock::node {
namespace {

constexpr size_t entry_bytes = segment_table_bytes(1);
constexpr size_t number_bytes = 4;

}  // namespace

std::vector<std::byte> encode_segment_table(std::span<const SealedSegment> segments) {
    ASSERT(segments.size() <= table_segments_max);
    std::vector<std::byte> bytes(segments.size() * entry_bytes);
    size_t at = 0;
    uint32_t last = 0;
    for (const SealedSegment& segment : segments) {
        ASSERT(segment.number > last);
        last = segment.number;
        store_le(bytes.data() + at, segment.number);
        store_le(bytes.data() + at + number_bytes, segment.end_blocks);
        at += entry_bytes;
    }
    return bytes;
}

std::optional<std::vector<SealedSegment>> parse_segment_table(Bytes bytes) {
    if (bytes.size() % entry_bytes != 0) return std::nullopt;
    if (bytes.size() / entry_bytes > table_segments_max) return std::nullopt;
    std::vector<SealedSegment> segments;
    segments.reserve(bytes.size() / entry_bytes);
    uint32_t last = 0;
    for (size_t at = 0; at < bytes.size(); at += entry_bytes) {
        const auto number = load_le<uint32_t>(bytes.data() + at);
        if (number <= last) return std::nullopt;
        last = number;
        segments.push_back({number, load_le<uint32_t>(bytes.data() + at + number_bytes), 0});
    }
    return segments;
}

std::vector<std::byte> encode_segment_numbers(std::span<const uint32_t> numbers) {
    std::vector<std::byte> bytes(numbers.size() * number_bytes);
    for (size_t index = 0; index < numbers.size(); ++index) {
        store_le(bytes.data() + index * number_bytes, numbers[index]);
    }
    return bytes;
}

std::optional<std::vector<uint32_t>> parse_segment_numbers(Bytes bytes) {
    if (bytes.size() % number_bytes != 0) return std::nullopt;
    std::vector<uint32_t> numbers;
    for (size_t at = 0; at < bytes.size(); at += number_bytes) {
        numbers.push_back(load_le<uint32_t>(bytes.data() + at));
    }
    return numbers;
}

}  // namespace penstock::node
