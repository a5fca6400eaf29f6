// An HTTP/1.1 connection: requests in, responses out, in order.
//
// Keep-alive and pipelining: the next request is looked at when the last one is answered. A handler
// that did not take the whole body of a request gets the rest read and dropped up to a limit;
// beyond it the connection closes after the answer. Whatever is wrong with a request is answered by
// its status and a sentence, and then the connection closes: after a malformed head nobody can say
// where the next request begins.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/body.h"
#include "io/buffer_pool.h"
#include "io/http/head.h"
#include "io/reactor.h"
#include "io/socket.h"

namespace penstock::io::http {

struct Limits {
    HeadLimits head;
    uint64_t head_timeout_ns = 10'000'000'000;      // for a whole head: 408
    uint64_t progress_timeout_ns = 30'000'000'000;  // for each piece of a body, both ways
    uint64_t idle_timeout_ns = 300'000'000'000;     // between requests
    uint64_t drained_bytes_max = 1 << 20;           // of a body that the handler did not want
    // Behind an answer that ends a connection, what still comes is read and dropped until nothing
    // came for so long, so that the client reads the answer instead of a reset.
    uint64_t linger_timeout_ns = 2'000'000'000;
    uint32_t connections_max = 16'384;  // for each core; above: 503 and close
};

// One request, as a handler sees it. The head is valid until the handler's task is done.
struct Request {
    const RequestHead& head;
    // The client's bytes. Taking the first chunk sends "100 Continue" if that is waited for. Fails
    // with `closed` when the client goes away, `timed_out` when it stalls, `invalid` when its
    // chunked coding is broken: a body that fails was never whole.
    Body& body;
    BufferPool& buffers;
    Reactor& reactor;
    std::string_view peer;  // "127.0.0.1:41234"
    bool is_tls = false;
};

struct Response {
    ResponseHead head;
    Body body;
    // Set Content-Length to this and send no body: the answer to HEAD.
    std::optional<uint64_t> length_only;
    // Do not write Content-Length at all (204, 304, HEAD that must not have it).
    bool has_length = true;
    bool closes = false;
};

// What a server serves. Called on every core at once.
class Handler {
public:
    virtual ~Handler() = default;
    virtual Task<Response> handle(Request& request) = 0;
    // The response to a request that was refused before it got a head of its own. Its connection
    // closes behind it.
    virtual Response refuse(BufferPool& buffers, const HeadError& error) = 0;
};

// Serves connections on one core. Made, used and stopped there.
class Server {
public:
    Server(Reactor& reactor, BufferPool& buffers, Handler& handler, const Limits& limits);
    ~Server();  // asserts that stop() ran

    // Takes over a connected descriptor and serves it until it ends; over TLS if a context is
    // given. The handshake has as long as a head.
    void serve(int descriptor, std::shared_ptr<const TlsContext> tls = nullptr);
    uint32_t connection_count() const;

    // Idle connections close now; others finish the request they are in, and those that are not
    // done by the deadline are cut.
    Task<void> stop(uint64_t deadline_ns);

private:
    class Connection;
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock::io::http
