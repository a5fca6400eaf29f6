#include "io/body.h"

#include <cstring>

namespace penstock::io {
namespace {

// Gives one chunk, then the end.
class ChunkSource final : public Source {
public:
    explicit ChunkSource(Chunk chunk) : chunk_(std::move(chunk)) {}
    Task<Result<Chunk>> next() override {
        Chunk given = std::move(chunk_);
        chunk_ = Chunk();
        co_return given;
    }
    std::optional<uint64_t> remaining_bytes() const override { return chunk_.size; }

private:
    Chunk chunk_;
};

}  // namespace

Body Body::copy_of(BufferPool& pool, Bytes bytes) {
    if (bytes.empty()) return Body();
    Chunk chunk{pool.take(static_cast<uint32_t>(bytes.size())), 0,
                static_cast<uint32_t>(bytes.size())};
    std::memcpy(chunk.buffer.data(), bytes.data(), bytes.size());
    return Body(std::move(chunk));
}

std::optional<uint64_t> Body::size_bytes() const {
    if (is_chunk()) return chunk().size;
    return std::get<std::unique_ptr<Source>>(content_)->remaining_bytes();
}

Task<Result<Chunk>> Body::read_all(BufferPool& pool, uint32_t size_max) {
    if (is_chunk()) {
        if (chunk().size > size_max) co_return fail(Errc::too_large, "body");
        co_return std::move(chunk());
    }
    const std::optional<uint64_t> known = size_bytes();
    if (known && *known > size_max) co_return fail(Errc::too_large, "body");

    Chunk all{pool.take(known ? static_cast<uint32_t>(*known) : BufferPool::size_min), 0, 0};
    for (;;) {
        CO_TRY(const Chunk part, co_await source().next());
        if (part.is_empty()) co_return all;
        if (all.size + uint64_t{part.size} > size_max) co_return fail(Errc::too_large, "body");
        if (all.size + part.size > all.buffer.size()) {
            Buffer larger = pool.take(all.size + part.size);
            std::memcpy(larger.data(), all.buffer.data(), all.size);
            all.buffer = std::move(larger);
        }
        std::memcpy(all.buffer.data() + all.size, part.bytes().data(), part.size);
        all.size += part.size;
    }
}

std::unique_ptr<Source> Body::into_source() {
    if (is_chunk()) return std::make_unique<ChunkSource>(std::move(chunk()));
    return std::move(std::get<std::unique_ptr<Source>>(content_));
}

}  // namespace penstock::io
