// Source and Sink: bytes that come, and bytes that go, a chunk at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "io/buffer_pool.h"
#include "io/task.h"

namespace penstock::io {

// Gives bytes in order. Chunks are at most 1 MiB and owned by the taker.
class Source {
public:
    virtual ~Source() = default;

    // The next bytes; an empty chunk at the end. After an error or the end it is not called again.
    // A source that knows its length fails (`closed` or `corrupt`) rather than end early.
    virtual Task<Result<Chunk>> next() = 0;
    // How many bytes are still to come, if that is known.
    virtual std::optional<uint64_t> remaining_bytes() const = 0;
};

// Takes bytes in order.
class Sink {
public:
    virtual ~Sink() = default;

    // When it is done, `bytes` may be reused. After an error neither is called again.
    virtual Task<Status> write(Bytes bytes) = 0;
    // All bytes were written; what this promises is the sink's to say.
    virtual Task<Status> finish() = 0;
};

}  // namespace penstock::io
