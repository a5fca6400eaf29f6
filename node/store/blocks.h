// Blocks: an object file is proved in blocks of 64 KiB, one CRC32C each, so that a range can be
// verified without reading the rest.
#pragma once

#include <cstdint>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/checksum.h"

namespace penstock::node {

constexpr uint32_t checked_block_bytes = 64 << 10;

constexpr uint64_t checked_block_count(uint64_t content_bytes) {
    return content_bytes / checked_block_bytes + (content_bytes % checked_block_bytes != 0);
}

// The CRC32C of the whole content from those of its blocks.
uint32_t crc_of_blocks(const std::vector<uint32_t>& blocks, uint64_t content_bytes);

// Takes the content as it passes by, in pieces of any size.
class BlockSummer {
public:
    void add(Bytes bytes);
    // After the last byte: one checksum for each block, the last one of what is left.
    std::vector<uint32_t> finish();

private:
    std::vector<uint32_t> sums_;
    uint32_t current_ = 0;
    uint32_t current_bytes_ = 0;
};

// Which blocks of an open file this core has seen with the right checksum. Of an object file its
// checked blocks; of a segment its pages, where only whole payloads that begin with one are marked.
class VerifiedMarks {
public:
    explicit VerifiedMarks(uint32_t unit_bytes) : unit_bytes_(unit_bytes) {}

    void mark(uint64_t block);
    void clear(uint64_t block);
    bool is_marked(uint64_t block) const;
    // All blocks that [offset, offset + size) touches; size >= 1.
    void mark_all(uint64_t offset, uint64_t size);
    bool are_marked(uint64_t offset, uint64_t size) const;
    void clear_all(uint64_t offset, uint64_t size);

private:
    uint32_t unit_bytes_;
    std::vector<uint64_t> words_;
};

}  // namespace penstock::node
