#include "io/socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace penstock::io {
namespace {

// Up to this a body is copied behind its head and both go out in one call: the copy costs less
// than a second call, or the two packets that it would make.
constexpr uint32_t joined_bytes_max = 16 << 10;

// What one turn sends of a file on one connection.
constexpr uint64_t file_slice_bytes = 1 << 20;

// How long accepting pauses when descriptors have run out.
constexpr uint64_t accept_retry_ns = 100'000'000;

constexpr uint32_t backlog_max = 4096;

// Tells a peer that is slow from one that has stopped. An operation is looked after a few times
// within the time that a stopped peer is given, and goes on if anything has moved: in the operation
// or, because a system wakes a sender only when a good part of a large buffer is free again, in
// what the peer took out of that buffer.
class Patience {
public:
    Patience(Reactor& reactor, int descriptor, uint64_t progress_ns, Cancel* cancel)
        : reactor_(reactor),
          descriptor_(descriptor),
          progress_ns_(progress_ns),
          cancel_(cancel),
          moved_ns_(reactor.now_ns()) {}

    Until next_look() const {
        return reactor_.within_ns(progress_ns_ / looks_in_progress_time + 1, cancel_);
    }
    // At a look: whether the peer has stopped.
    bool is_over(bool has_moved) {
        const uint32_t unread = reactor_.kernel().unread_bytes(descriptor_);
        if (has_moved || (unread_bytes_ && unread < *unread_bytes_)) moved_ns_ = reactor_.now_ns();
        unread_bytes_ = unread;
        return reactor_.now_ns() - moved_ns_ >= progress_ns_;
    }

private:
    static constexpr uint64_t looks_in_progress_time = 4;

    Reactor& reactor_;
    int descriptor_;
    uint64_t progress_ns_;
    Cancel* cancel_;
    uint64_t moved_ns_;  // the look at which something had moved
    std::optional<uint32_t> unread_bytes_;
};

}  // namespace

