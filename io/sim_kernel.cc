#include "io/sim_kernel.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

namespace penstock::io {
namespace {

constexpr int32_t first_descriptor = 3;
// Where nothing at all is going to happen, a wait without end becomes one of this length.
constexpr uint64_t endless_wait_ns = 3600 * ns_per_s;

bool is_file_operation(OperationKind kind) {
    return kind == OperationKind::read || kind == OperationKind::write ||
           kind == OperationKind::sync_data || kind == OperationKind::sync_all;
}

}  // namespace

// An operation is `active` from start() until it is done. Events name it by a token that is used
// once, because it may be cancelled and its memory be another's before they happen. One that waits
// for its socket stands in `waiting_`.
class SimKernel final : public Kernel {
public:
    SimKernel(SimWorld& world, uint32_t number, std::string host)
        : world_(world), number_(number), host_(std::move(host)) {
        world_.kernels_[number_] = this;
    }
    ~SimKernel() override { world_.kernels_.erase(number_); }

    const char* name() const override { return "sim"; }
    const Clock& clock() const override { return world_.clock(); }
    uint32_t pending_count() const override { return pending_count_; }

    uint32_t turn(uint64_t timeout_ns) override {
        world_.schedule_.run_due();
        const bool is_woken = is_woken_.exchange(false, std::memory_order_acquire);
        is_idle_ = done_.empty() && !is_woken && timeout_ns > 0;
        idle_until_ns_ = saturating_end(timeout_ns);
        if (!world_.is_driven_) pass_time();
        return deliver_done();
    }

    void wake() override { is_woken_.store(true, std::memory_order_release); }

    void start(Operation& operation) override {
        ASSERT(!operation.is_pending && operation.on_done != nullptr);
        operation.is_pending = true;
        operation.is_more = false;
        operation.progress = 0;
        ++pending_count_;
        const uint32_t token = ++last_token_;
        operation.slot = token;
        active_.emplace(token, Active{&operation, socket_of(operation)});
        const uint64_t delay_ns = world_.random_.below(duration_ns_max(operation.kind) + 1);
        world_.schedule_.after(delay_ns, [&world = world_, number = number_, token] {
            const auto kernel = world.kernels_.find(number);
            if (kernel != world.kernels_.end()) kernel->second->begin(token);
        });
    }

    void cancel(Operation& operation) override {
        if (!operation.is_pending) return;
        const auto at = active_.find(operation.slot);
        if (at == active_.end() || at->second.operation != &operation) return;  // done already
        // A file operation may have got too far.
        if (is_file_operation(operation.kind) && world_.random_.chance(1, 2)) return;
        finish(operation.slot, -ECANCELED);
    }

    int32_t listen(const Address& address, uint32_t backlog) override {
        if (is_full()) return -EMFILE;
        const SimNetwork::Id id = world_.network_.listen(host_, address, backlog);
        return id == SimNetwork::no_socket ? -EADDRINUSE : world_.add_descriptor({id, nullptr});
    }
    int32_t open_connection(const Address& address) override {
        if (is_full()) return -EMFILE;
        return world_.add_descriptor({world_.network_.open(host_, address), nullptr});
    }
    Address local_address(int descriptor) const override {
        return world_.network_.local_address(world_.socket(descriptor));
    }
    Address peer_address(int descriptor) const override {
        return world_.network_.peer_address(world_.socket(descriptor));
    }
    void shutdown(int socket) override { world_.network_.shutdown(world_.socket(socket)); }
    void finish_sending(int socket) override {
        world_.network_.finish_sending(world_.socket(socket));
    }
    std::optional<uint32_t> peer_user(int) const override { return std::nullopt; }
    uint32_t unread_bytes(int socket) const override {
        return world_.network_.unread_bytes(world_.socket(socket));
    }
    void close(int descriptor) override {
        const auto at = world_.descriptors_.find(descriptor);
        ASSERT(at != world_.descriptors_.end());  // closed twice
        world_.network_.close(at->second.socket);
        world_.descriptors_.erase(at);
    }
    void forget(int) override {}

