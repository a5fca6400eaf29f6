// The Kernel on io_uring: one ring for each core, SINGLE_ISSUER and DEFER_TASKRUN, one enter for
// each turn.
//
// The user_data of a submission is a slot number and its generation, not a pointer: a completion
// that comes late, for a slot that has been given to another operation, is recognised and dropped.
// Short sends and receive_alls are continued here, EINTR and EAGAIN are tried again here, so the
// layers above see only whole results and real errors.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include "io/base/units.h"
#include "io/internal/system_calls.h"
#include "io/kernel.h"
#include "io/uring_compat.h"

namespace penstock::io {
namespace {

using internal::SystemAddress;

// user_data values that stand for no operation.
constexpr uint64_t ignored_data = UINT64_MAX;
constexpr uint64_t wake_data = UINT64_MAX - 1;

// Completions reaped in one turn, so that ready tasks get to run between them.
constexpr uint32_t reap_budget = 512;

constexpr uint32_t entries_min = 16;
constexpr uint32_t completions_per_entry = 16;

struct Slot {
    Operation* operation = nullptr;
    uint32_t generation = 0;
    bool is_cancelled = false;  // do not start the rest of a short operation
    bool is_polling = false;    // waits for readiness after an EAGAIN
};

bool is_socket_stream(OperationKind kind) {
    return kind == OperationKind::receive || kind == OperationKind::receive_all ||
           kind == OperationKind::send;
}

class UringKernel final : public Kernel {
public:
    UringKernel(const io_uring& ring, int wake_descriptor)
        : ring_(ring), wake_descriptor_(wake_descriptor) {}

    ~UringKernel() override {
        io_uring_queue_exit(&ring_);
        ::close(wake_descriptor_);
    }

    const char* name() const override { return "uring"; }
    const Clock& clock() const override { return clock_; }

    uint32_t turn(uint64_t timeout_ns) override {
        if (!is_enabled_) enable();
        submit_backlog();
        enter(timeout_ns);
        return reap();
    }

    void wake() override {
        const uint64_t one = 1;
        // EAGAIN: the counter is full, so a wake is on its way already.
        [[maybe_unused]] const ssize_t written = write(wake_descriptor_, &one, sizeof one);
    }

    void start(Operation& operation) override {
        ASSERT(!operation.is_pending && operation.on_done != nullptr);
        operation.is_pending = true;
        operation.is_more = false;
        operation.progress = 0;
        operation.slot = take_slot(operation);
        ++pending_count_;
        submit(operation);
    }

    void cancel(Operation& operation) override {
        if (!operation.is_pending) return;
        slots_[operation.slot].is_cancelled = true;
        if (in_backlog(operation)) return;  // finished by submit_backlog()
        io_uring_sqe* entry = try_entry();
        if (entry == nullptr) {
            cancel_backlog_.push_back(user_data_of(operation));
            return;
        }
        io_uring_prep_cancel64(entry, user_data_of(operation), 0);
        io_uring_sqe_set_data64(entry, ignored_data);
    }

    uint32_t pending_count() const override { return pending_count_; }

    int32_t listen(const Address& address, uint32_t backlog) override {
        return internal::open_listener(address, backlog);
    }

    int32_t open_connection(const Address& address) override {
        const int32_t socket = internal::open_socket(address);
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
        targets_.erase(descriptor);
        ::close(descriptor);
    }
    void forget(int descriptor) override { targets_.erase(descriptor); }

    int32_t try_read(int file, MutableBytes buffer, uint64_t offset) override {
        return internal::read_without_waiting(file, buffer, offset);
    }
    int32_t try_receive(int socket, MutableBytes buffer) override {
        return internal::receive_without_waiting(socket, buffer);
    }
    int32_t try_send(int socket, Bytes bytes, bool more) override {
        return internal::send_without_waiting(socket, bytes, more);
    }
    int32_t try_send_descriptor(int socket, Bytes bytes, int passed) override {
        return internal::send_descriptor_without_waiting(socket, bytes, passed);
    }
    int32_t try_send_file(int socket, int file, uint64_t offset, uint32_t size) override {
        return internal::send_file_without_waiting(socket, file, offset, size);
    }

private:
    // The ring was made disabled, on whatever thread built the node; the first turn makes the
    // calling thread its single issuer.
    void enable() {
        ASSERT(enable_ring(ring_) == 0);
        io_uring_register_ring_fd(&ring_);  // saves a lookup per enter; not having it is fine
        unsigned worker_max[2] = {4, 4};    // unbounded would be 96,365 threads
        io_uring_register_iowq_max_workers(&ring_, worker_max);
        io_uring_ring_dontfork(&ring_);
        is_enabled_ = true;
        arm_wake();
    }

