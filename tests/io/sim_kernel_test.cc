// What the simulation adds: virtual time, several reactors on one thread, faults, one seed.
#include "io/sim_kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "io/base/units.h"
#include "io/cores.h"
#include "io/socket.h"

namespace penstock::io {
namespace {

using ::testing::AnyOf;

// An echo node on one host and a client on another.
class SimNodes {
public:
    explicit SimNodes(uint64_t seed, const SimWorldOptions& options = {}) : world(seed, options) {
        auto opened = Listener::open(
            server, Address::parse("10.0.0.1:80").value(),
            [this](int descriptor) { start_detached(echo(server, descriptor, served_count)); });
        listener = std::move(opened.value());
    }
    ~SimNodes() {
        EXPECT_TRUE(run(stop(*listener)).has_value());
        world.run_until(all, [this] { return served_count == 0; }, 100 * ns_per_s);
        EXPECT_EQ(served_count, 0U);
        listener.reset();
        world.run_until(all, [] { return false; }, ns_per_s);
    }

    template <typename T>
    std::optional<T> run(Task<T> task, uint64_t limit_ns = 1000 * ns_per_s) {
        return world.run(all, std::move(task), limit_ns);
    }

    static Task<bool> stop(Listener& listening) {
        co_await listening.stop();
        co_return true;
    }
    static Task<void> echo(Reactor& reactor, int descriptor, uint32_t& served) {
        ++served;
        Socket socket(reactor, descriptor);
        std::string buffer(4096, '.');
        for (;;) {
            const auto count = co_await socket.receive(std::as_writable_bytes(std::span(buffer)),
                                                       reactor.within_ns(60 * ns_per_s));
            if (!count || *count == 0) break;
            const Status sent = co_await socket.send(as_bytes(buffer).first(*count),
                                                     reactor.within_ns(60 * ns_per_s));
            if (!sent) break;
        }
        --served;
    }
    // Sends messages and checks the echo of each; how many came back.
    static Task<Result<uint32_t>> talk(Reactor& reactor, Address to, uint32_t rounds) {
        CO_TRY(Socket socket,
               co_await Socket::connect(reactor, to, reactor.within_ns(60 * ns_per_s)));
        for (uint32_t round = 0; round < rounds; ++round) {
            const std::string sent(1 + round * 997 % 30'000, static_cast<char>('a' + round % 26));
            std::string received(sent.size(), '.');
            const Until until = reactor.within_ns(60 * ns_per_s);
            CO_TRY_STATUS(co_await socket.send(as_bytes(sent), until));
            CO_TRY_STATUS(co_await socket.receive_exactly(
                std::as_writable_bytes(std::span(received)), until));
            if (received != sent) co_return fail(Errc::corrupt, "echo");
        }
        co_return rounds;
    }
    Task<Result<uint32_t>> talk(uint32_t rounds) {
        return talk(client, Address::parse("10.0.0.1:80").value(), rounds);
    }

    SimWorld world;
    Reactor server{make_sim_kernel(world, "10.0.0.1"), {.core = 0}};
    Reactor client{make_sim_kernel(world, "10.0.0.2"), {.core = 0}};
    std::vector<Reactor*> all{&server, &client};
    std::unique_ptr<Listener> listener;
    uint32_t served_count = 0;
};

TEST(SimKernel, NodesTalkOnOneThreadInVirtualTime) {
    SimNodes nodes(1);
    const auto result = nodes.run(nodes.talk(50));
    ASSERT_TRUE(result.has_value());
    ASSERT_TRUE(*result) << result->error().context;
    EXPECT_EQ(**result, 50U);
    EXPECT_GT(nodes.world.clock().monotonic_ns(), 50 * 2 * 20 * ns_per_us);
}

SimWorldOptions rough() {
    SimWorldOptions options;
    options.network.loss_per_million = 50'000;
    options.network.packet_bytes_max = 1400;
    options.short_per_million = 300'000;
    options.again_per_million = 300'000;
    return options;
}

uint64_t history_of(uint64_t seed, bool is_rough) {
    SimNodes nodes(seed, is_rough ? rough() : SimWorldOptions{});
    const auto result = nodes.run(nodes.talk(20));
    EXPECT_TRUE(result.has_value() && result->has_value());
    return nodes.world.history_digest();
}

TEST(SimKernel, TheSameSeedIsTheSameRunAndAnotherSeedAnother) {
    std::set<uint64_t> histories;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        const uint64_t history = history_of(seed, true);
        EXPECT_EQ(history_of(seed, true), history) << "seed " << seed;
        histories.insert(history);
        histories.insert(history_of(seed, false));
    }
    EXPECT_EQ(histories.size(), 40U);
}

TEST(SimKernel, LostPacketsComeLaterAndBytesStayInOrder) {
    uint64_t smooth_ns = 0;
    for (const bool is_rough : {false, true}) {
        SimNodes nodes(7, is_rough ? rough() : SimWorldOptions{});
        const auto result = nodes.run(nodes.talk(100));
        ASSERT_TRUE(result.has_value());
        ASSERT_TRUE(*result) << result->error().context;
        if (!is_rough) smooth_ns = nodes.world.clock().monotonic_ns();
        if (is_rough) {
            EXPECT_GT(nodes.world.clock().monotonic_ns(), 10 * smooth_ns);
        }
    }
}

TEST(SimKernel, APartitionThatHealsInTimeOnlyDelays) {
    SimNodes nodes(3);
    nodes.world.at(2 * ns_per_ms, [&] {
        nodes.world.network().partition("10.0.0.1", "10.0.0.2");  // answers do not come
    });
    nodes.world.at(5 * ns_per_s, [&] { nodes.world.network().heal_all(); });
    const auto result = nodes.run(nodes.talk(50));
    ASSERT_TRUE(result.has_value());
    ASSERT_TRUE(*result) << result->error().context;
    EXPECT_GT(nodes.world.clock().monotonic_ns(), 5 * ns_per_s);
}

TEST(SimKernel, APartitionThatLastsEndsTheConnection) {
    SimNodes nodes(3);
    nodes.world.at(2 * ns_per_ms, [&] {
        nodes.world.network().partition("10.0.0.1", "10.0.0.2");
        nodes.world.network().partition("10.0.0.2", "10.0.0.1");
    });
    const auto result = nodes.run(nodes.talk(10'000));
    ASSERT_TRUE(result.has_value());
    ASSERT_FALSE(*result);
    EXPECT_EQ(result->error().code, Errc::timed_out);
    const auto refused = nodes.run(nodes.talk(1));
    ASSERT_TRUE(refused.has_value());
    EXPECT_EQ(refused->error().code, Errc::timed_out) << "nor is a new one made";
}

TEST(SimKernel, ResetsFailBothEnds) {
    struct Steps {
        static Task<Result<uint32_t>> reset_later(SimNodes& nodes) {
            CO_TRY(Socket socket,
                   co_await Socket::connect(nodes.client, Address::parse("10.0.0.1:80").value(),
                                            Until{}));
            nodes.world.network().reset(nodes.world.socket(socket.descriptor()));
            std::string byte(1, '.');
            co_return co_await socket.receive(std::as_writable_bytes(std::span(byte)), Until{});
        }
    };
    SimNodes nodes(5);
    const auto result = nodes.run(Steps::reset_later(nodes));
    ASSERT_TRUE(result.has_value());
    ASSERT_FALSE(*result);
    EXPECT_EQ(result->error().code, Errc::closed);
}

TEST(SimKernel, FaultsHitTheOperationsTheyAreMeantFor) {
    struct Steps {
        static Task<std::vector<int32_t>> write_three(Reactor& reactor, int file) {
            std::vector<int32_t> results;
            for (int index = 0; index < 3; ++index) {
                results.push_back(co_await reactor.write(file, as_bytes("abcd"), 0));
            }
            results.push_back(co_await reactor.sync_data(file));
            results.push_back(co_await reactor.sync_data(file));
            co_return results;
        }
    };
    SimWorld world(1);
    Reactor reactor(make_sim_kernel(world), {});
    const int file = world.open_file("");
    world.fail_next(OperationKind::write, -ENOSPC, 1);
    world.fail_next(OperationKind::sync_data, -EIO);
    EXPECT_EQ(reactor.run_until_done(Steps::write_three(reactor, file)),
              (std::vector<int32_t>{4, -ENOSPC, 4, -EIO, 0}));
    world.fail_next(OperationKind::write, 2);
    world.fail_next(OperationKind::write, -EINTR);
    world.fail_next(OperationKind::write, -ECANCELED);
    EXPECT_EQ(reactor.run_until_done(Steps::write_three(reactor, file)),
              (std::vector<int32_t>{2, -EINTR, -ECANCELED, 0, 0}));
    reactor.kernel().close(file);
}

TEST(SimKernel, ChanceMakesFileOperationsShortOrFail) {
    struct Steps {
        static Task<std::set<int32_t>> write_many(Reactor& reactor, int file) {
            std::set<int32_t> results;
            for (int index = 0; index < 300; ++index) {
                results.insert(co_await reactor.write(file, as_bytes("abcd"), 0));
            }
            co_return results;
        }
    };
    SimWorldOptions options;
    options.short_per_million = 500'000;
    options.error_per_million = 100'000;
    SimWorld world(1, options);
    Reactor reactor(make_sim_kernel(world), {});
    const int file = world.open_file("");
    EXPECT_EQ(reactor.run_until_done(Steps::write_many(reactor, file)),
              (std::set<int32_t>{-EIO, 1, 2, 3, 4}));
    reactor.kernel().close(file);
}

TEST(SimKernel, OperationsAreDoneInAnotherOrderThanTheyWereStarted) {
    struct Steps {
        static Task<void> read(Reactor& reactor, int file, int number, std::vector<int>& order) {
            std::string byte(1, '.');
            co_await reactor.read(file, std::as_writable_bytes(std::span(byte)), 0);
            order.push_back(number);
        }
    };
    SimWorld world(1);
    Reactor reactor(make_sim_kernel(world), {});
    const int file = world.open_file("x");
    std::vector<int> order;
    for (int number = 0; number < 50; ++number) {
        start_detached(Steps::read(reactor, file, number, order));
    }
    while (order.size() < 50) reactor.turn(ns_per_s);
    EXPECT_FALSE(std::ranges::is_sorted(order));
    std::ranges::sort(order);
    for (int number = 0; number < 50; ++number)
        EXPECT_EQ(order[static_cast<size_t>(number)], number);
    reactor.kernel().close(file);
}

TEST(SimKernel, HoursPassInNoTime) {
    struct Steps {
        static Task<bool> sleep(Reactor& reactor, uint64_t hours) {
            co_await reactor.sleep(reactor.within_ns(hours * 3600 * ns_per_s));
            co_return true;
        }
    };
    SimNodes nodes(1);
    EXPECT_TRUE(nodes.run(Steps::sleep(nodes.client, 100), 101 * 3600 * ns_per_s).has_value());
    EXPECT_GE(nodes.world.clock().monotonic_ns(), uint64_t{100} * 3600 * ns_per_s);
    EXPECT_FALSE(nodes.run(Steps::sleep(nodes.client, 2), 3600 * ns_per_s).has_value())
        << "the limit came first";
    EXPECT_TRUE(nodes.world.run_until(nodes.all, [] { return false; }, 0) == false);
    nodes.world.run_until(nodes.all, [] { return false; }, 2 * 3600 * ns_per_s);
}

TEST(SimKernel, CoresOfOneNodeSendEachOtherWork) {
    struct Steps {
        static Task<uint32_t> core_of(Reactor& reactor) {
            co_await reactor.yield();
            co_return reactor.core();
        }
        static Task<uint32_t> ask_many(Reactor& here, Reactor& there, uint32_t rounds) {
            uint32_t sum = 0;
            for (uint32_t round = 0; round < rounds; ++round) {
                sum += co_await on_core(here, there, [&] { return core_of(there); });
            }
            co_return sum;
        }
    };
    SimWorld world(9);
    Reactor first(make_sim_kernel(world), {.core = 0});
    Reactor second(make_sim_kernel(world), {.core = 1});
    const std::vector<Reactor*> all{&first, &second};
    EXPECT_EQ(world.run(all, Steps::ask_many(first, second, 100), ns_per_s), 100U);
}

TEST(SimKernel, HostsHaveTheirOwnLoopback) {
    SimWorld world(1);
    const auto kernel = make_sim_kernel(world, "10.0.0.1");
    const auto other = make_sim_kernel(world, "10.0.0.2");
    const int first = kernel->listen(Address::parse("127.0.0.1:80").value(), 1);
    const int second = other->listen(Address::parse("127.0.0.1:80").value(), 1);
    const int any = other->listen(Address::parse("0.0.0.0:81").value(), 1);
    EXPECT_GE(first, 0);
    EXPECT_GE(second, 0);
    EXPECT_EQ(other->local_address(any).text, "10.0.0.2:81");
    kernel->close(first);
    other->close(second);
    other->close(any);
}

}  // namespace
}  // namespace penstock::io
