// TimerWheel: the deadlines of one core, by the millisecond.
//
// Nearly every deadline is set and taken back before it comes (a keep-alive that gets its next
// request), so both must cost a few nanoseconds: timers are intrusive and hang in the slot of
// their deadline; four levels of 64 slots cover 4.6 hours, later ones wait in the last slot and
// are sorted in again. (Hashed and hierarchical timing wheels: Varghese and Lauck, 1987.)
#pragma once

#include <array>
#include <cstdint>

#include "io/base/assert.h"

namespace penstock::io {

// A link of a slot's list.
struct TimerLink {
    TimerLink* next = nullptr;
    TimerLink* previous = nullptr;
};

struct Timer : TimerLink {
    // Called by advance(), once, when the deadline has passed; the timer is no longer armed then.
    void (*on_expired)(Timer&) = nullptr;
    uint64_t deadline_ns = 0;

    bool is_armed() const { return next != nullptr; }
    Timer() = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { ASSERT(!is_armed()); }

    uint8_t level = 0, slot = 0;  // where it hangs
};

class TimerWheel {
public:
    static constexpr uint64_t tick_ns = 1'000'000;

    explicit TimerWheel(uint64_t now_ns);
    ~TimerWheel();  // asserts that no timer is armed

    // `timer` must not be armed. A deadline that has passed expires at the next advance().
    void arm(Timer& timer, uint64_t deadline_ns);
    // Nothing happens if it is not armed.
    void disarm(Timer& timer);
    // Calls on_expired of every timer whose deadline has passed by a tick or more at now_ns, never
    // of one whose deadline is later. Returns how many.
    uint32_t advance(uint64_t now_ns);
    // No timer expires before this time; never later than the first one's tick. UINT64_MAX: none.
    uint64_t next_ns() const;
    uint32_t armed_count() const { return armed_count_; }

private:
    static constexpr uint32_t level_count = 4;
    static constexpr uint32_t slot_bits = 6;
    static constexpr uint32_t slot_count = 1U << slot_bits;

    void hang(Timer& timer);
    void cascade(uint32_t level);
    uint32_t expire_slot();
    uint64_t next_tick() const;

    std::array<std::array<TimerLink, slot_count>, level_count> slots_;  // list heads
    std::array<uint64_t, level_count> occupied_{};                      // a bit for each slot
    uint64_t tick_;                                                     // everything before has run
    uint32_t armed_count_ = 0;
};

}  // namespace penstock::io
