// What tasks wait for, and how they stop waiting: Until (a deadline and a Cancel), Event, Gate,
// Semaphore. All belong to one core. Whoever waits has a deadline from its caller, or holds a Gate
// that its owner closes.
#pragma once

#include <coroutine>
#include <cstdint>

#include "io/base/assert.h"
#include "io/base/result.h"

namespace penstock::io {

class Reactor;

// Something that wants to hear of a cancellation; hangs in the Cancel's list while it waits.
struct CancelHook {
    void (*on_cancel)(CancelHook&) = nullptr;
    CancelHook* next = nullptr;
    CancelHook* previous = nullptr;
    bool is_hooked() const { return next != nullptr; }
};

// One owner asks many waits to end early. Once cancelled it stays so: later waits end at once.
class Cancel {
public:
    Cancel();
    ~Cancel();  // asserts that nothing waits on it
    Cancel(const Cancel&) = delete;
    Cancel& operator=(const Cancel&) = delete;

    void cancel();
    bool is_cancelled() const { return is_cancelled_; }
    void hook(CancelHook& hook);
    void unhook(CancelHook& hook);  // nothing happens if it is not hooked

private:
    CancelHook list_;
    bool is_cancelled_ = false;
};

// How long a wait may last: to an absolute monotonic time, and no longer than `cancel` allows.
// A wait that the time ends fails with -ETIME (Errc::timed_out), one that the Cancel ends with
// -ECANCELED (Errc::closed).
struct Until {
    static constexpr uint64_t never = UINT64_MAX;
    uint64_t deadline_ns = never;
    Cancel* cancel = nullptr;
};

namespace internal {
// A coroutine in a queue of waiters.
struct Waiter {
    std::coroutine_handle<> handle;
    Waiter* next = nullptr;
};
// First in, first out; resumes through the reactor's ready queue, never inline.
class WaitQueue {
public:
    ~WaitQueue() { ASSERT(first_ == nullptr); }
    void push(Waiter& waiter);
    bool is_empty() const { return first_ == nullptr; }
    void make_one_ready(Reactor& reactor);
    void make_all_ready(Reactor& reactor);

private:
    Waiter* first_ = nullptr;
    Waiter* last_ = nullptr;
};
}  // namespace internal

// Set once or again; whoever waits goes on when it is set.
class Event {
public:
    explicit Event(Reactor& reactor) : reactor_(reactor) {}
    void set();
    void reset() { is_set_ = false; }
    bool is_set() const { return is_set_; }

    auto wait() {
        struct Awaiter {
            Event& event;
            internal::Waiter waiter{};
            bool await_ready() const { return event.is_set_; }
            void await_suspend(std::coroutine_handle<> handle) {
                waiter.handle = handle;
                event.waiters_.push(waiter);
            }
            void await_resume() const {}
        };
        return Awaiter{*this};
    }

private:
    Reactor& reactor_;
    internal::WaitQueue waiters_;
    bool is_set_ = false;
};

// Counts the work that goes on in the background; close() refuses new work and waits for the rest.
class Gate {
public:
    explicit Gate(Reactor& reactor) : reactor_(reactor) {}
    ~Gate() { ASSERT(count_ == 0); }

    // Holds the gate open while it lives.
    class Pass {
    public:
        explicit Pass(Gate& gate) : gate_(&gate) {}
        Pass(Pass&& other) noexcept : gate_(other.gate_) { other.gate_ = nullptr; }
        Pass& operator=(Pass&&) = delete;
        ~Pass() {
            if (gate_ != nullptr) gate_->leave();
        }

    private:
        Gate* gate_;
    };

    // Fails with `unavailable` once close() was called.
    Result<Pass> enter();
    bool is_closed() const { return is_closed_; }
    uint32_t count() const { return count_; }

    // co_await gate.close()
    auto close() {
        struct Awaiter {
            Gate& gate;
            internal::Waiter waiter{};
            bool await_ready() const {
                gate.is_closed_ = true;
                return gate.count_ == 0;
            }
            void await_suspend(std::coroutine_handle<> handle) {
                waiter.handle = handle;
                gate.closers_.push(waiter);
            }
            void await_resume() const {}
        };
        return Awaiter{*this};
    }

private:
    void leave();

    Reactor& reactor_;
    internal::WaitQueue closers_;
    uint32_t count_ = 0;
    bool is_closed_ = false;
};

// A bound on how many do something at once.
class Semaphore {
public:
    Semaphore(Reactor& reactor, uint64_t units) : reactor_(reactor), units_(units) {}

    bool try_acquire() {
        if (units_ == 0 || !waiters_.is_empty()) return false;
        --units_;
        return true;
    }
    // co_await semaphore.acquire(): one unit, in the order of the calls.
    auto acquire() {
        struct Awaiter {
            Semaphore& semaphore;
            internal::Waiter waiter{};
            bool await_ready() const { return semaphore.try_acquire(); }
            void await_suspend(std::coroutine_handle<> handle) {
                waiter.handle = handle;
                semaphore.waiters_.push(waiter);
            }
            void await_resume() const {}
        };
        return Awaiter{*this};
    }
    void release();
    uint64_t units() const { return units_; }

private:
    Reactor& reactor_;
    internal::WaitQueue waiters_;
    uint64_t units_;
};

}  // namespace penstock::io
