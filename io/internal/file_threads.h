// FileThreads: the few threads that do the file operations of a kernel by readiness, because a
// file is always "ready" and its calls wait all the same.
//
// submit(), withdraw() and take_finished() are called by the kernel's own thread. What the threads
// have done waits in a list that they push to without a lock; the one that finds the list empty
// wakes the kernel, so a burst costs one wake-up.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "io/internal/operation_list.h"
#include "io/kernel.h"

namespace penstock::io::internal {

class FileThreads {
public:
    // `wake` is called from the threads and makes the kernel's thread call take_finished().
    FileThreads(uint32_t thread_max, std::function<void()> wake);
    ~FileThreads();  // waits for what has begun
    FileThreads(const FileThreads&) = delete;
    FileThreads& operator=(const FileThreads&) = delete;

    // `operation` is a read, write or sync; threads start with the first ones that need them.
    void submit(Operation& operation);
    // Takes back what has not begun; false if it has: then it will finish.
    bool withdraw(Operation& operation);
    // What is done, linked by `next`, the oldest first; their `result` is set.
    Operation* take_finished();

private:
    void work();
    void finish(Operation& operation);

    const uint32_t thread_max_;
    const std::function<void()> wake_;
    std::mutex mutex_;
    std::condition_variable has_work_;
    OperationList queue_;                        // under mutex_
    uint32_t idle_count_ = 0;                    // under mutex_
    uint32_t queued_count_ = 0;                  // under mutex_
    bool is_stopping_ = false;                   // under mutex_
    std::atomic<Operation*> finished_{nullptr};  // the newest first
    std::vector<std::thread> threads_;
};

}  // namespace penstock::io::internal
