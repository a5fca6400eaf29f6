#include "io/reactor.h"

#include <algorithm>
#include <cerrno>

namespace penstock::io {

Reactor::Reactor(std::unique_ptr<Kernel> kernel, const ReactorOptions& options)
    : options_(options),
      kernel_(std::move(kernel)),
      timers_(kernel_->clock().monotonic_ns()),
      thread_(std::this_thread::get_id()),
      now_ns_(kernel_->clock().monotonic_ns()) {}

Reactor::~Reactor() {
    ASSERT(ready_.empty());
    ASSERT(kernel_->pending_count() == 0);
}

void Reactor::run() {
    thread_ = std::this_thread::get_id();
    constexpr uint64_t turn_timeout_ns = 1'000'000'000;
    while (!is_stopping_.load(std::memory_order_relaxed)) turn(turn_timeout_ns);
}

void Reactor::stop() {
    is_stopping_.store(true, std::memory_order_relaxed);
    kernel_->wake();
}

void Reactor::turn(uint64_t timeout_ns) {
    run_ready();
    deliver_messages();
    timers_.advance(now_ns_);

    const uint64_t before_ns = clock().monotonic_ns();
    busy_ns_ += before_ns - now_ns_;
    uint64_t wait_ns = wait_ns_at_most(timeout_ns, before_ns);
    const bool sleeps = wait_ns > 0 && mailbox_.begin_sleep();
    if (!sleeps) wait_ns = 0;

    turn_count_.fetch_add(1, std::memory_order_seq_cst);
    const uint32_t done_count = kernel_->turn(wait_ns);
    turn_count_.fetch_add(1, std::memory_order_seq_cst);

    if (sleeps) mailbox_.end_sleep();
    now_ns_ = clock().monotonic_ns();
    if (done_count >= spin_work_min) last_busy_ns_ = now_ns_;
}

void Reactor::run_ready() {
    // What becomes ready meanwhile waits for the next turn once the budget is used up.
    for (uint32_t count = 0; count < ready_budget && !ready_.empty(); ++count) {
        const std::coroutine_handle<> handle = ready_.front();
        ready_.pop_front();
        handle.resume();
    }
}

void Reactor::deliver_messages() {
    for (Message* message = mailbox_.take_all(); message != nullptr;) {
        Message* next = message->next;  // delivery may destroy the message
        message->on_delivery(*message);
        message = next;
    }
}

uint64_t Reactor::wait_ns_at_most(uint64_t timeout_ns, uint64_t time_ns) const {
    if (!ready_.empty() || is_stopping_.load(std::memory_order_relaxed)) return 0;
    if (options_.spin_ns > 0 && time_ns - last_busy_ns_ < options_.spin_ns) return 0;
    const uint64_t next_timer_ns = timers_.next_ns();
    if (next_timer_ns <= time_ns) return 0;
    return std::min(timeout_ns, next_timer_ns - time_ns);
}

void Reactor::post(Message& message) {
    if (mailbox_.push(message)) kernel_->wake();
}

Reactor::OperationAwaiter Reactor::read(int file, MutableBytes buffer, uint64_t offset) {
    return {*this, OperationKind::read, file, buffer.data(), buffer.size(), offset, Until{}};
}

// The kernel only reads what write and send point at.
Reactor::OperationAwaiter Reactor::write(int file, Bytes bytes, uint64_t offset) {
    return {*this,        OperationKind::write,
            file,         const_cast<std::byte*>(bytes.data()),
            bytes.size(), offset,
            Until{}};
}

Reactor::OperationAwaiter Reactor::sync_data(int file) {
    return {*this, OperationKind::sync_data, file, nullptr, 0, 0, Until{}};
}

Reactor::OperationAwaiter Reactor::sync_all(int file) {
    return {*this, OperationKind::sync_all, file, nullptr, 0, 0, Until{}};
}

Reactor::OperationAwaiter Reactor::receive(int socket, MutableBytes buffer, Until until) {
    return {*this, OperationKind::receive, socket, buffer.data(), buffer.size(), 0, until};
}

Reactor::OperationAwaiter Reactor::receive_all(int socket, MutableBytes buffer, Until until) {
    return {*this, OperationKind::receive_all, socket, buffer.data(), buffer.size(), 0, until};
}

Reactor::OperationAwaiter Reactor::send(int socket, Bytes bytes, Until until) {
    return {
        *this, OperationKind::send, socket, const_cast<std::byte*>(bytes.data()), bytes.size(), 0,
        until};
}

Reactor::OperationAwaiter Reactor::connect(int socket, Until until) {
    return {*this, OperationKind::connect, socket, nullptr, 0, 0, until};
}

Reactor::OperationAwaiter Reactor::poll_readable(int socket, Until until) {
    return {*this, OperationKind::poll_readable, socket, nullptr, 0, 0, until};
}

Reactor::OperationAwaiter Reactor::poll_writable(int socket, Until until) {
    return {*this, OperationKind::poll_writable, socket, nullptr, 0, 0, until};
}

Reactor::SleepAwaiter Reactor::sleep(Until until) {
    return SleepAwaiter(*this, until);
}

Reactor::OperationAwaiter::OperationAwaiter(Reactor& reactor, OperationKind operation_kind,
                                            int file_or_socket, std::byte* bytes, size_t byte_count,
                                            uint64_t file_offset, Until until)
    : reactor_(reactor), until_(until) {
    ASSERT(byte_count <= INT32_MAX);
    kind = operation_kind;
    descriptor = file_or_socket;
    data = bytes;
    size = static_cast<uint32_t>(byte_count);
    offset = file_offset;
    on_done = [](Operation& operation) {
        auto& self = static_cast<OperationAwaiter&>(operation);
        self.reactor_.disarm(self.timer_);
        if (self.until_.cancel != nullptr) self.until_.cancel->unhook(self.hook_);
        self.reactor_.make_ready(self.waiter_);
    };
}

bool Reactor::OperationAwaiter::await_ready() {
    if (until_.cancel == nullptr || !until_.cancel->is_cancelled()) return false;
    result = -ECANCELED;
    return true;
}

void Reactor::OperationAwaiter::await_suspend(std::coroutine_handle<> handle) {
    waiter_ = handle;
    if (until_.deadline_ns != Until::never) {
        timer_.owner = this;
        timer_.on_expired = [](Timer& timer) {
            OperationAwaiter& self = *static_cast<DeadlineTimer&>(timer).owner;
            self.is_timed_out_ = true;
            self.reactor_.kernel().cancel(self);
        };
        reactor_.arm(timer_, until_.deadline_ns);
    }
    if (until_.cancel != nullptr) {
        hook_.owner = this;
        hook_.on_cancel = [](CancelHook& hook) {
            OperationAwaiter& self = *static_cast<Hook&>(hook).owner;
            self.reactor_.kernel().cancel(self);
        };
        until_.cancel->hook(hook_);
    }
    reactor_.kernel().start(*this);
}

int32_t Reactor::OperationAwaiter::await_resume() const {
    return result == -ECANCELED && is_timed_out_ ? -ETIME : result;
}

Reactor::SleepAwaiter::SleepAwaiter(Reactor& reactor, Until until)
    : reactor_(reactor), until_(until) {
    // Without either end it would sleep for ever.
    ASSERT(until.deadline_ns != Until::never || until.cancel != nullptr);
}

bool Reactor::SleepAwaiter::await_ready() {
    if (until_.cancel != nullptr && until_.cancel->is_cancelled()) {
        result_ = -ECANCELED;
        return true;
    }
    return until_.deadline_ns <= reactor_.now_ns();
}

void Reactor::SleepAwaiter::await_suspend(std::coroutine_handle<> handle) {
    waiter_ = handle;
    if (until_.deadline_ns != Until::never) {
        timer_.owner = this;
        timer_.on_expired = [](Timer& timer) {
            SleepAwaiter& self = *static_cast<DeadlineTimer&>(timer).owner;
            if (self.until_.cancel != nullptr) self.until_.cancel->unhook(self.hook_);
            self.reactor_.make_ready(self.waiter_);
        };
        reactor_.arm(timer_, until_.deadline_ns);
    }
    if (until_.cancel != nullptr) {
        hook_.owner = this;
        hook_.on_cancel = [](CancelHook& hook) {
            SleepAwaiter& self = *static_cast<Hook&>(hook).owner;
            self.reactor_.disarm(self.timer_);
            self.result_ = -ECANCELED;
            self.reactor_.make_ready(self.waiter_);
        };
        until_.cancel->hook(hook_);
    }
}

}  // namespace penstock::io
