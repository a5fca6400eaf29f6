#include "bench/http_client.h"

#include <algorithm>

#include "io/base/units.h"

namespace penstock::bench {

HttpClient::HttpClient(io::Reactor& reactor, io::Address address, uint64_t timeout_ns)
    : host_(address.text),
      timeout_ns_(timeout_ns),
      pool_(io::make_reactor_pool(reactor, std::move(address), 1)),
      buffer_(256_KiB) {}

HttpClient::~HttpClient() {
    if (channel_) pool_->drop(std::move(channel_));
}

io::Task<Status> HttpClient::connect() {
    inbox_.reset();
    if (channel_) pool_->drop(std::move(channel_));
    CO_TRY(channel_, co_await pool_->take(deadline_ns()));
    inbox_.emplace(*channel_);
    co_return Status();
}

io::Task<Result<int>> HttpClient::request(std::string_view method, std::string_view target,
                                          Bytes content,
                                          const std::function<void(Bytes)>& on_piece) {
    const client::HttpRequest request{.method = method,
                                      .target = std::string(target),
                                      .headers = headers_,
                                      .body = content,
                                      .has_body = true};
    const std::string head = client::request_head(request, "Host: " + host_ + "\r\n");
    CO_TRY_STATUS(co_await channel_->send(as_bytes(head), deadline_ns()));
    if (!content.empty()) CO_TRY_STATUS(co_await channel_->send(content, deadline_ns()));

    CO_TRY(const io::http::ReplyHead* answer,
           co_await inbox_->head(request.asks_for_head(), deadline_ns()));
    const int status = answer->status;
    if (inbox_->is_chunked()) co_return fail(Errc::corrupt, "an answer without a length");
    while (inbox_->rest_bytes() > 0) {
        const size_t size = std::min<uint64_t>(inbox_->rest_bytes(), buffer_.size());
        const MutableBytes piece = buffer_.bytes().first(size);
        CO_TRY_STATUS(co_await inbox_->read_exactly(piece, deadline_ns()));
        on_piece(piece);
    }
    co_return status;
}

}  // namespace penstock::bench
