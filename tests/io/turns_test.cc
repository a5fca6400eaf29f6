// Readers on other cores never see freed memory. Run under ThreadSanitizer and AddressSanitizer,
// which would tell.
#include "io/turns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "io/base/units.h"
#include "io/cores.h"
#include "io/sim_kernel.h"

namespace penstock::io {
namespace {

class TurnsTest : public ::testing::Test {
protected:
    std::unique_ptr<Reactor> make_reactor() {
        return std::make_unique<Reactor>(make_sim_kernel(world_), ReactorOptions{});
    }
    SimWorld world_{1};
};

TEST_F(TurnsTest, NothingIsFreedWhileAReaderIsInItsTurn) {
    const std::unique_ptr<Reactor> writer = make_reactor();
    const std::unique_ptr<Reactor> reader = make_reactor();
    bool is_freed = false;
    {
        Turns turns({writer.get(), reader.get()});
        turns.retire([&] { is_freed = true; });
        EXPECT_EQ(turns.reclaim(), 1U);
        writer->turn(0);
        EXPECT_EQ(turns.reclaim(), 1U) << "the reader is in the turn in which it may have looked";
        reader->turn(0);
        EXPECT_FALSE(is_freed);
        EXPECT_EQ(turns.reclaim(), 0U);
        EXPECT_TRUE(is_freed);
    }
}

TEST_F(TurnsTest, WhatIsLeftIsFreedAtTheEnd) {
    const std::unique_ptr<Reactor> writer = make_reactor();
    int freed_count = 0;
    {
        Turns turns({writer.get()});
        for (int index = 0; index < 3; ++index) turns.retire([&] { ++freed_count; });
        EXPECT_EQ(freed_count, 0);
    }
    EXPECT_EQ(freed_count, 3);
}

TEST_F(TurnsTest, EachIsFreedAfterItsOwnTurn) {
    const std::unique_ptr<Reactor> writer = make_reactor();
    std::vector<int> freed;
    Turns turns({writer.get()});
    turns.retire([&] { freed.push_back(1); });
    writer->turn(0);
    turns.retire([&] { freed.push_back(2); });
    EXPECT_EQ(turns.reclaim(), 1U);
    EXPECT_EQ(freed, std::vector<int>{1});
    writer->turn(0);
    EXPECT_EQ(turns.reclaim(), 0U);
}

// Two numbers that are equal as long as the memory is alive.
struct Shared {
    uint64_t first;
    uint64_t second;
};

Task<uint64_t> read_many(Reactor& reactor, const std::atomic<Shared*>& current,
                         std::atomic<uint32_t>& reading_count, const std::atomic<bool>& is_over) {
    uint64_t read_count = 0;
    while (!is_over.load()) {
        const Shared* seen = current.load(std::memory_order_acquire);
        EXPECT_EQ(seen->first, seen->second);
        if (++read_count == 1) ++reading_count;
        // Now and then it really sleeps, so that it counts as between turns.
        if (read_count % 64 == 0) {
            co_await reactor.sleep(reactor.within_ns(ns_per_ms));
        } else {
            co_await reactor.yield();
        }
    }
    co_return read_count;
}

Task<size_t> replace_many(Reactor& reactor, Turns& turns, std::atomic<Shared*>& current,
                          uint64_t count) {
    size_t waiting_max = 0;
    for (uint64_t number = 1; number <= count; ++number) {
        Shared* old = current.exchange(new Shared{number, number}, std::memory_order_acq_rel);
        turns.retire([old] {
            old->second = UINT64_MAX;  // a reader that still looks shows
            delete old;
        });
        waiting_max = std::max(waiting_max, turns.reclaim());
        co_await reactor.yield();
    }
    co_return waiting_max;
}

TEST(TurnsOnCores, ReadersNeverSeeWhatWasFreed) {
    auto started = Cores::start({.count = 3, .pool_threads = 1}, Log::quiet());
    ASSERT_TRUE(started) << started.error().context;
    Cores& cores = **started;
    std::atomic<Shared*> current{new Shared{0, 0}};
    std::atomic<uint32_t> reading_count{0};
    std::atomic<bool> is_over{false};
    {
        Turns turns({&cores.reactor(0), &cores.reactor(1), &cores.reactor(2)});
        std::vector<std::thread> readers;
        for (const uint32_t core : {1U, 2U}) {
            readers.emplace_back([&, core] {
                EXPECT_GT(cores.run_on(core,
                                       [&, core] {
                                           return read_many(cores.reactor(core), current,
                                                            reading_count, is_over);
                                       }),
                          0U);
            });
        }
        while (reading_count.load() < 2) std::this_thread::yield();
        const size_t waiting_max =
            cores.run_on(0, [&] { return replace_many(cores.reactor(0), turns, current, 5000); });
        EXPECT_LT(waiting_max, 5000U) << "something was freed on the way";
        is_over.store(true);
        for (std::thread& reader : readers) reader.join();
        cores.stop();
    }
    delete current.load();
}

}  // namespace
}  // namespace penstock::io