    void arm_wake() {
        io_uring_sqe* entry = try_entry();
        needs_wake_armed_ = entry == nullptr;
        if (entry == nullptr) return;
        io_uring_prep_read(entry, wake_descriptor_, &wake_count_, sizeof wake_count_, 0);
        io_uring_sqe_set_data64(entry, wake_data);
    }

    uint32_t take_slot(Operation& operation) {
        if (free_slots_.empty()) {
            slots_.emplace_back();
            free_slots_.push_back(static_cast<uint32_t>(slots_.size() - 1));
        }
        const uint32_t index = free_slots_.back();
        free_slots_.pop_back();
        Slot& slot = slots_[index];
        slot = Slot{&operation, slot.generation + 1, false, false};
        return index;
    }

    uint64_t user_data_of(const Operation& operation) const {
        return uint64_t{slots_[operation.slot].generation} << 32 | operation.slot;
    }

    // An entry of the submission queue; null when it is full and the system takes none of it now.
    io_uring_sqe* try_entry() {
        io_uring_sqe* entry = io_uring_get_sqe(&ring_);
        if (entry != nullptr || !is_enabled_) return entry;
        io_uring_submit(&ring_);
        return io_uring_get_sqe(&ring_);
    }

    void submit(Operation& operation) {
        io_uring_sqe* entry = backlog_.empty() ? try_entry() : nullptr;
        if (entry == nullptr) {
            backlog_.push_back(&operation);
            return;
        }
        prepare(*entry, operation);
    }

    bool in_backlog(const Operation& operation) const {
        for (const Operation* waiting : backlog_) {
            if (waiting == &operation) return true;
        }
        return false;
    }

    void submit_backlog() {
        if (needs_wake_armed_) arm_wake();
        size_t submitted_count = 0;
        for (; submitted_count < backlog_.size(); ++submitted_count) {
            Operation& operation = *backlog_[submitted_count];
            if (slots_[operation.slot].is_cancelled) {
                cancelled_.push_back(&operation);
                continue;
            }
            io_uring_sqe* entry = try_entry();
            if (entry == nullptr) break;
            prepare(*entry, operation);
        }
        backlog_.erase(backlog_.begin(),
                       backlog_.begin() + static_cast<ptrdiff_t>(submitted_count));
        while (!cancel_backlog_.empty()) {
            io_uring_sqe* entry = try_entry();
            if (entry == nullptr) break;
            io_uring_prep_cancel64(entry, cancel_backlog_.back(), 0);
            io_uring_sqe_set_data64(entry, ignored_data);
            cancel_backlog_.pop_back();
        }
    }

    void prepare(io_uring_sqe& entry, Operation& operation) {
        Slot& slot = slots_[operation.slot];
        std::byte* data = operation.data + operation.progress;
        const uint32_t size = operation.size - operation.progress;
        const int descriptor = operation.descriptor;
        if (slot.is_polling) {
            const unsigned mask = operation.kind == OperationKind::send ? POLLOUT : POLLIN;
            io_uring_prep_poll_add(&entry, descriptor, mask);
            io_uring_sqe_set_data64(&entry, user_data_of(operation));
            return;
        }
        if (operation.size == 0 && is_socket_stream(operation.kind)) {
            io_uring_prep_nop(&entry);  // a receive of nothing would wait for a first byte
            io_uring_sqe_set_data64(&entry, user_data_of(operation));
            return;
        }
        switch (operation.kind) {
            case OperationKind::read:
                io_uring_prep_read(&entry, descriptor, data, size, operation.offset);
                break;
            case OperationKind::write:
                io_uring_prep_write(&entry, descriptor, data, size, operation.offset);
                break;
            case OperationKind::sync_data:
                io_uring_prep_fsync(&entry, descriptor, IORING_FSYNC_DATASYNC);
                break;
            case OperationKind::sync_all:
                io_uring_prep_fsync(&entry, descriptor, 0);
                break;
            case OperationKind::receive:
                io_uring_prep_recv(&entry, descriptor, data, size, 0);
                // The next request is hardly ever there yet: skip the first, failing attempt.
                entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
                break;
            case OperationKind::receive_all:
                io_uring_prep_recv(&entry, descriptor, data, size, MSG_WAITALL);
                break;
            case OperationKind::send:
                io_uring_prep_send(&entry, descriptor, data, size, MSG_WAITALL | MSG_NOSIGNAL);
                break;
            case OperationKind::connect: {
                const SystemAddress& target = targets_.at(descriptor);
                io_uring_prep_connect(&entry, descriptor, target.get(), target.size);
                break;
            }
            case OperationKind::accept:
                io_uring_prep_multishot_accept(&entry, descriptor, nullptr, nullptr,
                                               SOCK_CLOEXEC | SOCK_NONBLOCK);
                break;
            case OperationKind::poll_readable:
                io_uring_prep_poll_add(&entry, descriptor, POLLIN);
                break;
            case OperationKind::poll_writable:
                io_uring_prep_poll_add(&entry, descriptor, POLLOUT);
                break;
        }
        io_uring_sqe_set_data64(&entry, user_data_of(operation));
    }

