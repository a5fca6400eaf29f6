#include "io/http/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>

#include "io/base/units.h"
#include "io/http/body_reader.h"

namespace penstock::io::http {
namespace {

// What a connection holds while it is busy: most heads and small bodies fit.
constexpr uint32_t buffer_bytes = 16 << 10;
// Behind a head there must be room to receive a chunked body in.
constexpr uint32_t room_behind_head = 4 << 10;
// A connection that was quiet for so long gives its buffer back and waits without one.
constexpr uint64_t holds_buffer_ns = ns_per_s;
// Bytes that keep coming behind the last answer (Limits::linger_timeout_ns apart at most) are read
// and dropped for so long, and so many of them: nobody is read from for ever, however fast.
constexpr uint64_t linger_ns = 10 * ns_per_s;
constexpr uint64_t linger_bytes_max = 64_MiB;
// Connections above the limit that are told so politely; more of them are just closed.
constexpr uint32_t turned_away_max = 64;

// Says that nothing more comes and drops what the client still sends. Closing at once would make
// its system throw away an answer that it has not read yet.
Task<void> linger(Reactor& reactor, BufferPool& buffers, Socket& socket, uint64_t quiet_ns,
                  Cancel* cancel) {
    socket.finish_sending();
    const uint64_t deadline_ns = reactor.now_ns() + linger_ns;
    Buffer dropped = buffers.take(buffer_bytes);
    uint64_t dropped_bytes = 0;
    while (dropped_bytes < linger_bytes_max) {
        const uint64_t until_ns = std::min(deadline_ns, reactor.now_ns() + quiet_ns);
        const Result<uint32_t> count =
            co_await socket.receive(dropped.bytes(), Until{until_ns, cancel});
        if (!count || *count == 0) co_return;
        dropped_bytes += *count;
    }
}

}  // namespace

// One connection: its coroutine, and what its server needs to end it.
class Server::Connection {
public:
    Connection(State& server, int descriptor, std::shared_ptr<const TlsContext> tls);
    Task<void> run();
    // Ends whatever it waits for on the socket.
    void cut() { socket_.shutdown(); }
    bool is_idle() const { return is_idle_; }

private:
    enum class Received : uint8_t { head, refused, nothing };
    // What follows an answer: the next request, or the connection's end, at once or lingering.
    enum class After : uint8_t { next, end, linger };

    Task<bool> shake_hands();
    Task<Received> receive_head();
    Task<bool> receive_some(uint64_t deadline_ns);
    void give_buffers_back();
    void make_room();
    Task<After> serve_request();
    Task<After> after_answer(BodyReader& reader, bool keeps_alive);
    Task<Status> answer(Response response, bool& keeps_alive);
    Task<bool> drop_rest(BodyReader& reader);
    Task<void> answer_refusal();
    void write_head(const Response& response, std::optional<uint64_t> length, bool is_chunked,
                    bool keeps_alive);

    State& server_;
    Socket socket_;
    std::shared_ptr<const TlsContext> tls_;
    std::string peer_;
    ReceivedBytes received_;
    RequestHead head_;
    HeadError error_{};
    std::string out_;
    bool is_idle_ = true;
};

struct Server::State {
    State(Reactor& loop, BufferPool& pool, Handler& serves, const Limits& bounds)
        : reactor(loop), buffers(pool), handler(serves), limits(bounds), gate(loop) {}

    Task<void> run(std::list<Connection>::iterator connection, Gate::Pass) {
        co_await connection->run();
        connections.erase(connection);
    }

    Task<void> turn_away(Socket socket, Gate::Pass) {
        ++turned_away_count;
        const Status sent = co_await socket.send(
            as_bytes(turned_away_answer), reactor.within_ns(limits.linger_timeout_ns, &stopping));
        if (sent) co_await linger(reactor, buffers, socket, limits.linger_timeout_ns, &stopping);
        --turned_away_count;
    }

    static constexpr std::string_view turned_away_answer =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n";

