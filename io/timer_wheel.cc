#include "io/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace penstock::io {
namespace {

constexpr uint64_t no_tick = UINT64_MAX;

// The first tick at which the deadline has passed.
uint64_t tick_of(uint64_t deadline_ns) {
    return deadline_ns / TimerWheel::tick_ns + (deadline_ns % TimerWheel::tick_ns != 0 ? 1 : 0);
}

bool is_empty(const TimerLink& head) {
    return head.next == &head;
}

}  // namespace

TimerWheel::TimerWheel(uint64_t now_ns) : tick_(now_ns / tick_ns) {
    for (auto& level : slots_) {
        for (TimerLink& head : level) head.next = head.previous = &head;
    }
}

TimerWheel::~TimerWheel() {
    ASSERT(armed_count_ == 0);
}

void TimerWheel::arm(Timer& timer, uint64_t deadline_ns) {
    ASSERT(!timer.is_armed());
    timer.deadline_ns = deadline_ns;
    hang(timer);
    ++armed_count_;
}

void TimerWheel::disarm(Timer& timer) {
    if (!timer.is_armed()) return;
    timer.next->previous = timer.previous;
    timer.previous->next = timer.next;
    timer.next = timer.previous = nullptr;
    if (is_empty(slots_[timer.level][timer.slot])) {
        occupied_[timer.level] &= ~(uint64_t{1} << timer.slot);
    }
    --armed_count_;
}

// Each level's slot spans all slots of the level below it. A timer hangs in the lowest level that
// reaches its tick; one beyond them all hangs in the last slot and is hung anew from there.
void TimerWheel::hang(Timer& timer) {
    constexpr uint64_t reach = uint64_t{1} << (slot_bits * level_count);
    const uint64_t tick = std::clamp(tick_of(timer.deadline_ns), tick_ + 1, tick_ + reach - 1);
    const uint64_t ahead = tick - tick_;
    const auto level = static_cast<uint32_t>((std::bit_width(ahead) - 1) / slot_bits);
    const auto slot = static_cast<uint32_t>((tick >> (slot_bits * level)) % slot_count);

    TimerLink& head = slots_[level][slot];
    timer.level = static_cast<uint8_t>(level);
    timer.slot = static_cast<uint8_t>(slot);
    timer.previous = head.previous;
    timer.next = &head;
    head.previous->next = &timer;
    head.previous = &timer;
    occupied_[level] |= uint64_t{1} << slot;
}

// Moves the timers of the slot that begins now to the levels below.
void TimerWheel::cascade(uint32_t level) {
    const auto slot = static_cast<uint32_t>((tick_ >> (slot_bits * level)) % slot_count);
    TimerLink& head = slots_[level][slot];
    TimerLink* link = head.next;
    head.next = head.previous = &head;
    occupied_[level] &= ~(uint64_t{1} << slot);
    while (link != &head) {
        auto& timer = static_cast<Timer&>(*link);
        link = link->next;
        timer.next = timer.previous = nullptr;
        if (tick_of(timer.deadline_ns) <= tick_) {
            // Due exactly now: into the slot that is expired next.
            TimerLink& due = slots_[0][tick_ % slot_count];
            timer.level = 0;
            timer.slot = static_cast<uint8_t>(tick_ % slot_count);
            timer.previous = due.previous;
            timer.next = &due;
            due.previous->next = &timer;
            due.previous = &timer;
            occupied_[0] |= uint64_t{1} << timer.slot;
        } else {
            hang(timer);
        }
    }
}

uint32_t TimerWheel::expire_slot() {
    TimerLink& head = slots_[0][tick_ % slot_count];
    uint32_t expired_count = 0;
    // One at a time from the front: on_expired may disarm any other timer.
    while (!is_empty(head)) {
        auto& timer = static_cast<Timer&>(*head.next);
        disarm(timer);
        ++expired_count;
        timer.on_expired(timer);
    }
    return expired_count;
}

// The next tick at which something must be done: a slot expires, or one must be cascaded.
uint64_t TimerWheel::next_tick() const {
    uint64_t next = no_tick;
    for (uint32_t level = 0; level < level_count; ++level) {
        if (occupied_[level] == 0) continue;
        const uint64_t position = tick_ >> (slot_bits * level);
        const int current = static_cast<int>(position % slot_count);
        const int ahead = std::countr_zero(std::rotr(occupied_[level], current + 1)) + 1;
        next = std::min(next, (position + static_cast<uint64_t>(ahead)) << (slot_bits * level));
    }
    return next;
}

uint32_t TimerWheel::advance(uint64_t now_ns) {
    const uint64_t now_tick = now_ns / tick_ns;
    uint32_t expired_count = 0;
    while (tick_ < now_tick) {
        const uint64_t next = next_tick();
        if (next > now_tick) {
            tick_ = now_tick;
            break;
        }
        tick_ = next;
        for (uint32_t level = level_count - 1; level > 0; --level) {
            const uint64_t span = uint64_t{1} << (slot_bits * level);
            if (tick_ % span == 0) cascade(level);
        }
        expired_count += expire_slot();
    }
    return expired_count;
}

uint64_t TimerWheel::next_ns() const {
    const uint64_t tick = next_tick();
    return tick == no_tick ? UINT64_MAX : tick * tick_ns;
}

}  // namespace penstock::io
