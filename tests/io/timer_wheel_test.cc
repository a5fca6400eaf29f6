#include "io/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "io/base/random.h"
#include "io/base/units.h"

namespace penstock::io {
namespace {

// A timer that knows when it expired.
struct Recorded : Timer {
    uint64_t id = 0;
    std::vector<uint64_t>* expired = nullptr;
    Recorded() {
        on_expired = [](Timer& timer) {
            auto& self = static_cast<Recorded&>(timer);
            EXPECT_FALSE(self.is_armed());
            self.expired->push_back(self.id);
        };
    }
};

class TimerWheelTest : public ::testing::Test {
protected:
    static constexpr uint64_t start_ns = 123'456'789;

    Recorded& arm(uint64_t id, uint64_t deadline_ns) {
        timers_.push_back(std::make_unique<Recorded>());
        timers_.back()->id = id;
        timers_.back()->expired = &expired_;
        wheel_.arm(*timers_.back(), deadline_ns);
        return *timers_.back();
    }
    void TearDown() override {
        for (const auto& timer : timers_) wheel_.disarm(*timer);
    }

    TimerWheel wheel_{start_ns};
    std::vector<std::unique_ptr<Recorded>> timers_;
    std::vector<uint64_t> expired_;
};

TEST_F(TimerWheelTest, ATimerExpiresOnceAndNeverEarly) {
    arm(1, start_ns + 10 * ns_per_ms);
    EXPECT_EQ(wheel_.advance(start_ns + 10 * ns_per_ms - 1), 0U);
    EXPECT_EQ(wheel_.advance(start_ns + 11 * ns_per_ms), 1U);
    EXPECT_EQ(wheel_.advance(start_ns + 100 * ns_per_ms), 0U);
    EXPECT_EQ(wheel_.armed_count(), 0U);
    EXPECT_EQ(wheel_.next_ns(), UINT64_MAX);
}

TEST_F(TimerWheelTest, ADeadlineThatHasPassedExpiresAtTheNextTick) {
    arm(1, 0);
    arm(2, start_ns);
    EXPECT_LE(wheel_.next_ns(), start_ns + 2 * ns_per_ms);
    EXPECT_EQ(wheel_.advance(start_ns + 2 * ns_per_ms), 2U);
}

TEST_F(TimerWheelTest, DisarmingTakesOutWhateverLevelItHangsIn) {
    for (const uint64_t ms : {1ULL, 63ULL, 64ULL, 5'000ULL, 300'000ULL, 20'000'000ULL}) {
        wheel_.disarm(arm(ms, start_ns + ms * ns_per_ms));
    }
    EXPECT_EQ(wheel_.armed_count(), 0U);
    EXPECT_EQ(wheel_.next_ns(), UINT64_MAX);
    EXPECT_EQ(wheel_.advance(start_ns + 40'000'000 * ns_per_ms), 0U);
}

TEST_F(TimerWheelTest, DeadlinesBeyondTheLastLevelExpireAtTheirTime) {
    constexpr uint64_t hour_ns = 3600 * ns_per_s;
    arm(1, start_ns + 4 * hour_ns);
    arm(2, start_ns + 5 * hour_ns);    // the levels cover 4.6 hours
    arm(3, start_ns + 100 * hour_ns);  // sorted in again some twenty times
    arm(4, UINT64_MAX - 1);
    uint64_t now_ns = start_ns;
    std::map<uint64_t, uint64_t> expired_at;
    while (now_ns < start_ns + 101 * hour_ns) {
        const uint64_t next_ns = wheel_.next_ns();
        ASSERT_GT(next_ns, now_ns) << "the loop would spin";
        now_ns = next_ns;
        wheel_.advance(now_ns);
        for (const uint64_t id : expired_) expired_at.emplace(id, now_ns);
    }
    EXPECT_EQ(expired_at.size(), 3U);
    for (const auto& [id, hours] : {std::pair{1, 4}, {2, 5}, {3, 100}}) {
        const uint64_t deadline_ns = start_ns + static_cast<uint64_t>(hours) * hour_ns;
        EXPECT_GE(expired_at[static_cast<uint64_t>(id)], deadline_ns);
        EXPECT_LE(expired_at[static_cast<uint64_t>(id)], deadline_ns + ns_per_ms);
    }
}

TEST_F(TimerWheelTest, AClockThatJumpsFarExpiresAllThatIsDueAndNothingElse) {
    for (uint64_t id = 0; id < 1000; ++id) arm(id, start_ns + id * id * 100 * ns_per_ms);
    const uint64_t jump_ns = start_ns + 500 * 500 * 100 * ns_per_ms + ns_per_ms;
    EXPECT_EQ(wheel_.advance(jump_ns), 501U);
    EXPECT_TRUE(std::ranges::is_sorted(expired_)) << "in the order of their deadlines";
    EXPECT_EQ(wheel_.advance(start_ns + 1000ULL * 1000 * 100 * ns_per_ms), 499U);
}

TEST_F(TimerWheelTest, OnExpiredMayArmAndDisarm) {
    struct Chained : Timer {
        TimerWheel* wheel = nullptr;
        Timer* victim = nullptr;
        uint64_t again_ns = 0;
        int count = 0;
    };
    Chained chained;
    Recorded& victim = arm(1, start_ns + 5 * ns_per_ms);
    chained.wheel = &wheel_;
    chained.victim = &victim;
    chained.again_ns = start_ns + 7 * ns_per_ms;
    chained.on_expired = [](Timer& timer) {
        auto& self = static_cast<Chained&>(timer);
        self.wheel->disarm(*self.victim);
        if (++self.count == 1) self.wheel->arm(self, self.again_ns);
    };
    // The same tick: whichever comes first, the victim must be gone.
    wheel_.disarm(victim);
    wheel_.arm(chained, start_ns + 5 * ns_per_ms);
    wheel_.arm(victim, start_ns + 5 * ns_per_ms);
    wheel_.advance(start_ns + 20 * ns_per_ms);
    EXPECT_EQ(chained.count, 2);
    EXPECT_TRUE(expired_.empty());
}

// The model: a list of deadlines. Whatever is done in whatever order, the wheel expires the same.
class TimerWheelModelTest : public TimerWheelTest, public ::testing::WithParamInterface<uint64_t> {
protected:
    static uint64_t tick_after(uint64_t deadline_ns) {
        return (deadline_ns + TimerWheel::tick_ns - 1) / TimerWheel::tick_ns;
    }
    // Deadlines of every magnitude, so that each level is used.
    uint64_t some_delay_ns() {
        const uint64_t magnitude = random_.below(36);
        return random_.below((uint64_t{1} << magnitude) + 1) * 512;
    }
    uint64_t min_tick() const {
        uint64_t first = UINT64_MAX;
        for (const auto& [id, deadline_ns] : model_)
            first = std::min(first, tick_after(deadline_ns));
        return first;
    }
    void arm_some() {
        const uint64_t deadline_ns = now_ns_ + some_delay_ns();
        by_id_[next_id_] = &arm(next_id_, deadline_ns);
        // One that is due already is due at the next tick.
        model_[next_id_] =
            std::max(deadline_ns, (now_ns_ / TimerWheel::tick_ns + 1) * TimerWheel::tick_ns);
        ++next_id_;
    }
    void disarm_some() {
        if (model_.empty()) return;
        auto at = model_.begin();
        std::advance(at, static_cast<ptrdiff_t>(random_.below(model_.size())));
        wheel_.disarm(*by_id_.at(at->first));
        model_.erase(at);
    }
    void advance_some() {
        const uint64_t next_ns = wheel_.next_ns();
        if (!model_.empty()) {
            ASSERT_LE(next_ns / TimerWheel::tick_ns, min_tick())
                << "it would sleep past a deadline";
        }
        now_ns_ = random_.chance(1, 2) && next_ns != UINT64_MAX ? std::max(now_ns_, next_ns)
                                                                : now_ns_ + some_delay_ns();
        expired_.clear();
        wheel_.advance(now_ns_);
        std::vector<uint64_t> due;
        for (const auto& [id, deadline_ns] : model_) {
            if (tick_after(deadline_ns) <= now_ns_ / TimerWheel::tick_ns) due.push_back(id);
        }
        for (const uint64_t id : due) model_.erase(id);
        std::ranges::sort(expired_);
        ASSERT_EQ(expired_, due);
        ASSERT_EQ(wheel_.armed_count(), model_.size());
    }

    Random random_{GetParam()};
    uint64_t now_ns_ = start_ns;
    uint64_t next_id_ = 0;
    std::map<uint64_t, uint64_t> model_;
    std::map<uint64_t, Recorded*> by_id_;
};

TEST_P(TimerWheelModelTest, ExpiresWhatASortedListWould) {
    for (int step = 0; step < 4000; ++step) {
        switch (random_.below(4)) {
            case 0:
            case 1:
                arm_some();
                break;
            case 2:
                disarm_some();
                break;
            default:
                advance_some();
        }
        if (HasFatalFailure()) FAIL() << "seed " << GetParam() << ", step " << step;
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TimerWheelModelTest, ::testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace penstock::io
