#include "node/store/slot_arena.h"

#include <algorithm>
#include <bit>

namespace penstock::node {
namespace {

// Bit n is set if `units` free ones begin at unit n.
uint64_t free_runs(uint64_t taken, uint32_t units) {
    uint64_t runs = ~taken;
    for (uint32_t length = 1; length < units;) {
        const uint32_t step = std::min(length, units - length);
        runs &= runs >> step;  // zeros come in from above: a run does not leave the chunk
        length += step;
    }
    return runs;
}

}  // namespace

uint64_t SlotArena::mask_of(uint32_t units) {
    return units == units_max ? UINT64_MAX : (uint64_t{1} << units) - 1;
}

MutableBytes SlotArena::allocate(uint32_t units) {
    ASSERT(units > 0 && units <= units_max);
    // The first chunk that has room: the last ones empty out and go back to the system.
    for (Chunk& chunk : chunks_) {
        const uint64_t runs = free_runs(chunk.taken, units);
        if (runs != 0) return take(chunk, static_cast<uint32_t>(std::countr_zero(runs)), units);
    }
    io::MappedMemory memory(io::MappedMemory::alignment);
    const std::byte* address = memory.bytes().data();
    const auto behind = std::ranges::upper_bound(
        chunks_, address, {}, [](const Chunk& chunk) { return chunk.memory.bytes().data(); });
    const auto chunk = chunks_.insert(behind, Chunk{std::move(memory)});
    return take(*chunk, 0, units);
}

MutableBytes SlotArena::take(Chunk& chunk, uint32_t first, uint32_t units) {
    chunk.taken |= mask_of(units) << first;
    return chunk.memory.bytes().subspan(first * unit_bytes, units * unit_bytes);
}

void SlotArena::release(MutableBytes piece) {
    const auto behind =
        std::ranges::upper_bound(chunks_, static_cast<const std::byte*>(piece.data()), {},
                                 [](const Chunk& chunk) { return chunk.memory.bytes().data(); });
    ASSERT(behind != chunks_.begin());
    const auto chunk = behind - 1;
    const auto first =
        static_cast<size_t>(piece.data() - chunk->memory.bytes().data()) / unit_bytes;
    const auto units = static_cast<uint32_t>(piece.size() / unit_bytes);
    const uint64_t mask = mask_of(units) << first;
    ASSERT((chunk->taken & mask) == mask);
    chunk->taken &= ~mask;
    // One empty chunk is kept, so that a table at its limit does not go to the system each time.
    if (chunk->taken != 0) return;
    const auto is_empty = [](const Chunk& other) { return other.taken == 0; };
    if (std::ranges::count_if(chunks_, is_empty) > 1) chunks_.erase(chunk);
}

}  // namespace penstock::node
