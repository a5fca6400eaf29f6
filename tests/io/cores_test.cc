// Several reactors on threads of their own. Also run under ThreadSanitizer.
#include "io/cores.h"
#include "io/cgroup.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "io/base/units.h"
#include "io/socket.h"

namespace penstock::io {
namespace {

class CoresTest : public ::testing::TestWithParam<Backend> {
protected:
    void start(uint32_t count) {
        Result<std::unique_ptr<Cores>> cores =
            Cores::start({.count = count, .backend = GetParam(), .pool_threads = 2}, Log::quiet());
        if (!cores) GTEST_SKIP() << cores.error().context;
        cores_ = std::move(*cores);
    }
    void TearDown() override {
        if (cores_ != nullptr) cores_->stop();
    }
    Cores& all() { return *cores_; }

    std::unique_ptr<Cores> cores_;
};

Task<uint32_t> core_of(Reactor& reactor) {
    EXPECT_TRUE(reactor.is_current_thread());
    co_return reactor.core();
}

TEST_P(CoresTest, RunOnRunsOnTheCoreItNames) {
    start(4);
    if (IsSkipped()) return;
    for (uint32_t core = 0; core < 4; ++core) {
        EXPECT_EQ(all().run_on(core, [&] { return core_of(all().reactor(core)); }), core);
    }
}

// Increments a counter that belongs to another core, which alone touches it.
Task<void> increment(Reactor& owner, uint64_t& counter) {
    EXPECT_TRUE(owner.is_current_thread());
    ++counter;
    if (counter % 7 == 0) co_await owner.yield();
}

Task<uint64_t> increment_all(Cores& cores, uint32_t from, std::vector<uint64_t>& counters,
                             uint32_t rounds) {
    Reactor& here = cores.reactor(from);
    for (uint32_t round = 0; round < rounds; ++round) {
        const uint32_t to = (from + round) % cores.count();
        Reactor& there = cores.reactor(to);
        co_await on_core(here, there, [&] { return increment(there, counters[to]); });
        EXPECT_TRUE(here.is_current_thread());
    }
    co_return rounds;
}

TEST_P(CoresTest, OnCoreMovesToTheDataAndBack) {
    start(3);
    if (IsSkipped()) return;
    constexpr uint32_t rounds = 300;
    std::vector<uint64_t> counters(3);
    std::vector<std::thread> callers;
    for (uint32_t core = 0; core < 3; ++core) {
        callers.emplace_back([&, core] {
            EXPECT_EQ(all().run_on(
                          core, [&, core] { return increment_all(all(), core, counters, rounds); }),
                      rounds);
        });
    }
    for (std::thread& caller : callers) caller.join();
    uint64_t total = 0;
    for (uint32_t core = 0; core < 3; ++core) {
        total += all().run_on(core, [&counters, core]() -> Task<uint64_t> {
            return [](uint64_t value) -> Task<uint64_t> { co_return value; }(counters[core]);
        });
    }
    EXPECT_EQ(total, uint64_t{3} * rounds);
}

TEST_P(CoresTest, ATaskOnAnotherCoreMayWaitThere) {
    start(2);
    if (IsSkipped()) return;
    struct Steps {
        static Task<std::string> there(Reactor& reactor, Pool& pool) {
            co_await reactor.sleep(reactor.within_ns(2 * ns_per_ms));
            co_return co_await pool.run(reactor, [] { return std::string("done"); });
        }
        static Task<std::string> here(Cores& cores) {
            Reactor& other = cores.reactor(1);
            co_return co_await on_core(cores.reactor(0), other,
                                       [&] { return there(other, cores.pool()); });
        }
    };
    EXPECT_EQ(all().run_on(0, [&] { return Steps::here(all()); }), "done");
}

// One core accepts and deals connections round; each is served where it was dealt to.
class EchoServer {
public:
    explicit EchoServer(Cores& cores) : cores_(cores), served_(cores.count()) {}

    Task<Result<Address>> open() {
        auto listener = Listener::open(cores_.reactor(0), Address::parse("127.0.0.1:0").value(),
                                       [this](int descriptor) { deal(descriptor); });
        if (!listener) co_return std::unexpected(listener.error());
        listener_ = std::move(*listener);
        co_return listener_->address();
    }
    Task<bool> stop() {
        co_await listener_->stop();
        listener_.reset();
        co_return true;
    }
    const std::vector<uint32_t>& served() const { return served_; }
    uint32_t open_count() const { return open_count_.load(); }

private:
    void deal(int descriptor) {
        const uint32_t core = next_core_++ % cores_.count();
        ++open_count_;
        start_detached(hand_over(cores_.reactor(core), descriptor, core));
    }
    Task<void> hand_over(Reactor& there, int descriptor, uint32_t core) {
        co_await on_core(cores_.reactor(0), there,
                         [&] { return echo(there, descriptor, served_[core]); });
        --open_count_;
    }
    static Task<void> echo(Reactor& reactor, int descriptor, uint32_t& served_count) {
        ++served_count;
        Socket socket(reactor, descriptor);
        std::string buffer(1000, '.');
        for (;;) {
            const auto count =
                co_await socket.receive(std::as_writable_bytes(std::span(buffer)), Until{});
            if (!count || *count == 0) co_return;
            const Status sent = co_await socket.send(as_bytes(buffer).first(*count), Until{});
            if (!sent) co_return;
        }
    }

