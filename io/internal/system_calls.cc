#include "io/internal/system_calls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace penstock::io::internal {
namespace {

int32_t result_of(ssize_t result) {
    return result < 0 ? -errno : static_cast<int32_t>(result);
}

constexpr std::string_view unix_prefix = "unix:";

}  // namespace

SystemAddress system_address_from(const Address& address) {
    SystemAddress system;
    if (address.is_unix()) {
        auto& name = reinterpret_cast<sockaddr_un&>(system.storage);
        const std::string_view path = std::string_view(address.text).substr(unix_prefix.size());
        name.sun_family = AF_UNIX;
        ASSERT(path.size() < sizeof name.sun_path);
        std::memcpy(name.sun_path, path.data(), path.size());
        system.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
        return system;
    }
    const size_t colon = address.text.rfind(':');
    if (address.text.starts_with('[')) {
        auto& name = reinterpret_cast<sockaddr_in6&>(system.storage);
        name.sin6_family = AF_INET6;
        name.sin6_port = htons(address.port());
        const std::string host = address.text.substr(1, colon - 2);
        ASSERT(inet_pton(AF_INET6, host.c_str(), &name.sin6_addr) == 1);
        system.size = sizeof name;
    } else {
        auto& name = reinterpret_cast<sockaddr_in&>(system.storage);
        name.sin_family = AF_INET;
        name.sin_port = htons(address.port());
        const std::string host = address.text.substr(0, colon);
        ASSERT(inet_pton(AF_INET, host.c_str(), &name.sin_addr) == 1);
        system.size = sizeof name;
    }
    return system;
}

Address address_from(const SystemAddress& system) {
    char host[INET6_ADDRSTRLEN] = "";
    switch (system.storage.ss_family) {
        case AF_INET: {
            const auto& name = reinterpret_cast<const sockaddr_in&>(system.storage);
            inet_ntop(AF_INET, &name.sin_addr, host, sizeof host);
            return {std::string(host) + ":" + std::to_string(ntohs(name.sin_port))};
        }
        case AF_INET6: {
            const auto& name = reinterpret_cast<const sockaddr_in6&>(system.storage);
            inet_ntop(AF_INET6, &name.sin6_addr, host, sizeof host);
            return {"[" + std::string(host) + "]:" + std::to_string(ntohs(name.sin6_port))};
        }
        case AF_UNIX: {
            const auto& name = reinterpret_cast<const sockaddr_un&>(system.storage);
            // The client's end of a Unix socket has no path.
            const size_t room = system.size - offsetof(sockaddr_un, sun_path);
            return {std::string(unix_prefix) +
                    std::string(name.sun_path, strnlen(name.sun_path, room))};
        }
        default:
            return {};
    }
}

namespace {

// What every TCP connection of ours wants: small answers go out at once.
void set_connection_options(int socket, const Address& address) {
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on Unix sockets: fine
    // Inside one host nothing is congested: the algorithm that is always there and never paces.
    // BBR, the default of some hosts, paces by timers and costs eight times as much CPU from 1 MiB
    // on (io/DESIGN.md). Connections that leave the host keep what its administrator chose.
    constexpr std::string_view unpaced = "reno";
    if (address.is_loopback()) {
        setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, unpaced.data(), unpaced.size());
    }
}

}  // namespace

int32_t open_listener(const Address& address, uint32_t backlog) {
    const SystemAddress system = system_address_from(address);
    const int socket =
        ::socket(system.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket < 0) return -errno;
    const int on = 1;
    // A restarted node takes its port back while old connections still linger.
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    set_connection_options(socket, address);  // accepted connections inherit them
    if (bind(socket, system.get(), system.size) != 0 ||
        listen(socket, static_cast<int>(backlog)) != 0) {
        const int error = errno;
        ::close(socket);
        return -error;
    }
    return socket;
}

int32_t open_socket(const Address& address) {
    const SystemAddress system = system_address_from(address);
    const int socket =
        ::socket(system.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket < 0) return -errno;
    set_connection_options(socket, address);
    return socket;
}

Address bound_address(int socket) {
    SystemAddress system;
    system.size = sizeof system.storage;
    if (getsockname(socket, system.get(), &system.size) != 0) return {};
    return address_from(system);
}

Address connected_address(int socket) {
    SystemAddress system;
    system.size = sizeof system.storage;
    if (getpeername(socket, system.get(), &system.size) != 0) return {};
    return address_from(system);
}

std::optional<uint32_t> peer_user(int socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
    // Of sockets that have no such peer, the system says that nobody is there.
    if (peer.pid == 0) return std::nullopt;
    return peer.uid;
}

uint32_t unread_bytes(int socket) {
    int bytes = 0;
    return ioctl(socket, SIOCOUTQ, &bytes) == 0 ? static_cast<uint32_t>(bytes) : 0;
}

void advise_read_ahead(int file, bool is_wanted) {
    posix_fadvise(file, 0, 0, is_wanted ? POSIX_FADV_NORMAL : POSIX_FADV_RANDOM);
}

void bring_in(int file, uint64_t offset, uint64_t size) {
    void* mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, static_cast<off_t>(offset));
    if (mapped == MAP_FAILED) return;
    // Populating reports what cannot be read; touching it would be a SIGBUS.
    if (madvise(mapped, size, MADV_HUGEPAGE) == 0) madvise(mapped, size, MADV_POPULATE_READ);
    munmap(mapped, size);
}

int32_t read_without_waiting(int file, MutableBytes buffer, uint64_t offset) {
    const iovec part{buffer.data(), buffer.size()};
    return result_of(preadv2(file, &part, 1, static_cast<off_t>(offset), RWF_NOWAIT));
}

int32_t receive_without_waiting(int socket, MutableBytes buffer) {
    return result_of(recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT));
}

int32_t send_without_waiting(int socket, Bytes bytes, bool more) {
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    return result_of(send(socket, bytes.data(), bytes.size(), flags));
}

int32_t send_descriptor_without_waiting(int socket, Bytes bytes, int passed) {
    // Linux takes SCM_RIGHTS on a TCP socket and drops it silently.
    int domain = 0;
    socklen_t domain_bytes = sizeof domain;
    if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &domain_bytes) != 0) return -errno;
    if (domain != AF_UNIX) return -EOPNOTSUPP;
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof passed)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof passed);
    std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
    return result_of(sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

int32_t send_file_without_waiting(int socket, int file, uint64_t offset, uint32_t size) {
    off_t position = static_cast<off_t>(offset);
    return result_of(sendfile(socket, file, &position, size));
}

}  // namespace penstock::io::internal
