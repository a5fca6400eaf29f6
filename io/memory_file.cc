#include "io/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace penstock::io {
namespace {

std::unexpected<Error> write_error(int number) {
    Error error = error_from_errno(number, "write", "memfd");
    error.code = Errc::unavailable;
    return fail(std::move(error));
}

}  // namespace

Result<MemoryFile> MemoryFile::create(const char* name) {
    Descriptor descriptor(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!descriptor.is_open()) return fail(error_from_errno(errno, "memfd_create", name));
    return MemoryFile(std::move(descriptor));
}

// By pwrite, not through a mapping: whole pages need not be zeroed first, and a writable mapping
// would have to go before the seal.
Status MemoryFile::append(Bytes bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::pwrite(descriptor_.get(), bytes.data(), bytes.size(),
                                       static_cast<off_t>(size_bytes_));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return write_error(errno);
        bytes = bytes.subspan(static_cast<size_t>(count));
        size_bytes_ += static_cast<uint64_t>(count);
    }
    return {};
}

Status MemoryFile::append_file(int descriptor, uint64_t offset, uint64_t size) {
    const int to = descriptor_.get();
    // sendfile() writes where the file stands, and append() does not move that.
    if (::lseek(to, static_cast<off_t>(size_bytes_), SEEK_SET) < 0) return write_error(errno);
    auto from = static_cast<off_t>(offset);
    while (size > 0) {
        const ssize_t count = ::sendfile(to, descriptor, &from, size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return write_error(errno);
        if (count == 0) return fail(Errc::corrupt, "a file ends early");
        size -= static_cast<uint64_t>(count);
        size_bytes_ += static_cast<uint64_t>(count);
    }
    return {};
}

Result<Descriptor> MemoryFile::seal() {
    constexpr int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (fcntl(descriptor_.get(), F_ADD_SEALS, seals) != 0) {
        return fail(error_from_errno(errno, "seal", "memfd"));
    }
    return std::move(descriptor_);
}

Result<Descriptor> reopen_for_reading(int descriptor) {
    const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
    Descriptor again(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!again.is_open()) return fail(error_from_errno(errno, "open", path));
    return again;
}

}  // namespace penstock::io
