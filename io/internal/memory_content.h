// MemoryContent: a file's bytes in memory, cheap to copy: a copy shares its chunks until one of the
// two writes there, and chunks of zeros take no memory. A crash test makes thousands of copies of
// images with several segments, most of which stay as they are.
//
// A plain value without a lock: memory_disk.cc guards it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/units.h"

namespace penstock::io::internal {

class MemoryContent {
public:
    static constexpr uint64_t chunk_bytes = 16_KiB;

    uint64_t size_bytes() const { return size_bytes_; }
    // As many bytes as there are before the end; how many.
    size_t read(MutableBytes buffer, uint64_t offset) const;
    // Grows as needed, with zeros before the offset.
    void write(Bytes bytes, uint64_t offset);
    // Zeros for `size` bytes from `offset`; grows as needed.
    void write_zeros(uint64_t offset, uint64_t size);
    // Cuts, or grows with zeros.
    void resize(uint64_t size_bytes);
    // Whether all bytes there are zeros that take no memory; true behind the end.
    bool is_hole(uint64_t offset, uint64_t size) const;

private:
    using Chunk = std::array<std::byte, chunk_bytes>;

    void write_chunk(size_t index, Bytes bytes, size_t at);
    void grow(uint64_t size_bytes);

    // Null stands for zeros. Bytes of the last chunk behind the end are zeros.
    std::vector<std::shared_ptr<const Chunk>> chunks_;
    uint64_t size_bytes_ = 0;
};

// Whether all bytes are zeros.
bool is_all_zeros(Bytes bytes);

}  // namespace penstock::io::internal
