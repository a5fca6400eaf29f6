#include "node/store/compaction_policy.h"

#include <gtest/gtest.h>

#include "node/store/compaction_pace.h"
#include "node/store/segment_digests.h"
#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

constexpr uint64_t mib = 1 << 20;

class CompactionPolicyTest : public ::testing::Test {
protected:
    // Segments of 1 MiB with so many live bytes each; the newest is still written to.
    void fill(std::vector<uint64_t> live_bytes) {
        uint32_t number = 0;
        for (const uint64_t bytes : live_bytes) {
            sealed_.push_back({++number, mib / 512, mib});
            const auto blocks = static_cast<uint32_t>(bytes / 512);
            if (blocks > 0) live_.add({number, 1, blocks, 1}, {1});
        }
        durable_ = lsn_at(number + 1, 0);
    }
    CompactionView view() const { return {sealed_, live_, kept_, durable_}; }
    std::optional<uint32_t> choice(uint32_t barred = 0) const {
        const auto victim = choose_victim(view(), [barred](const Victim& candidate) {
            return candidate.segment.number == barred;
        });
        if (!victim) return std::nullopt;
        return victim->segment.number;
    }

    double ratio(uint32_t barred = 0) const {
        return space_ratio(view(), [barred](const Victim& candidate) {
            return candidate.segment.number == barred;
        });
    }

    std::vector<SealedSegment> sealed_;
    LiveBytes live_;
    KeptTombstoneMap kept_;
    Lsn durable_ = 0;
};

TEST_F(CompactionPolicyTest, TheSegmentWithMostGarbageGoesFirstAndTheOldestOfEquals) {
    fill({mib, mib / 2, mib / 4, mib / 4, mib});
    EXPECT_EQ(choice(), 3U);
    EXPECT_EQ(choice(3), 4U);
    EXPECT_DOUBLE_EQ(ratio(), 5.0 / 3.0);
    EXPECT_DOUBLE_EQ(ratio(2), 4.0 / 2.5);
}

TEST_F(CompactionPolicyTest, SegmentsThatMayNotBeDurableYetAreLeftAlone) {
    fill({mib, 0, 0});
    durable_ = lsn_at(2, 100);
    EXPECT_EQ(choice(), std::nullopt);
    EXPECT_DOUBLE_EQ(ratio(), 1.0);
}

TEST_F(CompactionPolicyTest, LittleGarbageIsNotWorthIt) {
    fill({mib - mib / 32, mib});
    EXPECT_EQ(choice(), std::nullopt);
}

TEST_F(CompactionPolicyTest, KeptTombstonesCountAsNeededWhileOlderSegmentsStay) {
    fill({mib, mib, mib, mib, 0});
    kept_[5] = {mib, 4};
    EXPECT_EQ(choice(), std::nullopt);
    sealed_.erase(sealed_.begin(), sealed_.begin() + 2);
    EXPECT_EQ(choice(), 5U);
    EXPECT_EQ(garbage_bytes(view(), sealed_.back()), mib / 2);
}

TEST_F(CompactionPolicyTest, LiveBytesAreCountedBySegmentAndBucket) {
    live_.add({1, 1, 10, 1}, {1});
    live_.add({1, 20, 5, 1}, {2});
    live_.add({2, 1, 7, 1}, {1});
    live_.remove({1, 1, 10, 1}, {1});
    EXPECT_EQ(live_.segment_bytes(1), 5U * 512);
    EXPECT_EQ(live_.bucket_bytes({1}), 7U * 512);
    EXPECT_EQ(live_.bucket_bytes({2}), 5U * 512);
    EXPECT_EQ(live_.total_bytes(), 12U * 512);
    // Whether the content lies in files makes no difference to the record.
    live_.add({3, 1, 4 | Place::in_files_bit, 1}, {3});
    EXPECT_EQ(live_.segment_bytes(3), 4U * 512);
}

TEST_F(CompactionPolicyTest, DigestsAreFoundAndFew) {
    SegmentDigests digests;
    SegmentDigests::Set set;
    for (uint64_t index = 0; index < 1000; ++index) {
        set.push_back(SegmentDigests::short_digest(xxh3_128(as_bytes(std::to_string(index)), 0)));
    }
    digests.keep(7, set);
    uint64_t false_count = 0;
    for (uint64_t index = 0; index < 2000; ++index) {
        const bool may = SegmentDigests::may_hold(*digests.find(7),
                                                  xxh3_128(as_bytes(std::to_string(index)), 0));
        if (index < 1000) EXPECT_TRUE(may);
        if (index >= 1000 && may) ++false_count;
    }
    EXPECT_EQ(false_count, 0U);
    EXPECT_EQ(digests.memory_bytes(), 4000U);
    digests.forget(7);
    EXPECT_EQ(digests.find(7), nullptr);
}

TEST(SegmentTableTest, WhatIsWrittenIsRead) {
    const std::vector<SealedSegment> segments = {{1, 10, 0}, {3, 0, 0}, {0xFFFFFFFF, 524288, 0}};
    const auto parsed = parse_segment_table(encode_segment_table(segments));
    ASSERT_TRUE(parsed);
    ASSERT_EQ(parsed->size(), 3U);
    EXPECT_EQ((*parsed)[2].number, 0xFFFFFFFF);
    EXPECT_EQ((*parsed)[2].end_blocks, 524288U);
    EXPECT_EQ(parse_segment_table({})->size(), 0U);
    EXPECT_EQ(*parse_segment_numbers(encode_segment_numbers({{5, 9}})),
              (std::vector<uint32_t>{5, 9}));
}

TEST(SegmentTableTest, WhatIsNoTableIsRefused) {
    std::vector<std::byte> bytes(16);
    EXPECT_FALSE(parse_segment_table(bytes)) << "number 0";
    store_le(bytes.data(), uint32_t{2});
    store_le(bytes.data() + 8, uint32_t{2});
    EXPECT_FALSE(parse_segment_table(bytes)) << "the same number twice";
    store_le(bytes.data() + 8, uint32_t{3});
    EXPECT_TRUE(parse_segment_table(bytes));
    EXPECT_FALSE(parse_segment_table(Bytes(bytes).first(12)));
    EXPECT_FALSE(parse_segment_numbers(Bytes(bytes).first(3)));
}

TEST(CompactionPaceTest, ClientsEarnWhatTheirGarbageCosts) {
    TestLoop loop;
    CompactionPace pace(*loop.reactor);
    CompactionPace::Signs signs;
    signs.is_anybody_waiting = true;
    signs.garbage_share = 0.5;
    pace.observe(signs);
    EXPECT_EQ(pace.step_bytes(), CompactionPace::busy_step_bytes);
    pace.take(4 * mib);
    EXPECT_GT(pace.wait_ns(), 0U);
    // Two bytes are to be worked through for each that was logged, and a quarter more.
    signs.logged_bytes = 2 * mib;
    pace.observe(signs);
    EXPECT_EQ(pace.wait_ns(), 0U);
    pace.take(2 * mib);
    EXPECT_GT(pace.wait_ns(), 0U);
    signs.is_urgent = true;
    pace.observe(signs);
    EXPECT_EQ(pace.wait_ns(), 0U);
    EXPECT_EQ(pace.step_bytes(), CompactionPace::idle_step_bytes);
}

}  // namespace
}  // namespace penstock::node
