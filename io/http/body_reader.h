// BodyReader: the body of one request, as a Source over its connection.
//
// A body of known length is received straight into the chunks that the handler takes: 16 KiB first,
// growing to 256 KiB as they fill quickly, the last one exact. Chunked coding is undone on the way.
// A body that stops early fails with `closed`, one that stalls with `timed_out`, one whose coding
// is broken with `invalid`: none of them ever looks like a whole one.
//
// A piece is waited for as a whole, in one operation while the client is quick. A slow one gets
// small pieces, and is not cut as long as any byte comes: Socket::receive_steadily().
#pragma once

#include <cstdint>
#include <optional>

#include "io/http/chunked.h"
#include "io/http/head.h"
#include "io/socket.h"
#include "io/stream.h"

namespace penstock::io::http {

// Bytes that a connection received and did not use yet: [begin, end) of `buffer`. What lies before
// `begin` is the head that views point into, so it stays in place.
struct ReceivedBytes {
    Buffer buffer;
    uint32_t begin = 0;
    uint32_t end = 0;

    Bytes rest() const { return buffer.bytes().subspan(begin, end - begin); }
};

class BodyReader final : public Source {
public:
    // All of them outlive the reader.
    BodyReader(Reactor& reactor, BufferPool& pool, Socket& socket, ReceivedBytes& received,
               const RequestHead& head, uint64_t progress_timeout_ns);

    Task<Result<Chunk>> next() override;
    std::optional<uint64_t> remaining_bytes() const override;

    bool is_ended() const { return is_ended_; }
    // The client waits for "100 Continue" and did not get it: it may never send the body.
    bool is_withheld() const { return must_continue_; }
    bool has_failed() const { return has_failed_; }

private:
    Task<Status> send_continue();
    Task<Result<Chunk>> next_of_length();
    Task<Result<Chunk>> next_of_chunked();
    Task<Status> fill(Chunk& chunk, uint32_t size);
    void note_progress(uint64_t piece_ns);
    Task<Status> receive_more();
    Until progress() const { return reactor_.within_ns(progress_timeout_ns_); }

    Reactor& reactor_;
    BufferPool& pool_;
    Socket& socket_;
    ReceivedBytes& received_;
    uint64_t progress_timeout_ns_;
    BodyKind kind_;
    uint64_t rest_;  // of a body with a length
    uint32_t piece_bytes_;
    uint32_t head_end_;
    ChunkedDecoder decoder_;
    bool must_continue_;
    bool is_ended_;
    bool has_failed_ = false;
};

}  // namespace penstock::io::http
