#include "io/body.h"

#include <algorithm>
#include <cstring>

#include "io/base/units.h"
#include "io/reactor.h"

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

// Reads a file range chunk by chunk.
class FileRangeSource final : public Source {
public:
    FileRangeSource(Reactor& reactor, BufferPool& pool, FileRange range)
        : reactor_(reactor), pool_(pool), range_(std::move(range)) {}

    Task<Result<Chunk>> next() override {
        const auto size = static_cast<uint32_t>(std::min<uint64_t>(range_.size, chunk_bytes));
        if (size == 0) co_return Chunk();
        Chunk chunk{pool_.take(size), 0, 0};
        const MutableBytes room = chunk.buffer.bytes().first(size);
        int32_t result = reactor_.kernel().try_read(range_.descriptor, room, range_.offset);
        if (result <= 0) {
            result = co_await reactor_.read(range_.descriptor, room, range_.offset);
        }
        if (result < 0) co_return fail(error_from_errno(-result, "read", "object file"));
        if (result == 0) co_return fail(Errc::corrupt, "object file ends early");
        chunk.size = static_cast<uint32_t>(result);
        range_.offset += chunk.size;
        range_.size -= chunk.size;
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return range_.size; }

private:
    static constexpr uint64_t chunk_bytes = 256_KiB;

    Reactor& reactor_;
    BufferPool& pool_;
    FileRange range_;
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
    if (is_file_range()) return file_range().size;
    return std::get<std::unique_ptr<Source>>(content_)->remaining_bytes();
}

Task<Result<Chunk>> Body::read_all(Reactor& reactor, BufferPool& pool, uint32_t size_max) {
    if (is_chunk()) {
        if (chunk().size > size_max) co_return fail(Errc::too_large, "body");
        co_return std::move(chunk());
    }
    const std::optional<uint64_t> known = size_bytes();
    if (known && *known > size_max) co_return fail(Errc::too_large, "body");

    const std::unique_ptr<Source> from = into_source(reactor, pool);
    Chunk all{pool.take(known ? static_cast<uint32_t>(*known) : BufferPool::size_min), 0, 0};
    for (;;) {
        CO_TRY(const Chunk part, co_await from->next());
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

std::unique_ptr<Source> Body::into_source(Reactor& reactor, BufferPool& pool) {
    if (is_chunk()) return std::make_unique<ChunkSource>(std::move(chunk()));
    if (is_file_range()) {
        return std::make_unique<FileRangeSource>(reactor, pool,
                                                 std::move(std::get<FileRange>(content_)));
    }
    return std::move(std::get<std::unique_ptr<Source>>(content_));
}

}  // namespace penstock::io