    int32_t try_read(int file, MutableBytes buffer, uint64_t offset) override {
        return is_again() ? -EAGAIN : read_file(file, buffer, offset);
    }
    int32_t try_receive(int socket, MutableBytes buffer) override {
        return is_again() ? -EAGAIN
                          : world_.network_.receive(world_.socket(socket), shortened(buffer));
    }
    int32_t try_send(int socket, Bytes bytes, bool) override {
        return is_again() ? -EAGAIN : world_.network_.send(world_.socket(socket), bytes);
    }
    int32_t try_send_descriptor(int, Bytes, int) override { return -EOPNOTSUPP; }
    int32_t try_send_file(int socket, int file, uint64_t offset, uint32_t size) override {
        if (is_again()) return -EAGAIN;
        std::string bytes(size, '\0');
        const int32_t count = read_file(file, std::as_writable_bytes(std::span(bytes)), offset);
        if (count <= 0) return count;
        return world_.network_.send(world_.socket(socket),
                                    as_bytes(bytes).first(static_cast<size_t>(count)));
    }

    // What the world asks and says.
    void attempt_on(SimNetwork::Id socket) {
        std::vector<uint32_t> tokens;  // copied, because an attempt ends operations
        for (auto at = waiting_.lower_bound({socket, 0});
             at != waiting_.end() && at->first == socket; ++at) {
            tokens.push_back(at->second);
        }
        for (const uint32_t token : tokens) attempt(token);
    }
    bool is_idle() const { return is_idle_ && done_.empty(); }
    uint64_t idle_until_ns() const { return idle_until_ns_; }

private:
    struct Active {
        Operation* operation;
        SimNetwork::Id socket;
    };
    struct Done {
        Operation* operation;
        int32_t result;
        bool is_more;
    };

    uint64_t saturating_end(uint64_t timeout_ns) const {
        return world_.schedule_.now_ns() + std::min(timeout_ns, endless_wait_ns);
    }
    bool is_full() const { return world_.descriptors_.size() >= world_.options_.descriptors_max; }
    bool is_again() { return world_.random_.chance(world_.options_.again_per_million, 1'000'000); }
    SimNetwork::Id socket_of(const Operation& operation) const {
        return is_file_operation(operation.kind) ? SimNetwork::no_socket
                                                 : world_.socket(operation.descriptor);
    }

    uint64_t duration_ns_max(OperationKind kind) const {
        switch (kind) {
            case OperationKind::read:
                return world_.options_.read_ns_max;
            case OperationKind::write:
                return world_.options_.write_ns_max;
            case OperationKind::sync_data:
            case OperationKind::sync_all:
                return world_.options_.sync_ns_max;
            default:
                return world_.options_.socket_ns_max;
        }
    }

    // Instead of waiting: the time goes on to the next event, or to the end of the wait.
    void pass_time() {
        if (!is_idle_) {
            world_.schedule_.advance_to(world_.schedule_.now_ns() + world_.options_.turn_ns);
            world_.schedule_.run_due();
            return;
        }
        while (done_.empty() && !is_woken_.load(std::memory_order_acquire) &&
               world_.schedule_.now_ns() < idle_until_ns_) {
            world_.schedule_.advance_to(std::min(idle_until_ns_, world_.schedule_.next_ns()));
            world_.schedule_.run_due();
        }
    }

    void begin(uint32_t token) {
        const auto at = active_.find(token);
        if (at == active_.end()) return;  // cancelled before
        waiting_.emplace(at->second.socket, token);
        if (const auto fault = world_.take_fault(at->second.operation->kind)) {
            finish(token, *fault);
            return;
        }
        attempt(token);
    }

    void attempt(uint32_t token) {
        const auto at = active_.find(token);
        if (at == active_.end()) return;
        Operation& operation = *at->second.operation;
        if (operation.kind == OperationKind::accept) {
            accept_all(token, operation, at->second.socket);
            return;
        }
        const int32_t result = is_file_operation(operation.kind)
                                   ? do_file_operation(operation)
                                   : do_socket_operation(operation, at->second.socket);
        if (result != -EAGAIN) finish(token, result);
    }

    int32_t do_file_operation(Operation& operation) {
        if (world_.random_.chance(world_.options_.error_per_million, 1'000'000)) return -EIO;
        const MutableBytes bytes{operation.data, operation.size};
        switch (operation.kind) {
            case OperationKind::read:
                return read_file(operation.descriptor, shortened(bytes), operation.offset);
            case OperationKind::write:
                return write_file(operation.descriptor, shortened(bytes), operation.offset);
            default: {
                const SimWorld::Descriptor* file = world_.find(operation.descriptor);
                return file != nullptr && file->file != nullptr ? 0 : -EBADF;
            }
        }
    }

