// Work on several threads at once, for what happens before a node serves: the start's scan. On the
// data path cores share nothing and wait for nobody; there this has no place.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>

namespace penstock::io {

// Runs job(0) .. job(count - 1) at the same time, the last one on the calling thread, and returns
// when all are done.
void run_in_parallel(uint32_t count, const std::function<void(uint32_t index)>& job);

// What such jobs do to something that they share.
class OneAtATime {
public:
    template <typename F>
    void run(F action) {
        const std::lock_guard lock(mutex_);
        action();
    }

private:
    std::mutex mutex_;
};

}  // namespace penstock::io
