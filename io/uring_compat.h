// What Debian 12's liburing 2.3 header lacks of the kernel features that we use, and the proof that
// what we write into the ring has the layout the kernel expects.
#pragma once

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

static_assert(sizeof(io_uring_sqe) == 64);
static_assert(sizeof(io_uring_cqe) == 16);

// liburing 2.3 turns IORING_FILE_INDEX_ALLOC into 0 in the single-shot "direct" calls, and the
// kernel then answers with an ordinary descriptor: we use none of those calls (io/DESIGN.md).

#ifndef IORING_RECVSEND_POLL_FIRST
#define IORING_RECVSEND_POLL_FIRST (1U << 0)
#endif

namespace penstock::io {

// What io_uring_enable_rings() does: the library declares it but exports it only from 2.4 on.
inline int enable_ring(io_uring& ring) {
    const long result =
        syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    return result < 0 ? -errno : 0;
}

}  // namespace penstock::io
