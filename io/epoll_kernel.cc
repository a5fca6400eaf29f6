// The Kernel by readiness, for systems that forbid io_uring: epoll for sockets, a few threads for
// files (io/internal/file_threads.h).
//
// A socket is registered once, edge-triggered, when an operation on it first has to wait, and never
// touched again: whether it can be read or written is remembered here. A call that said EAGAIN, or
// a receive that came back short, makes it "not ready" until the next edge, and as long as it is
// not ready no call is wasted on it. So a request on a kept connection costs one recv, one send and
// its share of an epoll_wait; by level it would cost an epoll_ctl or a failing recv more.
//
// Operations are attempted inside start() and continued by edges; either way they are put on a list
// of done ones, and on_done runs from that list at the end of a turn.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <map>
#include <vector>

#include "io/base/units.h"
#include "io/internal/file_threads.h"
#include "io/internal/operation_list.h"
#include "io/internal/system_calls.h"
#include "io/kernel.h"

namespace penstock::io {
namespace {

using internal::OperationList;
using internal::SystemAddress;

constexpr int event_max = 256;
// One fast connection must not keep the loop from all others: after this much it waits a turn.
constexpr uint32_t transfer_budget_bytes = 1U << 20;
constexpr uint32_t accept_budget = 64;
// Turns that may go by without a look at epoll while there is something else to do: what was done
// at once in start() is then delivered without a system call.
constexpr uint32_t unpolled_turns_max = 3;

constexpr uint64_t wake_data = UINT64_MAX;

// Where an operation is; kept in Operation::slot.
enum Place : uint32_t { nowhere, parked, orphaned, in_threads, done };

// What is known of one descriptor.
struct Watch {
    OperationList readers;
    OperationList writers;
    uint32_t generation = 0;  // tells an event of a closed socket from one of its successor
    bool is_registered = false;
    bool is_readable = true;  // a receive may find something
    bool is_writable = true;  // a send may find room
    bool is_ended = false;    // the peer's end or an error was seen: no further edge will come
    bool is_retrying = false;
};

bool reads(OperationKind kind) {
    switch (kind) {
        case OperationKind::receive:
        case OperationKind::receive_all:
        case OperationKind::accept:
        case OperationKind::poll_readable:
            return true;
        default:
            return false;
    }
}

bool moves_bytes(OperationKind kind) {
    return kind == OperationKind::receive || kind == OperationKind::receive_all ||
           kind == OperationKind::send;
}

bool is_file_operation(OperationKind kind) {
    return kind == OperationKind::read || kind == OperationKind::write ||
           kind == OperationKind::sync_data || kind == OperationKind::sync_all;
}

// Failures of the one connection that was to be accepted (accept(2) lists them), not of the
// listener.
bool is_of_one_connection(int error) {
    switch (error) {
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case ENETUNREACH:
            return true;
        default:
            return false;
    }
}

class EpollKernel final : public Kernel {
public:
    EpollKernel(int epoll, int wake_descriptor, uint32_t thread_max)
        : epoll_(epoll),
          wake_descriptor_(wake_descriptor),
          threads_(thread_max, [this] { wake(); }) {}

    const char* name() const override { return "epoll"; }
    const Clock& clock() const override { return clock_; }
    uint32_t pending_count() const override { return pending_count_; }

    uint32_t turn(uint64_t timeout_ns) override {
        done_count_ = 0;
        const bool has_work = !done_.is_empty() || !retries_.empty();
        if (!has_work || ++unpolled_turns_ > unpolled_turns_max) {
            unpolled_turns_ = 0;
            handle_events(wait(has_work ? 0 : timeout_ns));
        }
        retry();
        take_finished();
        deliver_done();
        return done_count_;
    }

    void wake() override {
        const uint64_t one = 1;
        // Edge-triggered and never read: every write is an edge of its own. EAGAIN (after 2^64
        // wakes) would lose one, and does not happen.
        [[maybe_unused]] const ssize_t written = write(wake_descriptor_.number, &one, sizeof one);
    }

