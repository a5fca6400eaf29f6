#include "node/doors/ais/chunk_writer.h"

#include <algorithm>

#include "io/base/assert.h"

namespace penstock::node::ais {
namespace {

class ChunksSource final : public io::Source {
public:
    explicit ChunksSource(std::vector<io::Chunk> chunks) : chunks_(std::move(chunks)) {
        for (const io::Chunk& chunk : chunks_) remaining_ += chunk.size;
    }

    io::Task<Result<io::Chunk>> next() override {
        if (position_ == chunks_.size()) co_return io::Chunk();
        io::Chunk chunk = std::move(chunks_[position_++]);
        remaining_ -= chunk.size;
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return remaining_; }

private:
    std::vector<io::Chunk> chunks_;
    size_t position_ = 0;
    uint64_t remaining_ = 0;
};

char* characters(std::byte* bytes) {
    return reinterpret_cast<char*>(bytes);
}

}  // namespace

ChunkWriter::ChunkWriter(io::BufferPool& pool, uint64_t expected_bytes) : pool_(pool) {
    const uint64_t bytes =
        std::clamp<uint64_t>(expected_bytes, io::BufferPool::size_min, chunk_bytes_max);
    start_chunk(static_cast<uint32_t>(bytes));
}

void ChunkWriter::start_chunk(uint32_t bytes) {
    ASSERT(bytes <= chunk_bytes_max);
    close_chunk();
    buffer_ = pool_.take(full_.empty() ? bytes : chunk_bytes_max);
    at_ = characters(buffer_.data());
    end_ = at_ + std::min(buffer_.size(), chunk_bytes_max);
}

void ChunkWriter::close_chunk() {
    if (!buffer_) return;
    const auto size = static_cast<uint32_t>(at_ - characters(buffer_.data()));
    if (size != 0) full_.push_back({std::move(buffer_), 0, size});
    buffer_ = io::Buffer();
}

void ChunkWriter::append(std::string_view text) {
    constexpr size_t piece_bytes = 64 << 10;
    while (!text.empty()) {
        const std::string_view piece = text.substr(0, piece_bytes);
        char* to = room(static_cast<uint32_t>(piece.size()));
        std::memcpy(to, piece.data(), piece.size());
        advance(to + piece.size());
        text.remove_prefix(piece.size());
    }
}

io::Body ChunkWriter::finish() {
    close_chunk();
    at_ = end_ = nullptr;
    if (full_.empty()) return io::Body();
    if (full_.size() == 1) return io::Body(std::move(full_[0]));
    return io::Body(std::make_unique<ChunksSource>(std::move(full_)));
}

}  // namespace penstock::node::ais
