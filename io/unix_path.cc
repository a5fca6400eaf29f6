#include "io/unix_path.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/descriptor.h"

namespace penstock::io {
namespace {

bool is_socket(const std::string& path) {
    struct stat status{};
    return lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace

Status make_socket_path_free(const std::string& path) {
    struct stat status{};
    if (lstat(path.c_str(), &status) != 0) return {};  // binding says what else is wrong
    if (!S_ISSOCK(status.st_mode)) return fail(Errc::exists, path + " exists and is no socket");
    sockaddr_un name{};
    if (path.size() >= sizeof name.sun_path) return fail(Errc::invalid, path + " is too long");
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, path.data(), path.size());
    const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int connected =
        ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name);
    if (connected == 0 || errno != ECONNREFUSED) {
        return fail(Errc::exists, "another process listens at " + path);
    }
    ::unlink(path.c_str());
    return {};
}

void remove_socket_path(const std::string& path) {
    if (is_socket(path)) ::unlink(path.c_str());
}

}  // namespace penstock::io
