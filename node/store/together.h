// Together: tasks that run at the same time, and the wait for all of them. Of one core.
#pragma once

#include "io/reactor.h"
#include "io/task.h"
#include "io/wait.h"

namespace penstock::node {

class Together {
public:
    explicit Together(io::Reactor& reactor) : done_(reactor) {}

    // What the task refers to must live until wait() is done.
    void start(io::Task<void> task) {
        count_ += 1;
        io::start_detached(run(std::move(task)));
    }
    io::Task<void> wait() {
        while (count_ > 0) co_await done_.wait();
    }

private:
    io::Task<void> run(io::Task<void> task) {
        co_await std::move(task);
        if (--count_ > 0) co_return;
        done_.set();
        done_.reset();
    }

    io::Event done_;  // pulsed
    uint32_t count_ = 0;
};

}  // namespace penstock::node