    Reactor& reactor;
    BufferPool& buffers;
    Handler& handler;
    Limits limits;
    Gate gate;
    std::list<Connection> connections;
    Cancel stopping;
    uint32_t turned_away_count = 0;
    bool is_stopping = false;
};

Server::Server(Reactor& reactor, BufferPool& buffers, Handler& handler, const Limits& limits)
    : state_(std::make_unique<State>(reactor, buffers, handler, limits)) {}

Server::~Server() {
    ASSERT(state_->connections.empty());
}

uint32_t Server::connection_count() const {
    return static_cast<uint32_t>(state_->connections.size());
}

void Server::serve(int descriptor, std::shared_ptr<const TlsContext> tls) {
    Result<Gate::Pass> pass = state_->gate.enter();
    if (!pass || connection_count() >= state_->limits.connections_max) {
        Socket socket(state_->reactor, descriptor);
        // Without a handshake nothing can be said.
        if (!pass || tls || state_->turned_away_count >= turned_away_max) return;
        start_detached(state_->turn_away(std::move(socket), std::move(*pass)));
        return;
    }
    const auto connection =
        state_->connections.emplace(state_->connections.end(), *state_, descriptor, std::move(tls));
    start_detached(state_->run(connection, std::move(*pass)));
}

Task<void> Server::stop(uint64_t deadline_ns) {
    struct CutTimer : Timer {
        State* state = nullptr;
    };
    state_->is_stopping = true;
    state_->stopping.cancel();
    for (Connection& connection : state_->connections) {
        if (connection.is_idle()) connection.cut();
    }
    CutTimer timer;
    timer.state = state_.get();
    timer.on_expired = [](Timer& expired) {
        for (Connection& connection : static_cast<CutTimer&>(expired).state->connections) {
            connection.cut();
        }
    };
    state_->reactor.arm(timer, deadline_ns);
    co_await state_->gate.close();
    state_->reactor.disarm(timer);
}

Server::Connection::Connection(State& server, int descriptor, std::shared_ptr<const TlsContext> tls)
    : server_(server),
      socket_(server.reactor, descriptor),
      tls_(std::move(tls)),
      peer_(server.reactor.kernel().peer_address(descriptor).text) {}

// Whoever speaks plain HTTP to an address of HTTPS is told so in a way that they understand.
Task<bool> Server::Connection::shake_hands() {
    const Until until = server_.reactor.within_ns(server_.limits.head_timeout_ns, nullptr);
    const Status accepted = co_await socket_.accept_tls(std::move(tls_), server_.buffers, until);
    if (accepted) co_return true;
    if (accepted.error().code != Errc::invalid) co_return false;
    error_ = {400, "this port speaks HTTPS: the request came without TLS"};
    co_await answer_refusal();
    co_return false;
}

Task<void> Server::Connection::run() {
    if (tls_ != nullptr && !co_await shake_hands()) co_return;
    for (;;) {
        const Received received = co_await receive_head();
        if (received == Received::nothing) co_return;
        if (received == Received::refused) co_return co_await answer_refusal();
        is_idle_ = false;
        const After after = co_await serve_request();
        if (after == After::linger) {
            co_await linger(server_.reactor, server_.buffers, socket_,
                            server_.limits.linger_timeout_ns, nullptr);
        }
        is_idle_ = true;
        if (after != After::next || server_.is_stopping) co_return;
    }
}

// The next request's head, in place in the buffer: what is pipelined lies there already.
Task<Server::Connection::Received> Server::Connection::receive_head() {
    const Limits& limits = server_.limits;
    Reactor& reactor = server_.reactor;
    if (received_.begin == received_.end) {
        received_.begin = received_.end = 0;
        if (!co_await receive_some(reactor.now_ns() + limits.idle_timeout_ns)) {
            co_return Received::nothing;
        }
    }
    // From its first byte on, a head has its own, shorter time.
    const uint64_t deadline_ns = reactor.now_ns() + limits.head_timeout_ns;
    uint32_t scanned = 0;
    for (;;) {
        const auto end = find_head_end(received_.rest(), scanned, limits.head);
        if (!end) {
            error_ = end.error();
            co_return Received::refused;
        }
        if (*end) {
            const uint32_t head_bytes = **end;
            if (received_.begin + head_bytes + room_behind_head > received_.buffer.size()) {
                make_room();
            }
            const Bytes head = received_.rest().first(head_bytes);
            received_.begin += head_bytes;
            const auto parsed = parse_request_head(head, limits.head, head_);
            if (parsed) co_return Received::head;
            error_ = parsed.error();
            co_return Received::refused;
        }
        scanned = received_.end - received_.begin;
        if (received_.end == received_.buffer.size()) make_room();
        if (!co_await receive_some(deadline_ns)) {
            if (reactor.now_ns() < deadline_ns) co_return Received::nothing;
            error_ = {408, "the request's head took longer than " +
                               std::to_string(limits.head_timeout_ns / ns_per_s) + " s"};
            co_return Received::refused;
        }
    }
}

// The unused bytes to the front of the buffer, or of a larger one if they fill most of it.
void Server::Connection::make_room() {
    const uint32_t size = received_.end - received_.begin;
    if (size + 2 * room_behind_head <= received_.buffer.size() && received_.begin > 0) {
        std::memmove(received_.buffer.data(), received_.buffer.data() + received_.begin, size);
    } else {
        Buffer larger = server_.buffers.take(std::max(buffer_bytes, 2 * (size + room_behind_head)));
        std::memcpy(larger.data(), received_.rest().data(), size);
        received_.buffer = std::move(larger);
    }
    received_.begin = 0;
    received_.end = size;
}

// False at the end of the connection, or when the time is over.
Task<bool> Server::Connection::receive_some(uint64_t deadline_ns) {
    Reactor& reactor = server_.reactor;
    for (;;) {
        if (!received_.buffer) {
            // Ten thousand idle connections cost their frames, not their buffers.
            const Until until{deadline_ns, nullptr};
            if (!co_await socket_.wait_readable(until)) co_return false;
            received_.buffer = server_.buffers.take(buffer_bytes);
            const int32_t count = socket_.try_receive(received_.buffer.bytes());
            if (count >= 0) {
                received_.end = static_cast<uint32_t>(count);
                co_return count > 0;
            }
            if (count != -EAGAIN) co_return false;
        }
        const uint64_t quiet_ns = reactor.now_ns() + holds_buffer_ns;
        const bool gives_back = received_.end == 0 && quiet_ns < deadline_ns;
        const Result<uint32_t> count =
            co_await socket_.receive(received_.buffer.bytes().subspan(received_.end),
                                     Until{gives_back ? quiet_ns : deadline_ns, nullptr});
        if (count) {
            received_.end += *count;
            co_return *count > 0;
        }
        if (!gives_back || count.error().code != Errc::timed_out) co_return false;
        give_buffers_back();
    }
}

void Server::Connection::give_buffers_back() {
    received_.buffer = Buffer();
    out_ = std::string();
    head_.headers = std::vector<Header>();
}

Task<Server::Connection::After> Server::Connection::serve_request() {
    BodyReader reader(server_.reactor, server_.buffers, socket_, received_, head_,
                      server_.limits.progress_timeout_ns);
    // The reader stays here when the handler takes the body away: what it left is dropped below.
    struct Borrowed final : Source {
        explicit Borrowed(BodyReader& from) : reader(from) {}
        Task<Result<Chunk>> next() override { return reader.next(); }
        std::optional<uint64_t> remaining_bytes() const override {
            return reader.remaining_bytes();
        }
        BodyReader& reader;
    };
    Body body = reader.is_ended() ? Body() : Body(std::make_unique<Borrowed>(reader));
    Request request{head_, body, server_.buffers, server_.reactor, peer_, socket_.is_tls()};
    Response response = co_await server_.handler.handle(request);

    const bool can_drop = reader.is_ended() || (!reader.has_failed() && !reader.is_withheld() &&
                                                reader.remaining_bytes().value_or(0) <=
                                                    server_.limits.drained_bytes_max);
    bool keeps_alive = head_.keeps_alive && can_drop && !response.closes && !server_.is_stopping;
    const Status sent = co_await answer(std::move(response), keeps_alive);
    if (!sent) co_return After::end;  // the client sees that the answer breaks off
    co_return co_await after_answer(reader, keeps_alive);
}

Task<Server::Connection::After> Server::Connection::after_answer(BodyReader& reader,
                                                                 bool keeps_alive) {
    const bool has_unread = !reader.is_ended() || received_.begin != received_.end;
    if (keeps_alive) {
        if (reader.is_ended() || co_await drop_rest(reader)) co_return After::next;
        co_return After::linger;
    }
    // Who asked for the end sends nothing more; whom we cut may be sending.
    co_return has_unread || head_.keeps_alive ? After::linger : After::end;
}

// Sends it; `keeps_alive` becomes false where only the connection's end can end the body.
Task<Status> Server::Connection::answer(Response response, bool& keeps_alive) {
    const uint16_t status = response.head.status();
    const bool never_has_body = status == 204 || status == 304;
    if (never_has_body) response.has_length = false;
    std::optional<uint64_t> length = response.body.size_bytes();
    const bool is_chunked = !length && !head_.is_http_1_0;
    if (response.length_only) length = response.length_only;
    keeps_alive = keeps_alive && (length || is_chunked || !response.has_length);
    write_head(response, length, is_chunked, keeps_alive);
    const bool is_bare = head_.method == Method::head || response.length_only || never_has_body;
    Body body = is_bare ? Body() : std::move(response.body);
    if (is_chunked && body.is_source()) {
        body = Body(make_chunked_encoder(server_.buffers,
                                         body.into_source(server_.reactor, server_.buffers)));
    }
    co_return co_await socket_.send_with_body(as_bytes(out_), std::move(body),
                                              server_.limits.progress_timeout_ns, nullptr);
}

void Server::Connection::write_head(const Response& response, std::optional<uint64_t> length,
                                    bool is_chunked, bool keeps_alive) {
    const uint16_t status = response.head.status();
    out_.clear();
    out_.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
    out_.append(reason_phrase(status)).append("\r\n").append(response.head.text());
    if (response.has_length && length) {
        out_.append("Content-Length: ").append(std::to_string(*length)).append("\r\n");
    } else if (response.has_length && is_chunked) {
        out_.append("Transfer-Encoding: chunked\r\n");
    }
    if (!keeps_alive) {
        out_.append("Connection: close\r\n");
    } else if (head_.is_http_1_0) {
        out_.append("Connection: keep-alive\r\n");
    }
    out_.append("\r\n");
}

// Reads the rest of a body that the handler did not want.
Task<bool> Server::Connection::drop_rest(BodyReader& reader) {
    uint64_t dropped_bytes = 0;
    while (!reader.is_ended()) {
        const Result<Chunk> chunk = co_await reader.next();
        if (!chunk) co_return false;
        dropped_bytes += chunk->size;
        if (dropped_bytes > server_.limits.drained_bytes_max) co_return false;
    }
    co_return true;
}

Task<void> Server::Connection::answer_refusal() {
    is_idle_ = false;
    head_ = RequestHead();
    Response response = server_.handler.refuse(server_.buffers, error_);
    const std::optional<uint64_t> length = response.body.size_bytes();
    write_head(response, length, false, false);
    const Status sent = co_await socket_.send_with_body(
        as_bytes(out_), std::move(response.body), server_.limits.progress_timeout_ns, nullptr);
    if (sent)
        co_await linger(server_.reactor, server_.buffers, socket_, server_.limits.linger_timeout_ns,
                        nullptr);
}

}  // namespace penstock::io::http
