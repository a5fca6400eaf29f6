// Both kinds of background work keep the same promises. Also run under ThreadSanitizer.
#include "io/background.h"

#include <gtest/gtest.h>

#include <csignal>
#include <latch>
#include <thread>
#include <vector>

namespace penstock::io {
namespace {

class BackgroundTest : public ::testing::TestWithParam<bool> {
protected:
    bool has_thread() const { return GetParam(); }
    std::unique_ptr<Background> background_ =
        GetParam() ? make_background_thread() : make_inline_background();
};

TEST_P(BackgroundTest, JobsRunInOrderAndTheEndWaitsForThem) {
    std::vector<int> done;
    for (int index = 0; index < 1000; ++index) {
        background_->submit([&done, index] { done.push_back(index); });
    }
    background_.reset();
    ASSERT_EQ(done.size(), 1000U);
    for (int index = 0; index < 1000; ++index) EXPECT_EQ(done[static_cast<size_t>(index)], index);
}

TEST_P(BackgroundTest, AJobMaySubmitTheNext) {
    Background& background = *background_;  // jobs run while the pointer is being reset
    int depth = 0;
    std::function<void()> go_on = [&] {
        if (++depth < 100) background.submit(go_on);
    };
    background_->submit(go_on);
    background_->run_pending();
    if (has_thread()) {
        std::latch is_done(1);
        background_->submit([&] { is_done.count_down(); });
        is_done.wait();
    } else {
        EXPECT_EQ(depth, 100) << "all of it was done here";
    }
    background_.reset();
    EXPECT_EQ(depth, 100);
}

TEST_P(BackgroundTest, WhereAJobRuns) {
    std::thread::id where;
    bool is_blocked = false;
    background_->submit([&] {
        where = std::this_thread::get_id();
        sigset_t blocked;
        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
        is_blocked = sigismember(&blocked, SIGTERM) == 1;
    });
    background_->run_pending();
    background_.reset();
    EXPECT_EQ(where == std::this_thread::get_id(), !has_thread());
    EXPECT_EQ(is_blocked, has_thread()) << "signals are for the thread that waits for them";
}

TEST_P(BackgroundTest, AnyThreadMaySubmitToAThread) {
    if (!has_thread()) GTEST_SKIP() << "without a thread, one submits and runs";
    int done_count = 0;  // by the one background thread alone
    {
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < 4; ++thread) {
            threads.emplace_back([&] {
                for (int index = 0; index < 500; ++index) {
                    background_->submit([&] { ++done_count; });
                }
            });
        }
    }
    background_.reset();
    EXPECT_EQ(done_count, 2000);
}

INSTANTIATE_TEST_SUITE_P(Kinds, BackgroundTest, ::testing::Values(false, true),
                         [](const auto& test) { return test.param ? "thread" : "inline"; });

}  // namespace
}  // namespace penstock::io
