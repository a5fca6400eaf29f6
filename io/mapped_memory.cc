#include "io/mapped_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

namespace penstock::io {

MappedMemory::MappedMemory(size_t bytes) {
    ASSERT(bytes > 0 && bytes % alignment == 0);
    // The system aligns to small pages: take more and give back what lies outside.
    const size_t mapped_bytes = bytes + alignment;
    void* mapped = mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(mapped != MAP_FAILED);
    auto* begin = static_cast<std::byte*>(mapped);
    const size_t before = alignment - reinterpret_cast<uintptr_t>(mapped) % alignment;
    ASSERT(munmap(begin, before) == 0);
    if (before < alignment) ASSERT(munmap(begin + before + bytes, alignment - before) == 0);
    bytes_ = {begin + before, bytes};
    // Advice: without huge pages everything works as well.
    static_cast<void>(madvise(bytes_.data(), bytes_.size(), MADV_HUGEPAGE));
}

MappedMemory::~MappedMemory() {
    unmap();
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})) {}

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
    if (this != &other) {
        unmap();
        bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
}

void MappedMemory::unmap() {
    if (!bytes_.empty()) ASSERT(munmap(bytes_.data(), bytes_.size()) == 0);
}

}  // namespace penstock::io
