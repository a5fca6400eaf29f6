#include "io/wait.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/base/units.h"
#include "io/reactor.h"
#include "io/sim_kernel.h"

namespace penstock::io {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class WaitTest : public ::testing::Test {
protected:
    // Long enough for everything that can happen by itself.
    void settle() {
        for (int turn = 0; turn < 10; ++turn) reactor_.turn(ns_per_ms);
    }
    uint64_t now_ns() const { return world_.clock().monotonic_ns(); }

    SimWorld world_{1};
    Reactor reactor_{make_sim_kernel(world_), ReactorOptions{}};
    std::vector<std::string> happened_;
};

Task<void> wait_for(Event& event, std::vector<std::string>& happened, std::string name) {
    co_await event.wait();
    happened.push_back(std::move(name));
}

TEST_F(WaitTest, AnEventLetsAllWaitersGoInTheirOrderAndNeverInline) {
    Event event(reactor_);
    start_detached(wait_for(event, happened_, "first"));
    start_detached(wait_for(event, happened_, "second"));
    settle();
    EXPECT_THAT(happened_, IsEmpty());
    event.set();
    EXPECT_THAT(happened_, IsEmpty()) << "set() resumes nobody itself";
    settle();
    EXPECT_THAT(happened_, ElementsAre("first", "second"));
    start_detached(wait_for(event, happened_, "third"));
    EXPECT_THAT(happened_, ElementsAre("first", "second", "third")) << "it is set still";
    event.reset();
    start_detached(wait_for(event, happened_, "fourth"));
    settle();
    EXPECT_EQ(happened_.size(), 3U);
    event.set();
    settle();
    EXPECT_EQ(happened_.size(), 4U);
}

Task<void> hold_gate(Gate& gate, Event& until, std::vector<std::string>& happened) {
    const auto pass = gate.enter();
    if (!pass) {
        happened.push_back("refused: " + pass.error().context);
        co_return;
    }
    co_await until.wait();
    happened.push_back("left");
}

Task<void> close_gate(Gate& gate, std::vector<std::string>& happened) {
    co_await gate.close();
    happened.push_back("closed");
}

TEST_F(WaitTest, AClosedGateRefusesAndWaitsForWhoIsInside) {
    Gate gate(reactor_);
    Event event(reactor_);
    start_detached(hold_gate(gate, event, happened_));
    start_detached(hold_gate(gate, event, happened_));
    EXPECT_EQ(gate.count(), 2U);
    start_detached(close_gate(gate, happened_));
    start_detached(close_gate(gate, happened_));
    start_detached(hold_gate(gate, event, happened_));
    settle();
    EXPECT_THAT(happened_, ElementsAre("refused: stopping"));
    event.set();
    settle();
    EXPECT_THAT(happened_, ElementsAre("refused: stopping", "left", "left", "closed", "closed"));
    start_detached(close_gate(gate, happened_));
    EXPECT_EQ(happened_.size(), 6U) << "closing an empty gate does not wait";
}

Task<void> use_unit(Semaphore& semaphore, Event& until, std::vector<std::string>& happened,
                    std::string name) {
    co_await semaphore.acquire();
    happened.push_back(name + " in");
    co_await until.wait();
    semaphore.release();
}

TEST_F(WaitTest, ASemaphoreGivesItsUnitsInTheOrderOfTheCalls) {
    Semaphore semaphore(reactor_, 2);
    Event first(reactor_);
    Event rest(reactor_);
    start_detached(use_unit(semaphore, first, happened_, "a"));
    start_detached(use_unit(semaphore, rest, happened_, "b"));
    start_detached(use_unit(semaphore, rest, happened_, "c"));
    start_detached(use_unit(semaphore, rest, happened_, "d"));
    settle();
    EXPECT_THAT(happened_, ElementsAre("a in", "b in"));
    EXPECT_FALSE(semaphore.try_acquire());
    first.set();
    settle();
    EXPECT_THAT(happened_, ElementsAre("a in", "b in", "c in"));
    EXPECT_EQ(semaphore.units(), 0U) << "the unit went from hand to hand";
    rest.set();
    settle();
    EXPECT_THAT(happened_, ElementsAre("a in", "b in", "c in", "d in"));
    EXPECT_EQ(semaphore.units(), 2U);
    EXPECT_TRUE(semaphore.try_acquire());
    EXPECT_TRUE(semaphore.try_acquire());
    EXPECT_FALSE(semaphore.try_acquire());
}

Task<void> sleep(Reactor& reactor, Until until, std::vector<int32_t>& results) {
    results.push_back(co_await reactor.sleep(until));
}

TEST_F(WaitTest, ASleepEndsAtItsDeadlineAndNotBefore) {
    std::vector<int32_t> results;
    const uint64_t deadline_ns = now_ns() + 50 * ns_per_ms;
    start_detached(sleep(reactor_, {deadline_ns, nullptr}, results));
    while (results.empty()) {
        reactor_.turn(ns_per_s);
        if (results.empty()) {
            EXPECT_LT(now_ns(), deadline_ns + 2 * ns_per_ms);
        }
    }
    EXPECT_GE(now_ns(), deadline_ns);
    EXPECT_THAT(results, ElementsAre(0));
}

TEST_F(WaitTest, ACancelEndsEveryWaitOnItAndAllLaterOnes) {
    std::vector<int32_t> results;
    Cancel cancel;
    start_detached(sleep(reactor_, {Until::never, &cancel}, results));
    start_detached(sleep(reactor_, reactor_.within_ns(10 * ns_per_s, &cancel), results));
    settle();
    EXPECT_THAT(results, IsEmpty());
    const uint64_t before_ns = now_ns();
    cancel.cancel();
    settle();
    EXPECT_THAT(results, ElementsAre(-ECANCELED, -ECANCELED));
    EXPECT_LT(now_ns() - before_ns, ns_per_s);
    start_detached(sleep(reactor_, {Until::never, &cancel}, results));
    EXPECT_EQ(results.size(), 3U) << "at once";
    EXPECT_EQ(results.back(), -ECANCELED);
}

TEST_F(WaitTest, ACancelWhoseWaitEndedByItselfHoldsNothing) {
    std::vector<int32_t> results;
    Cancel cancel;
    start_detached(sleep(reactor_, reactor_.within_ns(2 * ns_per_ms, &cancel), results));
    while (results.empty()) reactor_.turn(ns_per_s);
    EXPECT_THAT(results, ElementsAre(0));
    cancel.cancel();
    settle();
    EXPECT_EQ(results.size(), 1U);
}

// on_cancel may unhook others and hook nothing anew: each hook is told once.
TEST_F(WaitTest, AHookMayUnhookAnotherWhileTheCancelRuns) {
    struct Hook : CancelHook {
        Cancel* cancel = nullptr;
        Hook* other = nullptr;
        int told_count = 0;
    };
    Cancel cancel;
    Hook hooks[3];
    for (Hook& hook : hooks) {
        hook.cancel = &cancel;
        hook.on_cancel = [](CancelHook& base) {
            auto& self = static_cast<Hook&>(base);
            ++self.told_count;
            if (self.other != nullptr) self.cancel->unhook(*self.other);
        };
        cancel.hook(hook);
    }
    hooks[0].other = &hooks[1];
    cancel.cancel();
    EXPECT_EQ(hooks[0].told_count, 1);
    EXPECT_EQ(hooks[1].told_count, 0);
    EXPECT_EQ(hooks[2].told_count, 1);
}

TEST_F(WaitTest, DestroyingWhatIsWaitedOnIsOurBug) {
    EXPECT_DEATH(
        {
            std::optional<Event> event(reactor_);
            start_detached(wait_for(*event, happened_, "x"));
            event.reset();
        },
        "assertion failed");
}

}  // namespace
}  // namespace penstock::io
