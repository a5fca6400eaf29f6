#include "bench/load/server_cpu.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace penstock::bench {
namespace {

std::string content_of(const std::string& path) {
    std::ifstream file(path);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
}

std::optional<double> seconds_of(int pid) {
    const std::string directory = "/proc/" + std::to_string(pid);
    const std::string stat = content_of(directory + "/stat");
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos) return std::nullopt;
    std::stringstream fields(stat.substr(name_end + 1));
    std::string skipped;
    for (int field = 3; field <= 13; ++field) fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    double seconds = (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
    std::stringstream children(
        content_of(directory + "/task/" + std::to_string(pid) + "/children"));
    for (int child = 0; children >> child;) seconds += seconds_of(child).value_or(0);
    return seconds;
}

int pid_behind(const ServerAddress& address) {
    const io::Descriptor socket = address.connect();
    ucred peer{};
    socklen_t size = sizeof peer;
    if (!socket.is_open() || getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return 0;
    }
    return peer.pid;
}

}  // namespace

ServerCpu::ServerCpu(const Options& options, const ServerAddress& address)
    : options_(options), address_(address), pid_(options.server_pid) {
    if (pid_ == 0 && options.target.is_unix) pid_ = pid_behind(address);
}

std::optional<double> ServerCpu::seconds() const {
    if (pid_ != 0) return seconds_of(pid_);
    if (options_.target.dialect == Dialect::rpc) return std::nullopt;
    return seconds_by_metrics();
}

std::optional<double> ServerCpu::seconds_by_metrics() const {
    constexpr size_t answer_bytes_max = 4 << 20;
    const io::Descriptor socket = address_.connect();
    const std::string request =
        "GET /metrics HTTP/1.1\r\nHost: " + options_.target.host + "\r\nConnection: close\r\n\r\n";
    if (!socket.is_open() ||
        ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
        return std::nullopt;
    }
    std::string answer;
    char buffer[16384];
    while (answer.size() < answer_bytes_max) {
        const ssize_t count = ::recv(socket.get(), buffer, sizeof buffer, 0);
        if (count <= 0) break;
        answer.append(buffer, static_cast<size_t>(count));
    }
    const std::string name = "\nprocess_cpu_seconds_total ";
    const size_t at = answer.find(name);
    if (at == std::string::npos) return std::nullopt;
    return std::strtod(answer.c_str() + at + name.size(), nullptr);
}

}  // namespace penstock::bench
