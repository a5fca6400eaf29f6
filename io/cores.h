// Cores: one reactor for each core, its thread, buffers and pool; and work sent from one to
// another.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "io/base/log.h"
#include "io/buffer_pool.h"
#include "io/pool.h"
#include "io/reactor.h"

namespace penstock::io {

enum class Backend : uint8_t { automatic, uring, epoll };

struct CoresOptions {
    uint32_t count = 0;  // 0: as many as this process may use (affinity and the cgroup's CPU limit)
    Backend backend = Backend::automatic;
    uint64_t spin_ns = 50'000;
    uint32_t pool_threads = 0;                  // 0: twice the cores
    uint64_t kept_buffer_bytes_max = 16 << 20;  // for each core, between bursts
    bool is_pinned = true;  // each thread to a processor of its own, where there are enough
};

class Cores {
public:
    // Makes the kernels (falling back from uring to epoll with one log line under `automatic`) and
    // starts the threads. `unavailable` if the named backend cannot be had.
    static Result<std::unique_ptr<Cores>> start(const CoresOptions& options, const Log& log);
    ~Cores();  // asserts that stop() ran

    uint32_t count() const { return static_cast<uint32_t>(cores_.size()); }
    Reactor& reactor(uint32_t core) { return *cores_[core]->reactor; }
    BufferPool& buffers(uint32_t core) { return *cores_[core]->buffers; }
    Pool& pool() { return *pool_; }
    const char* backend_name() { return reactor(0).kernel().name(); }

    // Runs the task made by `make_task()` on `core` and waits for it, from a thread that is none of
    // the cores (`main`, a test).
    template <typename F>
    auto run_on(uint32_t core, F make_task) -> typename std::invoke_result_t<F&>::Value;

    // Ends the loops and joins the threads. Everything that runs on them was stopped before.
    void stop();

private:
    struct Core {
        std::unique_ptr<Reactor> reactor;
        std::unique_ptr<BufferPool> buffers;
        std::thread thread;
    };

    Cores() = default;

    std::vector<std::unique_ptr<Core>> cores_;
    std::unique_ptr<Pool> pool_;
    bool is_stopped_ = false;
};

// co_await on_core(here, there, make_task): runs the task made by `make_task()` on `there` and
// gives its value here. What the task refers to is kept alive by the caller until then; the two
// messages order memory, so the bytes of the one side are seen by the other. Costs two wake-ups at
// worst; when `here` is `there`, nothing.
template <typename F>
auto on_core(Reactor& here, Reactor& there, F make_task)
    -> Task<typename std::invoke_result_t<F&>::Value>;

// ---------------------------------------------------------------------------------------------

namespace internal {

template <typename F>
struct [[nodiscard]] CoreAwaiter : Message {
    using TaskType = std::invoke_result_t<F&>;
    using Value = typename TaskType::Value;
    using Stored = std::conditional_t<std::is_void_v<Value>, bool, Value>;

    Reactor& here;
    Reactor& there;
    F& make_task;
    std::coroutine_handle<> waiter;
    std::optional<Stored> value;

    CoreAwaiter(Reactor& from, Reactor& to, F& make) : here(from), there(to), make_task(make) {}
    CoreAwaiter(const CoreAwaiter&) = delete;

    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        waiter = handle;
        on_delivery = [](Message& message) {
            start_detached(run_there(static_cast<CoreAwaiter&>(message)));
        };
        there.post(*this);
    }
    Value await_resume() {
        if constexpr (!std::is_void_v<Value>) return std::move(*value);
    }

    static Task<void> run_there(CoreAwaiter& self) {
        if constexpr (std::is_void_v<Value>) {
            co_await self.make_task();
        } else {
            self.value.emplace(co_await self.make_task());
        }
        self.on_delivery = [](Message& message) {
            auto& back = static_cast<CoreAwaiter&>(message);
            back.here.make_ready(back.waiter);
        };
        self.here.post(self);
    }
};

}  // namespace internal

template <typename F>
auto Cores::run_on(uint32_t core, F make_task) -> typename std::invoke_result_t<F&>::Value {
    using Value = typename std::invoke_result_t<F&>::Value;
    struct Call : Message {
        F& make_task;
        std::promise<Value> promise;

        explicit Call(F& make) : make_task(make) {}
        static Task<void> run(Call& call) {
            if constexpr (std::is_void_v<Value>) {
                co_await call.make_task();
                call.promise.set_value();
            } else {
                call.promise.set_value(co_await call.make_task());
            }
        }
    };
    Call call(make_task);
    call.on_delivery = [](Message& message) {
        start_detached(Call::run(static_cast<Call&>(message)));
    };
    std::future<Value> value = call.promise.get_future();
    reactor(core).post(call);
    return value.get();
}

template <typename F>
auto on_core(Reactor& here, Reactor& there, F make_task)
    -> Task<typename std::invoke_result_t<F&>::Value> {
    ASSERT(here.is_current_thread());
    if (&here == &there) co_return co_await make_task();
    co_return co_await internal::CoreAwaiter<F>(here, there, make_task);
}

}  // namespace penstock::io
