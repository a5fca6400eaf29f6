#include "node/store/slot_arena.h"

#include <algorithm>
#include <bit>

namespace penstock::node {

std::byte* SlotArena::allocate() {
    // The first chunk that has room: the last ones empty out and go back to the system.
    for (; first_free_ < chunks_.size(); ++first_free_) {
        if (chunks_[first_free_].free_count > 0) return take(chunks_[first_free_]);
    }
    io::MappedMemory memory(io::MappedMemory::alignment);
    const std::byte* address = memory.bytes().data();
    const auto behind = std::ranges::upper_bound(
        chunks_, address, {}, [](const Chunk& chunk) { return chunk.memory.bytes().data(); });
    const auto chunk = chunks_.insert(behind, Chunk{std::move(memory)});
    first_free_ = static_cast<size_t>(chunk - chunks_.begin());
    return take(*chunk);
}

std::byte* SlotArena::take(Chunk& chunk) {
    for (size_t word = 0; word < words; ++word) {
        if (chunk.taken[word] == UINT64_MAX) continue;
        const auto bit = static_cast<size_t>(std::countr_one(chunk.taken[word]));
        chunk.taken[word] |= uint64_t{1} << bit;
        --chunk.free_count;
        return chunk.memory.bytes().data() + (word * 64 + bit) * page_bytes;
    }
    assertion_failed("a chunk with free pages has one", __FILE__, __LINE__);
}

void SlotArena::release(std::byte* page) {
    const auto behind =
        std::ranges::upper_bound(chunks_, static_cast<const std::byte*>(page), {},
                                 [](const Chunk& chunk) { return chunk.memory.bytes().data(); });
    ASSERT(behind != chunks_.begin());
    const auto chunk = behind - 1;
    const auto index = static_cast<size_t>(page - chunk->memory.bytes().data()) / page_bytes;
    ASSERT(index < words * 64);
    const uint64_t bit = uint64_t{1} << (index % 64);
    ASSERT((chunk->taken[index / 64] & bit) != 0);
    chunk->taken[index / 64] &= ~bit;
    ++chunk->free_count;
    first_free_ = std::min(first_free_, static_cast<size_t>(chunk - chunks_.begin()));

    // One empty chunk is kept, so that a table at its limit does not go to the system each time.
    const auto is_empty = [](const Chunk& other) { return other.free_count == words * 64; };
    if (is_empty(*chunk) && std::ranges::count_if(chunks_, is_empty) > 1) chunks_.erase(chunk);
}

}  // namespace penstock::node
