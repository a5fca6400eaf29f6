// SlotArena: where the locator's tables lie. Pieces of 32 KiB to 2 MiB, cut out of huge pages and
// given back in any order; a general allocator would take small pages from the system and return
// them, at a page fault for each.
//
// A chunk of 2 MiB has 64 units and a word that says which are taken: a free run is found by a few
// shifts. One core's own.
#pragma once

#include <cstdint>
#include <vector>

#include "io/base/bytes.h"
#include "io/mapped_memory.h"

namespace penstock::node {

class SlotArena {
public:
    static constexpr size_t unit_bytes = 32 << 10;
    static constexpr uint32_t units_max = 64;

    // Memory that holds anything; aligned to a unit.
    MutableBytes allocate(uint32_t units);
    void release(MutableBytes piece);
    uint64_t memory_bytes() const { return chunks_.size() * io::MappedMemory::alignment; }

private:
    struct Chunk {
        io::MappedMemory memory;
        uint64_t taken = 0;  // a bit for each unit
    };
    static_assert(unit_bytes * units_max == io::MappedMemory::alignment);

    static uint64_t mask_of(uint32_t units);
    MutableBytes take(Chunk& chunk, uint32_t first, uint32_t units);

    std::vector<Chunk> chunks_;  // by address
};

}  // namespace penstock::node
