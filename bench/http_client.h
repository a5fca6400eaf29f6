// HttpClient: one keep-alive connection to a node, for the programs in this folder. It writes
// requests with known lengths and reads responses with Content-Length, which is all that a node of
// ours answers with on these calls; the product's client library comes later (client/DESIGN.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "io/base/result.h"
#include "io/socket.h"

namespace penstock::bench {

class HttpClient {
public:
    // `timeout_ns`: for each send and each receive.
    HttpClient(io::Reactor& reactor, io::Address address, uint64_t timeout_ns);

    // Connects if it is not connected; to be called again after an error.
    io::Task<Status> connect();

    // Header lines that go with every request, each ending in "\r\n".
    void set_headers(std::string headers) { headers_ = std::move(headers); }

    // Sends one request with `content` as its body and hands the response's body, in pieces, to
    // `on_piece`. Gives the status. `method` and `target` are written as they are.
    io::Task<Result<int>> request(std::string_view method, std::string_view target, Bytes content,
                                  const std::function<void(Bytes)>& on_piece);

private:
    io::Task<Result<std::string_view>> receive_head();

    io::Reactor& reactor_;
    io::Address address_;
    uint64_t timeout_ns_;
    std::string headers_;
    io::Socket socket_;
    std::vector<std::byte> buffer_;
    size_t begin_ = 0;  // received and not used yet: [begin_, end_)
    size_t end_ = 0;
};

}  // namespace penstock::bench
