// ChunkWriter: an answer of any length, written once, into pooled buffers that then go out as they
// are. A listing of 10,000 names is a few hundred KB and nothing in it is copied twice.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "io/body.h"
#include "io/buffer_pool.h"

namespace penstock::node::ais {

class ChunkWriter {
public:
    static constexpr uint32_t chunk_bytes_max = 1 << 20;  // what a Source may give at once

    // `expected_bytes`: how much it will be, roughly; the first buffer's size.
    ChunkWriter(io::BufferPool& pool, uint64_t expected_bytes);

    // Room for `bytes` (at most 64 KiB) in one piece; valid until the next call. advance() says
    // where the writing ended.
    char* room(uint32_t bytes) {
        if (static_cast<size_t>(end_ - at_) < bytes) start_chunk(bytes);
        return at_;
    }
    void advance(char* to) { at_ = to; }
    void append(std::string_view text);
    // All of it. The writer is empty afterwards.
    io::Body finish();

private:
    void start_chunk(uint32_t bytes);
    void close_chunk();

    io::BufferPool& pool_;
    std::vector<io::Chunk> full_;
    io::Buffer buffer_;
    char* at_ = nullptr;
    char* end_ = nullptr;
};

}  // namespace penstock::node::ais
