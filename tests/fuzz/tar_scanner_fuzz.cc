// A shard's bytes, whatever they are: the scanner stays in bounds, what it makes is an index that
// opens, and how the bytes were cut into pieces changes nothing.
// The input's first byte chooses the pieces; with its lowest bit the headers' checksums are mended,
// so that what lies behind them is reached.
#include <algorithm>
#include <cstdio>

#include "archive/tar_header.h"
#include "archive/tar_scanner.h"

namespace {

using namespace penstock;
using namespace penstock::archive;

void mend_checksum(std::byte* block) {
    uint32_t sum = 8 * ' ';
    for (size_t at = 0; at < tar_block_bytes; ++at) {
        if (at < 148 || at >= 156) sum += std::to_integer<uint8_t>(block[at]);
    }
    char text[8] = {};
    std::snprintf(text, sizeof text, "%06o", sum);
    std::copy_n(reinterpret_cast<const std::byte*>(text), sizeof text, block + 148);
}

std::vector<std::byte> scan_in_pieces(Bytes shard, uint32_t seed) {
    TarScanner scanner;
    while (!shard.empty()) {
        seed = seed * 1664525 + 1013904223;
        const size_t piece_bytes = std::min<size_t>(shard.size(), 1 + (seed >> 16) % 1200);
        scanner.feed(shard.first(piece_bytes));
        shard = shard.subspan(piece_bytes);
    }
    return scanner.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const auto* begin = reinterpret_cast<const std::byte*>(data);
    std::vector<std::byte> shard(begin + 1, begin + size);
    if ((data[0] & 1) != 0) {
        for (size_t at = 0; at + tar_block_bytes <= shard.size(); at += tar_block_bytes) {
            if (!is_zero_block(Bytes(shard).subspan(at, tar_block_bytes)))
                mend_checksum(&shard[at]);
        }
    }
    TarScanner scanner;
    scanner.feed(shard);
    const uint32_t member_count = scanner.member_count();
    const std::vector<std::byte> encoded = scanner.finish();
    ASSERT(scan_in_pieces(shard, data[0]) == encoded);
    if (encoded.empty()) return 0;
    const Result<ShardIndex> index = ShardIndex::open(encoded);
    ASSERT(index.has_value());
    ASSERT(index->member_count() == member_count);
    ASSERT(index->shard_bytes() == shard.size());
    for (uint32_t position = 0; position < member_count; ++position) {
        const Member member = index->member(position);
        ASSERT(index->find(member.name).has_value());
        if (index->damaged_at()) ASSERT(member.offset + member.size <= *index->damaged_at());
    }
    return 0;
}
