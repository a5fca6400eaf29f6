// drop_on: ends something by a job of the pool, because its end may wait for a device: the last
// close of a file that was unlinked gives its blocks back, and that of one that was written may
// write it out.
#pragma once

#include <memory>
#include <utility>

#include "io/pool.h"

namespace penstock::io {

// Returns at once. What `what` refers to must live until the pool has done it, at the latest when
// the pool is destroyed.
template <typename T>
void drop_on(Pool& pool, std::unique_ptr<T> what) {
    struct Dropping final : Pool::Job {
        explicit Dropping(std::unique_ptr<T> dropped) : what(std::move(dropped)) {
            run = [](Pool::Job& job) { delete static_cast<Dropping*>(&job); };
        }
        std::unique_ptr<T> what;
    };
    if (what != nullptr) pool.submit(*new Dropping(std::move(what)));
}

}  // namespace penstock::io
