// tar_writer: lays out the headers of a TAR that we write, into memory that the caller has. An
// entry is header, content, padding; behind the last one comes the end mark. What ustar can say is
// said in ustar; names and sizes that it cannot hold go into a PAX header in front. GNU tar, bsdtar
// and Python's tarfile read it. Pure functions, for any core.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/base/bytes.h"

namespace penstock::archive {

struct TarEntry {
    std::string_view name;  // 1 to 4,096 bytes; if it ends in '/', readers see a directory
    uint64_t size = 0;
    uint64_t modified_s = 0;  // seconds since 1970
    // In a PAX header, which readers pass over silently; "": none. At most 1 MiB.
    std::string_view comment = {};
};

// What put_tar_header() will write: 512 bytes, or 1,536 and more with a PAX header.
size_t tar_header_bytes(const TarEntry& entry);
// Writes the header at the front of `to`, which has room, and returns what is left of it.
MutableBytes put_tar_header(MutableBytes to, const TarEntry& entry);

// Zeros behind content of this size, up to the next block.
constexpr uint64_t tar_padding_bytes(uint64_t size) {
    return (512 - size % 512) % 512;
}
// Zeros behind the last entry.
constexpr size_t tar_end_bytes = 1024;

}  // namespace penstock::archive
