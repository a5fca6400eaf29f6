#include "node/doors/rpc/server.h"

#include <unistd.h>

#include <cstring>
#include <list>
#include <utility>

#include "io/base/units.h"
#include "io/socket.h"
#include "node/doors/rpc/call.h"

namespace penstock::node::rpc {
namespace {

constexpr uint32_t receive_bytes = 64_KiB;
// A connection that is quiet for so long gives its buffer back.
constexpr uint64_t holds_buffer_ns = 1 * ns_per_s;
// Messages that are taken before others come to their turn.
constexpr uint32_t turn_messages_max = 256;
// Replies of so many bytes go out before the next message is taken, and at once: whoever pipelines
// batches works on one while the next one is read.
constexpr uint32_t large_bytes_min = 32_KiB;

// Whose files ours are, or who may read every file, needs no token: a Unix socket says who it is.
Principal principal_of_peer(io::Reactor& reactor, int descriptor) {
    const std::optional<uint32_t> user = reactor.kernel().peer_user(descriptor);
    return {{}, user && (*user == 0 || *user == geteuid())};
}

}  // namespace

// One connection: a task that reads and begins calls, and one that sends what they answer.
class Server::Connection {
public:
    Connection(State& server, int descriptor, TlsSlot tls);
    io::Task<void> run();
    void cut() { socket_.shutdown(); }

private:
    enum class Step : uint8_t { next, end };

    io::Task<bool> accept_tls();
    io::Task<void> read_messages();
    io::Task<Step> take_messages();
    io::Task<Step> receive_more();
    io::Task<Step> wait_for_bytes();
    void make_room();
    io::Task<void> send_replies();
    io::Task<bool> send(Outbox::Piece piece);
    void try_send_large(Outbox::Piece& piece);
    io::Task<bool> send_with_descriptor(Outbox::Piece& piece);
    Bytes unread() const { return buffer_.bytes().subspan(begin_, end_ - begin_); }
    bool is_cancelled() const;

    State& server_;
    io::Socket socket_;
    TlsSlot tls_;  // null: plain
    Session session_;
    io::Event changed_;  // for the reader: there is room again
    io::Event to_send_;  // for the sender: there is something, or it is over
    io::Event all_sent_;
    Framer framer_;
    io::Buffer buffer_;
    uint32_t begin_ = 0;
    uint32_t end_ = 0;
    bool is_ending_ = false;
};

struct Server::State {
    State(ObjectService& service, Jobs& jobs, const NodeIdentity& node, const Access& access,
          Admission& admission, io::Reactor& loop, io::BufferPool& pool, const TlsSlot& slot,
          const ServerLimits& bounds)
        : reactor(loop),
          buffers(pool),
          tls(slot),
          context(service, node, access, loop, pool),
          limits(bounds),
          gate(loop) {
        context.jobs = &jobs;
        context.admission = &admission;
    }

    io::Task<void> run(std::list<Connection>::iterator connection, io::Gate::Pass) {
        co_await connection->run();
        connections.erase(connection);
    }

