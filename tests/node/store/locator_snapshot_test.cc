// The locator as a file: what was saved is what is loaded, and only for the state it was saved in.
#include "node/store/locator_snapshot.h"

#include <gtest/gtest.h>

#include <memory>

#include "io/base/random.h"
#include "node/store/segment.h"
#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

class LocatorSnapshotTest : public ::testing::Test {
protected:
    static LocatorFacts facts() {
        LocatorFacts facts;
        facts.directory_key = 77;
        facts.position = lsn_at(9, 100);
        facts.entry_count = names;
        return facts;
    }
    static Digest128 digest(uint64_t index) {
        return xxh3_128(Bytes(reinterpret_cast<const std::byte*>(&index), sizeof index), 1);
    }
    static Place place(uint64_t index) {
        return {static_cast<uint32_t>(index % 9 + 1), static_cast<uint32_t>(index * 4), 3,
                static_cast<uint32_t>(index % 5)};
    }

    void save() {
        Locator locator(turns_);
        for (uint64_t index = 0; index < names; ++index) {
            locator.publish(digest(index), place(index));
        }
        LocatorFacts saved = facts();
        saved.content_bytes = 123;
        saved.file_content_bytes = 45;
        for (uint64_t index = 0; index < names; ++index) {
            saved.live.add(place(index), BucketId{index % 3 + 1});
        }
        const auto status = save_locator(*disk_, saved, locator);
        ASSERT_TRUE(status) << status.error().context;
    }

    // Enough for several blocks.
    static constexpr uint64_t names = 100'000;

    TestLoop loop_;
    io::Turns turns_{{}};  // no readers
    io::MemoryStorage storage_;
    std::unique_ptr<io::BlockingDisk> disk_ = storage_.make_blocking_disk();
};

TEST_F(LocatorSnapshotTest, WhatWasSavedIsLoaded) {
    save();
    Locator locator(turns_);
    LocatorFacts loaded = facts();
    const Result<bool> result = load_locator(*disk_, nullptr, loaded, locator);
    ASSERT_TRUE(result) << result.error().context;
    EXPECT_TRUE(*result);
    ASSERT_EQ(locator.count(), names);
    uint64_t total = 0;
    for (uint64_t index = 0; index < names; ++index) {
        ASSERT_EQ(locator.find(digest(index)), place(index));
        total += place(index).record_bytes();
    }
    EXPECT_EQ(loaded.content_bytes, 123U);
    EXPECT_EQ(loaded.file_content_bytes, 45U);
    EXPECT_EQ(loaded.live.total_bytes(), total);
    EXPECT_EQ(loaded.live.segments().size(), 9U);
    EXPECT_EQ(loaded.live.buckets().size(), 3U);
}

TEST_F(LocatorSnapshotTest, ItCountsOnlyForTheStateThatItWasSavedIn) {
    Locator locator(turns_);
    LocatorFacts other = facts();
    EXPECT_EQ(load_locator(*disk_, nullptr, other, locator), Result<bool>(false));  // none yet
    save();
    other.position += 1;
    EXPECT_EQ(load_locator(*disk_, nullptr, other, locator), Result<bool>(false));
    other = facts();
    other.entry_count -= 1;
    EXPECT_EQ(load_locator(*disk_, nullptr, other, locator), Result<bool>(false));
    other = facts();
    other.directory_key += 1;
    EXPECT_EQ(load_locator(*disk_, nullptr, other, locator), Result<bool>(false));
    other = facts();
    const auto is_live = [](BucketId bucket) { return bucket.value != 2; };
    EXPECT_EQ(load_locator(*disk_, is_live, other, locator), Result<bool>(false));
    EXPECT_EQ(locator.count(), 0U);
}

TEST_F(LocatorSnapshotTest, AFlippedBitIsFoundAndNothingWrongIsLoaded) {
    save();
    const uint64_t bits = storage_.read_file(locator_snapshot_path)->size() * 8;
    constexpr uint64_t block_bits = 8 << 20;
    Random random(5);
    for (int round = 0; round < 60; ++round) {
        // The facts, which are alone in their block, and the places in the blocks behind it.
        const uint64_t bit = round < 30 ? random.next() % 800
                                        : block_bits + random.next() % (bits - block_bits);
        ASSERT_TRUE(storage_.flip_bit(locator_snapshot_path, bit));
        Locator locator(turns_);
        LocatorFacts loaded = facts();
        const Result<bool> result = load_locator(*disk_, nullptr, loaded, locator);
        EXPECT_FALSE(result) << bit;
        locator.for_each([](const Digest128&, const Place& found) {
            ASSERT_NE(found.segment, 0U);
            ASSERT_EQ(found.record_blocks, 3U);
        });
        ASSERT_TRUE(storage_.flip_bit(locator_snapshot_path, bit));
    }
}

// The whole way: stops and starts of a store.
TEST_F(LocatorSnapshotTest, AStoreStartsFromItAndGoesOnWithoutIt) {
    StoreHarness harness(loop_, storage_);
    harness.options().catalogue_cache_bytes = 1 << 20;
    harness.options().saved_names_min = 3;
    const auto restart = [&] {
        harness.stop();
        ASSERT_TRUE(harness.open());
    };
    ASSERT_TRUE(harness.open());
    ASSERT_TRUE(harness.put("a", "1"));
    ASSERT_TRUE(harness.put("b", "2"));
    restart();
    EXPECT_FALSE(storage_.read_file(locator_snapshot_path)) << "too few names for one";
    ASSERT_TRUE(harness.put("large", content_of(1, 300'000)));
    restart();
    ASSERT_TRUE(storage_.read_file(locator_snapshot_path));
    const StoreUsage before = harness.store().usage();
    EXPECT_EQ(before.objects, 3U);
    restart();  // from it, and it still counts
    EXPECT_EQ(harness.store().usage().live_bytes, before.live_bytes);
    EXPECT_EQ(harness.store().usage().object_bytes, before.object_bytes);

    // A process that dies leaves it behind, and what came since is there all the same.
    ASSERT_TRUE(harness.put("a", "11"));
    ASSERT_TRUE(harness.remove("b"));
    io::MemoryStorage left = storage_.crash_keeping_all();
    StoreHarness again(loop_, left);
    again.options() = harness.options();
    ASSERT_TRUE(again.open());
    EXPECT_EQ(again.get("a"), Result<std::string>("11"));
    EXPECT_FALSE(again.get("b"));
    EXPECT_EQ(again.get("large"), Result<std::string>(content_of(1, 300'000)));
    again.stop();
    EXPECT_FALSE(left.read_file(locator_snapshot_path)) << "two names, and the old one is stale";

    // Garbled, it is not believed.
    ASSERT_TRUE(harness.put("c", "3"));
    harness.stop();
    ASSERT_TRUE(storage_.flip_bit(locator_snapshot_path, 12'345));
    ASSERT_TRUE(harness.open());
    EXPECT_EQ(harness.get("c"), Result<std::string>("3"));
    EXPECT_EQ(harness.store().usage().objects, 3U);
}

}  // namespace
}  // namespace penstock::node
