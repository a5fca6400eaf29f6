#include "io/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "io/internal/socket_channel.h"

namespace penstock::io::internal {
namespace {

// More in one message than the kernel passes (SCM_MAX_FD is 253) is never received.
constexpr size_t descriptors_max = 64;

void take_descriptors(msghdr& message, std::vector<Descriptor>& descriptors) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < count; ++index) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(header) + index * sizeof number, sizeof number);
            descriptors.emplace_back(number);
        }
    }
}

bool would_wait(int error_number) {
    return error_number == EAGAIN || error_number == EWOULDBLOCK;
}

}  // namespace

Task<Status> SocketChannel::send(Bytes bytes, uint64_t deadline_ns) {
    while (!bytes.empty()) {
        const ssize_t count =
            ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0) {
            bytes = bytes.subspan(static_cast<size_t>(count));
            continue;
        }
        if (errno == EINTR) continue;
        if (!would_wait(errno)) co_return fail(error_from_errno(errno, "send to", peer_));
        CO_TRY_STATUS(co_await wait(POLLOUT, deadline_ns));
    }
    co_return Status();
}

Task<Result<size_t>> SocketChannel::receive(MutableBytes room, std::vector<Descriptor>& descriptors,
                                            uint64_t deadline_ns) {
    ASSERT(!room.empty());
    for (;;) {
        iovec part{room.data(), room.size()};
        alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t count = ::recvmsg(descriptor_, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (count >= 0) {
            take_descriptors(message, descriptors);
            if ((message.msg_flags & MSG_CTRUNC) != 0) {
                co_return fail(Errc::unavailable,
                               "a descriptor from " + peer_ + " was lost: too many are open");
            }
            co_return static_cast<size_t>(count);
        }
        if (errno == EINTR) continue;
        if (!would_wait(errno)) co_return fail(error_from_errno(errno, "receive from", peer_));
        CO_TRY_STATUS(co_await wait(POLLIN, deadline_ns));
    }
}

bool SocketChannel::is_quiet() const {
    std::byte byte{};
    const ssize_t count = ::recv(descriptor_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count < 0 && would_wait(errno);
}

}  // namespace penstock::io::internal
