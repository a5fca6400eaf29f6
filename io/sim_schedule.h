// SimSchedule: the time of a simulation, and what will happen in it.
//
// Time stands still while code runs and jumps to the next event when nobody has anything to do.
// Events of one moment happen in the order in which they were planned, so a run depends on nothing
// but its seed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "io/base/assert.h"
#include "io/base/clock.h"

namespace penstock::io {

class SimSchedule {
public:
    static constexpr uint64_t never = UINT64_MAX;

    const Clock& clock() const { return clock_; }
    uint64_t now_ns() const { return clock_.monotonic_ns(); }

    void at(uint64_t time_ns, std::function<void()> event) {
        events_.emplace(std::pair(time_ns, ++planned_count_), std::move(event));
    }
    void after(uint64_t delay_ns, std::function<void()> event) {
        at(now_ns() + delay_ns, std::move(event));
    }

    uint64_t next_ns() const { return events_.empty() ? never : events_.begin()->first.first; }

    // Moves the time to `time_ns`, and no event may lie before it.
    void advance_to(uint64_t time_ns) {
        ASSERT(time_ns >= now_ns());
        clock_.advance(time_ns - now_ns());
    }
    // Lets everything happen whose time has come.
    void run_due() {
        while (next_ns() <= now_ns()) {
            // Taken out first: an event may plan others.
            auto node = events_.extract(events_.begin());
            node.mapped()();
        }
    }

private:
    ManualClock clock_;
    uint64_t planned_count_ = 0;
    std::map<std::pair<uint64_t, uint64_t>, std::function<void()>> events_;
};

}  // namespace penstock::io
