// Kernel: everything that a core asks of the operating system while it runs.
//
// There is one interface so that the whole node can run on io_uring, on epoll where a container
// forbids io_uring, and on a simulation with virtual time, one seed and no system at all. It has
// two halves: operations, which are started and finish in a later turn, and `try_` calls, which
// never wait and answer -EAGAIN where they would have to.
//
// A kernel belongs to one thread, the one that first calls turn(); only wake() may be called from
// others. Results are Linux's: a count, or a negative errno.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "io/base/bytes.h"
#include "io/base/clock.h"
#include "io/base/result.h"

namespace penstock::io {

enum class OperationKind : uint8_t {
    read,           // file: up to size bytes at offset; may be short
    write,          // file: up to size bytes at offset; may be short
    sync_data,      // file: fdatasync
    sync_all,       // file: fsync
    receive,        // socket: at least one byte, up to size; 0 at the peer's end
    receive_all,    // socket: size bytes; fewer only at the peer's end or reset
    send,           // socket: size bytes, all of them unless the connection fails
    connect,        // socket: to the address made by open_connection()
    accept,         // listener: goes on until cancelled; on_done runs once for each connection
    poll_readable,  // socket: until a receive would not wait
    poll_writable,  // socket: until a send would not wait
};

// One thing asked of the kernel. It belongs to the caller, who keeps it and the bytes it points at
// alive and in place until it is done; cancelling is a request, not a fact.
struct Operation {
    OperationKind kind{};
    int descriptor = -1;
    std::byte* data = nullptr;  // write and send only read it
    uint32_t size = 0;
    uint64_t offset = 0;

    // Called inside turn() when the operation is done, or for `accept` each time a connection came
    // (then is_more is set unless the listening has ended). May start and cancel operations, but
    // must not run anything long: it marks a task as ready.
    void (*on_done)(Operation&) = nullptr;
    int32_t result = 0;       // when done: a count, a new descriptor, or -errno
    bool is_more = false;     // accept: there will be further results
    bool is_pending = false;  // started and not done: the bytes are the kernel's

    // The backend's own; zero before the first start and otherwise left alone by the caller.
    uint32_t slot = 0;
    uint32_t progress = 0;
    Operation* next = nullptr;
    Operation* previous = nullptr;

    Operation() = default;
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    ~Operation() { ASSERT(!is_pending); }
};

// A numeric IPv4 or IPv6 address with a port, "127.0.0.1:51080" or "[::1]:51080", or the absolute
// path of a Unix socket, "unix:/run/penstock.sock".
struct Address {
    std::string text;

    static Result<Address> parse(std::string_view text);
    bool is_unix() const { return text.starts_with("unix:"); }
    bool is_loopback() const;  // Unix sockets are
    uint16_t port() const;     // 0 for a Unix socket
    // The same host with another port.
    Address with_port(uint16_t port) const;
    bool operator==(const Address&) const = default;
};

class Kernel {
public:
    virtual ~Kernel() = default;

    // "uring", "epoll" or "sim".
    virtual const char* name() const = 0;
    virtual const Clock& clock() const = 0;

    // Hands the operations started since the last turn to the system and calls on_done of what is
    // done. If nothing is, waits until something is, wake() is called, or `timeout_ns` has passed
    // (0: does not wait). Returns how many on_done calls were made.
    virtual uint32_t turn(uint64_t timeout_ns) = 0;

    // Ends the turn that waits now or next. From any thread.
    virtual void wake() = 0;

    // Begins `operation`; it must not be pending. on_done is never called from inside start().
    virtual void start(Operation& operation) = 0;

    // Asks for an early end. on_done is called once more in any case, with -ECANCELED if the
    // request came in time. Nothing happens if the operation is not pending.
    virtual void cancel(Operation& operation) = 0;

    // How many operations are pending: 0 at an orderly end.
    virtual uint32_t pending_count() const = 0;

    // Descriptors. Results: a descriptor or -errno.
    virtual int32_t listen(const Address& address, uint32_t backlog) = 0;
    // A socket that a `connect` operation then connects to `address`.
    virtual int32_t open_connection(const Address& address) = 0;
    // The address a socket is bound to; of a connection, its own end or the peer's.
    virtual Address local_address(int descriptor) const = 0;
    virtual Address peer_address(int descriptor) const = 0;
    // The user id that the peer of a Unix socket had when it connected; nullopt for other sockets.
    virtual std::optional<uint32_t> peer_user(int socket) const = 0;
    // Makes pending receives and sends end; close() alone would leave them pending for ever.
    virtual void shutdown(int socket) = 0;
    // Half a close: the peer reads the end behind what was sent, and may still send.
    virtual void finish_sending(int socket) = 0;
    // Bytes that were sent and that the peer's system has not taken yet. While nothing is sent they
    // become fewer only if the peer reads.
    virtual uint32_t unread_bytes(int socket) const = 0;
    virtual void close(int descriptor) = 0;
    // Says that the descriptor goes on living under another kernel (a connection dealt to another
    // core), so that nothing remembered of it here meets a later one of the same number. No
    // operation may be pending on it.
    virtual void forget(int descriptor) = 0;

    // What is cheap and cannot wait is done at once: a count, or -EAGAIN where it would wait.
    virtual int32_t try_read(int file, MutableBytes buffer, uint64_t offset) = 0;
    virtual int32_t try_receive(int socket, MutableBytes buffer) = 0;
    // `more`: further bytes follow at once, so do not send a small packet for these.
    virtual int32_t try_send(int socket, Bytes bytes, bool more) = 0;
    // As try_send(), and `passed`, a descriptor of this process, travels with the first byte: the
    // receiver gets one of its own for the same open file. Unix sockets alone: -EOPNOTSUPP on
    // others, and in the simulation, which has no process to pass it to.
    virtual int32_t try_send_descriptor(int socket, Bytes bytes, int passed) = 0;
    // From a file's resident pages straight to the socket; may be short.
    virtual int32_t try_send_file(int socket, int file, uint64_t offset, uint32_t size) = 0;
};

// Options of the backends that speak to Linux.
struct KernelOptions {
    uint32_t queue_entries = 512;       // submissions; completions get 16 times as many
    uint32_t blocking_threads_max = 4;  // epoll: for file operations; uring: the io-wq cap
};

// Fails with `unavailable` and a sentence that names io_uring and the errno, if the system refuses
// it (EPERM, ENOSYS, EACCES, ENOMEM) or lacks what we need (Linux 6.1).
Result<std::unique_ptr<Kernel>> make_uring_kernel(const KernelOptions& options);
Result<std::unique_ptr<Kernel>> make_epoll_kernel(const KernelOptions& options);
// The simulated one: io/sim_kernel.h.

}  // namespace penstock::io
