// A failed fsync is final for the segment: it is never written or synced again; what was not
// durable, and what was but shares its last page, is logged again elsewhere before anybody is told.
// The disk in memory does what Linux does: the bytes of a failed sync look written, and are lost
// with the power, whatever is synced later.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

class PoisonedTest : public ::testing::Test {
protected:
    static void configure(StoreHarness& harness) {
        harness.options().segment_bytes = 64 << 10;
        harness.options().small_object_bytes_max = 8 << 10;
        harness.options().reserve_bytes = 4096;
        harness.options().direct_group_bytes_min = 64 << 10;  // where records lie is counted on
    }
    static uint64_t segment_of(StoreHarness& harness, std::string_view name) {
        return harness.store().read_order(0, StoreHarness::name(name)) >> 32;
    }
    static uint64_t page_of(StoreHarness& harness, std::string_view name) {
        const uint64_t place = harness.store().read_order(0, StoreHarness::name(name));
        return (place & UINT32_MAX) * 512 / 4096;
    }
    static void pause(StoreHarness& harness) {
        harness.run([](io::Reactor& at) -> io::Task<bool> {
            co_return co_await at.sleep(at.within_ns(1'000'000)) == 0;
        }(*harness.loop().reactor));
    }
    static uint64_t syncs(const io::MemoryStorage& storage) {
        return static_cast<uint64_t>(
            std::ranges::count(storage.calls(), io::DiskCallKind::sync, &io::DiskCall::kind));
    }
    static void expect(StoreHarness& harness, const char* when) {
        SCOPED_TRACE(when);
        EXPECT_EQ(harness.get("far").value_or("lost"), std::string(6000, 'f'));
        for (const char* name : {"edge", "near", "mate"}) {
            EXPECT_EQ(harness.get(name).value_or("lost"), "committed") << name;
        }
        EXPECT_EQ(harness.get("x").value_or("lost"), "acknowledged");
        EXPECT_EQ(harness.list().value_or(std::vector<std::string>()).size(), 5U);
    }
    // The name of the file that `x` would have gone to.
    static constexpr const char* poisoned = "log/0000000001.tar";

    TestLoop loop_;
};

TEST_F(PoisonedTest, WhatItHeldAndItsNeighboursAreLoggedAgainElsewhere) {
    io::MemoryStorage storage;
    StoreHarness harness(loop_, storage);
    configure(harness);
    ASSERT_TRUE(harness.open());
    // Up to the end of the second page; then two commits, and a mark between them, in the third.
    ASSERT_TRUE(harness.put("far", std::string(6000, 'f')));
    ASSERT_TRUE(harness.put("edge", "committed"));
    ASSERT_TRUE(harness.put("near", "committed"));
    for (int turn = 0; turn < 20; ++turn) pause(harness);
    ASSERT_TRUE(harness.put("mate", "committed"));
    ASSERT_EQ(page_of(harness, "edge"), 1U);
    ASSERT_EQ(page_of(harness, "near"), 2U);
    ASSERT_EQ(page_of(harness, "mate"), 2U);
    storage.fail_sync(syncs(storage), io::FailedSync::drops);
    const size_t calls_before = storage.calls().size();
    ASSERT_TRUE(harness.put("x", "acknowledged"));
    EXPECT_EQ(harness.store().usage().log_failures, 1U);
    for (const char* name : {"far", "edge"}) EXPECT_EQ(segment_of(harness, name), 1U) << name;
    for (const char* name : {"near", "mate", "x"}) EXPECT_EQ(segment_of(harness, name), 2U) << name;
    expect(harness, "at once");
    harness.stop();
    // The group's write and the sync that failed are the last that the file has seen.
    std::vector<io::DiskCallKind> seen;
    const std::vector<io::DiskCall> calls = storage.calls();
    for (size_t index = calls_before; index < calls.size(); ++index) {
        if (calls[index].path == poisoned) seen.push_back(calls[index].kind);
    }
    ASSERT_GE(seen.size(), 2U);
    EXPECT_EQ(std::ranges::count(seen, io::DiskCallKind::sync), 1);
    EXPECT_EQ(seen.back(), io::DiskCallKind::sync);
    StoreHarness again(loop_, storage);
    configure(again);
    ASSERT_TRUE(again.open());
    expect(again, "after a restart");
}

TEST_F(PoisonedTest, NoPowerCutTakesBackWhatWasAcknowledged) {
    for (const io::FailedSync effect : {io::FailedSync::drops, io::FailedSync::keeps}) {
        uint64_t states = 0;
        for (uint64_t at = 0; at < 500; ++at) {
            SCOPED_TRACE(at);
            io::MemoryStorage storage;
            io::MemoryStorage left;
            uint64_t calls = 0;
            bool is_cut = false;
            bool is_acknowledged = false;
            {
                StoreHarness harness(loop_, storage);
                configure(harness);
                ASSERT_TRUE(harness.open());
                ASSERT_TRUE(harness.put("far", std::string(6000, 'f')));
                ASSERT_TRUE(harness.put("near", "committed in the same page"));
                storage.fail_sync(syncs(storage), effect);
                Random random(at + 1);
                bool was_acknowledged = false;
                storage.on_call([&](const io::DiskCall&) {
                    if (calls++ != at || is_cut) return;
                    is_cut = true;
                    is_acknowledged = was_acknowledged;
                    left = storage.crash(random);
                });
                ASSERT_TRUE(harness.put("x", "acknowledged"));
                was_acknowledged = true;
                ASSERT_TRUE(harness.put("later", "elsewhere"));
                storage.on_call(nullptr);
            }
            if (!is_cut) break;
            states += 1;
            StoreHarness after(loop_, left);
            configure(after);
            const Status opened = after.open();
            ASSERT_TRUE(opened) << opened.error().context;
            EXPECT_EQ(after.get("far").value_or("lost"), std::string(6000, 'f'));
            EXPECT_EQ(after.get("near").value_or("lost"), "committed in the same page");
            const auto x = after.get("x");
            if (is_acknowledged) EXPECT_EQ(x.value_or("lost"), "acknowledged");
            if (!x) EXPECT_EQ(x.error().code, Errc::not_found);
            if (HasFailure()) return;
        }
        EXPECT_GT(states, 8U);
    }
}