Socket::Socket(Socket&& other) noexcept
    : reactor_(other.reactor_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      tls_(std::move(other.tls_)),
      pool_(other.pool_) {}

Socket& Socket::operator=(Socket&& other) noexcept {
    if (this != &other) {
        if (is_open()) reactor_->kernel().close(descriptor_);
        reactor_ = other.reactor_;
        descriptor_ = std::exchange(other.descriptor_, -1);
        tls_ = std::move(other.tls_);
        pool_ = other.pool_;
    }
    return *this;
}

Socket::~Socket() {
    if (is_open()) reactor_->kernel().close(descriptor_);
}

Task<Result<Socket>> Socket::connect(Reactor& reactor, Address address, Until until) {
    const int32_t descriptor = reactor.kernel().open_connection(address);
    if (descriptor < 0) co_return fail(error_from_errno(-descriptor, "connect", address.text));
    Socket socket(reactor, descriptor);
    const int32_t result = co_await reactor.connect(descriptor, until);
    if (result < 0) co_return fail(error_from_errno(-result, "connect", address.text));
    co_return socket;
}

Task<Result<uint32_t>> Socket::receive(MutableBytes buffer, Until until) {
    if (tls_ != nullptr) co_return co_await tls_receive(buffer, until);
    const int32_t result = co_await reactor_->receive(descriptor_, buffer, until);
    if (result < 0) co_return fail(error_from_errno(-result, "receive", "socket"));
    co_return static_cast<uint32_t>(result);
}

Task<Status> Socket::receive_exactly(MutableBytes buffer, Until until) {
    while (tls_ != nullptr && !buffer.empty()) {
        CO_TRY(const uint32_t count, co_await tls_receive(buffer, until));
        if (count == 0) co_return fail(Errc::closed, "receive socket: the peer ended early");
        buffer = buffer.subspan(count);
    }
    if (tls_ != nullptr) co_return Status();
    const int32_t result = co_await reactor_->receive_all(descriptor_, buffer, until);
    if (result < 0) co_return fail(error_from_errno(-result, "receive", "socket"));
    if (static_cast<size_t>(result) < buffer.size()) {
        co_return fail(Errc::closed, "receive socket: the peer ended early");
    }
    co_return Status();
}

Task<Status> Socket::send(Bytes bytes, Until until) {
    if (tls_ != nullptr) return tls_send(bytes, until);
    return send_plain(bytes, until);
}

Task<Status> Socket::send_plain(Bytes bytes, Until until) {
    const int32_t result = co_await reactor_->send(descriptor_, bytes, until);
    if (result < 0) co_return fail(error_from_errno(-result, "send", "socket"));
    ASSERT(static_cast<size_t>(result) == bytes.size());
    co_return Status();
}

Task<Status> Socket::receive_steadily(MutableBytes buffer, uint64_t progress_ns) {
    while (tls_ != nullptr && !buffer.empty()) {
        uint32_t count = 0;
        CO_TRY(const TlsSession::Step step, tls_->decrypt(buffer, count));
        buffer = buffer.subspan(count);
        if (step == TlsSession::Step::ended) {
            co_return fail(Errc::closed, "receive socket: the peer ended early");
        }
        if (step == TlsSession::Step::done) continue;
        // Each piece of a record is progress.
        const MutableBytes room = tls_->room(static_cast<uint32_t>(buffer.size()));
        const int32_t result =
            co_await reactor_->receive(descriptor_, room, reactor_->within_ns(progress_ns));
        if (result < 0) co_return fail(error_from_errno(-result, "receive", "socket"));
        if (result == 0) co_return fail(Errc::closed, "receive socket: the peer ended early");
        tls_->received(static_cast<uint32_t>(result));
    }
    if (tls_ != nullptr) co_return Status();
    Patience patience(*reactor_, descriptor_, progress_ns, nullptr);
    for (;;) {
        auto operation = reactor_->receive_all(descriptor_, buffer, patience.next_look());
        const int32_t result = co_await operation;
        if (result >= 0 && static_cast<size_t>(result) < buffer.size()) {
            co_return fail(Errc::closed, "receive socket: the peer ended early");
        }
        if (result >= 0) co_return Status();
        buffer = buffer.subspan(operation.moved_bytes());
        if (result != -ETIME || patience.is_over(operation.moved_bytes() > 0)) {
            co_return fail(error_from_errno(-result, "receive", "socket"));
        }
    }
}

Task<Status> Socket::send_steadily(Bytes bytes, uint64_t progress_ns, Cancel* cancel) {
    if (tls_ != nullptr) return tls_send_steadily(bytes, progress_ns, cancel);
    return send_plain_steadily(bytes, progress_ns, cancel);
}

Task<Status> Socket::send_plain_steadily(Bytes bytes, uint64_t progress_ns, Cancel* cancel) {
    Patience patience(*reactor_, descriptor_, progress_ns, cancel);
    for (;;) {
        auto operation = reactor_->send(descriptor_, bytes, patience.next_look());
        const int32_t result = co_await operation;
        if (result >= 0) co_return Status();
        bytes = bytes.subspan(operation.moved_bytes());
        if (result != -ETIME || patience.is_over(operation.moved_bytes() > 0)) {
            co_return fail(error_from_errno(-result, "send", "socket"));
        }
    }
}

Task<Status> Socket::send_with_body(Bytes head, Body body, uint64_t progress_ns, Cancel* cancel) {
    if (body.size_bytes() == 0) return send_chunk(head, Chunk(), progress_ns, cancel);
    if (body.is_chunk()) return send_chunk(head, std::move(body.chunk()), progress_ns, cancel);
    if (body.is_file_range() && tls_ != nullptr) body = Body(body.into_source(*reactor_, *pool_));
    if (body.is_file_range()) return send_file_range(head, body.file_range(), progress_ns, cancel);
    return send_source(head, std::move(body), progress_ns, cancel);
}

// The head waits in the socket for the bytes behind it, so that they share packets. There must be
// some: a head alone would wait for a fifth of a second.
Task<Status> Socket::send_first(Bytes head, uint64_t progress_ns, Cancel* cancel) {
    if (tls_ != nullptr) co_return co_await tls_send_steadily(head, progress_ns, cancel);
    const int32_t sent = reactor_->kernel().try_send(descriptor_, head, true);
    const size_t done = sent > 0 ? static_cast<size_t>(sent) : 0;
    if (done == head.size()) co_return Status();
    co_return co_await send_steadily(head.subspan(done), progress_ns, cancel);
}

Task<Status> Socket::send_chunk(Bytes head, Chunk chunk, uint64_t progress_ns, Cancel* cancel) {
    const auto head_bytes = static_cast<uint32_t>(head.size());
    std::byte* start = chunk.buffer.data();
    const bool has_room_before = !chunk.is_empty() && chunk.begin >= head_bytes;
    const bool can_be_moved = !chunk.is_empty() && chunk.size <= joined_bytes_max &&
                              chunk.size + head_bytes <= chunk.buffer.size();
    if (has_room_before) {
        chunk.begin -= head_bytes;
    } else if (can_be_moved) {
        std::memmove(start + head_bytes, start + chunk.begin, chunk.size);
        chunk.begin = 0;
    } else {
        if (chunk.is_empty()) co_return co_await send_steadily(head, progress_ns, cancel);
        CO_TRY_STATUS(co_await send_first(head, progress_ns, cancel));
        co_return co_await send_steadily(chunk.bytes(), progress_ns, cancel);
    }
    std::memcpy(start + chunk.begin, head.data(), head_bytes);
    chunk.size += head_bytes;
    co_return co_await send_steadily(chunk.bytes(), progress_ns, cancel);
}

// sendfile, in slices so that one fast connection leaves the others their turn.
Task<Status> Socket::send_file_range(Bytes head, FileRange range, uint64_t progress_ns,
                                     Cancel* cancel) {
    CO_TRY_STATUS(co_await send_first(head, progress_ns, cancel));
    while (range.size > 0) {
        const auto slice = static_cast<uint32_t>(std::min<uint64_t>(range.size, file_slice_bytes));
        const int32_t sent =
            reactor_->kernel().try_send_file(descriptor_, range.descriptor, range.offset, slice);
        if (sent > 0) {
            range.offset += static_cast<uint32_t>(sent);
            range.size -= static_cast<uint32_t>(sent);
            if (range.size > 0 && static_cast<uint32_t>(sent) == slice) co_await reactor_->yield();
            continue;
        }
        if (sent == 0) co_return fail(Errc::corrupt, "object file ends early");
        if (sent != -EAGAIN && sent != -EINTR) {
            co_return fail(error_from_errno(-sent, "sendfile", "socket"));
        }
        CO_TRY_STATUS(co_await wait_until_writable(progress_ns, cancel));
    }
    co_return Status();
}

Task<Status> Socket::wait_until_writable(uint64_t progress_ns, Cancel* cancel) {
    Patience patience(*reactor_, descriptor_, progress_ns, cancel);
    for (;;) {
        const int32_t result = co_await reactor_->poll_writable(descriptor_, patience.next_look());
        if (result >= 0) co_return Status();
        if (result != -ETIME || patience.is_over(false)) {
            co_return fail(error_from_errno(-result, "send", "socket"));
        }
    }
}

Task<Status> Socket::send_source(Bytes head, Body body, uint64_t progress_ns, Cancel* cancel) {
    CO_TRY_STATUS(co_await send_first(head, progress_ns, cancel));
    std::optional<uint64_t> promised = body.size_bytes();
    for (;;) {
        CO_TRY(const Chunk chunk, co_await body.source().next());
        if (chunk.is_empty()) break;
        if (promised) {
            if (*promised < chunk.size) {
                co_return fail(Errc::corrupt, "body is longer than it said");
            }
            *promised -= chunk.size;
        }
        CO_TRY_STATUS(co_await send_steadily(chunk.bytes(), progress_ns, cancel));
    }
    if (promised && *promised != 0) co_return fail(Errc::corrupt, "body ended early");
    co_return Status();
}

// ---- TLS ----

Task<Status> Socket::accept_tls(std::shared_ptr<const TlsContext> context, BufferPool& pool,
                                Until until) {
    tls_ = std::make_unique<TlsSession>(std::move(context), pool);
    pool_ = &pool;
    for (;;) {
        const Result<TlsSession::Step> step = tls_->handshake();
        // An alert that says what was wrong goes out, too, if it can.
        const Status flushed = co_await tls_flush(until);
        if (!step) {
            if (step.error().code == Errc::invalid) tls_.reset();
            co_return fail(step.error());
        }
        CO_TRY_STATUS(flushed);
        if (*step == TlsSession::Step::done) co_return Status();
        const int32_t result = co_await reactor_->receive(descriptor_, tls_->room(0), until);
        if (result < 0) co_return fail(error_from_errno(-result, "receive", "socket"));
        if (result == 0) co_return fail(Errc::closed, "TLS handshake: the peer went away");
        tls_->received(static_cast<uint32_t>(result));
    }
}

Task<Status> Socket::tls_flush(Until until) {
    const std::vector<std::byte> output = tls_->take_output();
    if (output.empty()) co_return Status();
    co_return co_await send_plain(output, until);
}

Task<Status> Socket::tls_send(Bytes bytes, Until until) {
    CO_TRY_STATUS(co_await tls_flush(until));
    while (!bytes.empty()) {
        const Bytes piece =
            bytes.first(std::min<size_t>(bytes.size(), TlsSession::encrypted_bytes_max));
        bytes = bytes.subspan(piece.size());
        CO_TRY(const Chunk records, tls_->encrypt(piece));
        CO_TRY_STATUS(co_await send_plain(records.bytes(), until));
    }
    co_return Status();
}

Task<Status> Socket::tls_send_steadily(Bytes bytes, uint64_t progress_ns, Cancel* cancel) {
    CO_TRY_STATUS(co_await tls_flush(reactor_->within_ns(progress_ns, cancel)));
    while (!bytes.empty()) {
        const Bytes piece =
            bytes.first(std::min<size_t>(bytes.size(), TlsSession::encrypted_bytes_max));
        bytes = bytes.subspan(piece.size());
        CO_TRY(const Chunk records, tls_->encrypt(piece));
        CO_TRY_STATUS(co_await send_plain_steadily(records.bytes(), progress_ns, cancel));
    }
    co_return Status();
}

Task<Result<uint32_t>> Socket::tls_receive(MutableBytes buffer, Until until) {
    for (;;) {
        uint32_t count = 0;
        CO_TRY(const TlsSession::Step step, tls_->decrypt(buffer, count));
        if (step != TlsSession::Step::more) co_return count;
        const MutableBytes room = tls_->room(static_cast<uint32_t>(buffer.size()));
        const int32_t result = co_await reactor_->receive(descriptor_, room, until);
        if (result < 0) co_return fail(error_from_errno(-result, "receive", "socket"));
        if (result == 0) co_return 0;
        tls_->received(static_cast<uint32_t>(result));
    }
}

Task<Status> Socket::wait_readable(Until until) {
    if (tls_ != nullptr && tls_->has_input()) co_return Status();
    const int32_t result = co_await reactor_->poll_readable(descriptor_, until);
    if (result < 0) co_return fail(error_from_errno(-result, "poll", "socket"));
    co_return Status();
}

int32_t Socket::try_receive(MutableBytes buffer) {
    if (tls_ == nullptr) return reactor_->kernel().try_receive(descriptor_, buffer);
    for (;;) {
        uint32_t count = 0;
        const Result<TlsSession::Step> step = tls_->decrypt(buffer, count);
        if (!step) return -ECONNRESET;
        if (*step != TlsSession::Step::more) return static_cast<int32_t>(count);
        const int32_t received = reactor_->kernel().try_receive(descriptor_, tls_->room(0));
        if (received <= 0) return received;
        tls_->received(static_cast<uint32_t>(received));
    }
}

void Socket::finish_sending() {
    if (tls_ != nullptr) {
        tls_->finish();
        const std::vector<std::byte> output = tls_->take_output();
        // Said once, as far as there is room: who does not read it sees the connection's end.
        if (!output.empty()) (void)reactor_->kernel().try_send(descriptor_, output, false);
    }
    reactor_->kernel().finish_sending(descriptor_);
}

void Socket::shutdown() {
    if (is_open()) reactor_->kernel().shutdown(descriptor_);
}

int Socket::release() {
    if (is_open()) reactor_->kernel().forget(descriptor_);
    return std::exchange(descriptor_, -1);
}

Result<std::unique_ptr<Listener>> Listener::open(Reactor& reactor, const Address& address,
                                                 std::function<void(int)> on_connection) {
    const int32_t descriptor = reactor.kernel().listen(address, backlog_max);
    if (descriptor < 0) return fail(error_from_errno(-descriptor, "listen", address.text));
    return adopt(reactor, descriptor, std::move(on_connection));
}

std::unique_ptr<Listener> Listener::adopt(Reactor& reactor, int descriptor,
                                          std::function<void(int)> on_connection) {
    std::unique_ptr<Listener> listener(new Listener(reactor, descriptor, std::move(on_connection)));
    listener->start_accepting();
    return listener;
}

Listener::Listener(Reactor& reactor, int descriptor, std::function<void(int)> on_connection)
    : reactor_(reactor),
      descriptor_(descriptor),
      address_(reactor.kernel().local_address(descriptor)),
      on_connection_(std::move(on_connection)),
      is_ended_(reactor) {
    accept_.owner = this;
    accept_.kind = OperationKind::accept;
    accept_.descriptor = descriptor;
    accept_.on_done = [](Operation& operation) {
        static_cast<Accept&>(operation).owner->on_accepted();
    };
    retry_.owner = this;
    retry_.on_expired = [](Timer& timer) {
        static_cast<RetryTimer&>(timer).owner->start_accepting();
    };
}

Listener::~Listener() {
    ASSERT(is_stopping_ && !accept_.is_pending);
    reactor_.kernel().close(descriptor_);
}

void Listener::start_accepting() {
    is_ended_.reset();
    reactor_.kernel().start(accept_);
}

void Listener::on_accepted() {
    if (accept_.result >= 0) {
        if (is_stopping_) {
            reactor_.kernel().close(accept_.result);
        } else {
            on_connection_(accept_.result);
        }
    }
    if (accept_.is_pending) return;
    is_ended_.set();
    if (!is_stopping_) reactor_.arm(retry_, reactor_.now_ns() + accept_retry_ns);
}

Task<void> Listener::stop() {
    is_stopping_ = true;
    reactor_.disarm(retry_);
    reactor_.kernel().cancel(accept_);
    if (accept_.is_pending) co_await is_ended_.wait();
}

}  // namespace penstock::io