    // One system call: submit what is queued and, if asked to, wait for a first completion.
    void enter(uint64_t timeout_ns) {
        if (has_left_over()) timeout_ns = 0;
        if (timeout_ns == 0) {
            const bool has_nothing_to_do = io_uring_sq_ready(&ring_) == 0 && !has_task_work();
            if (!has_nothing_to_do) io_uring_submit_and_get_events(&ring_);
            return;
        }
        if (io_uring_cq_ready(&ring_) > 0 && !has_task_work()) {
            io_uring_submit(&ring_);
            return;
        }
        __kernel_timespec timeout{};
        timeout.tv_sec = static_cast<int64_t>(timeout_ns / ns_per_s);
        timeout.tv_nsec = static_cast<int64_t>(timeout_ns % ns_per_s);
        io_uring_cqe* first = nullptr;
        // -ETIME and -EINTR are ends of a wait like any other.
        io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr);
    }

    // Something did not fit into the submission queue; the next turn must come soon.
    bool has_left_over() const {
        return !cancelled_.empty() || !backlog_.empty() || !cancel_backlog_.empty() ||
               needs_wake_armed_;
    }

    // DEFER_TASKRUN: completions exist but wait for us to enter the kernel and collect them.
    bool has_task_work() const {
        return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) &
                (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
    }

    uint32_t reap() {
        uint32_t done_count = 0;
        for (Operation* operation : std::exchange(cancelled_, {})) {
            finish(*operation, -ECANCELED);
            ++done_count;
        }
        uint32_t reaped_count = 0;
        unsigned head = 0;
        io_uring_cqe* completion = nullptr;
        // Copied out first: on_done may start operations, and starting may submit and reap space.
        batch_.clear();
        io_uring_for_each_cqe(&ring_, head, completion) {
            batch_.push_back(*completion);
            if (++reaped_count == reap_budget) break;
        }
        io_uring_cq_advance(&ring_, reaped_count);
        for (const io_uring_cqe& done : batch_) {
            if (complete(done)) ++done_count;
        }
        return done_count;
    }

    // True if an on_done was called.
    bool complete(const io_uring_cqe& completion) {
        if (completion.user_data == ignored_data) return false;
        if (completion.user_data == wake_data) {
            arm_wake();
            return false;
        }
        const auto index = static_cast<uint32_t>(completion.user_data);
        const auto generation = static_cast<uint32_t>(completion.user_data >> 32);
        ASSERT(index < slots_.size());
        if (slots_[index].generation != generation || slots_[index].operation == nullptr) {
            return false;  // of an operation that ended before
        }
        Operation& operation = *slots_[index].operation;
        if (operation.kind == OperationKind::accept) {
            return complete_accept(operation, completion);
        }
        if (goes_on(operation, completion.res)) return false;
        finish(operation, final_result(operation, completion.res));
        return true;
    }

    bool complete_accept(Operation& operation, const io_uring_cqe& completion) {
        if ((completion.flags & IORING_CQE_F_MORE) != 0) {
            operation.result = completion.res;
            operation.is_more = true;
            operation.on_done(operation);
            return true;
        }
        Slot& slot = slots_[operation.slot];
        const bool is_transient = completion.res >= 0 || completion.res == -EINTR ||
                                  completion.res == -EAGAIN || completion.res == -ECONNABORTED;
        if (!is_transient || slot.is_cancelled) {
            finish(operation, completion.res);
            return true;
        }
        submit(operation);  // the multishot ended by itself: begin a new one
        if (completion.res < 0) return false;
        operation.result = completion.res;
        operation.is_more = true;
        operation.on_done(operation);
        return true;
    }