    void start(Operation& operation) override {
        ASSERT(!operation.is_pending && operation.on_done != nullptr);
        operation.is_pending = true;
        operation.is_more = false;
        operation.progress = 0;
        ++pending_count_;
        if (is_file_operation(operation.kind)) {
            operation.slot = in_threads;
            threads_.submit(operation);
        } else if (operation.descriptor < 0) {
            put_done(operation, -EBADF);
        } else if (operation.size == 0 && moves_bytes(operation.kind)) {
            put_done(operation, 0);  // the system would have a receive of nothing wait
        } else {
            start_on_socket(operation);
        }
    }

    void cancel(Operation& operation) override {
        if (!operation.is_pending) return;
        switch (operation.slot) {
            case parked:
                end(operation, -ECANCELED);
                break;
            case orphaned:
                orphans_.remove(operation);
                put_done(operation, -ECANCELED);
                break;
            case in_threads:
                if (threads_.withdraw(operation)) put_done(operation, -ECANCELED);
                break;
            default:
                break;  // its result stands
        }
    }

    int32_t listen(const Address& address, uint32_t backlog) override {
        return with_new_watch(internal::open_listener(address, backlog));
    }
    int32_t open_connection(const Address& address) override {
        const int32_t socket = with_new_watch(internal::open_socket(address));
        if (socket >= 0) targets_[socket] = internal::system_address_from(address);
        return socket;
    }
    Address local_address(int descriptor) const override {
        return internal::bound_address(descriptor);
    }
    Address peer_address(int descriptor) const override {
        return internal::connected_address(descriptor);
    }
    void shutdown(int socket) override { ::shutdown(socket, SHUT_RDWR); }
    void finish_sending(int socket) override { ::shutdown(socket, SHUT_WR); }
    std::optional<uint32_t> peer_user(int socket) const override {
        return internal::peer_user(socket);
    }
    uint32_t unread_bytes(int socket) const override { return internal::unread_bytes(socket); }

    void close(int descriptor) override {
        if (is_watched(descriptor)) {
            // As on the ring, they stay pending until they are cancelled; what must not happen is
            // that they meet the next socket of this number.
            Watch& watch = watches_[static_cast<size_t>(descriptor)];
            orphan(watch.readers);
            orphan(watch.writers);
            renew(watch);
        }
        targets_.erase(descriptor);
        ::close(descriptor);  // the system takes it out of epoll
    }

    void forget(int descriptor) override {
        if (!is_watched(descriptor)) return;
        Watch& watch = watches_[static_cast<size_t>(descriptor)];
        ASSERT(watch.readers.is_empty() && watch.writers.is_empty());
        if (watch.is_registered) epoll_ctl(epoll_.number, EPOLL_CTL_DEL, descriptor, nullptr);
        renew(watch);
        targets_.erase(descriptor);
    }

    int32_t try_read(int file, MutableBytes buffer, uint64_t offset) override {
        return internal::read_without_waiting(file, buffer, offset);
    }
    int32_t try_receive(int socket, MutableBytes buffer) override {
        const int32_t result = internal::receive_without_waiting(socket, buffer);
        if (result == -EAGAIN) watch_of(socket).is_readable = false;
        return result;
    }
    int32_t try_send(int socket, Bytes bytes, bool more) override {
        const int32_t result = internal::send_without_waiting(socket, bytes, more);
        if (result == -EAGAIN) watch_of(socket).is_writable = false;
        return result;
    }
    int32_t try_send_descriptor(int socket, Bytes bytes, int passed) override {
        const int32_t result = internal::send_descriptor_without_waiting(socket, bytes, passed);
        if (result == -EAGAIN) watch_of(socket).is_writable = false;
        return result;
    }
    int32_t try_send_file(int socket, int file, uint64_t offset, uint32_t size) override {
        const int32_t result = internal::send_file_without_waiting(socket, file, offset, size);
        if (result == -EAGAIN) watch_of(socket).is_writable = false;
        return result;
    }

private:
    // As members, so that they are closed after the threads that write to them have ended.
    struct Descriptor {
        explicit Descriptor(int of) : number(of) {}
        Descriptor(const Descriptor&) = delete;
        ~Descriptor() { ::close(number); }
        const int number;
    };

