#include "bench/http_client.h"

#include <charconv>

#include "io/base/units.h"

namespace penstock::bench {
namespace {

constexpr size_t buffer_bytes = 256_KiB;
constexpr std::string_view head_end = "\r\n\r\n";

// The value of a header, by a search that is enough for answers of our own node.
std::string_view header_value(std::string_view head, std::string_view name) {
    const size_t at = head.find(name);
    if (at == std::string_view::npos) return {};
    const size_t begin = at + name.size();
    return head.substr(begin, head.find("\r\n", begin) - begin);
}

template <typename Number>
Number number_from(std::string_view text) {
    Number number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

}  // namespace

HttpClient::HttpClient(io::Reactor& reactor, io::Address address, uint64_t timeout_ns)
    : reactor_(reactor),
      address_(std::move(address)),
      timeout_ns_(timeout_ns),
      buffer_(buffer_bytes) {}

io::Task<Status> HttpClient::connect() {
    begin_ = end_ = 0;
    CO_TRY(socket_,
           co_await io::Socket::connect(reactor_, address_, reactor_.within_ns(timeout_ns_)));
    co_return Status();
}

io::Task<Result<std::string_view>> HttpClient::receive_head() {
    for (;;) {
        const std::string_view received = as_text(Bytes(buffer_).subspan(begin_, end_ - begin_));
        if (const size_t at = received.find(head_end); at != std::string_view::npos) {
            begin_ += at + head_end.size();
            co_return received.substr(0, at + 2);
        }
        if (end_ == buffer_.size()) co_return fail(Errc::too_large, "response head");
        CO_TRY(const uint32_t count, co_await socket_.receive(MutableBytes(buffer_).subspan(end_),
                                                              reactor_.within_ns(timeout_ns_)));
        if (count == 0) co_return fail(Errc::closed, "the node closed the connection");
        end_ += count;
    }
}

io::Task<Result<int>> HttpClient::request(std::string_view method, std::string_view target,
                                          Bytes content,
                                          const std::function<void(Bytes)>& on_piece) {
    ASSERT(begin_ == end_);
    begin_ = end_ = 0;
    std::string head;
    head.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: ");
    head.append(address_.text).append("\r\n").append(headers_).append("Content-Length: ");
    head.append(std::to_string(content.size())).append("\r\n\r\n");
    CO_TRY_STATUS(co_await socket_.send(as_bytes(head), reactor_.within_ns(timeout_ns_)));
    if (!content.empty()) {
        CO_TRY_STATUS(co_await socket_.send(content, reactor_.within_ns(timeout_ns_)));
    }

    CO_TRY(const std::string_view answer, co_await receive_head());
    const int status = number_from<int>(answer.substr(answer.find(' ') + 1, 3));
    uint64_t rest = number_from<uint64_t>(header_value(answer, "\r\nContent-Length: "));
    while (rest > 0) {
        if (begin_ == end_) {
            begin_ = end_ = 0;
            CO_TRY(const uint32_t count,
                   co_await socket_.receive(buffer_, reactor_.within_ns(timeout_ns_)));
            if (count == 0) co_return fail(Errc::closed, "the response was cut off");
            end_ = count;
        }
        const size_t count = std::min<uint64_t>(rest, end_ - begin_);
        on_piece(Bytes(buffer_).subspan(begin_, count));
        begin_ += count;
        rest -= count;
    }
    co_return status;
}

}  // namespace penstock::bench
