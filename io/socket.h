// Socket and Listener: byte streams to and from clients.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "io/body.h"
#include "io/kernel.h"
#include "io/reactor.h"
#include "io/tls.h"
#include "io/wait.h"

namespace penstock::io {

// One end of a connection, of either side. Belongs to its reactor. At most one task receives and
// one sends at a time. Destroying it closes it; no task on it may be unfinished then.
class Socket {
public:
    Socket() = default;
    // Takes the descriptor over.
    Socket(Reactor& reactor, int descriptor) : reactor_(&reactor), descriptor_(descriptor) {}
    Socket(Socket&& other) noexcept;
    Socket& operator=(Socket&& other) noexcept;
    ~Socket();

    static Task<Result<Socket>> connect(Reactor& reactor, Address address, Until until);

    // From here on everything is TLS's, of which this is the server's end. `invalid`: the peer
    // speaks none, and the socket is plain again, so that this can be said to it (what it sent is
    // gone). `pool` outlives the socket.
    Task<Status> accept_tls(std::shared_ptr<const TlsContext> context, BufferPool& pool,
                            Until until);
    bool is_tls() const { return tls_ != nullptr; }

    // At least one byte; 0 at the peer's orderly end. `closed`, `timed_out` otherwise.
    Task<Result<uint32_t>> receive(MutableBytes buffer, Until until);
    // All of the buffer; `closed` if the peer ends first.
    Task<Status> receive_exactly(MutableBytes buffer, Until until);
    // All of the bytes, in order.
    Task<Status> send(Bytes bytes, Until until);
    // The same two from and to a peer that may be slow: however long it takes, they only fail with
    // `timed_out` when nothing has moved for `progress_ns` (up to a quarter more). One operation as
    // long as the peer is quick.
    Task<Status> receive_steadily(MutableBytes buffer, uint64_t progress_ns);
    Task<Status> send_steadily(Bytes bytes, uint64_t progress_ns, Cancel* cancel);
    // `head` and then all of the body. A small body's chunk that has room before it gets the head
    // put there and goes out in one system call. A file range goes by sendfile. A source is sent
    // chunk by chunk. It ends with `timed_out` if the peer takes nothing for `progress_ns`, as
    // send_steadily() does. A source's failure, or one that ends early, is returned: the caller
    // must break the connection then, because its length was promised.
    Task<Status> send_with_body(Bytes head, Body body, uint64_t progress_ns, Cancel* cancel);

    // Bytes can be received without waiting: try_receive(), which gives a count, 0 at the peer's
    // end, -EAGAIN if there are none after all, or another negative errno.
    Task<Status> wait_readable(Until until);
    int32_t try_receive(MutableBytes buffer);
    // Says that nothing follows; the peer may still send.
    void finish_sending();

    // Makes both ends see the end: pending operations here finish with an error or 0.
    void shutdown();
    bool is_open() const { return descriptor_ >= 0; }
    int descriptor() const { return descriptor_; }
    // Gives the descriptor away, e.g. to another core; this is closed then.
    int release();

private:
    Task<Status> send_first(Bytes head, uint64_t progress_ns, Cancel* cancel);
    Task<Status> send_chunk(Bytes head, Chunk chunk, uint64_t progress_ns, Cancel* cancel);
    Task<Status> send_file_range(Bytes head, FileRange range, uint64_t progress_ns, Cancel* cancel);
    Task<Status> wait_until_writable(uint64_t progress_ns, Cancel* cancel);
    Task<Status> send_source(Bytes head, Body body, uint64_t progress_ns, Cancel* cancel);

    // Over TLS. `progress_ns`: 0: all by `until`, else each piece has so long.
    Task<Status> tls_flush(Until until);
    Task<Status> tls_send(Bytes bytes, Until until);
    Task<Status> tls_send_steadily(Bytes bytes, uint64_t progress_ns, Cancel* cancel);
    Task<Result<uint32_t>> tls_receive(MutableBytes buffer, Until until);

    Task<Status> send_plain(Bytes bytes, Until until);
    Task<Status> send_plain_steadily(Bytes bytes, uint64_t progress_ns, Cancel* cancel);

    Reactor* reactor_ = nullptr;
    int descriptor_ = -1;
    std::unique_ptr<TlsSession> tls_;
    BufferPool* pool_ = nullptr;  // of a TLS session
};

// Takes connections on one address and hands each descriptor to `on_connection`, on its own core.
// When descriptors run out it pauses and tries again.
class Listener {
public:
    static Result<std::unique_ptr<Listener>> open(
        Reactor& reactor, const Address& address,
        std::function<void(int descriptor)> on_connection);
    // From a descriptor that listens already (LISTEN_FDS).
    static std::unique_ptr<Listener> adopt(Reactor& reactor, int descriptor,
                                           std::function<void(int descriptor)> on_connection);
    ~Listener();  // asserts that stop() ran

    const Address& address() const { return address_; }
    Task<void> stop();

private:
    struct Accept : Operation {
        Listener* owner = nullptr;
    };
    struct RetryTimer : Timer {
        Listener* owner = nullptr;
    };

    Listener(Reactor& reactor, int descriptor, std::function<void(int)> on_connection);
    void start_accepting();
    void on_accepted();

    Reactor& reactor_;
    int descriptor_;
    Address address_;
    std::function<void(int)> on_connection_;
    Accept accept_;
    RetryTimer retry_;
    Event is_ended_;  // the accept operation is not pending
    bool is_stopping_ = false;
};

}  // namespace penstock::io
