#include "node/store/space.h"

namespace penstock::node {

io::Task<Status> Space::admit(uint64_t bytes) {
    return admit_beside(reserve_bytes_, bytes);
}

io::Task<Status> Space::admit_reclaiming(uint64_t bytes) {
    return admit_beside(reserve_bytes_ / 4, bytes);
}

io::Task<Status> Space::admit_beside(uint64_t kept_bytes, uint64_t bytes) {
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
    const uint64_t wanted = kept_bytes + admitted_bytes_ + bytes;
    if (last_.available_bytes < wanted || !has_files()) {
        asked_ns_ = 0;
        co_return fail(Errc::full, "the disk is full but for its reserve: delete something");
    }
    admitted_bytes_ += bytes;
    admitted_files_ += 1;
    co_return Status();
}

}  // namespace penstock::node
