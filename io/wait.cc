#include "io/wait.h"

#include "io/reactor.h"

namespace penstock::io {

Cancel::Cancel() {
    list_.next = &list_;
    list_.previous = &list_;
}

Cancel::~Cancel() {
    ASSERT(list_.next == &list_);
}

void Cancel::cancel() {
    is_cancelled_ = true;
    while (list_.next != &list_) {
        CancelHook& first = *list_.next;
        unhook(first);
        first.on_cancel(first);
    }
}

void Cancel::hook(CancelHook& hook) {
    ASSERT(!hook.is_hooked());
    hook.previous = list_.previous;
    hook.next = &list_;
    list_.previous->next = &hook;
    list_.previous = &hook;
}

void Cancel::unhook(CancelHook& hook) {
    if (!hook.is_hooked()) return;
    hook.previous->next = hook.next;
    hook.next->previous = hook.previous;
    hook.next = nullptr;
    hook.previous = nullptr;
}

namespace internal {

void WaitQueue::push(Waiter& waiter) {
    if (last_ == nullptr) {
        first_ = &waiter;
    } else {
        last_->next = &waiter;
    }
    last_ = &waiter;
}

void WaitQueue::make_one_ready(Reactor& reactor) {
    if (first_ == nullptr) return;
    const std::coroutine_handle<> handle = first_->handle;
    first_ = first_->next;
    if (first_ == nullptr) last_ = nullptr;
    reactor.make_ready(handle);
}

void WaitQueue::make_all_ready(Reactor& reactor) {
    while (first_ != nullptr) make_one_ready(reactor);
}

}  // namespace internal

void Event::set() {
    is_set_ = true;
    waiters_.make_all_ready(reactor_);
}

Result<Gate::Pass> Gate::enter() {
    if (is_closed_) return fail(Errc::unavailable, "stopping");
    ++count_;
    return Pass(*this);
}

void Gate::leave() {
    ASSERT(count_ > 0);
    if (--count_ == 0 && is_closed_) closers_.make_all_ready(reactor_);
}

void Semaphore::release() {
    // The unit passes straight to the first waiter: nobody can overtake it.
    if (waiters_.is_empty()) {
        ++units_;
    } else {
        waiters_.make_one_ready(reactor_);
    }
}

}  // namespace penstock::io
