// Body: the one value for "these bytes, wherever they lie": in a buffer, in the resident pages of a
// file that were verified before, or still to come from a Source (a verified read of files, a
// client's upload). Responses, batches, transforms and copies all take the same value, and only
// Socket::send_with_body knows how each kind goes out best.
#pragma once

#include <memory>
#include <variant>

#include "io/stream.h"

namespace penstock::io {

class Reactor;

// A range of an open file whose bytes were verified while they were resident, and are never
// changed. Whoever sends it may use sendfile: nothing is copied through our memory.
struct FileRange {
    int descriptor = -1;
    uint64_t offset = 0;
    uint64_t size = 0;
    std::shared_ptr<const void> keeps_open;  // the descriptor stays open as long as this lives
};

class Body {
public:
    // No bytes.
    Body() = default;
    // NOLINTNEXTLINE(google-explicit-constructor): a verified range is a body.
    Body(FileRange range) : content_(std::move(range)) {}
    // NOLINTNEXTLINE(google-explicit-constructor): a chunk is a body.
    Body(Chunk chunk) : content_(std::move(chunk)) {}
    // `source` must know its remaining_bytes(), unless the size is not known beforehand.
    explicit Body(std::unique_ptr<Source> source) : content_(std::move(source)) {}
    // A copy of `text` in a buffer of `pool`; at most BufferPool::size_max bytes.
    static Body copy_of(BufferPool& pool, Bytes bytes);

    bool is_chunk() const { return std::holds_alternative<Chunk>(content_); }
    bool is_file_range() const { return std::holds_alternative<FileRange>(content_); }
    bool is_source() const { return std::holds_alternative<std::unique_ptr<Source>>(content_); }
    const FileRange& file_range() const { return std::get<FileRange>(content_); }
    Chunk& chunk() { return std::get<Chunk>(content_); }
    const Chunk& chunk() const { return std::get<Chunk>(content_); }
    Source& source() { return *std::get<std::unique_ptr<Source>>(content_); }

    // nullopt: not known before the end (an upload with chunked coding).
    std::optional<uint64_t> size_bytes() const;

    // All of it in one chunk, or `too_large` if there are more than `size_max` bytes. Consumes.
    Task<Result<Chunk>> read_all(Reactor& reactor, BufferPool& pool, uint32_t size_max);
    // As a source, whatever it was, whose chunks come from `pool`. Consumes.
    std::unique_ptr<Source> into_source(Reactor& reactor, BufferPool& pool);

private:
    std::variant<Chunk, FileRange, std::unique_ptr<Source>> content_;
};

}  // namespace penstock::io
