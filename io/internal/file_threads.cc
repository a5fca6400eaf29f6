#include "io/internal/file_threads.h"

#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace penstock::io::internal {
namespace {

ssize_t call_system(const Operation& operation) {
    const auto offset = static_cast<off_t>(operation.offset);
    switch (operation.kind) {
        case OperationKind::read:
            return pread(operation.descriptor, operation.data, operation.size, offset);
        case OperationKind::write:
            return pwrite(operation.descriptor, operation.data, operation.size, offset);
        case OperationKind::sync_data:
            return fdatasync(operation.descriptor);
        case OperationKind::sync_all:
            return fsync(operation.descriptor);
        default:
            ASSERT(false);
    }
}

int32_t result_of(const Operation& operation) {
    for (;;) {
        const ssize_t result = call_system(operation);
        if (result >= 0) return static_cast<int32_t>(result);
        if (errno != EINTR) return -errno;
    }
}

}  // namespace

FileThreads::FileThreads(uint32_t thread_max, std::function<void()> wake)
    : thread_max_(thread_max), wake_(std::move(wake)) {
    ASSERT(thread_max > 0);
}

FileThreads::~FileThreads() {
    {
        const std::lock_guard lock(mutex_);
        is_stopping_ = true;
    }
    has_work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void FileThreads::submit(Operation& operation) {
    bool needs_thread = false;
    {
        const std::lock_guard lock(mutex_);
        queue_.push_back(operation);
        ++queued_count_;
        needs_thread = queued_count_ > idle_count_ && threads_.size() < thread_max_;
    }
    if (needs_thread) {
        threads_.emplace_back([this] { work(); });
    } else {
        has_work_.notify_one();
    }
}

bool FileThreads::withdraw(Operation& operation) {
    const std::lock_guard lock(mutex_);
    for (const Operation* queued = queue_.first(); queued != nullptr; queued = queued->next) {
        if (queued != &operation) continue;
        queue_.remove(operation);
        --queued_count_;
        return true;
    }
    return false;
}

Operation* FileThreads::take_finished() {
    if (finished_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    Operation* newest = finished_.exchange(nullptr, std::memory_order_acquire);
    Operation* oldest = nullptr;
    while (newest != nullptr) {
        Operation* next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

void FileThreads::work() {
    // Signals are for the thread that waits for them.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_count_;
        has_work_.wait(lock, [this] { return !queue_.is_empty() || is_stopping_; });
        --idle_count_;
        Operation* operation = queue_.pop_front();
        if (operation == nullptr) return;
        --queued_count_;
        lock.unlock();
        operation->result = result_of(*operation);
        finish(*operation);
        lock.lock();
    }
}

void FileThreads::finish(Operation& operation) {
    Operation* newest = finished_.load(std::memory_order_relaxed);
    do {
        operation.next = newest;
    } while (!finished_.compare_exchange_weak(newest, &operation, std::memory_order_release,
                                              std::memory_order_relaxed));
    if (newest == nullptr) wake_();
}

}  // namespace penstock::io::internal
