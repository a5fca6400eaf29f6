#include "io/residency.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace penstock::io {
namespace {

constexpr uint64_t page_bytes = 4096;

// cachestat(2), Linux 6.5, which Debian 12's headers do not know.
constexpr long cachestat_number = 451;
struct CachestatRange {
    uint64_t offset;
    uint64_t length;
};
struct Cachestat {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

// Older systems: one byte of each 16 pages. The kernel reclaims what lies together together, but
// not always: a page in between may be gone.
bool is_sampled_resident(int descriptor, uint64_t offset, uint64_t size) {
    constexpr uint64_t step_bytes = 16 * page_bytes;
    char byte = 0;
    iovec vector{&byte, 1};
    for (uint64_t at = offset; at < offset + size; at += step_bytes) {
        if (::preadv2(descriptor, &vector, 1, static_cast<off_t>(at), RWF_NOWAIT) != 1) {
            return false;
        }
    }
    return true;
}

}  // namespace

bool is_resident(int descriptor, uint64_t offset, uint64_t size) {
    if (size == 0) return true;
    const uint64_t begin = offset / page_bytes;
    const uint64_t end = (offset + size + page_bytes - 1) / page_bytes;
    CachestatRange range{begin * page_bytes, (end - begin) * page_bytes};
    Cachestat found{};
    if (::syscall(cachestat_number, descriptor, &range, &found, 0) == 0) {
        return found.cached >= end - begin;
    }
    return is_sampled_resident(descriptor, offset, size);
}

}  // namespace penstock::io