    int32_t do_socket_operation(Operation& operation, SimNetwork::Id socket) {
        SimNetwork& network = world_.network_;
        switch (operation.kind) {
            case OperationKind::receive:
                return network.receive(socket, shortened({operation.data, operation.size}));
            case OperationKind::receive_all:
            case OperationKind::send:
                return move_all(operation, socket);
            case OperationKind::connect:
                return network.connect(socket);
            case OperationKind::poll_readable:
                return network.is_readable(socket) ? 0 : -EAGAIN;
            case OperationKind::poll_writable:
                return network.is_writable(socket) ? 0 : -EAGAIN;
            default:
                ASSERT(false);
        }
    }

    int32_t move_all(Operation& operation, SimNetwork::Id socket) {
        while (operation.progress < operation.size) {
            const MutableBytes rest{operation.data + operation.progress,
                                    operation.size - operation.progress};
            const int32_t result = operation.kind == OperationKind::send
                                       ? world_.network_.send(socket, rest)
                                       : world_.network_.receive(socket, rest);
            if (result < 0) return result;
            if (result == 0) break;
            operation.progress += static_cast<uint32_t>(result);
        }
        return static_cast<int32_t>(operation.progress);
    }

    void accept_all(uint32_t token, Operation& operation, SimNetwork::Id listener) {
        while (world_.network_.is_readable(listener)) {
            if (is_full()) {
                finish(token, -EMFILE);
                return;
            }
            const SimNetwork::Id accepted = world_.network_.accept(listener);
            if (accepted == SimNetwork::no_socket) return;
            add_done({&operation, world_.add_descriptor({accepted, nullptr}), true});
        }
    }

    // A part of the buffer, where chance asks for a short result.
    MutableBytes shortened(MutableBytes buffer) {
        if (buffer.size() < 2) return buffer;
        if (!world_.random_.chance(world_.options_.short_per_million, 1'000'000)) return buffer;
        return buffer.first(1 + static_cast<size_t>(world_.random_.below(buffer.size() - 1)));
    }

    int32_t read_file(int descriptor, MutableBytes buffer, uint64_t offset) const {
        const SimWorld::Descriptor* entry = std::as_const(world_).find(descriptor);
        if (entry == nullptr || entry->file == nullptr) return -EBADF;
        if (offset >= entry->file->size()) return 0;
        const size_t count =
            std::min(buffer.size(), entry->file->size() - static_cast<size_t>(offset));
        std::memcpy(buffer.data(), entry->file->data() + offset, count);
        return static_cast<int32_t>(count);
    }

    int32_t write_file(int descriptor, Bytes bytes, uint64_t offset) {
        const SimWorld::Descriptor* entry = world_.find(descriptor);
        if (entry == nullptr || entry->file == nullptr) return -EBADF;
        std::string& file = *entry->file;
        file.resize(std::max<size_t>(file.size(), static_cast<size_t>(offset) + bytes.size()));
        std::memcpy(file.data() + offset, bytes.data(), bytes.size());
        return static_cast<int32_t>(bytes.size());
    }

    void finish(uint32_t token, int32_t result) {
        Operation* operation = active_.at(token).operation;
        waiting_.erase({active_.at(token).socket, token});
        active_.erase(token);
        add_done({operation, result, false});
    }

    // What is done between two turns is told in a random order, but the connections of one
    // listener, and its end, in theirs.
    void add_done(const Done& done) {
        const bool keeps_order = done.operation->kind == OperationKind::accept;
        const size_t place = keeps_order ? done_.size() : world_.random_.below(done_.size() + 1);
        done_.insert(done_.begin() + static_cast<ptrdiff_t>(place), done);
    }

    uint32_t deliver_done() {
        std::vector<Done> due = std::exchange(done_, {});
        for (const Done& done : due) {
            Operation& operation = *done.operation;
            world_.note(uint64_t{number_} << 40 | static_cast<uint64_t>(operation.kind) << 32 |
                        static_cast<uint32_t>(done.result));
            operation.result = done.result;
            operation.is_more = done.is_more;
            if (!done.is_more) {
                ASSERT(pending_count_ > 0);
                --pending_count_;
                operation.is_pending = false;
            }
            operation.on_done(operation);
        }
        return static_cast<uint32_t>(due.size());
    }