    Cores& cores_;
    std::unique_ptr<Listener> listener_;
    std::vector<uint32_t> served_;  // each by its own core
    uint32_t next_core_ = 0;
    std::atomic<uint32_t> open_count_{0};
};

Task<bool> talk(Reactor& reactor, Address address, uint32_t rounds) {
    auto socket = co_await Socket::connect(reactor, address, reactor.within_ns(30 * ns_per_s));
    if (!socket) co_return false;
    for (uint32_t round = 0; round < rounds; ++round) {
        const std::string sent = "message " + std::to_string(round);
        std::string received(sent.size(), '.');
        const Until until = reactor.within_ns(30 * ns_per_s);
        const Status status = co_await socket->send(as_bytes(sent), until);
        if (!status) co_return false;
        const Status answer =
            co_await socket->receive_exactly(std::as_writable_bytes(std::span(received)), until);
        if (!answer || received != sent) co_return false;
    }
    co_return true;
}

TEST_P(CoresTest, DealtConnectionsAreServedOnTheirCores) {
    start(3);
    if (IsSkipped()) return;
    EchoServer server(all());
    const Result<Address> address = all().run_on(0, [&] { return server.open(); });
    ASSERT_TRUE(address) << address.error().context;
    constexpr uint32_t connection_count = 30;
    std::vector<std::thread> clients;
    for (uint32_t core = 0; core < 3; ++core) {
        clients.emplace_back([&, core] {
            for (uint32_t index = 0; index < connection_count / 3; ++index) {
                EXPECT_TRUE(all().run_on(
                    core, [&, core] { return talk(all().reactor(core), *address, 20); }));
            }
        });
    }
    for (std::thread& client : clients) client.join();
    while (server.open_count() > 0) std::this_thread::yield();
    EXPECT_EQ(server.served(), std::vector<uint32_t>(3, connection_count / 3));
    EXPECT_TRUE(all().run_on(0, [&] { return server.stop(); }));
}

// A socket that was used on one core goes on living on another.
TEST_P(CoresTest, AUsedConnectionMovesToAnotherCore) {
    start(2);
    if (IsSkipped()) return;
    EchoServer server(all());
    const Result<Address> address = all().run_on(0, [&] { return server.open(); });
    ASSERT_TRUE(address);
    struct Steps {
        static Task<int> begin(Reactor& reactor, Address to) {
            auto socket = co_await Socket::connect(reactor, to, Until{});
            EXPECT_TRUE(socket);
            const bool is_sent = (co_await socket->send(as_bytes("abc"), Until{})).has_value();
            EXPECT_TRUE(is_sent);
            std::string first(1, '.');
            const Status got =
                co_await socket->receive_exactly(std::as_writable_bytes(std::span(first)), Until{});
            EXPECT_TRUE(got);
            co_return socket->release();
        }
        static Task<std::string> finish(Reactor& reactor, int descriptor) {
            Socket socket(reactor, descriptor);
            std::string rest(2, '.');
            const Status got = co_await socket.receive_exactly(
                std::as_writable_bytes(std::span(rest)), reactor.within_ns(30 * ns_per_s));
            EXPECT_TRUE(got);
            co_return rest;
        }
    };
    for (int round = 0; round < 20; ++round) {
        const uint32_t first = static_cast<uint32_t>(round) % 2;
        const int descriptor =
            all().run_on(first, [&] { return Steps::begin(all().reactor(first), *address); });
        EXPECT_EQ(all().run_on(1 - first,
                               [&] { return Steps::finish(all().reactor(1 - first), descriptor); }),
                  "bc");
    }
    while (server.open_count() > 0) std::this_thread::yield();
    EXPECT_TRUE(all().run_on(0, [&] { return server.stop(); }));
}

INSTANTIATE_TEST_SUITE_P(Backends, CoresTest, ::testing::Values(Backend::uring, Backend::epoll),
                         [](const auto& tested) {
                             return tested.param == Backend::uring ? "uring" : "epoll";
                         });

TEST(UsableCores, AreAtLeastOneAndAtMostWhatTheMachineHas) {
    EXPECT_GE(usable_core_count(), 1U);
    EXPECT_LE(usable_core_count(), std::thread::hardware_concurrency());
}

}  // namespace
}  // namespace penstock::io
