// Bytes as they may lie in a damaged segment: parsing stays inside them, and what it accepts is
// consistent.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "node/store/attributes.h"
#include "node/store/pax.h"
#include "node/store/record.h"
#include "node/store/segment_table.h"

namespace {

using namespace penstock;
using namespace penstock::node;

// The checksums of random bytes are never right: mend them, so that the parser behind them is
// reached.
void mend(std::vector<std::byte>& bytes) {
    if (bytes.size() < block_bytes) return;
    std::memcpy(bytes.data() + 157, "PSR1", 4);
    const auto header_blocks = load_le<uint32_t>(bytes.data() + 358);
    if (header_blocks > 1 && header_blocks <= bytes.size() / block_bytes) {
        const Bytes rest = Bytes(bytes).subspan(block_bytes, (header_blocks - 1) * block_bytes);
        store_le(bytes.data() + 354, crc32c(rest));
    }
    stamp_record(bytes, {1, 1, {1, 1}, {}});
}

void parse(Bytes bytes) {
    if (const auto table = parse_segment_table(bytes)) {
        if (as_text(encode_segment_table(*table)) != as_text(bytes)) __builtin_trap();
    }
    if (const auto numbers = parse_segment_numbers(bytes)) {
        if (as_text(encode_segment_numbers(*numbers)) != as_text(bytes)) __builtin_trap();
    }
    const auto header = parse_record_header(bytes);
    if (!header) return;
    ASSERT(header->head.header_bytes() <= bytes.size());
    ASSERT(header->object.size() == header->head.object_bytes);
    const auto payload = checked_payload(header->head, bytes);
    if (payload) ASSERT(header->head.record_bytes() <= bytes.size());
    if (payload && header->head.kind == RecordKind::extents) (void)parse_attributes(*payload);
    (void)parse_attributes(header->variable);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
    parse(bytes);
    (void)parse_pax(bytes);
    (void)is_utf8(as_text(bytes));
    if (const auto attributes = parse_attributes(bytes)) {
        ASSERT(parse_attributes(encode_attributes(*attributes)).has_value());
    }
    std::vector<std::byte> mended(bytes.begin(), bytes.end());
    mend(mended);
    parse(mended);
    return 0;
}
