#include "io/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace penstock::io {
namespace {

TEST(ParallelTest, RunsEachJobOnceAndTheLastOneHere) {
    std::vector<std::thread::id> threads(3);
    run_in_parallel(3, [&](uint32_t index) {
        EXPECT_EQ(threads[index], std::thread::id());
        threads[index] = std::this_thread::get_id();
    });
    EXPECT_NE(threads[0], std::thread::id());
    EXPECT_NE(threads[0], threads[1]);
    EXPECT_EQ(threads[2], std::this_thread::get_id());
}

TEST(ParallelTest, RunsThemAtTheSameTime) {
    // Each waits for the other: one after the other would never end.
    std::atomic<int> arrived{0};
    run_in_parallel(2, [&](uint32_t) {
        arrived.fetch_add(1);
        while (arrived.load() < 2) std::this_thread::yield();
    });
    EXPECT_EQ(arrived.load(), 2);
}

TEST(ParallelTest, OneAtATimeLosesNoChange) {
    constexpr int steps = 20'000;
    OneAtATime turn;
    int sum = 0;
    run_in_parallel(4, [&](uint32_t) {
        for (int step = 0; step < steps; ++step) turn.run([&] { sum += 1; });
    });
    EXPECT_EQ(sum, 4 * steps);
}

}  // namespace
}  // namespace penstock::io
