// One suite for the three kernels, so that they cannot drift apart: files, connections, and the
// answers at once. How operations end early is in kernel_end_test.cc.
#include "io/kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "io/base/units.h"
#include "tests/io/kernel_fixture.h"

namespace penstock::io::testing {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::Ge;
using ::testing::Lt;

TYPED_TEST_SUITE(KernelTest, AllBackends, BackendNames);

// --- files ---------------------------------------------------------------------------------------

TYPED_TEST(KernelTest, ReadsAndWritesFilesAtOffsets) {
    const int file = this->open_file("0123456789");
    std::string text = "abc";
    EXPECT_EQ(this->run(OperationKind::write, file, bytes_of(text), 4), 3);
    EXPECT_EQ(this->backend_.content_of(file, 10), "0123abc789");
    std::string read(6, '.');
    EXPECT_EQ(this->run(OperationKind::read, file, bytes_of(read), 3), 6);
    EXPECT_EQ(read, "3abc78");
    EXPECT_EQ(this->run(OperationKind::read, file, bytes_of(read), 8), 2) << "the file ends";
    EXPECT_EQ(this->run(OperationKind::read, file, bytes_of(read), 10), 0);
    EXPECT_EQ(this->run(OperationKind::write, file, bytes_of(text), 10), 3) << "it grows";
    EXPECT_EQ(this->run(OperationKind::sync_data, file), 0);
    EXPECT_EQ(this->run(OperationKind::sync_all, file), 0);
}

TYPED_TEST(KernelTest, ManyFileOperationsAtOnceAllFinish) {
    const std::string content = pattern(64 * 4096);
    const int file = this->open_file(content);
    std::vector<std::string> parts(64, std::string(4096, '\0'));
    std::vector<std::unique_ptr<Waited>> reads;
    for (size_t index = 0; index < parts.size(); ++index) {
        reads.push_back(std::make_unique<Waited>(OperationKind::read, file, bytes_of(parts[index]),
                                                 index * 4096));
        this->kernel_->start(*reads.back());
    }
    EXPECT_EQ(this->kernel_->pending_count(), parts.size());
    std::string read;
    for (size_t index = 0; index < parts.size(); ++index) {
        EXPECT_EQ(this->finish(*reads[index]), 4096);
        read += parts[index];
    }
    EXPECT_EQ(read, content);
}

TYPED_TEST(KernelTest, AFileOperationOnNoDescriptorFails) {
    std::string byte(1, '.');
    EXPECT_EQ(this->run(OperationKind::read, 987'654, bytes_of(byte)), -EBADF);
    EXPECT_EQ(this->run(OperationKind::write, 987'654, bytes_of(byte)), -EBADF);
    EXPECT_EQ(this->run(OperationKind::sync_data, 987'654), -EBADF);
}

TYPED_TEST(KernelTest, ACancelledFileOperationIsDoneOneWayOrTheOther) {
    const int file = this->open_file("0123456789");
    for (int round = 0; round < 20; ++round) {
        std::string read(10, '.');
        Waited operation(OperationKind::read, file, bytes_of(read));
        this->kernel_->start(operation);
        this->kernel_->cancel(operation);
        EXPECT_THAT(this->finish(operation), AnyOf(10, -ECANCELED));
        EXPECT_EQ(operation.done_count, 1U);
    }
}

TYPED_TEST(KernelTest, TryReadAnswersWithWhatIsResident) {
    const int file = this->open_file("0123456789");
    std::string read(4, '.');
    // Not every file system can say at once; then the answer is an error and never a wait.
    const int32_t count = this->kernel_->try_read(file, bytes_of(read), 5);
    EXPECT_THAT(count, AnyOf(4, -EAGAIN, -EOPNOTSUPP));
    if (count == 4) {
        EXPECT_EQ(read, "5678");
    }
}

// --- connections ---------------------------------------------------------------------------------

TYPED_TEST(KernelTest, BytesGoBothWays) {
    const auto [client, server] = this->connect_pair();
    EXPECT_EQ(this->send(client, "question"), 8);
    EXPECT_EQ(this->receive(server, 8), "question");
    EXPECT_EQ(this->send(server, "answer"), 6);
    EXPECT_EQ(this->receive(client, 6), "answer");
    EXPECT_EQ(this->kernel_->peer_address(client), this->kernel_->local_address(server));
    EXPECT_EQ(this->kernel_->peer_address(server), this->kernel_->local_address(client));
}

TYPED_TEST(KernelTest, OnDoneIsNeverCalledInsideStart) {
    const auto [client, server] = this->connect_pair();
    std::string text = "x";
    Waited send(OperationKind::send, client, bytes_of(text));
    this->kernel_->start(send);
    EXPECT_TRUE(send.is_pending);
    EXPECT_EQ(send.done_count, 0U);
    this->finish(send);
    this->settle();
    Waited receive(OperationKind::receive, server, bytes_of(text));
    this->kernel_->start(receive);
    EXPECT_EQ(receive.done_count, 0U);
    EXPECT_EQ(this->finish(receive), 1);
    EXPECT_EQ(receive.done_count, 1U);
}

TYPED_TEST(KernelTest, ReceiveGivesWhatIsThereAndReceiveAllWaitsForTheRest) {
    const auto [client, server] = this->connect_pair();
    std::string some(10, '.');
    Waited receive(OperationKind::receive, server, bytes_of(some));
    this->kernel_->start(receive);
    this->send(client, "abc");
    EXPECT_EQ(this->finish(receive), 3);

    std::string all(10, '.');
    Waited receive_all(OperationKind::receive_all, server, bytes_of(all));
    this->kernel_->start(receive_all);
    for (const char* piece : {"0", "123", "45", "678"}) {
        this->send(client, piece);
        this->settle();
        EXPECT_TRUE(receive_all.is_pending);
    }
    this->send(client, "9abc");
    EXPECT_EQ(this->finish(receive_all), 10);
    EXPECT_EQ(all, "0123456789");
    EXPECT_EQ(this->receive(server, 3), "abc");
}

TYPED_TEST(KernelTest, ReceiveAllIsShortOnlyAtThePeersEnd) {
    const auto [client, server] = this->connect_pair();
    this->send(client, "abc");
    std::string all(10, '.');
    Waited receive_all(OperationKind::receive_all, server, bytes_of(all));
    this->kernel_->start(receive_all);
    this->settle();
    this->backend_.finish_sending(*this->kernel_, client);
    EXPECT_EQ(this->finish(receive_all), 3);
    EXPECT_EQ(this->run(OperationKind::receive, server, bytes_of(all)), 0);
}

TYPED_TEST(KernelTest, AskingForNothingIsDoneWithoutWaiting) {
    const auto [client, server] = this->connect_pair();
    EXPECT_EQ(this->run(OperationKind::receive_all, server), 0);
    EXPECT_EQ(this->run(OperationKind::receive, server), 0);
    EXPECT_EQ(this->run(OperationKind::send, server), 0);
    this->send(client, "abc");
    EXPECT_EQ(this->run(OperationKind::receive_all, server), 0);
    EXPECT_EQ(this->receive(server, 3), "abc");
}

TYPED_TEST(KernelTest, AnEndThatWasThereBeforeTheReceiveIsSeen) {
    const auto [client, server] = this->connect_pair();
    // Registers the server's end and lets it find the end while it reads something else.
    EXPECT_EQ(this->send(client, "ab"), 2);
    EXPECT_EQ(this->receive(server, 2), "ab");
    this->send(client, "cd");
    this->backend_.finish_sending(*this->kernel_, client);
    this->settle();
    std::string buffer(100, '.');
    EXPECT_EQ(this->run(OperationKind::receive, server, bytes_of(buffer)), 2);
    EXPECT_EQ(this->run(OperationKind::receive, server, bytes_of(buffer)), 0);
    EXPECT_EQ(this->run(OperationKind::receive_all, server, bytes_of(buffer)), 0);
}

TYPED_TEST(KernelTest, AHalfClosedPeerStillReceives) {
    const auto [client, server] = this->connect_pair();
    this->send(client, "request");
    this->backend_.finish_sending(*this->kernel_, client);
    EXPECT_EQ(this->receive(server, 100), "request");
    EXPECT_EQ(this->send(server, "response"), 8);
    EXPECT_EQ(this->receive(client, 8), "response");
}

TYPED_TEST(KernelTest, ASendOf64MiBThroughTinyBuffersIsNeverShort) {
    const size_t size = TypeParam::is_simulated ? 4_MiB : 64_MiB;
    const auto [client, server] = this->connect_pair(true);
    std::string sent = pattern(size);
    std::string received(size, '\0');
    Waited send(OperationKind::send, client, bytes_of(sent));
    Waited receive(OperationKind::receive_all, server, bytes_of(received));
    this->kernel_->start(send);
    this->settle();
    EXPECT_TRUE(send.is_pending) << "the buffers are too small to hold it";
    this->kernel_->start(receive);
    const uint64_t end_ns = this->kernel_->clock().monotonic_ns() + 100 * ns_per_s;
    while (receive.is_pending && this->kernel_->clock().monotonic_ns() < end_ns) {
        this->kernel_->turn(10 * ns_per_ms);
    }
    EXPECT_EQ(this->finish(send), static_cast<int32_t>(size));
    EXPECT_EQ(this->finish(receive), static_cast<int32_t>(size));
    EXPECT_TRUE(sent == received);
}

TYPED_TEST(KernelTest, ManyConnectionsMakeProgressTogether) {
    constexpr size_t count = 16;
    constexpr size_t size = 1_MiB;
    std::vector<std::string> sent, received(count, std::string(size, '\0'));
    std::vector<std::unique_ptr<Waited>> operations;
    for (size_t index = 0; index < count; ++index) sent.push_back(pattern(size, index));
    for (size_t index = 0; index < count; ++index) {
        const auto [client, server] = this->connect_pair();
        operations.push_back(
            std::make_unique<Waited>(OperationKind::send, client, bytes_of(sent[index])));
        operations.push_back(std::make_unique<Waited>(OperationKind::receive_all, server,
                                                      bytes_of(received[index])));
    }
    for (const auto& operation : operations) this->kernel_->start(*operation);
    for (const auto& operation : operations) {
        EXPECT_EQ(this->finish(*operation), static_cast<int32_t>(size));
    }
    EXPECT_TRUE(sent == received);
}

TYPED_TEST(KernelTest, AResetInTheMiddleOfABodyFailsBothDirections) {
    const auto [client, server] = this->connect_pair();
    std::string body(100, '.');
    Waited receive(OperationKind::receive_all, server, bytes_of(body));
    this->kernel_->start(receive);
    this->send(client, "half");
    this->settle();
    std::erase(this->open_, client);
    this->backend_.reset(*this->kernel_, client);
    // The ring gives what had come and swallows the error; nobody can take that for a whole body.
    EXPECT_THAT(this->finish(receive), AnyOf(4, -ECONNRESET));
    EXPECT_THAT(this->send(server, "too late"), AnyOf(-EPIPE, -ECONNRESET));
}

TYPED_TEST(KernelTest, ASendThatWaitsFailsWhenThePeerResets) {
    const auto [client, server] = this->connect_pair(true);
    std::string sent = pattern(8_MiB);
    Waited send(OperationKind::send, server, bytes_of(sent));
    this->kernel_->start(send);
    this->settle();
    EXPECT_TRUE(send.is_pending);
    std::erase(this->open_, client);
    this->backend_.reset(*this->kernel_, client);
    EXPECT_THAT(this->finish(send), AnyOf(-EPIPE, -ECONNRESET));
}

TYPED_TEST(KernelTest, ConnectingWhereNobodyListensIsRefused) {
    const int listener = this->listen();
    const int socket = this->open_to(listener);
    this->close(listener);
    EXPECT_EQ(this->run(OperationKind::connect, socket), -ECONNREFUSED);
}

TYPED_TEST(KernelTest, AnAddressIsListenedOnOnce) {
    const int listener = this->listen();
    const Address address = this->kernel_->local_address(listener);
    EXPECT_NE(address.port(), 0);
    EXPECT_EQ(this->kernel_->listen(address, 1), -EADDRINUSE);
    this->close(listener);
    this->keep(this->kernel_->listen(address, 1));
}

TYPED_TEST(KernelTest, OneAcceptTakesManyConnections) {
    const int listener = this->listen();
    Waited accept(OperationKind::accept, listener);
    this->kernel_->start(accept);
    constexpr size_t count = 200;
    std::vector<std::unique_ptr<Waited>> connects;
    for (size_t index = 0; index < count; ++index) {
        connects.push_back(
            std::make_unique<Waited>(OperationKind::connect, this->open_to(listener)));
        this->kernel_->start(*connects.back());
        if (index % 50 == 0) this->settle();
    }
    for (const auto& connect : connects) EXPECT_EQ(this->finish(*connect), 0);
    EXPECT_TRUE(this->turn_until([&] { return accept.accepted.size() == count; }));
    EXPECT_TRUE(accept.is_pending);
    EXPECT_THAT(accept.accepted, Each(Ge(0)));
    for (const int accepted : accept.accepted) this->keep(accepted);
    std::ranges::sort(accept.accepted);
    EXPECT_EQ(std::ranges::adjacent_find(accept.accepted), accept.accepted.end());
    this->kernel_->cancel(accept);
    EXPECT_EQ(this->finish(accept), -ECANCELED);
}

TYPED_TEST(KernelTest, AcceptEndsWhenDescriptorsRunOutAndGoesOnAfterwards) {
    const int listener = this->listen();
    const int first = this->open_to(listener);
    Waited accept(OperationKind::accept, listener);
    this->settle();
    this->backend_.forbid_descriptors();  // before the start: the ring notes the limit then
    this->kernel_->start(accept);
    Waited connect(OperationKind::connect, first);
    this->kernel_->start(connect);
    const int32_t ended = this->finish(accept);
    this->backend_.allow_descriptors();
    EXPECT_THAT(ended, AnyOf(-EMFILE, -ENFILE));
    EXPECT_EQ(this->finish(connect), 0);

    this->kernel_->start(accept);
    EXPECT_TRUE(this->turn_until([&] { return accept.accepted.size() == 1; }))
        << "the connection waited in the queue";
    this->keep(accept.accepted.at(0));
    this->kernel_->cancel(accept);
    EXPECT_EQ(this->finish(accept), -ECANCELED);
}

// --- answers at once -----------------------------------------------------------------------------

TYPED_TEST(KernelTest, TryCallsAnswerAgainWhereTheyWouldWait) {
    const auto [client, server] = this->connect_pair(true);
    std::string buffer(100, '.');
    EXPECT_EQ(this->kernel_->try_receive(server, bytes_of(buffer)), -EAGAIN);
    const std::string chunk = pattern(1_MiB);
    size_t sent = 0;
    for (int32_t count = 0; count != -EAGAIN; sent += static_cast<size_t>(std::max(count, 0))) {
        count = this->kernel_->try_send(client, as_bytes(chunk), false);
        ASSERT_THAT(count, AnyOf(Ge(1), -EAGAIN));
        ASSERT_THAT(sent, Lt(64_MiB));
    }
    EXPECT_GT(sent, 0U);
    // And the operation that takes over goes on exactly there.
    std::string rest = "end";
    Waited send(OperationKind::send, client, bytes_of(rest));
    this->kernel_->start(send);
    const std::string received = this->receive(server, sent + 3);
    EXPECT_EQ(this->finish(send), 3);
    EXPECT_EQ(received.size(), sent + 3);
    EXPECT_EQ(received.substr(sent), "end");
}

TYPED_TEST(KernelTest, AnOperationStartedAfterTrySaidAgainIsNotMissed) {
    const auto [client, server] = this->connect_pair();
    std::string buffer(10, '.');
    for (int round = 0; round < 50; ++round) {
        EXPECT_EQ(this->kernel_->try_receive(server, bytes_of(buffer)), -EAGAIN);
        if (round % 2 == 0) this->send(client, "x");
        Waited receive(OperationKind::receive, server, bytes_of(buffer));
        this->kernel_->start(receive);
        if (round % 2 == 1) this->send(client, "x");
        EXPECT_EQ(this->finish(receive), 1);
    }
}

TYPED_TEST(KernelTest, TrySendWithMoreHoldsTheHeadForTheBody) {
    const auto [client, server] = this->connect_pair();
    EXPECT_EQ(this->kernel_->try_send(client, as_bytes("head"), true), 4);
    EXPECT_EQ(this->kernel_->try_send(client, as_bytes("body"), false), 4);
    EXPECT_EQ(this->receive(server, 8), "headbody");
}

TYPED_TEST(KernelTest, TrySendFileSendsFromTheFile) {
    const std::string content = pattern(100'000);
    const int file = this->open_file(content);
    const auto [client, server] = this->connect_pair(true);
    std::string received(content.size() - 7, '\0');
    Waited receive(OperationKind::receive_all, server, bytes_of(received));
    this->kernel_->start(receive);
    uint64_t offset = 7;
    while (offset < content.size()) {
        const int32_t count = this->kernel_->try_send_file(
            client, file, offset, static_cast<uint32_t>(content.size() - offset));
        if (count == -EAGAIN) {
            EXPECT_EQ(this->run(OperationKind::poll_writable, client), 0);
            continue;
        }
        ASSERT_GT(count, 0);
        offset += static_cast<uint64_t>(count);
    }
    EXPECT_EQ(this->finish(receive), static_cast<int32_t>(received.size()));
    EXPECT_TRUE(received == content.substr(7));
}

TYPED_TEST(KernelTest, ADescriptorIsRefusedOnASocketThatCannotCarryIt) {
    const auto [client, server] = this->connect_pair();
    EXPECT_EQ(this->kernel_->try_send_descriptor(client, as_bytes("x"), client), -EOPNOTSUPP);
    this->send(client, "y");
    EXPECT_EQ(this->receive(server, 1), "y") << "nothing of the refused one was sent";
}

TYPED_TEST(KernelTest, PollsEndWhenACallWouldNotWait) {
    const auto [client, server] = this->connect_pair();
    EXPECT_EQ(this->run(OperationKind::poll_writable, client), 0);
    Waited readable(OperationKind::poll_readable, server);
    this->kernel_->start(readable);
    this->settle();
    EXPECT_TRUE(readable.is_pending);
    this->send(client, "x");
    EXPECT_EQ(this->finish(readable), 0);
    EXPECT_EQ(this->run(OperationKind::poll_readable, server), 0) << "it still is";
    std::string buffer(10, '.');
    EXPECT_EQ(this->kernel_->try_receive(server, bytes_of(buffer)), 1);
    this->kernel_->start(readable);
    this->settle();
    EXPECT_TRUE(readable.is_pending) << "it is no longer";
    this->backend_.finish_sending(*this->kernel_, client);
    EXPECT_EQ(this->finish(readable), 0) << "an end is readable";
}

}  // namespace
}  // namespace penstock::io::testing