    // Starts what is left of an operation that came back short or was interrupted.
    bool goes_on(Operation& operation, int32_t result) {
        Slot& slot = slots_[operation.slot];
        const bool wants_all =
            operation.kind == OperationKind::send || operation.kind == OperationKind::receive_all;
        if (wants_all && !slot.is_polling && result > 0) {
            operation.progress += static_cast<uint32_t>(result);
            ASSERT(operation.progress <= operation.size);
        }
        if (slot.is_cancelled) return false;
        if (slot.is_polling) {
            slot.is_polling = false;
            if (result < 0 && result != -EINTR) return false;
            submit(operation);
            return true;
        }
        if (result == -EINTR) {
            submit(operation);
            return true;
        }
        if (result == -EAGAIN) {
            // Under memory pressure an operation may lose the ring's own polling and meet
            // O_NONBLOCK: wait for readiness, then try again.
            slot.is_polling = is_socket_stream(operation.kind);
            submit(operation);
            return true;
        }
        if (!wants_all || result <= 0 || operation.progress == operation.size) return false;
        submit(operation);
        return true;
    }

    int32_t final_result(const Operation& operation, int32_t result) const {
        if (result < 0) return result;
        switch (operation.kind) {
            case OperationKind::send:
            case OperationKind::receive_all:
                // Cancelled between two pieces: what is left was not asked for any more.
                if (result > 0 && operation.progress < operation.size) return -ECANCELED;
                return static_cast<int32_t>(operation.progress);
            case OperationKind::poll_readable:
            case OperationKind::poll_writable:
                return 0;
            default:
                return result;
        }
    }

    void finish(Operation& operation, int32_t result) {
        Slot& slot = slots_[operation.slot];
        slot.operation = nullptr;
        free_slots_.push_back(operation.slot);
        ASSERT(pending_count_ > 0);
        --pending_count_;
        if (operation.kind == OperationKind::connect) targets_.erase(operation.descriptor);
        operation.is_pending = false;
        operation.is_more = false;
        operation.result = result;
        operation.on_done(operation);
    }

    SystemClock clock_;
    io_uring ring_;
    int wake_descriptor_;
    uint64_t wake_count_ = 0;
    bool is_enabled_ = false;
    bool needs_wake_armed_ = false;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_slots_;
    std::vector<Operation*> backlog_;       // waits for room in the submission queue
    std::vector<uint64_t> cancel_backlog_;  // user_data of cancellations that wait for it
    std::vector<Operation*> cancelled_;     // cancelled while in the backlog
    std::vector<io_uring_cqe> batch_;
    std::map<int, SystemAddress> targets_;  // of sockets that are being connected
    uint32_t pending_count_ = 0;
};

// The operations that we use: any one missing means that the kernel is older than Linux 6.1.
bool has_needed_operations(io_uring& ring) {
    io_uring_probe* probe = io_uring_get_probe_ring(&ring);
    if (probe == nullptr) return false;
    bool has_all = true;
    for (const int code :
         {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC, IORING_OP_RECV, IORING_OP_SEND,
          IORING_OP_CONNECT, IORING_OP_ACCEPT, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL}) {
        has_all = has_all && io_uring_opcode_supported(probe, code) != 0;
    }
    io_uring_free_probe(probe);
    return has_all;
}

// A ring counts against RLIMIT_MEMLOCK (Linux 6.18 as an unprivileged user: 512 entries with their
// completions take 170 KiB of the usual 8 MiB), so where that is short a smaller one is taken: it
// submits and overflows more often, and loses nothing.
int set_up_ring(uint32_t entries, io_uring& ring, io_uring_params& parameters) {
    for (;;) {
        parameters = {};
        parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                           IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                           IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED;
        parameters.cq_entries = entries * completions_per_entry;
        const int result = io_uring_queue_init_params(entries, &ring, &parameters);
        if (result != -ENOMEM || entries <= entries_min) return result;
        entries /= 2;
    }
}

}  // namespace

Result<std::unique_ptr<Kernel>> make_uring_kernel(const KernelOptions& options) {
    io_uring_params parameters{};
    io_uring ring{};
    const int result = set_up_ring(options.queue_entries, ring, parameters);
    if (result < 0) {
        const char* subject =
            result == -ENOMEM ? "(io_uring; RLIMIT_MEMLOCK may be too small)" : "(io_uring)";
        const Error error = error_from_errno(-result, "io_uring_setup", subject);
        return fail(Errc::unavailable, error.context);
    }
    if ((parameters.features & IORING_FEAT_EXT_ARG) == 0 || !has_needed_operations(ring)) {
        io_uring_queue_exit(&ring);
        return fail(Errc::unavailable,
                    "io_uring lacks operations that we use (Linux 6.1 has them)");
    }
    const int wake_descriptor = eventfd(0, EFD_CLOEXEC);
    if (wake_descriptor < 0) {
        io_uring_queue_exit(&ring);
        return fail(error_from_errno(errno, "eventfd", "(io_uring wake-up)"));
    }
    return std::make_unique<UringKernel>(ring, wake_descriptor);
}

}  // namespace penstock::io
