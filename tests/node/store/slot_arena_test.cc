// Pieces never overlap, and what is empty goes back to the system.
#include "node/store/slot_arena.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/base/random.h"

namespace penstock::node {
namespace {

TEST(SlotArena, PiecesNeverOverlap) {
    SlotArena arena;
    Random random(3);
    struct Piece {
        MutableBytes bytes;
        uint8_t mark;
    };
    std::vector<Piece> pieces;
    const auto is_whole = [](const Piece& piece) {
        return std::ranges::all_of(piece.bytes,
                                   [&](std::byte byte) { return byte == std::byte{piece.mark}; });
    };
    for (uint32_t step = 0; step < 400; ++step) {
        if (random.below(5) < 3 || pieces.empty()) {
            const auto units = static_cast<uint32_t>(1 + random.below(step % 50 == 0 ? 64 : 12));
            const MutableBytes bytes = arena.allocate(units);
            ASSERT_EQ(bytes.size(), units * SlotArena::unit_bytes);
            const auto mark = static_cast<uint8_t>(step);
            std::ranges::fill(bytes, std::byte{mark});
            pieces.push_back({bytes, mark});
        } else {
            const size_t index = random.below(pieces.size());
            ASSERT_TRUE(is_whole(pieces[index]));
            arena.release(pieces[index].bytes);
            pieces.erase(pieces.begin() + static_cast<ptrdiff_t>(index));
        }
    }
    for (const Piece& piece : pieces) {
        ASSERT_TRUE(is_whole(piece));
        arena.release(piece.bytes);
    }
    EXPECT_LE(arena.memory_bytes(), io::MappedMemory::alignment);
}

TEST(SlotArena, FillsChunksBeforeItTakesMore) {
    SlotArena arena;
    for (uint32_t index = 0; index < 8; ++index) arena.allocate(8);
    EXPECT_EQ(arena.memory_bytes(), io::MappedMemory::alignment);
    arena.allocate(1);
    EXPECT_EQ(arena.memory_bytes(), 2 * io::MappedMemory::alignment);
}

}  // namespace
}  // namespace penstock::node
