#include "client/stream_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace penstock::client {

StreamFile::~StreamFile() {
    if (descriptor_ >= 0 && !is_standard_) ::close(descriptor_);
}

Status StreamFile::open_input(const std::string& path) {
    path_ = path;
    is_standard_ = path == "-";
    descriptor_ = is_standard_ ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) return fail(error_from_errno(errno, "open", path));
    return {};
}

Status StreamFile::open_output(const std::string& path, bool may_exist) {
    path_ = path;
    is_standard_ = path == "-";
    descriptor_ =
        is_standard_ ? STDOUT_FILENO : ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor_ < 0) return fail(error_from_errno(errno, "open", path));
    struct stat facts{};
    if (is_standard_ || may_exist || ::fstat(descriptor_, &facts) != 0) return {};
    if (S_ISREG(facts.st_mode) && facts.st_size > 0) {
        return fail(Errc::exists, path + " is there already: remove it, or give --resume");
    }
    return {};
}

Result<size_t> StreamFile::read(MutableBytes to) {
    for (;;) {
        const ssize_t count = ::read(descriptor_, to.data(), to.size());
        if (count >= 0) return static_cast<size_t>(count);
        if (errno != EINTR) return fail(error_from_errno(errno, "read", path_));
    }
}

Status StreamFile::write(Bytes bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail(error_from_errno(errno, "write", path_));
        bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return {};
}

Status StreamFile::go_on_at(uint64_t offset) {
    const auto at = static_cast<off_t>(offset);
    if (::ftruncate(descriptor_, at) != 0 || ::lseek(descriptor_, at, SEEK_SET) != at) {
        return fail(error_from_errno(errno, "cut", path_));
    }
    return {};
}

Status StreamFile::finish() {
    struct stat facts{};
    if (::fstat(descriptor_, &facts) != 0 || !S_ISREG(facts.st_mode)) return {};
    if (::fsync(descriptor_) != 0) return fail(error_from_errno(errno, "sync", path_));
    return {};
}

}  // namespace penstock::client
