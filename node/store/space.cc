#include "node/store/space.h"

namespace penstock::node {

io::Task<Status> Space::admit_reclaiming(uint64_t bytes) {
    const Result<io::DiskSpace> space = co_await disk_.space();
    if (!space) co_return Status();
    last_ = *space;
    if (last_.available_bytes < reserve_bytes_ / 4 + bytes) co_return refusal();
    co_return Status();
}

std::unexpected<Error> Space::refusal() {
    asked_ns_ = 0;
    return fail(Errc::full, "the disk is full but for its reserve: delete something");
}

io::Task<Status> Space::admit(uint64_t bytes) {
    const uint64_t now_ns = disk_.reactor().now_ns();
    const bool is_old = asked_ns_ == 0 || now_ns - asked_ns_ > trusted_ns_max ||
                        admitted_bytes_ + bytes > trusted_bytes_max || !has_files();
    if (is_old) {
        const Result<io::DiskSpace> space = co_await disk_.space();
        if (!space) co_return Status();
        last_ = *space;
        asked_ns_ = now_ns == 0 ? 1 : now_ns;
        admitted_bytes_ = 0;
        admitted_files_ = 0;
    }
    const uint64_t wanted = reserve_bytes_ + admitted_bytes_ + bytes;
    if (last_.available_bytes < wanted || !has_files()) co_return refusal();
    admitted_bytes_ += bytes;
    admitted_files_ += 1;
    co_return Status();
}

}  // namespace penstock::node
