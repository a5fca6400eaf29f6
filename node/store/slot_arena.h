// SlotArena: the memory of the locator's tables. Pages of 16 KiB, cut out of huge pages and given
// back in any order: all of one size, so that none is too small to be used again (pieces as large
// as a table left a third of the memory in gaps), and a table that grows meets no page fault.
//
// A chunk of 2 MiB has 128 pages and a bit for each that is taken. One core's own.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "io/base/bytes.h"
#include "io/mapped_memory.h"

namespace penstock::node {

class SlotArena {
public:
    static constexpr size_t page_bytes = 16 << 10;

    // A page that holds anything, aligned to its size.
    std::byte* allocate();
    void release(std::byte* page);
    uint64_t memory_bytes() const { return chunks_.size() * io::MappedMemory::alignment; }

private:
    static constexpr size_t words = io::MappedMemory::alignment / page_bytes / 64;
    struct Chunk {
        io::MappedMemory memory;
        std::array<uint64_t, words> taken{};  // a bit for each page
        uint32_t free_count = words * 64;
    };

    static std::byte* take(Chunk& chunk);

    std::vector<Chunk> chunks_;  // by address
    size_t first_free_ = 0;      // no chunk before this one has a free page
};

}  // namespace penstock::node
