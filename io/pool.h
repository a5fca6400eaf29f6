// Pool: work that blocks, done by a few threads so that no core waits for it.
//
// A sequence of file calls (create, allocate, rename, sync the directory) is one job, and so is a
// step of LevelDB's: each would otherwise cost a thread hop of its own. A finished job is itself
// the message that goes to its reactor's mailbox.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "io/reactor.h"
#include "io/task.h"

namespace penstock::io {

class Pool {
public:
    // Belongs to its submitter, who keeps it alive until on_delivery is called on `home`; without a
    // home it is the job's own, and run() ends its life.
    struct Job : Message {
        void (*run)(Job&) = nullptr;  // on a pool thread
        Reactor* home = nullptr;      // where the message is delivered when run() has returned
        Job* next_job = nullptr;      // the pool's own
    };

    virtual ~Pool() = default;
    // From any thread. Jobs start in the order of submission.
    virtual void submit(Job& job) = 0;

    // co_await pool.run(reactor, function): what `function()`, called on a pool thread, returned.
    // `function` must own or outlive what it touches; no coroutine runs on the pool.
    template <typename F>
    auto run(Reactor& home, F function);
};

// `thread_count` threads, joined by the destructor after the queue is empty.
std::unique_ptr<Pool> make_thread_pool(uint32_t thread_count);
// For the simulation and single-threaded tests: runs each job on its home reactor's own thread, in
// a later turn, after as much virtual time as `delay_ns` says (null: none).
std::unique_ptr<Pool> make_inline_pool(std::function<uint64_t()> delay_ns = nullptr);

namespace internal {

template <typename F>
class [[nodiscard]] PoolAwaiter : Pool::Job {
public:
    using Value = std::invoke_result_t<F&>;

    PoolAwaiter(Pool& pool, Reactor& reactor, F function)
        : pool_(pool), function_(std::move(function)) {
        home = &reactor;
        run = [](Pool::Job& job) {
            auto& self = static_cast<PoolAwaiter&>(job);
            if constexpr (std::is_void_v<Value>) {
                self.function_();
            } else {
                self.value_.emplace(self.function_());
            }
        };
        on_delivery = [](Message& message) {
            auto& self = static_cast<PoolAwaiter&>(message);
            self.home->make_ready(self.waiter_);
        };
    }
    PoolAwaiter(const PoolAwaiter&) = delete;
    PoolAwaiter& operator=(const PoolAwaiter&) = delete;

    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        waiter_ = handle;
        pool_.submit(*this);
    }
    Value await_resume() {
        if constexpr (!std::is_void_v<Value>) return std::move(*value_);
    }

private:
    using Stored = std::conditional_t<std::is_void_v<Value>, bool, Value>;

    Pool& pool_;
    F function_;
    std::coroutine_handle<> waiter_;
    std::optional<Stored> value_;
};

}  // namespace internal

template <typename F>
auto Pool::run(Reactor& home, F function) {
    return internal::PoolAwaiter<F>(*this, home, std::move(function));
}

}  // namespace penstock::io
