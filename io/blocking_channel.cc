// Channels whose tasks wait inside poll(): for programs that have no reactor.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <mutex>

#include "io/base/clock.h"
#include "io/internal/socket_channel.h"
#include "io/internal/system_calls.h"

namespace penstock::io {
namespace {

uint64_t monotonic_ns() {
    return SystemClock().monotonic_ns();
}

// Until `events` can be had of the descriptor; `timed_out` at the deadline.
Status wait_for(int descriptor, short events, uint64_t deadline_ns, const std::string& peer) {
    for (;;) {
        const uint64_t now = monotonic_ns();
        if (now >= deadline_ns) return fail(Errc::timed_out, "waiting for " + peer);
        timespec left{};
        left.tv_sec =
            static_cast<time_t>(std::min<uint64_t>((deadline_ns - now) / 1'000'000'000, 1'000'000));
        left.tv_nsec = static_cast<long>((deadline_ns - now) % 1'000'000'000);
        pollfd wanted{descriptor, events, 0};
        const int count = ::ppoll(&wanted, 1, &left, nullptr);
        if (count > 0) return {};
        if (count < 0 && errno != EINTR) return fail(error_from_errno(errno, "poll", peer));
    }
}

class BlockingChannel final : public internal::SocketChannel {
public:
    BlockingChannel(Descriptor socket, std::string peer)
        : SocketChannel(socket.get(), peer), socket_(std::move(socket)), peer_(std::move(peer)) {}

private:
    Task<Status> wait(short events, uint64_t deadline_ns) override {
        co_return wait_for(socket_.get(), events, deadline_ns, peer_);
    }

    Descriptor socket_;
    std::string peer_;
};

Result<std::unique_ptr<Channel>> connect_to(const Address& address, uint64_t deadline_ns) {
    const int number = internal::open_socket(address);
    if (number < 0) return fail(error_from_errno(-number, "open a socket for", address.text));
    Descriptor socket(number);
    const internal::SystemAddress target = internal::system_address_from(address);
    int error_number = 0;
    if (::connect(number, target.get(), target.size) != 0) error_number = errno;
    if (error_number == EINPROGRESS || error_number == EINTR) {
        TRY_STATUS(wait_for(number, POLLOUT, deadline_ns, address.text));
        socklen_t size = sizeof error_number;
        ::getsockopt(number, SOL_SOCKET, SO_ERROR, &error_number, &size);
    }
    if (error_number != 0) return fail(error_from_errno(error_number, "connect to", address.text));
    return std::make_unique<BlockingChannel>(std::move(socket), address.text);
}

// The channels of one process.
struct Shelf {
    explicit Shelf(pid_t owner) : process(owner) {}

    const pid_t process;
    std::mutex mutex;
    std::condition_variable is_free;
    std::vector<std::unique_ptr<Channel>> idle;
    uint32_t out = 0;
};

class BlockingPool final : public ChannelPool {
public:
    BlockingPool(Address address, uint32_t channels_max)
        : address_(std::move(address)),
          channels_max_(std::max(channels_max, 1U)),
          shelf_(new Shelf(::getpid())) {}
    ~BlockingPool() override { delete shelf_.load(); }

    Task<Result<std::unique_ptr<Channel>>> take(uint64_t deadline_ns) override {
        Shelf& shelf = own_shelf();
        {
            std::unique_lock lock(shelf.mutex);
            while (shelf.out >= channels_max_) {
                const uint64_t now = monotonic_ns();
                if (now >= deadline_ns) {
                    co_return fail(Errc::timed_out,
                                   "waiting for a free connection to " + address_.text);
                }
                const uint64_t left = std::min<uint64_t>(deadline_ns - now, 3'600'000'000'000);
                shelf.is_free.wait_for(lock, std::chrono::nanoseconds(left));
            }
            ++shelf.out;
            while (!shelf.idle.empty()) {
                std::unique_ptr<Channel> channel = std::move(shelf.idle.back());
                shelf.idle.pop_back();
                if (channel->is_quiet()) co_return channel;
            }
        }
        Result<std::unique_ptr<Channel>> made = connect_to(address_, deadline_ns);
        if (!made) let_go(shelf, nullptr);
        co_return made;
    }
    void give_back(std::unique_ptr<Channel> channel) override {
        let_go(own_shelf(), std::move(channel));
    }
    void drop(std::unique_ptr<Channel> channel) override {
        channel.reset();
        let_go(own_shelf(), nullptr);
    }
    void close_idle() override {
        Shelf& shelf = own_shelf();
        const std::lock_guard lock(shelf.mutex);
        shelf.idle.clear();
    }
    uint64_t now_ns() const override { return monotonic_ns(); }
    Task<void> sleep_until(uint64_t time_ns) override {
        timespec until{};
        until.tv_sec = static_cast<time_t>(time_ns / 1'000'000'000);
        until.tv_nsec = static_cast<long>(time_ns % 1'000'000'000);
        while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
        }
        co_return;
    }

private:
    static void let_go(Shelf& shelf, std::unique_ptr<Channel> idle) {
        {
            const std::lock_guard lock(shelf.mutex);
            if (idle) shelf.idle.push_back(std::move(idle));
            ASSERT(shelf.out > 0);
            --shelf.out;
        }
        shelf.is_free.notify_one();
    }
    // After a fork the child has a shelf of its own: a reply on the parent's connections is the
    // parent's. Its copies are closed if no thread was at the shelf when the process forked;
    // otherwise the shelf may be half changed, and is left as it is.
    Shelf& own_shelf() {
        Shelf* shelf = shelf_.load(std::memory_order_acquire);
        if (shelf->process == ::getpid()) [[likely]]
            return *shelf;
        auto* fresh = new Shelf(::getpid());
        Shelf* inherited = shelf;
        if (!shelf_.compare_exchange_strong(inherited, fresh)) {
            delete fresh;  // another thread of this process came first
            return *inherited;
        }
        if (shelf->mutex.try_lock()) {
            shelf->idle.clear();
            shelf->mutex.unlock();
        }
        return *fresh;
    }

    const Address address_;
    const uint32_t channels_max_;
    std::atomic<Shelf*> shelf_;
};

}  // namespace

std::unique_ptr<ChannelPool> make_blocking_pool(Address address, uint32_t channels_max) {
    return std::make_unique<BlockingPool>(std::move(address), channels_max);
}

}  // namespace penstock::io
