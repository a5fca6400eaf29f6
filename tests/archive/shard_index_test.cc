#include "archive/shard_index.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/base/random.h"

namespace penstock::archive {
namespace {

ShardIndex opened(const ShardIndexBuilder& builder, uint64_t shard_bytes) {
    Result<ShardIndex> index =
        ShardIndex::open(builder.encode(Format::tar, shard_bytes, std::nullopt));
    EXPECT_TRUE(index.has_value()) << index.error().context;
    return std::move(*index);
}

TEST(ShardIndexTest, GivesBackWhatWasPutIn) {
    ShardIndexBuilder builder;
    ASSERT_TRUE(builder.add("b", 512, 10));
    ASSERT_TRUE(builder.add("a", 2048, 0));
    ASSERT_TRUE(builder.add("folder/c", 3072, 7));
    Result<ShardIndex> index = ShardIndex::open(builder.encode(Format::tar, 5000, 4096));
    ASSERT_TRUE(index.has_value());

    EXPECT_EQ(index->format(), Format::tar);
    EXPECT_EQ(index->shard_bytes(), 5000U);
    EXPECT_EQ(index->damaged_at(), 4096U);
    ASSERT_EQ(index->member_count(), 3U);
    EXPECT_EQ(index->member(0).name, "b");
    EXPECT_EQ(index->member_by_name_order(0).name, "a");
    EXPECT_EQ(index->member_by_name_order(2).name, "folder/c");
    ASSERT_TRUE(index->find("folder/c").has_value());
    EXPECT_EQ(index->find("folder/c")->offset, 3072U);
    EXPECT_EQ(index->find("folder/c")->size, 7U);
    EXPECT_FALSE(index->find("folder/").has_value());
    EXPECT_FALSE(index->find("").has_value());
}

TEST(ShardIndexTest, AnEmptyOneHasNoMembers) {
    const ShardIndex index = opened(ShardIndexBuilder(), 1024);
    EXPECT_EQ(index.member_count(), 0U);
    EXPECT_FALSE(index.find("a").has_value());
    EXPECT_FALSE(index.damaged_at().has_value());
}

TEST(ShardIndexTest, TheLastOfEqualNamesIsFoundHoweverItIsSpelled) {
    ShardIndexBuilder builder;
    ASSERT_TRUE(builder.add("a", 512, 1));
    ASSERT_TRUE(builder.add("./a", 1536, 2));
    ASSERT_TRUE(builder.add("b", 2560, 3));
    const ShardIndex index = opened(builder, 4096);
    for (const char* name : {"a", "./a", "/a", "//./a"}) {
        ASSERT_TRUE(index.find(name).has_value()) << name;
        EXPECT_EQ(index.find(name)->size, 2U) << name;
        EXPECT_EQ(index.find(name)->name, "./a") << name;
    }
}

TEST(ShardIndexTest, FindsEachOfAHundredThousand) {
    Random random(7);
    std::vector<std::string> names;
    ShardIndexBuilder builder;
    for (uint32_t number = 0; number < 100'000; ++number) {
        names.push_back("train/" + std::to_string(random.next()) + "." + std::to_string(number));
        ASSERT_TRUE(builder.add(names.back(), number * 1024ULL, 512));
    }
    const ShardIndex index = opened(builder, 100'000 * 1024ULL);
    for (uint32_t number = 0; number < names.size(); ++number) {
        const auto member = index.find(names[number]);
        ASSERT_TRUE(member.has_value());
        ASSERT_EQ(member->offset, number * 1024ULL);
        ASSERT_FALSE(index.find(names[number] + "x").has_value());
    }
    std::ranges::sort(names);
    for (uint32_t order = 0; order < names.size(); ++order)
        ASSERT_EQ(index.member_by_name_order(order).name, names[order]);
}

// Too many for the table: the sorted positions answer, and answer alike.
TEST(ShardIndexTest, SearchesWhereThereIsNoTable) {
    ShardIndexBuilder builder;
    const uint32_t count = lookup_members_max + 1;
    for (uint32_t number = 0; number < count; ++number)
        ASSERT_TRUE(builder.add(std::to_string(number * 7919ULL % count), number, 1));
    ASSERT_TRUE(builder.add("./5", count, 2));
    const ShardIndex index = opened(builder, count + 2);
    EXPECT_EQ(index.find("5")->size, 2U);
    EXPECT_FALSE(index.find("x").has_value());
    EXPECT_FALSE(index.find("").has_value());
    for (uint32_t number = 6; number < count; number += 11) {
        const auto member = index.find(std::to_string(number));
        ASSERT_TRUE(member.has_value());
        ASSERT_EQ(member->offset * 7919ULL % count, number);
    }
}

TEST(ShardIndexTest, RefusesEveryFlippedBitAndEveryCut) {
    ShardIndexBuilder builder;
    ASSERT_TRUE(builder.add("one", 512, 10));
    ASSERT_TRUE(builder.add("two", 1536, 20));
    const std::vector<std::byte> good = builder.encode(Format::tar, 4096, std::nullopt);
    ASSERT_TRUE(ShardIndex::open(good).has_value());
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
        // The reserved zeros at 40 are covered too.
        std::vector<std::byte> bad = good;
        bad[bit / 8] ^= std::byte{1} << (bit % 8);
        const auto index = ShardIndex::open(bad);
        ASSERT_FALSE(index.has_value()) << bit;
        EXPECT_EQ(index.error().code, Errc::corrupt);
    }
    for (size_t size = 0; size < good.size(); ++size)
        EXPECT_FALSE(ShardIndex::open({good.begin(), good.begin() + static_cast<long>(size)}));
}

TEST(ShardIndexTest, RefusesMembersThatLieOutside) {
    ShardIndexBuilder beyond;
    ASSERT_TRUE(beyond.add("a", 512, 4096));
    EXPECT_FALSE(ShardIndex::open(beyond.encode(Format::tar, 4096, std::nullopt)));
    ShardIndexBuilder overflowing;
    ASSERT_TRUE(overflowing.add("a", 512, UINT64_MAX - 100));
    EXPECT_FALSE(ShardIndex::open(overflowing.encode(Format::tar, 4096, std::nullopt)));
}

TEST(MemberNameTest, RefusesWhatLeavesTheShard) {
    for (const char* name : {"..", "../a", "a/../b", "a/..", "/../a", "./../a", "", "/", "./"})
        EXPECT_EQ(check_member_name(name).error().code, Errc::invalid) << name;
    EXPECT_FALSE(check_member_name(std::string_view("a\0b", 3)));
    EXPECT_FALSE(check_member_name(std::string(4097, 'a')));
    for (const char* name : {"a", "/a", "./a", "..a/b", "a..", "a/...", "\xff"})
        EXPECT_TRUE(check_member_name(name)) << name;
    EXPECT_TRUE(check_member_name(std::string(4096, 'a')));
}

TEST(FormatTest, IsKnownByNameAndByMagic) {
    EXPECT_EQ(format_from_name("a/b.tar"), Format::tar);
    EXPECT_EQ(format_from_name("b.tgz"), Format::tgz);
    EXPECT_EQ(format_from_name("b.tar.gz"), Format::tgz);
    EXPECT_EQ(format_from_name("b.tar.lz4"), Format::tar_lz4);
    EXPECT_EQ(format_from_name("b.zip"), Format::zip);
    EXPECT_EQ(format_from_name("b.tar.zst"), Format::tar_zst);
    EXPECT_EQ(format_from_name("tar"), Format::none);
    EXPECT_EQ(format_from_magic(as_bytes(std::string(257, 'x') + "ustar")), Format::tar);
    EXPECT_EQ(format_from_magic(as_bytes("\x1f\x8b")), Format::tgz);
    EXPECT_EQ(format_from_magic(as_bytes("PK\x03\x04")), Format::zip);
    EXPECT_EQ(format_from_magic(as_bytes("\x04\x22\x4d\x18")), Format::tar_lz4);
    EXPECT_EQ(format_from_magic(as_bytes("\x28\xb5\x2f\xfd")), Format::tar_zst);
    EXPECT_EQ(format_from_magic(as_bytes("PK")), Format::none);
    EXPECT_EQ(format_from_magic({}), Format::none);
}

}  // namespace
}  // namespace penstock::archive
