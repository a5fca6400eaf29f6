// MappedMemory: zeroed memory straight from the system, for tables that are large and live long.
// Aligned to 2 MiB and backed by huge pages where the system has them: a random look into 400 MB
// costs a quarter less then, because the processor finds the address sooner.
//
// A value with one owner; any thread.
#pragma once

#include <cstddef>

#include "io/base/bytes.h"

namespace penstock::io {

class MappedMemory {
public:
    static constexpr size_t alignment = 2 << 20;

    // A multiple of `alignment`. Address space without memory behind it until it is touched; that
    // the system has no address space left stops the process, as for any allocation.
    explicit MappedMemory(size_t bytes);
    ~MappedMemory();
    MappedMemory(MappedMemory&& other) noexcept;
    MappedMemory& operator=(MappedMemory&& other) noexcept;

    MutableBytes bytes() const { return bytes_; }

private:
    void unmap();

    MutableBytes bytes_;
};

}  // namespace penstock::io