    // References stay valid when the table grows: it is a deque.
    Watch& watch_of(int descriptor) {
        const auto index = static_cast<size_t>(descriptor);
        if (index >= watches_.size()) watches_.resize(index + 1);
        return watches_[index];
    }
    bool is_watched(int descriptor) const {
        return descriptor >= 0 && static_cast<size_t>(descriptor) < watches_.size();
    }
    static void renew(Watch& watch) {
        const uint32_t generation = watch.generation + 1;
        watch = Watch();
        watch.generation = generation;
    }
    int32_t with_new_watch(int32_t descriptor) {
        if (descriptor >= 0) renew(watch_of(descriptor));
        return descriptor;
    }
    void orphan(OperationList& list) {
        while (Operation* operation = list.pop_front()) {
            operation->slot = orphaned;
            orphans_.push_back(*operation);
        }
    }

    void start_on_socket(Operation& operation) {
        Watch& watch = watch_of(operation.descriptor);
        OperationList& list = reads(operation.kind) ? watch.readers : watch.writers;
        const bool is_first = list.is_empty();
        list.push_back(operation);
        operation.slot = parked;
        if (operation.kind == OperationKind::accept) {
            retry_later(operation.descriptor, watch);  // on_done must not be called from here
        } else if (operation.kind == OperationKind::connect) {
            begin_connect(watch, operation);
        } else if (is_first) {
            advance(watch, list);
        }
        if (operation.slot == parked && !watch.is_registered) register_watch(operation, watch);
    }

    void register_watch(Operation& operation, Watch& watch) {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.u64 =
            uint64_t{watch.generation} << 32 | static_cast<uint32_t>(operation.descriptor);
        if (epoll_ctl(epoll_.number, EPOLL_CTL_ADD, operation.descriptor, &event) == 0) {
            watch.is_registered = true;  // whatever is ready already is reported as a first edge
        } else if (errno == EEXIST) {
            // It came back after another core had it: its registration is from before.
            epoll_ctl(epoll_.number, EPOLL_CTL_MOD, operation.descriptor, &event);
            watch.is_registered = true;
        } else {
            end(operation, -errno);
        }
    }

    int wait(uint64_t timeout_ns) {
        if (has_nanosecond_wait_) {
            timespec timeout{static_cast<time_t>(timeout_ns / ns_per_s),
                             static_cast<long>(timeout_ns % ns_per_s)};
            const bool is_endless = timeout_ns == endless_ns;
            const int count = epoll_pwait2(epoll_.number, events_.data(), event_max,
                                           is_endless ? nullptr : &timeout, nullptr);
            if (count >= 0 || errno == EINTR) return count;
            has_nanosecond_wait_ = false;  // Linux before 5.11, or a sandbox that does not know it
        }
        const uint64_t timeout_ms =
            std::min<uint64_t>((timeout_ns + ns_per_ms - 1) / ns_per_ms, INT32_MAX);
        return epoll_wait(epoll_.number, events_.data(), event_max, static_cast<int>(timeout_ms));
    }

    void handle_events(int count) {
        for (int index = 0; index < count; ++index) {
            const epoll_event& event = events_[static_cast<size_t>(index)];
            if (event.data.u64 == wake_data) continue;
            const auto descriptor = static_cast<uint32_t>(event.data.u64);
            Watch& watch = watches_[descriptor];
            if (watch.generation != static_cast<uint32_t>(event.data.u64 >> 32)) continue;
            const bool is_broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
            if (is_broken || (event.events & EPOLLRDHUP) != 0) watch.is_ended = true;
            if (is_broken || (event.events & (EPOLLIN | EPOLLRDHUP)) != 0) {
                watch.is_readable = true;
                advance(watch, watch.readers);
            }
            if (is_broken || (event.events & EPOLLOUT) != 0) {
                watch.is_writable = true;
                advance(watch, watch.writers);
            }
        }
    }

