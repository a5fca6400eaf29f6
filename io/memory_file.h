// MemoryFile: bytes that are handed to another process as a descriptor: a memfd, written once from
// its beginning, then sealed so that nobody can change it or make it shorter: whoever maps it can
// rely on every byte for as long as the mapping lives. And files of ours, handed out for reading.
//
// A value with one owner; any thread. The calls do not wait for a device.
#pragma once

#include <cstdint>

#include "io/base/bytes.h"
#include "io/base/result.h"
#include "io/descriptor.h"

namespace penstock::io {

class MemoryFile {
public:
    // `unavailable` if the system has no descriptor or no memory left. `name` is what
    // /proc/PID/fd shows.
    static Result<MemoryFile> create(const char* name);

    // Behind what was written before; `unavailable` when memory is short. Not after seal().
    Status append(Bytes bytes);
    // The same of a file's bytes, which are in memory: copied once, by the system. What the file
    // does not hold is `corrupt`.
    Status append_file(int descriptor, uint64_t offset, uint64_t size);
    uint64_t size_bytes() const { return size_bytes_; }
    // F_SEAL_WRITE, SHRINK, GROW and SEAL: final, for this process too. Gives the descriptor away.
    Result<Descriptor> seal();

private:
    explicit MemoryFile(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

    Descriptor descriptor_;
    uint64_t size_bytes_ = 0;
};

// Another open file for the file behind `descriptor`, for reading alone. What is handed to another
// process must not share our own: a file's flags (O_DIRECT) can be changed through each descriptor
// of it. `io_error` where there is no /proc.
Result<Descriptor> reopen_for_reading(int descriptor);

}  // namespace penstock::io
