// Pieces never overlap, and what is empty goes back to the system.
#include "node/store/slot_arena.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/base/random.h"

namespace penstock::node {
namespace {

TEST(SlotArena, PagesNeverOverlap) {
    SlotArena arena;
    Random random(3);
    struct Page {
        MutableBytes bytes;
        uint8_t mark;
    };
    std::vector<Page> pages;
    const auto is_whole = [](const Page& page) {
        return std::ranges::all_of(page.bytes,
                                   [&](std::byte byte) { return byte == std::byte{page.mark}; });
    };
    for (uint32_t step = 0; step < 2000; ++step) {
        if (random.below(5) < 3 || pages.empty()) {
            const MutableBytes bytes(arena.allocate(), SlotArena::page_bytes);
            const auto mark = static_cast<uint8_t>(step);
            std::ranges::fill(bytes, std::byte{mark});
            pages.push_back({bytes, mark});
        } else {
            const size_t index = random.below(pages.size());
            ASSERT_TRUE(is_whole(pages[index]));
            arena.release(pages[index].bytes.data());
            pages.erase(pages.begin() + static_cast<ptrdiff_t>(index));
        }
    }
    for (const Page& page : pages) {
        ASSERT_TRUE(is_whole(page));
        arena.release(page.bytes.data());
    }
    EXPECT_LE(arena.memory_bytes(), io::MappedMemory::alignment);
}

TEST(SlotArena, FillsAChunkBeforeItTakesAnother) {
    SlotArena arena;
    std::vector<std::byte*> pages;
    for (uint32_t index = 0; index < 128; ++index) pages.push_back(arena.allocate());
    EXPECT_EQ(arena.memory_bytes(), io::MappedMemory::alignment);
    arena.release(pages[70]);
    EXPECT_EQ(arena.allocate(), pages[70]);
    EXPECT_EQ(arena.memory_bytes(), io::MappedMemory::alignment);
    arena.allocate();
    EXPECT_EQ(arena.memory_bytes(), 2 * io::MappedMemory::alignment);
}

}  // namespace
}  // namespace penstock::node
