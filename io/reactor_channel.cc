// Channels whose tasks wait on a reactor.
#include <poll.h>

#include "io/internal/socket_channel.h"
#include "io/reactor.h"

namespace penstock::io {
namespace {

class ReactorChannel final : public internal::SocketChannel {
public:
    ReactorChannel(Reactor& reactor, int descriptor, std::string peer)
        : SocketChannel(descriptor, peer), reactor_(reactor), peer_(std::move(peer)) {}
    ~ReactorChannel() override { reactor_.kernel().close(descriptor()); }

    Task<Status> connect(uint64_t deadline_ns) {
        const int32_t result =
            co_await reactor_.connect(descriptor(), {.deadline_ns = deadline_ns});
        if (result < 0) co_return fail(error_from_errno(-result, "connect to", peer_));
        co_return Status();
    }

private:
    Task<Status> wait(short events, uint64_t deadline_ns) override {
        const Until until{.deadline_ns = deadline_ns};
        const int32_t result = events == POLLIN
                                   ? co_await reactor_.poll_readable(descriptor(), until)
                                   : co_await reactor_.poll_writable(descriptor(), until);
        if (result < 0) co_return fail(error_from_errno(-result, "waiting for", peer_));
        co_return Status();
    }

    Reactor& reactor_;
    std::string peer_;
};

class ReactorPool final : public ChannelPool {
public:
    ReactorPool(Reactor& reactor, Address address, uint32_t channels_max)
        : reactor_(reactor), address_(std::move(address)), places_(reactor, channels_max) {}

    Task<Result<std::unique_ptr<Channel>>> take(uint64_t deadline_ns) override {
        co_await places_.acquire();
        if (now_ns() >= deadline_ns) {
            places_.release();
            co_return fail(Errc::timed_out, "waiting for a free connection to " + address_.text);
        }
        while (!idle_.empty()) {
            std::unique_ptr<Channel> channel = std::move(idle_.back());
            idle_.pop_back();
            if (channel->is_quiet()) co_return channel;
        }
        Result<std::unique_ptr<Channel>> made = co_await connect(deadline_ns);
        if (!made) places_.release();
        co_return made;
    }
    void give_back(std::unique_ptr<Channel> channel) override {
        idle_.push_back(std::move(channel));
        places_.release();
    }
    void drop(std::unique_ptr<Channel> channel) override {
        channel.reset();
        places_.release();
    }
    void close_idle() override { idle_.clear(); }
    uint64_t now_ns() const override { return reactor_.clock().monotonic_ns(); }
    Task<void> sleep_until(uint64_t time_ns) override {
        co_await reactor_.sleep({.deadline_ns = time_ns});
    }

private:
    Task<Result<std::unique_ptr<Channel>>> connect(uint64_t deadline_ns) {
        const int32_t number = reactor_.kernel().open_connection(address_);
        if (number < 0) co_return fail(error_from_errno(-number, "connect to", address_.text));
        auto channel = std::make_unique<ReactorChannel>(reactor_, number, address_.text);
        CO_TRY_STATUS(co_await channel->connect(deadline_ns));
        co_return channel;
    }

    Reactor& reactor_;
    const Address address_;
    Semaphore places_;
    std::vector<std::unique_ptr<Channel>> idle_;
};

}  // namespace

std::unique_ptr<ChannelPool> make_reactor_pool(Reactor& reactor, Address address,
                                               uint32_t channels_max) {
    return std::make_unique<ReactorPool>(reactor, std::move(address), channels_max);
}

}  // namespace penstock::io
