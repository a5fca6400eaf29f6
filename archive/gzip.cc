#include "archive/gzip.h"

#include <isa-l/igzip_lib.h>

#include <cstdint>

#include "io/base/assert.h"

namespace penstock::archive {

std::vector<std::byte> gzip(Bytes content) {
    ASSERT(content.size() <= gzip_bytes_max);
    // What does not compress is stored: 5 bytes more for each block of 64 KiB, and the frame.
    const size_t bytes_max = content.size() + content.size() / 8192 + 256;
    std::vector<std::byte> to(bytes_max);
    std::vector<uint8_t> level_buffer(ISAL_DEF_LVL1_DEFAULT);
    isal_zstream stream;
    isal_deflate_stateless_init(&stream);
    stream.level = 1;
    stream.level_buf = level_buffer.data();
    stream.level_buf_size = static_cast<uint32_t>(level_buffer.size());
    stream.gzip_flag = IGZIP_GZIP;
    stream.end_of_stream = 1;
    stream.flush = NO_FLUSH;
    // The library does not write to what it reads.
    stream.next_in = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(content.data()));
    stream.avail_in = static_cast<uint32_t>(content.size());
    stream.next_out = reinterpret_cast<uint8_t*>(to.data());
    stream.avail_out = static_cast<uint32_t>(to.size());
    const int result = isal_deflate_stateless(&stream);
    ASSERT(result == COMP_OK);
    ASSERT(stream.avail_in == 0);
    to.resize(stream.total_out);
    return to;
}

}  // namespace penstock::archive
