#include "io/file_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

namespace penstock::io {

Result<FileMapping> FileMapping::map(int descriptor, uint64_t size_bytes, Use use) {
    struct stat status{};
    if (::fstat(descriptor, &status) != 0) return fail(error_from_errno(errno, "fstat", "a file"));
    // Behind an object's bytes its file may go on, with what is the node's.
    const auto file_bytes = static_cast<uint64_t>(status.st_size);
    const bool is_right = use == Use::sealed ? file_bytes == size_bytes : file_bytes >= size_bytes;
    if (!S_ISREG(status.st_mode) || !is_right) {
        return fail(Errc::corrupt, "a descriptor has another size than was said");
    }
    if (use == Use::sealed) {
        // Without them a later change of the file's size would end this process (SIGBUS).
        constexpr int wanted = F_SEAL_WRITE | F_SEAL_SHRINK;
        const int seals = ::fcntl(descriptor, F_GET_SEALS);
        if (seals < 0 || (seals & wanted) != wanted) {
            return fail(Errc::corrupt, "memory that was handed over is not sealed");
        }
    }
    if (size_bytes == 0) return FileMapping();
    const int flags = MAP_SHARED | (use == Use::sealed ? MAP_POPULATE : 0);
    void* at = ::mmap(nullptr, size_bytes, PROT_READ, flags, descriptor, 0);
    if (at == MAP_FAILED) return fail(error_from_errno(errno, "mmap", "a file"));
    return FileMapping({static_cast<const std::byte*>(at), size_bytes});
}

FileMapping::~FileMapping() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace penstock::io