    void retry_later(int descriptor, Watch& watch) {
        if (watch.is_retrying) return;
        watch.is_retrying = true;
        retries_.push_back({descriptor, watch.generation});
    }

    void retry() {
        for (const Retry& due : std::exchange(retries_, {})) {
            Watch& watch = watches_[static_cast<size_t>(due.descriptor)];
            if (watch.generation != due.generation) continue;
            watch.is_retrying = false;
            advance(watch, watch.readers);
            advance(watch, watch.writers);
        }
    }

    // Goes on with the operations of one side, in order, as far as they get without waiting.
    void advance(Watch& watch, OperationList& list) {
        const bool& is_ready = &list == &watch.readers ? watch.is_readable : watch.is_writable;
        while (is_ready && !list.is_empty()) {
            if (!attempt(watch, *list.first())) return;
        }
    }

    // True if it ended.
    bool attempt(Watch& watch, Operation& operation) {
        switch (operation.kind) {
            case OperationKind::receive:
            case OperationKind::receive_all:
                return attempt_receive(watch, operation);
            case OperationKind::send:
                return attempt_send(watch, operation);
            case OperationKind::connect:
                return attempt_connect(operation);
            case OperationKind::accept:
                return attempt_accept(watch, operation);
            case OperationKind::poll_readable:
                return attempt_poll(operation, POLLIN, watch.is_readable);
            case OperationKind::poll_writable:
                return attempt_poll(operation, POLLOUT, watch.is_writable);
            default:
                ASSERT(false);
        }
    }

    bool attempt_receive(Watch& watch, Operation& operation) {
        for (uint32_t moved = 0; moved < transfer_budget_bytes;) {
            const uint32_t room = operation.size - operation.progress;
            const int32_t result = internal::receive_without_waiting(
                operation.descriptor, {operation.data + operation.progress, room});
            if (result == -EINTR) continue;
            if (result == -EAGAIN) {
                watch.is_readable = false;
                return false;
            }
            if (result < 0) return end(operation, result);
            const auto received = static_cast<uint32_t>(result);
            operation.progress += received;
            moved += received;
            // Short: the queue is empty. What comes later, an end included, is an edge of its own;
            // an end that was seen before is not.
            if (received > 0 && received < room && !watch.is_ended) watch.is_readable = false;
            const bool is_over = received == 0 || operation.progress == operation.size;
            if (is_over || operation.kind == OperationKind::receive) {
                return end(operation, static_cast<int32_t>(operation.progress));
            }
            if (!watch.is_readable) return false;
        }
        retry_later(operation.descriptor, watch);
        return false;
    }

    bool attempt_send(Watch& watch, Operation& operation) {
        for (uint32_t moved = 0; moved < transfer_budget_bytes;) {
            const Bytes rest{operation.data + operation.progress,
                             operation.size - operation.progress};
            const int32_t result =
                internal::send_without_waiting(operation.descriptor, rest, false);
            if (result == -EINTR) continue;
            if (result == -EAGAIN) {
                watch.is_writable = false;
                return false;
            }
            if (result < 0) return end(operation, result);
            operation.progress += static_cast<uint32_t>(result);
            moved += static_cast<uint32_t>(result);
            if (operation.progress == operation.size) {
                return end(operation, static_cast<int32_t>(operation.progress));
            }
        }
        retry_later(operation.descriptor, watch);
        return false;
    }

    void begin_connect(Watch& watch, Operation& operation) {
        const SystemAddress& target = targets_.at(operation.descriptor);
        if (::connect(operation.descriptor, target.get(), target.size) == 0) {
            end(operation, 0);
        } else if (errno == EINPROGRESS || errno == EINTR) {
            watch.is_writable = false;
        } else {
            end(operation, -errno);
        }
    }

