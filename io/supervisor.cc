#include "io/supervisor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "io/base/units.h"

namespace penstock::io {
namespace {

constexpr int first_inherited = 3;
constexpr uint64_t inherited_max = 64;

std::string take_variable(const char* name) {
    const char* value = getenv(name);
    std::string taken = value == nullptr ? "" : value;
    unsetenv(name);
    return taken;
}

std::optional<uint64_t> number_of(const std::string& text) {
    if (text.empty() || text.size() > 18) return std::nullopt;
    uint64_t number = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9') return std::nullopt;
        number = number * 10 + static_cast<uint64_t>(digit - '0');
    }
    return number;
}

std::vector<Supervisor::Listener> inherited_listeners() {
    const std::optional<uint64_t> pid = number_of(take_variable("LISTEN_PID"));
    const std::optional<uint64_t> count = number_of(take_variable("LISTEN_FDS"));
    std::string names = take_variable("LISTEN_FDNAMES");
    std::vector<Supervisor::Listener> listeners;
    if (!count || *count > inherited_max || (pid && *pid != static_cast<uint64_t>(getpid()))) {
        return listeners;
    }
    for (uint64_t index = 0; index < *count; ++index) {
        const int descriptor = first_inherited + static_cast<int>(index);
        const size_t end = names.find(':');
        std::string name = names.substr(0, end);
        names = end == std::string::npos ? "" : names.substr(end + 1);
        if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) continue;
        // The reactor never waits inside an accept.
        fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
        listeners.push_back({descriptor, name.empty() ? "unknown" : std::move(name)});
    }
    return listeners;
}

}  // namespace

Supervisor Supervisor::from_environment() {
    Supervisor supervisor;
    supervisor.socket_path_ = take_variable("NOTIFY_SOCKET");
    const std::optional<uint64_t> watchdog_pid = number_of(take_variable("WATCHDOG_PID"));
    const std::optional<uint64_t> watchdog_us = number_of(take_variable("WATCHDOG_USEC"));
    const bool is_ours = !watchdog_pid || *watchdog_pid == static_cast<uint64_t>(getpid());
    if (watchdog_us && *watchdog_us > 0 && is_ours) {
        supervisor.watchdog_ns_ = *watchdog_us * ns_per_us;
    }
    supervisor.listeners_ = inherited_listeners();
    return supervisor;
}

void Supervisor::notify(std::string_view state) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path_.empty() || socket_path_.size() >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, socket_path_.data(), socket_path_.size());
    // "@name" is a socket without a file: its address begins with a zero byte.
    if (socket_path_.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_path_.size());

    const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return;
    [[maybe_unused]] const ssize_t sent =
        sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), size);
    close(descriptor);
}

void Supervisor::notify_reloading() const {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t now_us =
        static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
    notify("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now_us));
}

}  // namespace penstock::io
