// HttpClient: one keep-alive connection to a node, for the programs in this folder that make
// requests which the client library's calls do not make, or that look at each piece of an answer.
// What an answer is, client/http_exchange.h knows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "client/http_exchange.h"

namespace penstock::bench {

class HttpClient {
public:
    // `timeout_ns`: for each piece that is sent or received. `reactor` must outlive it.
    HttpClient(io::Reactor& reactor, io::Address address, uint64_t timeout_ns);
    ~HttpClient();
    HttpClient(const HttpClient&) = delete;

    // Connects anew; to be called again after an error.
    io::Task<Status> connect();

    // Header lines that go with every request, each ending in "\r\n".
    void set_headers(std::string headers) { headers_ = std::move(headers); }

    // Sends one request with `content` as its body and hands the response's body, in pieces, to
    // `on_piece`. Gives the status. `method` and `target` are written as they are. Only answers
    // with Content-Length, which a node of ours gives on these calls.
    io::Task<Result<int>> request(std::string_view method, std::string_view target, Bytes content,
                                  const std::function<void(Bytes)>& on_piece);

private:
    uint64_t deadline_ns() const { return pool_->now_ns() + timeout_ns_; }

    std::string host_;
    uint64_t timeout_ns_;
    std::string headers_;
    std::unique_ptr<io::ChannelPool> pool_;
    std::unique_ptr<io::Channel> channel_;
    std::optional<client::HttpInbox> inbox_;
    client::Buffer buffer_;
};

}  // namespace penstock::bench