    io::Reactor& reactor;
    io::BufferPool& buffers;
    const TlsSlot& tls;
    Context context;
    ServerLimits limits;
    io::Gate gate;
    std::list<Connection> connections;
    io::Cancel stopping;
};

Server::Server(ObjectService& service, Jobs& jobs, const NodeIdentity& node, const Access& access,
               Admission& admission, io::Reactor& reactor, io::BufferPool& buffers,
               const TlsSlot& tls, const ServerLimits& limits)
    : state_(std::make_unique<State>(service, jobs, node, access, admission, reactor, buffers, tls,
                                     limits)) {}

Server::~Server() {
    ASSERT(state_->connections.empty());
}

uint32_t Server::connection_count() const {
    return static_cast<uint32_t>(state_->connections.size());
}

void Server::show(MountpathSet& mountpaths) {
    state_->context.mountpaths = &mountpaths;
}

const RequestMetrics& Server::metrics() const {
    return state_->context.metrics;
}

uint64_t Server::leased_bytes() const {
    return state_->context.leased_bytes;
}

void Server::serve(int descriptor, bool is_tls) {
    ASSERT(!is_tls || state_->tls != nullptr);
    Result<io::Gate::Pass> pass = state_->gate.enter();
    if (!pass || connection_count() >= state_->limits.connections_max) {
        const io::Socket closed(state_->reactor, descriptor);
        return;
    }
    const auto connection = state_->connections.emplace(state_->connections.end(), *state_,
                                                        descriptor, is_tls ? state_->tls : nullptr);
    io::start_detached(state_->run(connection, std::move(*pass)));
}

io::Task<void> Server::stop(uint64_t deadline_ns) {
    struct CutTimer : io::Timer {
        State* state = nullptr;
    };
    state_->stopping.cancel();
    CutTimer timer;
    timer.state = state_.get();
    timer.on_expired = [](io::Timer& expired) {
        for (Connection& connection : static_cast<CutTimer&>(expired).state->connections) {
            connection.cut();
        }
    };
    state_->reactor.arm(timer, deadline_ns);
    co_await state_->gate.close();
    state_->reactor.disarm(timer);
}

Server::Connection::Connection(State& server, int descriptor, TlsSlot tls)
    : server_(server),
      socket_(server.reactor, descriptor),
      tls_(std::move(tls)),
      session_(server.context, server.reactor.kernel().local_address(descriptor).is_unix(),
               principal_of_peer(server.reactor, descriptor),
               [this] {
                   changed_.set();
                   to_send_.set();
               }),
      changed_(server.reactor),
      to_send_(server.reactor),
      all_sent_(server.reactor) {}

bool Server::Connection::is_cancelled() const {
    return server_.stopping.is_cancelled();
}

// Who does not finish the handshake in time, or speaks no TLS, is not told: there is nothing that
// both would understand.
io::Task<bool> Server::Connection::accept_tls() {
    const io::Until until =
        server_.reactor.within_ns(server_.limits.handshake_timeout_ns, &server_.stopping);
    const Status accepted = co_await socket_.accept_tls(std::move(tls_), server_.buffers, until);
    co_return accepted.has_value();
}

io::Task<void> Server::Connection::run() {
    if (tls_ != nullptr) {
        const bool is_accepted = co_await accept_tls();
        if (!is_accepted) co_return;
    }
    io::start_detached(send_replies());
    co_await read_messages();
    co_await session_.finish();
    is_ending_ = true;
    to_send_.set();
    co_await all_sent_.wait();
}

// -------------------------------------------------------------------------------------------------
// In

io::Task<void> Server::Connection::read_messages() {
    while (!is_cancelled()) {
        if (co_await take_messages() == Step::end) co_return;
        if (co_await receive_more() == Step::end) co_return;
    }
}

// Begins the calls of all messages that are here as a whole.
io::Task<Server::Connection::Step> Server::Connection::take_messages() {
    uint32_t taken = 0;
    while (begin_ < end_) {
        while (session_.is_full()) {
            changed_.reset();
            co_await changed_.wait();
            if (is_cancelled()) co_return Step::end;
        }
        const Framer::State state = framer_.look(unread());
        if (state == Framer::State::broken) co_return Step::end;
        if (state == Framer::State::more) co_return Step::next;
        const uint32_t bytes = framer_.message_bytes();
        const bool goes_on = session_.take(unread().first(bytes));
        begin_ += bytes;
        if (!goes_on) co_return Step::end;
        const bool has_large = session_.outbox().waiting_bytes() >= large_bytes_min;
        if (++taken % turn_messages_max == 0 || has_large) co_await server_.reactor.yield();
    }
    co_return Step::next;
}

// Room for the rest of the message that has begun, as far as that is known.
void Server::Connection::make_room() {
    const uint32_t size = end_ - begin_;
    const uint32_t wanted = size == 0 ? receive_bytes : std::max(framer_.bytes_min(), size + 1);
    if (size == 0) begin_ = end_ = 0;
    if (begin_ + wanted <= buffer_.size() && end_ < buffer_.size()) return;
    if (wanted <= buffer_.size()) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, size);
    } else {
        const uint32_t larger = std::clamp(2 * size, wanted, message_bytes_max);
        io::Buffer buffer = server_.buffers.take(std::max(larger, receive_bytes));
        if (size > 0) std::memcpy(buffer.data(), unread().data(), size);
        buffer_ = std::move(buffer);
    }
    begin_ = 0;
    end_ = size;
}