// Whichever further call fails while the tail moves: the next segment, too, may be poisoned.
TEST_F(PoisonedTest, EachFurtherCallMayFail) {
    for (uint64_t at = 0; at < 500; ++at) {
        SCOPED_TRACE(at);
        io::MemoryStorage storage;
        io::FaultPlan plan;
        bool is_acknowledged = false;
        {
            StoreHarness harness(loop_, storage, &plan);
            configure(harness);
            ASSERT_TRUE(harness.open());
            ASSERT_TRUE(harness.put("far", std::string(6000, 'f')));
            ASSERT_TRUE(harness.put("near", "committed in the same page"));
            plan.reset();
            plan.add({.kind = io::DiskCallKind::sync, .path_part = poisoned});
            plan.add({.at = at});
            is_acknowledged = harness.put("x", "acknowledged").has_value();
            const bool is_over = plan.call_count() <= at;
            EXPECT_EQ(plan.repeated_sync_count(), 0U);
            plan.reset();
            EXPECT_EQ(harness.get("near").value_or("lost"), "committed in the same page");
            EXPECT_TRUE(harness.put("y", "goes on"));
            if (is_over) {
                EXPECT_GT(at, 3U);
                return;
            }
        }
        Random random(at + 1);
        io::MemoryStorage left = storage.crash(random);
        StoreHarness after(loop_, left);
        configure(after);
        ASSERT_TRUE(after.open());
        EXPECT_EQ(after.get("far").value_or("lost"), std::string(6000, 'f'));
        EXPECT_EQ(after.get("near").value_or("lost"), "committed in the same page");
        EXPECT_EQ(after.get("y").value_or("lost"), "goes on");
        if (is_acknowledged) EXPECT_EQ(after.get("x").value_or("lost"), "acknowledged");
        if (HasFailure()) return;
    }
    FAIL() << "the move has no end";
}

// Two segments in a row fail: the tail is lost, and with it a `none` write that readers have seen.
// What it had replaced counts after the next start, so its files are there; and from then on no
// file is removed until that start, which removes what is nobody's.
TEST_F(PoisonedTest, FilesThatALostTailMayBringBackStay) {
    io::MemoryStorage storage;
    io::FaultPlan plan;
    const std::string large = content_of(1, 40'000);
    const auto files = [&] { return storage.make_blocking_disk()->list("objects")->size(); };
    {
        StoreHarness harness(loop_, storage, &plan);
        configure(harness);
        ASSERT_TRUE(harness.open());
        ASSERT_TRUE(harness.put("a", large));
        ASSERT_TRUE(harness.put("b", large));
        ASSERT_TRUE(harness.put("c", large));
        ASSERT_EQ(files(), 3U);
        plan.reset();
        plan.add({.kind = io::DiskCallKind::sync, .path_part = "log/", .is_sticky = true});
        plan.add({.kind = io::DiskCallKind::sync, .path_part = "segment", .is_sticky = true});
        PutOptions options;
        options.durability = Durability::none;
        ASSERT_TRUE(harness.put("a", "seen, and lost", std::move(options)));
        EXPECT_EQ(harness.get("a").value_or("lost"), "seen, and lost");
        for (int turn = 0; turn < 2000 && plan.met_count() < 3; ++turn) pause(harness);
        for (int turn = 0; turn < 100; ++turn) pause(harness);
        plan.reset();
        EXPECT_GT(harness.store().usage().log_failures, 0U);
        // Everything goes on; what is replaced from now on keeps its files.
        ASSERT_TRUE(harness.put("b", "small now"));
        ASSERT_TRUE(harness.remove("c"));
        for (int turn = 0; turn < 50; ++turn) pause(harness);
        EXPECT_EQ(files(), 3U);
    }
    io::MemoryStorage left = storage.crash_losing_all();
    StoreHarness again(loop_, left);
    configure(again);
    ASSERT_TRUE(again.open());
    EXPECT_TRUE(again.get("a").value_or("lost") == large);
    EXPECT_EQ(again.get("b").value_or("lost"), "small now");
    EXPECT_EQ(again.get("c").error().code, Errc::not_found);
    const auto files_left = [&] { return left.make_blocking_disk()->list("objects")->size(); };
    for (int turn = 0; turn < 2000 && files_left() != 1; ++turn) pause(again);
    EXPECT_EQ(files_left(), 1U);
}

}  // namespace
}  // namespace penstock::node
