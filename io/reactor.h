// Reactor: one core's event loop, on a Kernel.
//
// A turn runs what is ready, delivers messages from other cores, fires timers, and then makes one
// call on the kernel, which hands over what was started and reaps what is done. Completions only
// mark tasks as ready: nothing runs inside reaping, so batches stay fair and nothing recurses.
//
// Everything here is called on the reactor's own thread, except post(), stop() and core().
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>

#include "io/kernel.h"
#include "io/mailbox.h"
#include "io/task.h"
#include "io/timer_wheel.h"
#include "io/wait.h"

namespace penstock::io {

struct ReactorOptions {
    uint32_t core = 0;  // this reactor's number among its siblings, from 0
    // How long a loop looks for work before it sleeps, once it was busy: waking a sleeping core
    // costs 30-190 us, and nothing else on the path does. 0: sleeps at once.
    uint64_t spin_ns = 0;
};

class Reactor {
public:
    Reactor(std::unique_ptr<Kernel> kernel, const ReactorOptions& options);
    ~Reactor();  // asserts that no operation is pending and no timer armed
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;

    // Turns until stop() was called. The thread that calls run() or run_until_done() first is the
    // reactor's own.
    void run();
    void stop();
    // Turns until `task` is done and gives its value: for `main`, the embedded library and tests.
    template <typename T>
    T run_until_done(Task<T> task);
    // One turn; waits at most `timeout_ns` if there is nothing to do.
    void turn(uint64_t timeout_ns);

    uint32_t core() const { return options_.core; }
    bool is_current_thread() const { return std::this_thread::get_id() == thread_; }
    Kernel& kernel() { return *kernel_; }
    const Clock& clock() const { return kernel_->clock(); }
    // The monotonic time at which this turn began; good enough for deadlines and costs nothing.
    uint64_t now_ns() const { return now_ns_; }
    Until within_ns(uint64_t ns, Cancel* cancel = nullptr) const { return {now_ns_ + ns, cancel}; }
    // Odd while tasks may run, even while this reactor is inside its call on the kernel, where
    // nothing of ours holds a reference (io/turns.h). Grows by two each turn.
    const std::atomic<uint64_t>& turn_count() const { return turn_count_; }
    // A task is ready or a message has come: a turn now would not wait. Asked between turns.
    bool has_work() const { return !ready_.empty() || !mailbox_.is_empty(); }
    // Nanoseconds spent doing something, as opposed to waiting or spinning.
    uint64_t busy_ns() const { return busy_ns_; }

    // The coroutine is resumed in this turn or the next, after those made ready before it.
    void make_ready(std::coroutine_handle<> handle) { ready_.push_back(handle); }
    // Runs `message` on this core. From any thread; wakes the reactor if it sleeps.
    void post(Message& message);

    void arm(Timer& timer, uint64_t deadline_ns) { timers_.arm(timer, deadline_ns); }
    void disarm(Timer& timer) { timers_.disarm(timer); }

    // Awaitables: co_await gives the operation's result, a count or -errno (-ETIME when the
    // deadline passed, -ECANCELED when cancelled). What they point at must live until then.
    class OperationAwaiter;
    OperationAwaiter read(int file, MutableBytes buffer, uint64_t offset);
    OperationAwaiter write(int file, Bytes bytes, uint64_t offset);
    OperationAwaiter sync_data(int file);
    OperationAwaiter sync_all(int file);
    OperationAwaiter receive(int socket, MutableBytes buffer, Until until);
    OperationAwaiter receive_all(int socket, MutableBytes buffer, Until until);
    OperationAwaiter send(int socket, Bytes bytes, Until until);
    OperationAwaiter connect(int socket, Until until);
    OperationAwaiter poll_readable(int socket, Until until);
    OperationAwaiter poll_writable(int socket, Until until);

    // co_await reactor.sleep({.deadline_ns = ..., .cancel = ...}): 0, or -ECANCELED.
    class SleepAwaiter;
    SleepAwaiter sleep(Until until);
    // co_await reactor.yield(): lets everything else that is ready run first.
    auto yield() {
        struct Awaiter {
            Reactor& reactor;
            bool await_ready() const { return false; }
            void await_suspend(std::coroutine_handle<> handle) const { reactor.make_ready(handle); }
            void await_resume() const {}
        };
        return Awaiter{*this};
    }

private:
    static constexpr uint32_t ready_budget = 256;  // tasks resumed in a turn, so that I/O gets on
    static constexpr uint32_t spin_work_min = 4;   // completions in a turn that count as busy

    void run_ready();
    void deliver_messages();
    uint64_t wait_ns_at_most(uint64_t timeout_ns, uint64_t time_ns) const;

    ReactorOptions options_;
    std::unique_ptr<Kernel> kernel_;
    TimerWheel timers_;
    Mailbox mailbox_;
    std::deque<std::coroutine_handle<>> ready_;
    std::thread::id thread_;
    std::atomic<uint64_t> turn_count_{1};
    std::atomic<bool> is_stopping_{false};
    uint64_t now_ns_;
    uint64_t busy_ns_ = 0;
    uint64_t last_busy_ns_ = 0;  // when a turn last found much to do
};

class [[nodiscard]] Reactor::OperationAwaiter : Operation {
public:
    OperationAwaiter(Reactor& reactor, OperationKind operation_kind, int file_or_socket,
                     std::byte* bytes, size_t byte_count, uint64_t file_offset, Until until);

    bool await_ready();
    void await_suspend(std::coroutine_handle<> handle);
    int32_t await_resume() const;
    // Of a send or receive_all that was ended early: how many bytes had moved.
    uint32_t moved_bytes() const { return progress; }

private:
    struct DeadlineTimer : Timer {
        OperationAwaiter* owner = nullptr;
    };
    struct Hook : CancelHook {
        OperationAwaiter* owner = nullptr;
    };

    Reactor& reactor_;
    Until until_;
    std::coroutine_handle<> waiter_;
    DeadlineTimer timer_;
    Hook hook_;
    bool is_timed_out_ = false;
};

class [[nodiscard]] Reactor::SleepAwaiter {
public:
    SleepAwaiter(Reactor& reactor, Until until);

    bool await_ready();
    void await_suspend(std::coroutine_handle<> handle);
    int32_t await_resume() const { return result_; }

private:
    struct DeadlineTimer : Timer {
        SleepAwaiter* owner = nullptr;
    };
    struct Hook : CancelHook {
        SleepAwaiter* owner = nullptr;
    };

    Reactor& reactor_;
    Until until_;
    std::coroutine_handle<> waiter_;
    DeadlineTimer timer_;
    Hook hook_;
    int32_t result_ = 0;
};

// The task may end in the middle of a turn, which would then wait for something that nobody needs:
// hence wake().
template <typename T>
T Reactor::run_until_done(Task<T> task) {
    constexpr uint64_t turn_timeout_ns = 100'000'000;
    if constexpr (std::is_void_v<T>) {
        bool is_done = false;
        start_detached([](Task<void> inner, bool& done, Kernel& kernel) -> Task<void> {
            co_await inner;
            done = true;
            kernel.wake();
        }(std::move(task), is_done, *kernel_));
        while (!is_done) turn(turn_timeout_ns);
    } else {
        std::optional<T> value;
        start_detached([](Task<T> inner, std::optional<T>& out, Kernel& kernel) -> Task<void> {
            out.emplace(co_await inner);
            kernel.wake();
        }(std::move(task), value, *kernel_));
        while (!value) turn(turn_timeout_ns);
        return std::move(*value);
    }
}

}  // namespace penstock::io