    bool attempt_connect(Operation& operation) {
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(operation.descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
            error = errno;
        }
        return end(operation, -error);
    }

    bool attempt_poll(Operation& operation, short events, bool& is_ready) {
        pollfd polled{operation.descriptor, events, 0};
        if (poll(&polled, 1, 0) > 0) {
            return end(operation, (polled.revents & POLLNVAL) != 0 ? -EBADF : 0);
        }
        is_ready = false;
        return false;
    }

    bool attempt_accept(Watch& watch, Operation& operation) {
        for (uint32_t count = 0; count < accept_budget; ++count) {
            const int accepted =
                accept4(operation.descriptor, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (accepted < 0) {
                if (is_of_one_connection(errno)) continue;
                if (errno != EAGAIN) return end(operation, -errno);
                watch.is_readable = false;
                return false;
            }
            renew(watch_of(accepted));
            operation.result = accepted;
            operation.is_more = true;
            ++done_count_;
            operation.on_done(operation);
            if (operation.slot != parked) return true;  // cancelled, or its listener closed
        }
        retry_later(operation.descriptor, watch);
        return false;
    }

    // Takes a parked operation off its socket. Always true, for attempts to return.
    bool end(Operation& operation, int32_t result) {
        ASSERT(operation.slot == parked);
        Watch& watch = watch_of(operation.descriptor);
        (reads(operation.kind) ? watch.readers : watch.writers).remove(operation);
        put_done(operation, result);
        return true;
    }

    void put_done(Operation& operation, int32_t result) {
        operation.result = result;
        operation.slot = done;
        done_.push_back(operation);
    }

    void take_finished() {
        for (Operation* operation = threads_.take_finished(); operation != nullptr;) {
            Operation* next = operation->next;
            put_done(*operation, operation->result);
            operation = next;
        }
    }

    void deliver_done() {
        // What on_done starts and is done at once waits for the next turn.
        OperationList due = std::exchange(done_, {});
        while (Operation* operation = due.pop_front()) {
            if (operation->kind == OperationKind::connect) targets_.erase(operation->descriptor);
            ASSERT(pending_count_ > 0);
            --pending_count_;
            ++done_count_;
            operation->slot = nowhere;
            operation->is_more = false;
            operation->is_pending = false;
            operation->on_done(*operation);
        }
    }

    struct Retry {
        int descriptor;
        uint32_t generation;
    };
    static constexpr uint64_t endless_ns = UINT64_MAX;

    SystemClock clock_;
    const Descriptor epoll_;
    const Descriptor wake_descriptor_;
    internal::FileThreads threads_;
    std::deque<Watch> watches_;  // by descriptor
    OperationList done_;
    OperationList orphans_;                 // on sockets that were closed under them
    std::vector<Retry> retries_;            // sockets that used up their budget, and new accepts
    std::map<int, SystemAddress> targets_;  // of sockets that are being connected
    std::array<epoll_event, event_max> events_;
    uint32_t pending_count_ = 0;
    uint32_t done_count_ = 0;
    uint32_t unpolled_turns_ = 0;
    bool has_nanosecond_wait_ = true;
};

}  // namespace

Result<std::unique_ptr<Kernel>> make_epoll_kernel(const KernelOptions& options) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) return fail(error_from_errno(errno, "epoll_create1", "(epoll)"));
    const int wake_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = wake_data;
    if (wake_descriptor < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, wake_descriptor, &event) != 0) {
        const Error error = error_from_errno(errno, "eventfd", "(epoll wake-up)");
        if (wake_descriptor >= 0) ::close(wake_descriptor);
        ::close(epoll);
        return fail(error);
    }
    return std::make_unique<EpollKernel>(epoll, wake_descriptor, options.blocking_threads_max);
}

}  // namespace penstock::io
