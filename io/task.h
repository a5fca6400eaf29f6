// Task: a piece of work that may wait. This header alone knows the coroutine machinery.
//
// A task is lazy: it starts when it is awaited, on the awaiting core, and runs there until it
// waits for the first time. One that never waits does not suspend its caller at all: it costs a
// frame from the core's free list and a call, and the stack does not grow however many are awaited
// in a loop. When a task that waited is done it passes control straight to its caller.
//
// A coroutine takes values, or spans and references that its caller keeps alive until it is done.
// A lambda with captures is never a coroutine: its captures die with the lambda.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "io/base/assert.h"
#include "io/base/result.h"

namespace penstock::io {

template <typename T = void>
class Task;

namespace internal {

// Coroutine frames, kept by size on the core that freed them: the data path makes and ends several
// for each request, and a general allocator would be a fifth of a small GET.
class FramePool {
public:
    static void* allocate(size_t bytes);
    static void release(void* frame, size_t bytes) noexcept;
};

// What resumes the awaiting coroutine, if it had to suspend.
struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
        const std::coroutine_handle<> waiter = done.promise().waiter;
        if (waiter) return waiter;
        return std::noop_coroutine();
    }
    void await_resume() const noexcept {}
};

struct PromiseBase {
    std::coroutine_handle<> waiter;  // null until the caller had to suspend

    static void* operator new(size_t bytes) { return FramePool::allocate(bytes); }
    static void operator delete(void* frame, size_t bytes) { FramePool::release(frame, bytes); }

    std::suspend_always initial_suspend() const noexcept { return {}; }
    FinalAwaiter final_suspend() const noexcept { return {}; }
    // We throw nothing and catch what libraries throw where we call them.
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
};

template <typename T>
struct Promise : PromiseBase {
    std::optional<T> value;

    Task<T> get_return_object();
    template <typename From>
    void return_value(From&& from) {
        value.emplace(std::forward<From>(from));
    }
    T take() {
        ASSERT(value.has_value());
        return std::move(*value);
    }
};

template <>
struct Promise<void> : PromiseBase {
    Task<void> get_return_object();
    void return_void() const noexcept {}
    void take() const noexcept {}
};

}  // namespace internal

template <typename T>
class [[nodiscard]] Task {
public:
    using promise_type = internal::Promise<T>;
    using Value = T;

    explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task& operator=(Task&&) = delete;
    // Destroying a task that has started and is not done is a bug in our own code: the kernel may
    // still hold its buffers.
    ~Task() {
        if (!handle_) return;
        ASSERT(handle_.done() || !is_started_);
        handle_.destroy();
    }

    bool await_ready() {
        ASSERT(handle_ && !is_started_);
        is_started_ = true;
        handle_.resume();
        return handle_.done();
    }
    void await_suspend(std::coroutine_handle<> waiter) { handle_.promise().waiter = waiter; }
    T await_resume() { return handle_.promise().take(); }

private:
    std::coroutine_handle<promise_type> handle_;
    bool is_started_ = false;
};

template <typename T>
Task<T> internal::Promise<T>::get_return_object() {
    return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> internal::Promise<void>::get_return_object() {
    return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

namespace internal {

// The outermost coroutine of work that nobody awaits; frees itself when it is done.
struct Detached {
    struct promise_type {
        static void* operator new(size_t bytes) { return FramePool::allocate(bytes); }
        static void operator delete(void* frame, size_t bytes) { FramePool::release(frame, bytes); }
        Detached get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    };
};

}  // namespace internal

// Starts the task here and now; it goes on by itself. Whoever calls this sees to it that what the
// task refers to lives until it is done: a Gate (io/wait.h) held inside is the usual way.
inline void start_detached(Task<void> task) {
    [](Task<void> owned) -> internal::Detached { co_await owned; }(std::move(task));
}

}  // namespace penstock::io

// CO_TRY(declaration, co_await f()): the value of a Result, or end this coroutine with its error.
#define CO_TRY(declaration, expression) \
    CO_TRY_IMPL(PENSTOCK_CONCAT(try_result_, __COUNTER__), declaration, expression)
#define CO_TRY_IMPL(name, declaration, expression)          \
    auto name = (expression);                               \
    if (!name) [[unlikely]]                                 \
        co_return std::unexpected(std::move(name).error()); \
    declaration = std::move(*name)

#define CO_TRY_STATUS(expression)                                      \
    do {                                                               \
        auto try_status_ = (expression);                               \
        if (!try_status_) [[unlikely]]                                 \
            co_return std::unexpected(std::move(try_status_).error()); \
    } while (false)
