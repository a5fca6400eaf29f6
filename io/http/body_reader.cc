#include "io/http/body_reader.h"

#include <algorithm>
#include <cstring>

#include "io/base/units.h"

namespace penstock::io::http {
namespace {

constexpr uint32_t first_piece_bytes = 16 << 10;
constexpr uint32_t piece_bytes_max = 256 << 10;
// A client is quick if a piece took no longer: the next one is four times as large.
constexpr uint64_t quick_ns = 250 * ns_per_ms;

}  // namespace

BodyReader::BodyReader(Reactor& reactor, BufferPool& pool, Socket& socket, ReceivedBytes& received,
                       const RequestHead& head, uint64_t progress_timeout_ns)
    : reactor_(reactor),
      pool_(pool),
      socket_(socket),
      received_(received),
      progress_timeout_ns_(progress_timeout_ns),
      kind_(head.body_kind),
      rest_(head.content_length),
      piece_bytes_(first_piece_bytes),
      head_end_(received.begin),
      must_continue_(head.expects_continue && head.body_kind != BodyKind::none),
      is_ended_(kind_ == BodyKind::none || (kind_ == BodyKind::length && rest_ == 0)) {}

std::optional<uint64_t> BodyReader::remaining_bytes() const {
    if (kind_ == BodyKind::chunked) return std::nullopt;
    return kind_ == BodyKind::none ? 0 : rest_;
}

Task<Result<Chunk>> BodyReader::next() {
    if (is_ended_) co_return Chunk();
    if (must_continue_) {
        must_continue_ = false;
        has_failed_ = true;  // unless all goes well
        CO_TRY_STATUS(co_await send_continue());
    }
    const uint64_t started_ns = reactor_.now_ns();
    Result<Chunk> chunk =
        kind_ == BodyKind::length ? co_await next_of_length() : co_await next_of_chunked();
    has_failed_ = !chunk.has_value();
    note_progress(reactor_.now_ns() - started_ns);
    co_return chunk;
}

Task<Status> BodyReader::send_continue() {
    // Bytes that came already say that the client did not wait.
    if (received_.begin != received_.end) co_return Status();
    co_return co_await socket_.send(as_bytes("HTTP/1.1 100 Continue\r\n\r\n"), progress());
}

Task<Result<Chunk>> BodyReader::next_of_length() {
    const auto size = static_cast<uint32_t>(std::min<uint64_t>(rest_, piece_bytes_));
    Chunk chunk{pool_.take(size), 0, 0};
    CO_TRY_STATUS(co_await fill(chunk, size));
    rest_ -= size;
    is_ended_ = rest_ == 0;
    co_return chunk;
}

void BodyReader::note_progress(uint64_t piece_ns) {
    const bool is_quick = piece_ns <= quick_ns;
    piece_bytes_ = is_quick ? std::min(piece_bytes_ * 4, piece_bytes_max) : first_piece_bytes;
}

// What was received with the head first, then straight from the socket.
Task<Status> BodyReader::fill(Chunk& chunk, uint32_t size) {
    const uint32_t have = std::min(size, received_.end - received_.begin);
    std::memcpy(chunk.buffer.data(), received_.rest().data(), have);
    received_.begin += have;
    if (have < size) {
        const MutableBytes room = chunk.buffer.bytes().subspan(have, size - have);
        CO_TRY_STATUS(co_await socket_.receive_steadily(room, progress_timeout_ns_));
    }
    chunk.size = size;
    co_return Status();
}

Task<Result<Chunk>> BodyReader::next_of_chunked() {
    Chunk chunk{pool_.take(piece_bytes_), 0, 0};
    while (chunk.size < piece_bytes_ && !decoder_.is_ended()) {
        if (received_.begin == received_.end) {
            // Enough of this chunk is on its way: no detour through the small buffer.
            const uint64_t direct =
                std::min<uint64_t>(decoder_.chunk_rest(), piece_bytes_ - chunk.size);
            if (direct >= first_piece_bytes) {
                const MutableBytes room = chunk.buffer.bytes().subspan(chunk.size, direct);
                CO_TRY_STATUS(co_await socket_.receive_steadily(room, progress_timeout_ns_));
                chunk.size += static_cast<uint32_t>(direct);
                decoder_.skip(direct);
                continue;
            }
            CO_TRY_STATUS(co_await receive_more());
        }
        const uint32_t room = piece_bytes_ - chunk.size;
        Bytes input = received_.rest().first(std::min<size_t>(received_.rest().size(), room));
        const size_t before = input.size();
        CO_TRY(const Bytes content, decoder_.next(input));
        received_.begin += static_cast<uint32_t>(before - input.size());
        if (content.empty()) continue;
        std::memcpy(chunk.buffer.data() + chunk.size, content.data(), content.size());
        chunk.size += static_cast<uint32_t>(content.size());
    }
    is_ended_ = decoder_.is_ended();
    co_return chunk;
}

// Into the room behind the head, which stays where views point at it.
Task<Status> BodyReader::receive_more() {
    received_.begin = received_.end = head_end_;
    const MutableBytes room = received_.buffer.bytes().subspan(head_end_);
    if (room.empty()) co_return fail(Errc::invalid, "no room behind the head");
    CO_TRY(const uint32_t count, co_await socket_.receive(room, progress()));
    if (count == 0) co_return fail(Errc::closed, "the body was cut off");
    received_.end += count;
    co_return Status();
}

}  // namespace penstock::io::http
