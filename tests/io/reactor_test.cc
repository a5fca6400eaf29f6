// The loop and its awaitables over all three kernels.
#include "io/reactor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "io/base/units.h"
#include "io/pool.h"
#include "tests/io/kernel_backends.h"

namespace penstock::io::testing {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;

template <typename Backend>
class ReactorTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::unique_ptr<Kernel> kernel = backend_.make();
        if (kernel == nullptr) GTEST_SKIP() << "not available here";
        reactor_ = std::make_unique<Reactor>(std::move(kernel), ReactorOptions{.core = 3});
    }

    // A connected pair of descriptors, without io/socket.h.
    static Task<std::pair<int, int>> connect_pair(Reactor& reactor) {
        Kernel& kernel = reactor.kernel();
        const int listener = kernel.listen(Address::parse("127.0.0.1:0").value(), 8);
        struct Accept : Operation {
            Event* came = nullptr;
            int accepted = -1;
        };
        Event came(reactor);
        Accept accept;
        accept.kind = OperationKind::accept;
        accept.descriptor = listener;
        accept.came = &came;
        accept.on_done = [](Operation& operation) {
            auto& self = static_cast<Accept&>(operation);
            if (self.is_more) self.accepted = self.result;
            self.came->set();
        };
        kernel.start(accept);
        const int client = kernel.open_connection(kernel.local_address(listener));
        const int32_t connected = co_await reactor.connect(client, Until{});
        EXPECT_EQ(connected, 0);
        while (accept.accepted < 0) {
            co_await came.wait();
            came.reset();
        }
        came.reset();
        kernel.cancel(accept);
        while (accept.is_pending) {
            co_await came.wait();
            came.reset();
        }
        kernel.close(listener);
        co_return std::pair(client, accept.accepted);
    }
    // The two ends of a connection for one test, closed afterwards.
    template <typename Body>
    void with_pair(Body body) {
        const auto [client, server] = reactor_->run_until_done(connect_pair(*reactor_));
        body(client, server);
        reactor_->kernel().close(client);
        reactor_->kernel().close(server);
    }

    Backend backend_;
    std::unique_ptr<Reactor> reactor_;
};

TYPED_TEST_SUITE(ReactorTest, AllBackends, BackendNames);

Task<int32_t> receive_some(Reactor& reactor, int socket, Until until) {
    std::string buffer(10, '.');
    co_return co_await reactor.receive(socket, std::as_writable_bytes(std::span(buffer)), until);
}

TYPED_TEST(ReactorTest, AReceiveFailsWithTimeWhenItsDeadlinePasses) {
    this->with_pair([&](int, int server) {
        const uint64_t before_ns = this->reactor_->clock().monotonic_ns();
        const Until until = this->reactor_->within_ns(20 * ns_per_ms);
        EXPECT_EQ(this->reactor_->run_until_done(receive_some(*this->reactor_, server, until)),
                  -ETIME);
        EXPECT_GE(this->reactor_->clock().monotonic_ns() - before_ns, 19 * ns_per_ms);
    });
}

TYPED_TEST(ReactorTest, AReceiveThatIsInTimeLeavesNoTimerBehind) {
    this->with_pair([&](int client, int server) {
        this->reactor_->kernel().try_send(client, as_bytes("abc"), false);
        const Until until = this->reactor_->within_ns(ns_per_s);
        EXPECT_EQ(this->reactor_->run_until_done(receive_some(*this->reactor_, server, until)), 3);
        // The reactor's destructor asserts that the wheel is empty.
    });
}

TYPED_TEST(ReactorTest, ACancelEndsReceivesThatWaitAndThoseThatCome) {
    this->with_pair([&](int client, int server) {
        struct Steps {
            static Task<void> cancel_later(Reactor& reactor, Cancel& cancel) {
                co_await reactor.sleep(reactor.within_ns(5 * ns_per_ms));
                cancel.cancel();
            }
        };
        Cancel cancel;
        start_detached(Steps::cancel_later(*this->reactor_, cancel));
        const Until until = this->reactor_->within_ns(60 * ns_per_s, &cancel);
        EXPECT_EQ(this->reactor_->run_until_done(receive_some(*this->reactor_, server, until)),
                  -ECANCELED);
        this->reactor_->kernel().try_send(client, as_bytes("abc"), false);
        EXPECT_EQ(this->reactor_->run_until_done(receive_some(*this->reactor_, server, until)),
                  -ECANCELED);
    });
}

