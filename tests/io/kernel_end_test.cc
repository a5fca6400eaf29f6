// The other half of the suite for the three kernels: how operations are cancelled and closed under,
// how turns end, and what happens when a queue is full.
#include "io/kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "io/base/units.h"
#include "tests/io/kernel_fixture.h"

namespace penstock::io::testing {
namespace {

using ::testing::AnyOf;

template <typename Backend>
using KernelEndTest = KernelTest<Backend>;

TYPED_TEST_SUITE(KernelEndTest, AllBackends, BackendNames);

// --- cancelling, closing -------------------------------------------------------------------------

TYPED_TEST(KernelEndTest, EachKindIsCancelledBeforeItIsReady) {
    const auto [client, server] = this->connect_pair(true);
    std::string full = pattern(4_MiB);
    std::string buffer(100, '.');
    Waited receive(OperationKind::receive, server, bytes_of(buffer));
    Waited receive_all(OperationKind::receive_all, client, bytes_of(buffer));
    Waited send(OperationKind::send, client, bytes_of(full));
    Waited poll(OperationKind::poll_readable, client);
    const int listener = this->listen();
    Waited accept(OperationKind::accept, listener);
    const std::vector<Waited*> all = {&receive, &receive_all, &poll, &accept};
    for (Waited* operation : all) this->kernel_->start(*operation);
    this->settle();
    for (Waited* operation : all) {
        EXPECT_TRUE(operation->is_pending);
        this->kernel_->cancel(*operation);
        EXPECT_EQ(operation->done_count, 0U) << "cancel() does not call on_done itself";
        EXPECT_EQ(this->finish(*operation), -ECANCELED);
        EXPECT_EQ(operation->done_count, 1U);
    }
    this->kernel_->start(send);  // nobody receives
    Waited writable(OperationKind::poll_writable, client);
    this->settle();
    this->kernel_->start(writable);
    this->settle();
    for (Waited* operation : {&send, &writable}) {
        EXPECT_TRUE(operation->is_pending);
        this->kernel_->cancel(*operation);
        EXPECT_EQ(this->finish(*operation), -ECANCELED);
    }
}

TYPED_TEST(KernelEndTest, CancellingInTheSameTurnAsStartingIsSeen) {
    const auto [client, server] = this->connect_pair();
    std::string buffer(100, '.');
    Waited receive(OperationKind::receive, server, bytes_of(buffer));
    this->kernel_->start(receive);
    this->kernel_->cancel(receive);
    this->kernel_->cancel(receive);
    EXPECT_EQ(this->finish(receive), -ECANCELED);
    EXPECT_EQ(receive.done_count, 1U);
    this->kernel_->cancel(receive);  // nothing happens
    this->settle();
    EXPECT_EQ(receive.done_count, 1U);
    this->send(client, "abc");
    EXPECT_EQ(this->receive(server, 3), "abc") << "the bytes were not taken";
}

TYPED_TEST(KernelEndTest, CancellingWhatIsDoneAlreadyKeepsItsResult) {
    const auto [client, server] = this->connect_pair();
    this->send(client, "abc");
    std::string buffer(3, '.');
    Waited receive(OperationKind::receive_all, server, bytes_of(buffer));
    Waited other(OperationKind::poll_readable, client);
    this->settle();
    this->kernel_->start(receive);
    this->finish(receive);
    this->kernel_->cancel(receive);
    EXPECT_EQ(receive.result, 3);
    EXPECT_EQ(receive.done_count, 1U);
}

TYPED_TEST(KernelEndTest, AReceiveCancelledWhileBytesArriveLosesNone) {
    const auto [client, server] = this->connect_pair();
    std::string received;
    for (int round = 0; round < 50; ++round) {
        this->send(client, "ab");
        std::string buffer(10, '.');
        Waited receive(OperationKind::receive, server, bytes_of(buffer));
        this->kernel_->start(receive);
        if (round % 3 == 0) this->kernel_->turn(0);
        this->kernel_->cancel(receive);
        const int32_t count = this->finish(receive);
        if (count > 0) received += buffer.substr(0, static_cast<size_t>(count));
    }
    received += this->receive(server, 100 - received.size());
    EXPECT_EQ(received.size(), 100U);
    EXPECT_EQ(received.find("aa"), std::string::npos);
    EXPECT_EQ(received.find("bb"), std::string::npos);
}

TYPED_TEST(KernelEndTest, ACancelledConnectEnds) {
    const int listener = this->listen();
    const int socket = this->open_to(listener);
    Waited connect(OperationKind::connect, socket);
    this->kernel_->start(connect);
    this->kernel_->cancel(connect);
    EXPECT_THAT(this->finish(connect), AnyOf(0, -ECANCELED));
    EXPECT_EQ(connect.done_count, 1U);
}

TYPED_TEST(KernelEndTest, ShutdownWakesWhatIsPending) {
    const auto [client, server] = this->connect_pair(true);
    std::string buffer(100, '.');
    std::string full = pattern(4_MiB);
    Waited receive(OperationKind::receive, server, bytes_of(buffer));
    Waited send(OperationKind::send, server, bytes_of(full));
    this->kernel_->start(receive);
    this->kernel_->start(send);
    this->settle();
    EXPECT_TRUE(receive.is_pending);
    EXPECT_TRUE(send.is_pending);
    this->kernel_->shutdown(server);
    EXPECT_EQ(this->finish(receive), 0);
    EXPECT_EQ(this->finish(send), -EPIPE);
}

TYPED_TEST(KernelEndTest, CloseLeavesOperationsPendingUntilTheyAreCancelled) {
    const auto [client, server] = this->connect_pair();
    std::string buffer(100, '.');
    Waited receive(OperationKind::receive, server, bytes_of(buffer));
    this->kernel_->start(receive);
    this->settle();
    this->close(server);
    this->settle();
    EXPECT_TRUE(receive.is_pending);
    // The next socket of that number is none of its business.
    const auto [next_client, next_server] = this->connect_pair();
    this->send(next_client, "new");
    this->send(next_server, "new");
    this->settle();
    EXPECT_TRUE(receive.is_pending);
    this->kernel_->cancel(receive);
    EXPECT_EQ(this->finish(receive), -ECANCELED);
    EXPECT_EQ(this->receive(next_server, 3), "new");
    EXPECT_EQ(this->receive(next_client, 3), "new");
}

TYPED_TEST(KernelEndTest, ADescriptorNumberThatComesBackIsANewSocket) {
    std::string buffer(10, '.');
    for (int round = 0; round < 20; ++round) {
        const auto [client, server] = this->connect_pair();
        EXPECT_EQ(this->kernel_->try_receive(server, bytes_of(buffer)), -EAGAIN);
        Waited receive(OperationKind::receive, server, bytes_of(buffer));
        this->kernel_->start(receive);
        this->settle();
        this->send(client, "abc");
        EXPECT_EQ(this->finish(receive), 3);
        this->close(client);
        this->close(server);
    }
}

TYPED_TEST(KernelEndTest, AForgottenDescriptorComesBackFromAnotherKernel) {
    const auto [client, server] = this->connect_pair();
    std::string buffer(10, '.');
    const auto receive_once = [&](Kernel& on) {
        Waited receive(OperationKind::receive, server, bytes_of(buffer));
        on.start(receive);
        while (receive.is_pending) {
            on.turn(ns_per_ms);
            if (receive.is_pending) this->kernel_->try_send(client, as_bytes("x"), false);
        }
        return receive.result;
    };
    const std::unique_ptr<Kernel> other = this->backend_.make();
    for (int round = 0; round < 3; ++round) {
        EXPECT_GT(receive_once(*this->kernel_), 0);
        this->kernel_->forget(server);
        EXPECT_GT(receive_once(*other), 0);
        other->forget(server);
    }
}

TYPED_TEST(KernelEndTest, OnDoneMayStartAndCancelAnything) {
    const auto [client, server] = this->connect_pair();
    std::string first(1, '.');
    std::string second(1, '.');
    std::string third(1, '.');
    std::string text = "xyz";
    Waited send(OperationKind::send, client, bytes_of(text));
    Waited receive(OperationKind::receive, server, bytes_of(first));
    Waited again(OperationKind::receive, server, bytes_of(second));
    Waited waiting(OperationKind::receive, client, bytes_of(third));
    receive.then = [&] {
        this->kernel_->start(again);
        this->kernel_->cancel(waiting);
    };
    this->kernel_->start(waiting);
    this->kernel_->start(receive);
    this->kernel_->start(send);
    EXPECT_TRUE(this->turn_until([&] { return again.done_count == 1; }));
    EXPECT_EQ(again.result, 1);
    EXPECT_EQ(this->finish(waiting), -ECANCELED);
    EXPECT_EQ(this->finish(send), 3);
    EXPECT_EQ(first + second, "xy");
}

// --- turns ---------------------------------------------------------------------------------------

TYPED_TEST(KernelEndTest, ATurnEndsAtItsTimeout) {
    const uint64_t before_ns = this->kernel_->clock().monotonic_ns();
    EXPECT_EQ(this->kernel_->turn(3 * ns_per_ms), 0U);
    const uint64_t waited_ns = this->kernel_->clock().monotonic_ns() - before_ns;
    EXPECT_GE(waited_ns, 3 * ns_per_ms);
    EXPECT_EQ(this->kernel_->turn(0), 0U);
}

TYPED_TEST(KernelEndTest, AWakeBeforeTheTurnEndsIt) {
    this->kernel_->turn(0);
    const uint64_t before_ns = this->kernel_->clock().monotonic_ns();
    this->kernel_->wake();
    this->kernel_->turn(100 * ns_per_s);
    EXPECT_LT(this->kernel_->clock().monotonic_ns() - before_ns, 50 * ns_per_s);
}

TYPED_TEST(KernelEndTest, WakesFromAnotherThreadEndTurnAfterTurn) {
    if (TypeParam::is_simulated) GTEST_SKIP() << "its time does not wait for threads";
    constexpr int count = 200;
    std::atomic<int> turned{0};
    this->kernel_->turn(0);
    std::thread waker([&] {
        for (int round = 0; round < count; ++round) {
            this->kernel_->wake();
            while (turned.load() <= round) std::this_thread::yield();
        }
    });
    const uint64_t before_ns = this->kernel_->clock().monotonic_ns();
    for (int round = 0; round < count; ++round) {
        this->kernel_->turn(30 * ns_per_s);
        turned.store(round + 1);
    }
    waker.join();
    EXPECT_LT(this->kernel_->clock().monotonic_ns() - before_ns, 30 * ns_per_s);
}

TYPED_TEST(KernelEndTest, MoreOperationsThanTheQueueHoldsAreNotLost) {
    this->remake({.queue_entries = 4});
    constexpr size_t count = 100;
    std::vector<typename TestFixture::Pair> pairs;
    std::vector<std::string> buffers(count, std::string(4, '.'));
    std::vector<std::unique_ptr<Waited>> receives, cancelled;
    for (size_t index = 0; index < count; ++index) {
        pairs.push_back(this->connect_pair());
        receives.push_back(std::make_unique<Waited>(OperationKind::receive_all, pairs[index].server,
                                                    bytes_of(buffers[index])));
        cancelled.push_back(
            std::make_unique<Waited>(OperationKind::poll_readable, pairs[index].client));
    }
    for (const auto& operation : receives) this->kernel_->start(*operation);
    for (const auto& operation : cancelled) this->kernel_->start(*operation);
    for (const auto& operation : cancelled) this->kernel_->cancel(*operation);
    for (const auto& operation : cancelled) EXPECT_EQ(this->finish(*operation), -ECANCELED);
    EXPECT_EQ(this->kernel_->pending_count(), count);
    for (const auto& pair : pairs) this->kernel_->try_send(pair.client, as_bytes("abcd"), false);
    for (const auto& operation : receives) EXPECT_EQ(this->finish(*operation), 4);
}

TYPED_TEST(KernelEndTest, MoreCompletionsThanTheQueueHoldsAreNotLost) {
    this->remake({.queue_entries = 4});  // 64 completions
    constexpr size_t count = 500;
    const auto [client, server] = this->connect_pair();
    std::vector<std::unique_ptr<Waited>> polls;
    for (size_t index = 0; index < count; ++index) {
        polls.push_back(std::make_unique<Waited>(OperationKind::poll_readable, server));
        this->kernel_->start(*polls.back());
    }
    this->settle();
    EXPECT_EQ(this->kernel_->pending_count(), count);
    // All of them are done at the same moment.
    EXPECT_EQ(this->kernel_->try_send(client, as_bytes("x"), false), 1);
    for (const auto& poll : polls) EXPECT_EQ(this->finish(*poll), 0);
    for (const auto& poll : polls) EXPECT_EQ(poll->done_count, 1U);
}

// --- Unix sockets --------------------------------------------------------------------------------

TYPED_TEST(KernelEndTest, UnixSocketsWorkTheSame) {
    const std::string path = "unix:/tmp/penstock-kernel-test-" + std::to_string(getpid());
    unlink(path.c_str() + 5);
    const int listener = this->keep(this->kernel_->listen(Address::parse(path).value(), 16));
    EXPECT_EQ(this->kernel_->local_address(listener).text, path);
    Waited accept(OperationKind::accept, listener);
    this->kernel_->start(accept);
    const int client = this->open_to(listener);
    EXPECT_EQ(this->run(OperationKind::connect, client), 0);
    EXPECT_TRUE(this->turn_until([&] { return !accept.accepted.empty(); }));
    const int server = this->keep(accept.accepted.at(0));
    std::string sent = pattern(1_MiB);
    Waited send(OperationKind::send, client, bytes_of(sent));
    this->kernel_->start(send);
    EXPECT_TRUE(this->receive(server, sent.size()) == sent);
    EXPECT_EQ(this->finish(send), static_cast<int32_t>(sent.size()));
    this->kernel_->cancel(accept);
    EXPECT_EQ(this->finish(accept), -ECANCELED);
    unlink(path.c_str() + 5);
}

}  // namespace
}  // namespace penstock::io::testing