    SimWorld& world_;
    const uint32_t number_;
    const std::string host_;
    std::map<uint32_t, Active> active_;  // by token
    std::set<std::pair<SimNetwork::Id, uint32_t>> waiting_;
    std::vector<Done> done_;
    std::atomic<bool> is_woken_{false};
    uint32_t last_token_ = 0;
    uint64_t idle_until_ns_ = 0;
    uint32_t pending_count_ = 0;
    bool is_idle_ = false;
};

SimWorld::SimWorld(uint64_t seed, const SimWorldOptions& options)
    : options_(options),
      random_(seed),
      network_(schedule_, random_, options.network,
               [this](SimNetwork::Id socket) { on_change(socket); }) {}

SimWorld::~SimWorld() {
    ASSERT(kernels_.empty());
}

bool SimWorld::run_until(std::span<Reactor* const> reactors, const std::function<bool()>& is_done,
                         uint64_t limit_ns) {
    const uint64_t end_ns = schedule_.now_ns() + limit_ns;
    std::vector<Reactor*> order(reactors.begin(), reactors.end());
    is_driven_ = true;
    while (!is_done() && schedule_.now_ns() < end_ns) {
        for (size_t index = order.size(); index > 1; --index) {
            std::swap(order[index - 1], order[random_.below(index)]);
        }
        for (Reactor* reactor : order) reactor->turn(endless_wait_ns);
        advance_when_idle(reactors, end_ns);
    }
    is_driven_ = false;
    return is_done();
}

// Time passes by a turn while anybody has something to do, else to whatever comes next.
void SimWorld::advance_when_idle(std::span<Reactor* const> reactors, uint64_t end_ns) {
    uint64_t next_ns = std::min(schedule_.next_ns(), end_ns);
    for (Reactor* reactor : reactors) {
        const auto& kernel = static_cast<SimKernel&>(reactor->kernel());
        const bool is_idle = kernel.is_idle() && !reactor->has_work();
        next_ns = std::min(
            next_ns, is_idle ? kernel.idle_until_ns() : schedule_.now_ns() + options_.turn_ns);
    }
    schedule_.advance_to(std::max(next_ns, schedule_.now_ns()));
    schedule_.run_due();
}

void SimWorld::fail_next(OperationKind kind, int32_t result, uint32_t skipped_count) {
    faults_.push_back({kind, result, skipped_count});
}

std::optional<int32_t> SimWorld::take_fault(OperationKind kind) {
    for (size_t index = 0; index < faults_.size(); ++index) {
        if (faults_[index].kind != kind) continue;
        if (faults_[index].skipped_count > 0) {
            --faults_[index].skipped_count;
            continue;
        }
        const int32_t result = faults_[index].result;
        faults_.erase(faults_.begin() + static_cast<ptrdiff_t>(index));
        return result;
    }
    return std::nullopt;
}

// As Linux does, the lowest number that is free: a descriptor used after it was closed is soon
// somebody else's, and shows.
int32_t SimWorld::add_descriptor(Descriptor descriptor) {
    int32_t number = first_descriptor;
    for (const auto& [taken, unused] : descriptors_) {
        if (taken != number) break;
        ++number;
    }
    descriptors_.emplace(number, std::move(descriptor));
    return number;
}

const SimWorld::Descriptor* SimWorld::find(int32_t descriptor) const {
    const auto at = descriptors_.find(descriptor);
    return at == descriptors_.end() ? nullptr : &at->second;
}
SimWorld::Descriptor* SimWorld::find(int32_t descriptor) {
    const auto at = descriptors_.find(descriptor);
    return at == descriptors_.end() ? nullptr : &at->second;
}

int32_t SimWorld::open_file(std::string content) {
    return add_descriptor(
        {SimNetwork::no_socket, std::make_unique<std::string>(std::move(content))});
}
const std::string& SimWorld::file_content(int32_t descriptor) const {
    const Descriptor* entry = find(descriptor);
    ASSERT(entry != nullptr && entry->file != nullptr);
    return *entry->file;
}
SimNetwork::Id SimWorld::socket(int32_t descriptor) const {
    const Descriptor* entry = find(descriptor);
    return entry == nullptr ? SimNetwork::no_socket : entry->socket;
}

// FNV-1a over 64-bit words: order counts, and that is all it is for.
void SimWorld::note(uint64_t what) {
    constexpr uint64_t prime = 0x100000001b3;
    digest_ = (digest_ ^ what) * prime;
    digest_ = (digest_ ^ schedule_.now_ns()) * prime;
}

void SimWorld::on_change(SimNetwork::Id socket) {
    for (const auto& [number, kernel] : kernels_) kernel->attempt_on(socket);
}

std::unique_ptr<Kernel> make_sim_kernel(SimWorld& world, const std::string& host) {
    return std::make_unique<SimKernel>(world, ++world.last_kernel_number_, host);
}

}  // namespace penstock::io
