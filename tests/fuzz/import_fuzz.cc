// What an import reads: any bytes as a TAR, in pieces of any size, and any text as what an entry
// says of its object. Reading stays in bounds, whole entries have their whole content, a text that
// is understood says the same when it is written again. The first byte chooses; with its lowest bit
// the headers' checksums are mended, so that what lies behind them is reached.
#include <algorithm>
#include <array>
#include <cstdio>

#include "archive/tar_reader.h"
#include "node/offline/entry_text.h"

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

void check_text(std::string_view text) {
    const std::optional<node::EntryText> entry = node::parse_entry_text(text);
    if (!entry) return;
    const std::string written = node::format_entry_text(*entry);
    const std::optional<node::EntryText> again = node::parse_entry_text(written);
    ASSERT(again.has_value());
    ASSERT(node::format_entry_text(*again) == written);
}

// How many entries there are; `reads`: with their content, else it is passed over.
uint64_t walk(Bytes bytes, size_t piece_bytes, bool reads, bool& is_whole) {
    TarReader reader([bytes, piece_bytes](MutableBytes to) mutable -> Result<size_t> {
        const size_t count = std::min({to.size(), piece_bytes, bytes.size()});
        std::ranges::copy(bytes.first(count), to.begin());
        bytes = bytes.subspan(count);
        return count;
    });
    std::array<std::byte, 700> room;
    for (uint64_t count = 0;; ++count) {
        const Result<std::optional<TarItem>> item = reader.next();
        is_whole = item.has_value();
        if (!item || !*item) return count;
        check_text((*item)->comment);
        uint64_t left = reads ? (*item)->size : 0;
        while (left > 0) {
            const Result<size_t> got = reader.read(room);
            if (!got) {
                is_whole = false;
                return count + 1;
            }
            ASSERT(*got > 0 && *got <= left);
            left -= *got;
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const auto* begin = reinterpret_cast<const std::byte*>(data);
    std::vector<std::byte> bytes(begin + 1, begin + size);
    check_text(as_text(Bytes(bytes)));
    if ((data[0] & 1) != 0) {
        for (size_t at = 0; at + tar_block_bytes <= bytes.size(); at += tar_block_bytes) {
            if (!is_zero_block(Bytes(bytes).subspan(at, tar_block_bytes)))
                mend_checksum(&bytes[at]);
        }
    }
    bool reads_whole = false;
    bool passes_whole = false;
    const uint64_t read = walk(bytes, 1 + data[0] * 16, true, reads_whole);
    const uint64_t passed = walk(bytes, 4096, false, passes_whole);
    ASSERT(read == passed && reads_whole == passes_whole);
    return 0;
}
