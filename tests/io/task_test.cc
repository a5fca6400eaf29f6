// Built without optimisation (tests/io/meson.build): what must not grow there grows nowhere.
#include "io/task.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>

#include "io/base/units.h"
#include "io/reactor.h"
#include "tests/io/kernel_backends.h"

namespace penstock::io {
namespace {

// About where the stack ends now.
uintptr_t stack_position() {
    return reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
}

// The deepest and the highest position seen.
struct StackRange {
    uintptr_t low = UINTPTR_MAX;
    uintptr_t high = 0;
    void note() {
        const uintptr_t position = stack_position();
        low = std::min(low, position);
        high = std::max(high, position);
    }
    uint64_t bytes() const { return high - low; }
};

constexpr uint32_t awaits = 1'000'000;
constexpr uint64_t stack_bytes_max = 64_KiB;

Task<uint32_t> one_more(uint32_t than, StackRange& stack) {
    stack.note();
    co_return than + 1;
}

Task<uint32_t> count_without_waiting(StackRange& stack) {
    uint32_t count = 0;
    while (count < awaits) count = co_await one_more(count, stack);
    co_return count;
}

Task<uint32_t> one_more_later(Reactor& reactor, uint32_t than, StackRange& stack) {
    co_await reactor.yield();
    stack.note();
    co_return than + 1;
}

Task<uint32_t> count_with_waiting(Reactor& reactor, StackRange& stack) {
    uint32_t count = 0;
    while (count < awaits) count = co_await one_more_later(reactor, count, stack);
    co_return count;
}

// A chain of callers, all of which go on when the innermost is done.
Task<uint32_t> nested(Reactor& reactor, uint32_t depth) {
    if (depth == 0) {
        co_await reactor.yield();
        co_return 0;
    }
    co_return 1 + co_await nested(reactor, depth - 1);
}

class TaskTest : public ::testing::Test {
protected:
    SimWorld world_{1};
    Reactor reactor_{make_sim_kernel(world_), ReactorOptions{}};
};

TEST_F(TaskTest, AMillionAwaitsThatNeverWaitDoNotGrowTheStack) {
    StackRange stack;
    EXPECT_EQ(reactor_.run_until_done(count_without_waiting(stack)), awaits);
    EXPECT_LT(stack.bytes(), stack_bytes_max);
}

TEST_F(TaskTest, AMillionAwaitsThatWaitDoNotGrowTheStack) {
    StackRange stack;
    EXPECT_EQ(reactor_.run_until_done(count_with_waiting(reactor_, stack)), awaits);
    EXPECT_LT(stack.bytes(), stack_bytes_max);
}

TEST_F(TaskTest, CallersGoOnInTurnWhenTheInnermostIsDone) {
    EXPECT_EQ(reactor_.run_until_done(nested(reactor_, 1000)), 1000U);
}

Task<void> note_frame(std::set<void*>& frames) {
    struct Awaiter {
        std::set<void*>& seen;
        bool await_ready() const { return false; }
        bool await_suspend(std::coroutine_handle<> handle) const {
            seen.insert(handle.address());
            return false;
        }
        void await_resume() const {}
    };
    co_await Awaiter{frames};
}

Task<void> note_frames(std::set<void*>& frames, uint32_t count) {
    for (uint32_t index = 0; index < count; ++index) co_await note_frame(frames);
}

TEST_F(TaskTest, FramesAreUsedAgain) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
    GTEST_SKIP() << "the lists keep nothing there";
#endif
#endif
    std::set<void*> frames;
    reactor_.run_until_done(note_frames(frames, 1000));
    EXPECT_EQ(frames.size(), 1U);
}

Task<std::unique_ptr<int>> make_value(int value) {
    co_return std::make_unique<int>(value);
}

Task<int> read_value() {
    const std::unique_ptr<int> value = co_await make_value(7);
    co_return *value;
}

TEST_F(TaskTest, ValuesAreMovedNotCopied) {
    EXPECT_EQ(reactor_.run_until_done(read_value()), 7);
}

TEST_F(TaskTest, ATaskThatIsNeverAwaitedNeverStarts) {
    bool has_started = false;
    struct Steps {
        static Task<void> start(bool& started) {
            started = true;
            co_return;
        }
    };
    {
        const Task<void> unused = Steps::start(has_started);
    }
    EXPECT_FALSE(has_started);
}

Task<Result<int>> half_of(int number) {
    if (number % 2 != 0) co_return fail(Errc::invalid, "odd");
    co_return number / 2;
}

Task<Result<int>> quarter_of(int number) {
    CO_TRY(const int half, co_await half_of(number));
    CO_TRY(const int quarter, co_await half_of(half));
    co_return quarter;
}

Task<Status> check_even(int number) {
    CO_TRY_STATUS([&]() -> Status {
        if (number % 2 != 0) return fail(Errc::invalid, "odd");
        return {};
    }());
    co_return Status();
}

TEST_F(TaskTest, TryTakesTheValueOrEndsWithTheError) {
    EXPECT_EQ(reactor_.run_until_done(quarter_of(8)).value(), 2);
    EXPECT_EQ(reactor_.run_until_done(quarter_of(7)).error().code, Errc::invalid);
    EXPECT_EQ(reactor_.run_until_done(quarter_of(6)).error().context, "odd");
    EXPECT_TRUE(reactor_.run_until_done(check_even(2)));
    EXPECT_FALSE(reactor_.run_until_done(check_even(3)));
}

// What a task owns goes when it is done, and not before.
Task<void> hold(Reactor& reactor, std::shared_ptr<int> value, bool& is_held) {
    co_await reactor.yield();
    is_held = value.use_count() > 0;
}

TEST_F(TaskTest, ADetachedTaskOwnsItsParametersUntilItIsDone) {
    auto value = std::make_shared<int>(1);
    bool is_held = false;
    start_detached(hold(reactor_, value, is_held));
    EXPECT_EQ(value.use_count(), 2);
    while (!is_held) reactor_.turn(0);
    EXPECT_EQ(value.use_count(), 1);
}

TEST_F(TaskTest, DestroyingATaskThatWaitsIsOurBug) {
    EXPECT_DEATH(
        {
            std::optional<Task<uint32_t>> task(nested(reactor_, 0));
            task->await_ready();
            task.reset();
        },
        "assertion failed");
}

}  // namespace
}  // namespace penstock::io