TYPED_TEST(ReactorTest, SendAndReceiveMoveWholeBuffersAtOnceBothWays) {
    struct Steps {
        static Task<void> send(Reactor& reactor, int socket, Bytes bytes, int32_t& result) {
            result = co_await reactor.send(socket, bytes, Until{});
        }
        static Task<int32_t> receive(Reactor& reactor, int socket, MutableBytes bytes) {
            co_return co_await reactor.receive_all(socket, bytes, Until{});
        }
    };
    this->with_pair([&](int client, int server) {
        const std::string sent(3 << 20, 'x');
        std::string received(sent.size(), '.');
        int32_t result = 0;
        start_detached(Steps::send(*this->reactor_, client, as_bytes(sent), result));
        EXPECT_EQ(this->reactor_->run_until_done(Steps::receive(
                      *this->reactor_, server, std::as_writable_bytes(std::span(received)))),
                  static_cast<int32_t>(sent.size()));
        while (result == 0) this->reactor_->turn(ns_per_ms);
        EXPECT_EQ(result, static_cast<int32_t>(sent.size()));
        EXPECT_TRUE(sent == received);
    });
}

TYPED_TEST(ReactorTest, FilesAreReadWrittenAndSynced) {
    struct Steps {
        static Task<std::string> run(Reactor& reactor, int file) {
            std::string read(5, '.');
            int32_t result = co_await reactor.write(file, as_bytes("world"), 6);
            EXPECT_EQ(result, 5);
            result = co_await reactor.sync_data(file);
            EXPECT_EQ(result, 0);
            result = co_await reactor.sync_all(file);
            EXPECT_EQ(result, 0);
            result = co_await reactor.read(file, std::as_writable_bytes(std::span(read)), 6);
            EXPECT_EQ(result, 5);
            co_return read;
        }
    };
    const int file = this->backend_.open_file("hello earth");
    EXPECT_EQ(this->reactor_->run_until_done(Steps::run(*this->reactor_, file)), "world");
    this->reactor_->kernel().close(file);
}

Task<void> note_after_yield(Reactor& reactor, std::vector<int>& order, int number) {
    order.push_back(number);
    co_await reactor.yield();
    order.push_back(number + 10);
}

TYPED_TEST(ReactorTest, WhatIsReadyRunsInItsOrder) {
    std::vector<int> order;
    for (const int number : {1, 2, 3}) {
        start_detached(note_after_yield(*this->reactor_, order, number));
    }
    this->reactor_->turn(0);
    EXPECT_THAT(order, ElementsAre(1, 2, 3, 11, 12, 13));
}

// A task that is always ready again must not keep the loop from its I/O.
TYPED_TEST(ReactorTest, ABusyTaskDoesNotStarveTimersAndSockets) {
    struct Steps {
        static Task<void> spin(Reactor& reactor, const bool& is_over, bool& is_done) {
            while (!is_over) co_await reactor.yield();
            is_done = true;
        }
    };
    this->with_pair([&](int client, int server) {
        bool is_over = false;
        bool is_done = false;
        for (int task = 0; task < 3; ++task) {
            start_detached(Steps::spin(*this->reactor_, is_over, is_done));
        }
        this->reactor_->kernel().try_send(client, as_bytes("abc"), false);
        EXPECT_EQ(this->reactor_->run_until_done(receive_some(
                      *this->reactor_, server, this->reactor_->within_ns(60 * ns_per_s))),
                  3);
        EXPECT_EQ(this->reactor_->run_until_done(receive_some(
                      *this->reactor_, server, this->reactor_->within_ns(5 * ns_per_ms))),
                  -ETIME);
        is_over = true;
        while (!is_done) this->reactor_->turn(0);
        this->reactor_->turn(0);
    });
}

