#include "io/background.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>

namespace penstock::io {
namespace {

class BackgroundThread final : public Background {
public:
    BackgroundThread() : thread_([this] { work(); }) {}

    ~BackgroundThread() override {
        {
            const std::lock_guard lock(mutex_);
            is_stopping_ = true;
        }
        has_work_.notify_one();
        thread_.join();
    }

    void submit(std::function<void()> job) override {
        {
            const std::lock_guard lock(mutex_);
            jobs_.push_back(std::move(job));
        }
        has_work_.notify_one();
    }

    bool has_thread() const override { return true; }
    void run_pending() override {}

    void sleep_ns(uint64_t ns) override {
        std::this_thread::sleep_for(std::chrono::nanoseconds(ns));
    }

private:
    void work() {
        // Signals are for the thread that waits for them.
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        std::unique_lock lock(mutex_);
        while (true) {
            has_work_.wait(lock, [this] { return !jobs_.empty() || is_stopping_; });
            if (jobs_.empty()) return;
            const std::function<void()> job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable has_work_;
    std::deque<std::function<void()>> jobs_;
    bool is_stopping_ = false;
    std::thread thread_;  // last: it uses the others
};

class InlineBackground final : public Background {
public:
    ~InlineBackground() override { InlineBackground::run_pending(); }
    bool has_thread() const override { return false; }

    void submit(std::function<void()> job) override { jobs_.push_back(std::move(job)); }

    void run_pending() override {
        while (!jobs_.empty()) {
            const std::function<void()> job = std::move(jobs_.front());
            jobs_.pop_front();
            job();
        }
    }

    void sleep_ns(uint64_t) override {}

private:
    std::deque<std::function<void()>> jobs_;
};

}  // namespace

std::unique_ptr<Background> make_background_thread() {
    return std::make_unique<BackgroundThread>();
}

std::unique_ptr<Background> make_inline_background() {
    return std::make_unique<InlineBackground>();
}

}  // namespace penstock::io
