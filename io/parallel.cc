#include "io/parallel.h"

#include <thread>
#include <vector>

#include "io/base/assert.h"

namespace penstock::io {

void run_in_parallel(uint32_t count, const std::function<void(uint32_t index)>& job) {
    ASSERT(count > 0);
    std::vector<std::jthread> threads;
    for (uint32_t index = 0; index + 1 < count; ++index)
        threads.emplace_back([&job, index] { job(index); });
    job(count - 1);
}

}  // namespace penstock::io
