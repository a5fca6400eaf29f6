#include "client/http_exchange.h"

#include <algorithm>
#include <cstring>

namespace penstock::client {
namespace {

constexpr io::http::HeadLimits limits;
// A head at its limits fits, so that the buffer never grows.
constexpr size_t buffer_bytes = 128 << 10;
static_assert(buffer_bytes > limits.request_line_bytes_max + limits.headers_bytes_max + 4);
// From here on bytes are received where they belong, without a copy.
constexpr size_t direct_bytes_min = 16 << 10;

std::unexpected<Error> cut_off() {
    return fail(Errc::closed, "the node closed the connection within a call");
}

}  // namespace

std::string request_head(const HttpRequest& request, std::string_view common) {
    std::string head;
    head.reserve(request.target.size() + common.size() + request.headers.size() + 64);
    head.append(request.method).append(" ").append(request.target).append(" HTTP/1.1\r\n");
    head.append(common).append(request.headers);
    if (request.has_body) {
        head.append("Content-Length: ").append(std::to_string(request.body.size())).append("\r\n");
    }
    return head.append("\r\n");
}

HttpInbox::HttpInbox(io::Channel& channel) : channel_(channel) {}

io::Task<Result<size_t>> HttpInbox::receive(MutableBytes room, uint64_t deadline_ns) {
    std::vector<io::Descriptor> descriptors;  // none that come along are wanted
    CO_TRY(const size_t count, co_await channel_.receive(room, descriptors, deadline_ns));
    if (count == 0) co_return cut_off();
    co_return count;
}

// Into the buffer, behind what is there.
io::Task<Status> HttpInbox::receive_more(uint64_t deadline_ns) {
    if (buffer_.size() == 0) buffer_ = Buffer(buffer_bytes);
    if (buffer_.size() == 0) co_return fail(Errc::unavailable, "no memory for a reply");
    if (begin_ == end_) begin_ = end_ = 0;
    if (end_ == buffer_.size()) {
        std::memmove(buffer_.bytes().data(), buffer_.bytes().data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    ASSERT(end_ < buffer_.size());
    CO_TRY(const size_t count, co_await receive(buffer_.bytes().subspan(end_), deadline_ns));
    end_ += count;
    co_return Status();
}

io::Task<Result<Bytes>> HttpInbox::receive_head(uint64_t deadline_ns) {
    uint32_t scanned = 0;
    for (;;) {
        const Bytes bytes = unread();
        const auto found = io::http::find_head_end(bytes, scanned, limits);
        if (!found) {
            co_return fail(Errc::corrupt, "the answer is no HTTP/1.1: " + found.error().reason);
        }
        if (*found) {
            begin_ += **found;
            co_return bytes.first(**found);
        }
        scanned = static_cast<uint32_t>(bytes.size());
        CO_TRY_STATUS(co_await receive_more(deadline_ns));
    }
}

io::Task<Result<const io::http::ReplyHead*>> HttpInbox::head(bool is_to_head_request,
                                                             uint64_t deadline_ns) {
    ASSERT(rest_bytes_ == 0 && !is_chunked_);
    constexpr int interim_max = 16;
    for (int interim = 0;; ++interim) {
        CO_TRY(const Bytes bytes, co_await receive_head(deadline_ns));
        CO_TRY_STATUS(io::http::parse_reply_head(bytes, limits, head_));
        if (!head_.is_interim()) break;
        if (interim == interim_max) co_return fail(Errc::corrupt, "too many interim answers");
    }
    lives_ = head_.keeps_alive;
    if (head_.has_body(is_to_head_request)) {
        // A body that ends where the connection does cannot be told from one that was cut off.
        if (head_.body_kind == io::http::BodyKind::none) {
            co_return fail(Errc::corrupt, "the answer does not say where it ends");
        }
        is_chunked_ = head_.body_kind == io::http::BodyKind::chunked;
        rest_bytes_ = is_chunked_ ? 0 : head_.content_length;
        decoder_ = io::http::ChunkedDecoder();
    }
    co_return &head_;
}

io::Task<Status> HttpInbox::read_exactly(MutableBytes into, uint64_t deadline_ns) {
    ASSERT(!is_chunked_ && into.size() <= rest_bytes_);
    rest_bytes_ -= into.size();
    while (!into.empty()) {
        if (begin_ == end_ && into.size() >= direct_bytes_min) {
            CO_TRY(const size_t count, co_await receive(into, deadline_ns));
            into = into.subspan(count);
            continue;
        }
        if (begin_ == end_) CO_TRY_STATUS(co_await receive_more(deadline_ns));
        const Bytes piece = unread().first(std::min(end_ - begin_, into.size()));
        std::ranges::copy(piece, into.begin());
        begin_ += piece.size();
        into = into.subspan(piece.size());
    }
    co_return Status();
}

io::Task<Result<std::string>> HttpInbox::read_text(size_t size_max, uint64_t deadline_ns) {
    std::string text;
    if (!is_chunked_) {
        if (rest_bytes_ > size_max) co_return fail(Errc::corrupt, "the answer is too long");
        text.resize(rest_bytes_);
        const auto room = std::as_writable_bytes(std::span(text));
        CO_TRY_STATUS(co_await read_exactly(room, deadline_ns));
        co_return text;
    }
    while (!decoder_.is_ended()) {
        if (begin_ == end_) CO_TRY_STATUS(co_await receive_more(deadline_ns));
        Bytes input = unread();
        const Result<Bytes> content = decoder_.next(input);
        if (!content) co_return fail(Errc::corrupt, "the answer's chunks are broken");
        begin_ = end_ - input.size();
        if (text.size() + content->size() > size_max) {
            co_return fail(Errc::corrupt, "the answer is too long");
        }
        text += as_text(*content);
    }
    is_chunked_ = false;
    co_return text;
}

}  // namespace penstock::client
