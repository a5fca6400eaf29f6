// Body: the one value for "these bytes, wherever they lie": in a buffer, or still to come from a
// Source (a verified read of files, a client's upload). Responses, batches, transforms and copies
// all take the same value, and only Socket::send knows how each kind goes out best.
#pragma once

#include <memory>
#include <variant>

#include "io/stream.h"

namespace penstock::io {

class Body {
public:
    // No bytes.
    Body() = default;
    // NOLINTNEXTLINE(google-explicit-constructor): a chunk is a body.
    Body(Chunk chunk) : content_(std::move(chunk)) {}
    // `source` must know its remaining_bytes(), unless the size is not known beforehand.
    explicit Body(std::unique_ptr<Source> source) : content_(std::move(source)) {}
    // A copy of `text` in a buffer of `pool`; at most BufferPool::size_max bytes.
    static Body copy_of(BufferPool& pool, Bytes bytes);

    bool is_chunk() const { return std::holds_alternative<Chunk>(content_); }
    Chunk& chunk() { return std::get<Chunk>(content_); }
    const Chunk& chunk() const { return std::get<Chunk>(content_); }
    Source& source() { return *std::get<std::unique_ptr<Source>>(content_); }

    // nullopt: not known before the end (an upload with chunked coding).
    std::optional<uint64_t> size_bytes() const;

    // All of it in one chunk, or `too_large` if there are more than `size_max` bytes. Consumes.
    Task<Result<Chunk>> read_all(BufferPool& pool, uint32_t size_max);
    // As a source, whatever it was. Consumes.
    std::unique_ptr<Source> into_source();

private:
    std::variant<Chunk, std::unique_ptr<Source>> content_;
};

}  // namespace penstock::io
