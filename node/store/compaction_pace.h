// CompactionPace: how much compaction may read and write, and in which steps. Reading and writing
// go side by side, so one number counts: bytes of segments that were worked through.
//
// While clients are waiting it goes slowly, in small steps, but no slower than they make garbage:
// each byte that they log earns the bytes that must be worked through to free as much. When the
// promised bound on space is near, nothing is waited for. When nobody is there it goes as fast as a
// scrub would.
//
// Belongs to the mountpath's home core.
#pragma once

#include <algorithm>
#include <cstdint>

#include "io/reactor.h"
#include "io/task.h"
#include "io/wait.h"

namespace penstock::node {

class CompactionPace {
public:
    // Clients are there: slow enough that a disk of 200 MB/s hardly notices.
    static constexpr uint64_t busy_bytes_per_s = 16 << 20;
    static constexpr uint64_t idle_bytes_per_s = 256 << 20;
    // What one step works through before clients come to their turn, and what of it is logged in
    // one group with theirs: a group of 128 KiB more is noise, one of 1 MiB is not.
    static constexpr uint64_t busy_step_bytes = 1 << 20;
    static constexpr uint64_t idle_step_bytes = 4 << 20;
    static constexpr uint64_t busy_batch_bytes = 128 << 10;
    static constexpr uint64_t idle_batch_bytes = 1 << 20;
    // Clients count as there for so long after the last sign of them.
    static constexpr uint64_t busy_for_ns = 100'000'000;
    // Marks and headers are no clients.
    static constexpr uint64_t busy_bytes_min = 4 << 10;
    // Somewhat more than the calculation says, so that the backlog shrinks.
    static constexpr double earned_factor = 1.25;
    static constexpr uint64_t wait_ns_max = 20'000'000;
    // Unused budget is not saved up beyond this.
    static constexpr double saved_bytes_max = 2.0 * static_cast<double>(idle_step_bytes);

    explicit CompactionPace(io::Reactor& reactor) : reactor_(reactor) {}

    // What is known now, told before each take(). `logged_bytes`: by clients, ever.
    // `garbage_share`: of the segment that is worked on.
    struct Signs {
        uint64_t logged_bytes = 0;
        bool is_anybody_waiting = false;
        bool is_urgent = false;
        double garbage_share = 1;
    };
    void observe(const Signs& signs);

    uint64_t step_bytes() const { return is_slow() ? busy_step_bytes : idle_step_bytes; }
    uint64_t batch_bytes() const { return is_slow() ? busy_batch_bytes : idle_batch_bytes; }
    // How long to wait before the next look; 0: a step may be made, and `take` it.
    uint64_t wait_ns() const;
    // Debts of an urgent time are not paid back later.
    void take(uint64_t bytes) {
        budget_bytes_ = std::max(budget_bytes_ - static_cast<double>(bytes), -saved_bytes_max);
    }

private:
    bool is_slow() const { return is_busy_ && !signs_.is_urgent; }

    io::Reactor& reactor_;
    Signs signs_;
    bool is_busy_ = false;
    uint64_t busy_at_ns_ = 0;
    uint64_t observed_ns_ = 0;
    double budget_bytes_ = 0;
};

}  // namespace penstock::node
