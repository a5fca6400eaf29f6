#include "io/pool.h"

#include <pthread.h>

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>
#include <vector>

namespace penstock::io {
namespace {

class ThreadPool final : public Pool {
public:
    explicit ThreadPool(uint32_t thread_count) {
        for (uint32_t index = 0; index < thread_count; ++index) {
            threads_.emplace_back([this] { work(); });
        }
    }

    ~ThreadPool() override {
        {
            const std::lock_guard lock(mutex_);
            is_stopping_ = true;
        }
        has_work_.notify_all();
        for (std::thread& thread : threads_) thread.join();
    }

    void submit(Job& job) override {
        {
            const std::lock_guard lock(mutex_);
            ASSERT(!is_stopping_);
            job.next_job = nullptr;
            (last_ == nullptr ? first_ : last_->next_job) = &job;
            last_ = &job;
        }
        has_work_.notify_one();
    }

private:
    void work() {
        // Signals are for the thread that waits for them.
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        while (Job* job = take()) {
            Reactor* home = job->home;
            job->run(*job);
            if (home != nullptr) home->post(*job);
        }
    }

    // The next job; null when the pool stops and none is left.
    Job* take() {
        std::unique_lock lock(mutex_);
        has_work_.wait(lock, [this] { return first_ != nullptr || is_stopping_; });
        Job* job = first_;
        if (job == nullptr) return nullptr;
        first_ = job->next_job;
        if (first_ == nullptr) last_ = nullptr;
        return job;
    }

    std::mutex mutex_;
    std::condition_variable has_work_;
    Job* first_ = nullptr;
    Job* last_ = nullptr;
    bool is_stopping_ = false;
    std::vector<std::thread> threads_;
};

class InlinePool final : public Pool {
public:
    explicit InlinePool(std::function<uint64_t()> delay_ns) : delay_ns_(std::move(delay_ns)) {}

    void submit(Job& job) override {
        if (job.home == nullptr) return job.run(job);
        start_detached(run_later(job));
    }

private:
    Task<void> run_later(Job& job) {
        Reactor& home = *job.home;
        const uint64_t delay_ns = delay_ns_ ? delay_ns_() : 0;
        if (delay_ns > 0) {
            co_await home.sleep(home.within_ns(delay_ns));
        } else {
            co_await home.yield();
        }
        job.run(job);
        job.on_delivery(job);
    }

    std::function<uint64_t()> delay_ns_;
};

}  // namespace

std::unique_ptr<Pool> make_thread_pool(uint32_t thread_count) {
    ASSERT(thread_count > 0);
    return std::make_unique<ThreadPool>(thread_count);
}

std::unique_ptr<Pool> make_inline_pool(std::function<uint64_t()> delay_ns) {
    return std::make_unique<InlinePool>(std::move(delay_ns));
}

}  // namespace penstock::io