TYPED_TEST(ReactorTest, MessagesFromThreadsAreDeliveredInEachSendersOrder) {
    if (TypeParam::is_simulated) GTEST_SKIP() << "its time does not wait for threads";
    constexpr int sender_count = 4;
    constexpr int message_count = 2000;
    struct Numbered : Message {
        int sender = 0;
        int number = 0;
        std::vector<std::vector<int>>* received = nullptr;
    };
    std::vector<std::vector<int>> received(sender_count);
    std::vector<std::vector<Numbered>> messages(sender_count);
    for (auto& of_sender : messages) of_sender = std::vector<Numbered>(message_count);
    std::vector<std::thread> senders;
    for (int sender = 0; sender < sender_count; ++sender) {
        senders.emplace_back([&, sender] {
            int number = 0;
            for (Numbered& message : messages[static_cast<size_t>(sender)]) {
                message.sender = sender;
                message.number = number++;
                message.received = &received;
                message.on_delivery = [](Message& base) {
                    auto& self = static_cast<Numbered&>(base);
                    (*self.received)[static_cast<size_t>(self.sender)].push_back(self.number);
                };
                this->reactor_->post(message);
            }
        });
    }
    // Ends the last turn, which would wait for more.
    struct Last : Message {
        Reactor* reactor = nullptr;
    };
    Last last;
    last.reactor = this->reactor_.get();
    last.on_delivery = [](Message& base) { static_cast<Last&>(base).reactor->kernel().wake(); };
    std::thread closer([&] {
        for (std::thread& sender : senders) sender.join();
        this->reactor_->post(last);
    });
    const auto count = [&] {
        size_t total = 0;
        for (const auto& of_sender : received) total += of_sender.size();
        return total;
    };
    const uint64_t end_ns = this->reactor_->clock().monotonic_ns() + 60 * ns_per_s;
    while (count() < sender_count * message_count &&
           this->reactor_->clock().monotonic_ns() < end_ns) {
        this->reactor_->turn(30 * ns_per_s);  // a message that is missed shows as a long wait
    }
    closer.join();
    this->reactor_->turn(0);
    EXPECT_EQ(count(), static_cast<size_t>(sender_count * message_count));
    EXPECT_LT(this->reactor_->clock().monotonic_ns(), end_ns - 30 * ns_per_s);
    for (const auto& of_sender : received) EXPECT_TRUE(std::ranges::is_sorted(of_sender));
}

TYPED_TEST(ReactorTest, PoolJobsComeBackToTheirReactor) {
    struct Steps {
        static Task<int> sum(Reactor& reactor, Pool& pool) {
            int total = 0;
            for (int index = 0; index < 100; ++index) {
                total += co_await pool.run(reactor, [index] { return index; });
                EXPECT_TRUE(reactor.is_current_thread());
            }
            co_return total;
        }
    };
    const std::unique_ptr<Pool> pool = TypeParam::is_simulated
                                           ? make_inline_pool([] { return 3 * ns_per_ms; })
                                           : make_thread_pool(2);
    const uint64_t before_ns = this->reactor_->clock().monotonic_ns();
    EXPECT_EQ(this->reactor_->run_until_done(Steps::sum(*this->reactor_, *pool)), 4950);
    if (TypeParam::is_simulated) {
        EXPECT_GE(this->reactor_->clock().monotonic_ns() - before_ns, 300 * ns_per_ms);
    }
}

TYPED_TEST(ReactorTest, StopFromAnotherThreadEndsTheLoop) {
    if (TypeParam::is_simulated) GTEST_SKIP() << "its time does not wait for threads";
    std::thread loop([&] { this->reactor_->run(); });
    this->reactor_->stop();
    loop.join();
    EXPECT_EQ(this->reactor_->core(), 3U);
}

// A deadline of a wait on the far side of a busy spin still comes: virtual time passes in turns.
TYPED_TEST(ReactorTest, SpinningDoesNotHoldTimersBack) {
    auto spinning = std::make_unique<Reactor>(this->backend_.make(),
                                              ReactorOptions{.core = 0, .spin_ns = 5 * ns_per_ms});
    struct Steps {
        static Task<int32_t> sleep(Reactor& reactor) {
            co_return co_await reactor.sleep(reactor.within_ns(20 * ns_per_ms));
        }
    };
    EXPECT_EQ(spinning->run_until_done(Steps::sleep(*spinning)), 0);
}

}  // namespace
}  // namespace penstock::io::testing
