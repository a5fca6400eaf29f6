#include "io/mapped_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace penstock::io {
namespace {

// Whether the address belongs to a mapping of this process.
bool is_mapped(const std::byte* address) {
    unsigned char residency = 0;
    auto* page = const_cast<std::byte*>(address);
    return mincore(page, 1, &residency) == 0 || errno != ENOMEM;
}

TEST(MappedMemory, IsZeroAlignedAndWritable) {
    for (const size_t pieces : {1U, 2U, 5U}) {
        const size_t size = pieces * MappedMemory::alignment;
        const MappedMemory memory(size);
        const MutableBytes bytes = memory.bytes();
        ASSERT_EQ(bytes.size(), size);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % MappedMemory::alignment, 0U);
        EXPECT_TRUE(
            std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; }));
        std::ranges::fill(bytes, std::byte{7});
        EXPECT_EQ(bytes.front(), std::byte{7});
        EXPECT_EQ(bytes.back(), std::byte{7});
    }
}

TEST(MappedMemory, WhatIsNotTouchedTakesNoMemory) {
    constexpr size_t size = size_t{64} << 30;  // more than this machine need have
    const MappedMemory memory(size);
    memory.bytes()[size / 2] = std::byte{1};
    unsigned char residency = 0;
    ASSERT_EQ(mincore(memory.bytes().data(), 1, &residency), 0);
    EXPECT_EQ(residency & 1, 0);
    ASSERT_EQ(mincore(memory.bytes().data() + size / 2, 1, &residency), 0);
    EXPECT_EQ(residency & 1, 1);
}

TEST(MappedMemory, MovesKeepTheBytesAndTheEndUnmapsThem) {
    const std::byte* begin = nullptr;
    const std::byte* replaced = nullptr;
    {
        MappedMemory memory(MappedMemory::alignment);
        begin = memory.bytes().data();
        memory.bytes()[100] = std::byte{9};
        MappedMemory moved(std::move(memory));
        EXPECT_EQ(moved.bytes().data(), begin);
        EXPECT_TRUE(memory.bytes().empty());  // NOLINT(bugprone-use-after-move): what is promised
        MappedMemory other(MappedMemory::alignment);
        replaced = other.bytes().data();
        other = std::move(moved);
        EXPECT_FALSE(is_mapped(replaced));
        EXPECT_EQ(other.bytes()[100], std::byte{9});
        MappedMemory& same = other;
        other = std::move(same);
        EXPECT_EQ(other.bytes().data(), begin);
    }
    EXPECT_FALSE(is_mapped(begin));
}

}  // namespace
}  // namespace penstock::io