// Waits without a buffer: ten thousand idle connections cost their frames alone.
io::Task<Server::Connection::Step> Server::Connection::wait_for_bytes() {
    buffer_ = io::Buffer();
    begin_ = end_ = 0;
    const io::Until until =
        server_.reactor.within_ns(server_.limits.idle_timeout_ns, &server_.stopping);
    const Status polled = co_await socket_.wait_readable(until);
    co_return polled ? Step::next : Step::end;
}

io::Task<Server::Connection::Step> Server::Connection::receive_more() {
    const bool is_between = begin_ == end_;
    // What a large message needed is too much for the small ones that follow.
    if (is_between && buffer_.size() > receive_bytes) buffer_ = io::Buffer();
    if (!buffer_ && is_between) {
        if (co_await wait_for_bytes() == Step::end) co_return Step::end;
    }
    make_room();
    const uint64_t patience_ns = is_between ? holds_buffer_ns : server_.limits.progress_timeout_ns;
    const Result<uint32_t> count = co_await socket_.receive(
        buffer_.bytes().subspan(end_), server_.reactor.within_ns(patience_ns, &server_.stopping));
    if (count) {
        end_ += *count;
        co_return *count > 0 ? Step::next : Step::end;
    }
    if (!is_between || count.error().code != Errc::timed_out) co_return Step::end;
    buffer_ = io::Buffer();
    begin_ = end_ = 0;
    co_return Step::next;
}

// -------------------------------------------------------------------------------------------------
// Out

// Runs after the tasks that are ready now, so that all they answer goes out together.
io::Task<void> Server::Connection::send_replies() {
    for (;;) {
        std::optional<Outbox::Piece> piece = session_.outbox().take();
        if (!piece) {
            if (is_ending_) break;
            to_send_.reset();
            co_await to_send_.wait();
            continue;
        }
        if (!co_await send(std::move(*piece))) {
            // Nobody reads any more: what is under way ends, and so does the reader.
            session_.outbox().close();
            socket_.shutdown();
        }
        changed_.set();
    }
    all_sent_.set();
}

io::Task<bool> Server::Connection::send(Outbox::Piece piece) {
    if (piece.passed.is_open()) {
        const bool is_passed = co_await send_with_descriptor(piece);
        if (!is_passed) co_return false;
    }
    if (!socket_.is_tls()) try_send_large(piece);
    if (piece.bytes.is_empty()) co_return true;
    const io::Until until = server_.reactor.within_ns(server_.limits.progress_timeout_ns);
    const Status sent = co_await socket_.send(piece.bytes.bytes(), until);
    co_return sent.has_value();
}

// What is left of the piece afterwards, and whatever is wrong, is the usual way's.
void Server::Connection::try_send_large(Outbox::Piece& piece) {
    const uint64_t waiting = session_.outbox().waiting_bytes();
    if (piece.bytes.size + waiting < large_bytes_min) return;
    const int32_t sent = server_.reactor.kernel().try_send(socket_.descriptor(),
                                                           piece.bytes.bytes(), waiting > 0);
    if (sent <= 0) return;
    piece.bytes.begin += static_cast<uint32_t>(sent);
    piece.bytes.size -= static_cast<uint32_t>(sent);
}

// What is left of the piece afterwards goes out like any other.
io::Task<bool> Server::Connection::send_with_descriptor(Outbox::Piece& piece) {
    for (;;) {
        const int32_t sent = server_.reactor.kernel().try_send_descriptor(
            socket_.descriptor(), piece.bytes.bytes(), piece.passed.get());
        if (sent > 0) {
            piece.bytes.begin += static_cast<uint32_t>(sent);
            piece.bytes.size -= static_cast<uint32_t>(sent);
            co_return true;
        }
        if (sent != -EAGAIN && sent != -EINTR) co_return false;
        const int32_t polled = co_await server_.reactor.poll_writable(
            socket_.descriptor(), server_.reactor.within_ns(server_.limits.progress_timeout_ns));
        if (polled < 0) co_return false;
    }
}

}  // namespace penstock::node::rpc
