// One suite for the three kernels, so that they cannot drift apart.
#include "io/kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <thread>
#include <vector>

#include "io/base/units.h"
#include "tests/io/kernel_backends.h"

namespace penstock::io::testing {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::Ge;
using ::testing::Lt;

MutableBytes bytes_of(std::string& text) {
    return std::as_writable_bytes(std::span(text));
}

std::string pattern(size_t size, uint64_t seed = 1) {
    Random random(seed);
    std::string text(size, '\0');
    for (char& character : text) character = static_cast<char>(random.next() >> 56);
    return text;
}

// An operation that remembers what was said of it.
struct Waited : Operation {
    uint32_t done_count = 0;
    std::vector<int32_t> accepted;
    std::function<void()> then;

    Waited(OperationKind of, int on, MutableBytes bytes = {}, uint64_t at = 0) {
        kind = of;
        descriptor = on;
        data = bytes.data();
        size = static_cast<uint32_t>(bytes.size());
        offset = at;
        on_done = [](Operation& operation) {
            auto& self = static_cast<Waited&>(operation);
            if (self.is_more) {
                EXPECT_TRUE(self.is_pending);
                self.accepted.push_back(self.result);
            } else {
                EXPECT_FALSE(self.is_pending);
                ++self.done_count;
            }
            if (self.then) self.then();
        };
    }
};

template <typename Backend>
class KernelTest : public ::testing::Test {
protected:
    struct Pair {
        int client = -1;
        int server = -1;
    };

    void SetUp() override {
        kernel_ = backend_.make();
        if (kernel_ == nullptr) GTEST_SKIP() << "not available here";
    }
    void TearDown() override {
        if (kernel_ == nullptr) return;
        for (const int descriptor : open_) kernel_->close(descriptor);
        EXPECT_EQ(kernel_->pending_count(), 0U);
    }

    void remake(const KernelOptions& options) { kernel_ = backend_.make(options); }

    // Turns until it holds; false after ten seconds of the kernel's own time.
    bool turn_until(const std::function<bool()>& holds) {
        const uint64_t end_ns = kernel_->clock().monotonic_ns() + 10 * ns_per_s;
        while (!holds()) {
            if (kernel_->clock().monotonic_ns() > end_ns) return false;
            kernel_->turn(10 * ns_per_ms);
        }
        return true;
    }
    // Turns long enough for whatever can happen by itself to have happened.
    void settle() {
        for (int turn = 0; turn < 20; ++turn) kernel_->turn(Backend::is_simulated ? ns_per_ms : 0);
    }
    int32_t finish(Waited& operation) {
        EXPECT_TRUE(turn_until([&] { return !operation.is_pending; }));
        return operation.result;
    }
    int32_t run(OperationKind kind, int descriptor, MutableBytes bytes = {}, uint64_t offset = 0) {
        Waited operation(kind, descriptor, bytes, offset);
        kernel_->start(operation);
        return finish(operation);
    }
    int32_t send(int socket, std::string bytes) {
        return run(OperationKind::send, socket, bytes_of(bytes));
    }
    std::string receive(int socket, size_t size) {
        std::string bytes(size, '\0');
        const int32_t count = run(OperationKind::receive_all, socket, bytes_of(bytes));
        if (count < 0) return "error " + std::to_string(-count);
        bytes.resize(static_cast<size_t>(count));
        return bytes;
    }

    int keep(int descriptor) {
        EXPECT_GE(descriptor, 0);
        open_.push_back(descriptor);
        return descriptor;
    }
    void close(int descriptor) {
        std::erase(open_, descriptor);
        kernel_->close(descriptor);
    }
    int listen() { return keep(kernel_->listen(Address::parse("127.0.0.1:0").value(), 128)); }
    int open_to(int listener) {
        return keep(kernel_->open_connection(kernel_->local_address(listener)));
    }
    Pair connect_pair(bool has_small_buffers = false) {
        const int listener = listen();
        if (has_small_buffers) backend_.set_small_buffers(*kernel_, listener);
        Waited accept(OperationKind::accept, listener);
        kernel_->start(accept);
        Pair pair;
        pair.client = open_to(listener);
        if (has_small_buffers) backend_.set_small_buffers(*kernel_, pair.client);
        EXPECT_EQ(run(OperationKind::connect, pair.client), 0);
        EXPECT_TRUE(turn_until([&] { return !accept.accepted.empty(); }));
        pair.server = keep(accept.accepted.at(0));
        if (has_small_buffers) backend_.set_small_buffers(*kernel_, pair.server);
        kernel_->cancel(accept);
        EXPECT_EQ(finish(accept), -ECANCELED);
        close(listener);
        return pair;
    }
    int open_file(const std::string& content) { return keep(backend_.open_file(content)); }

    Backend backend_;
    std::unique_ptr<Kernel> kernel_;
    std::vector<int> open_;
};

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

// --- cancelling, closing -------------------------------------------------------------------------

TYPED_TEST(KernelTest, EachKindIsCancelledBeforeItIsReady) {
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

TYPED_TEST(KernelTest, CancellingInTheSameTurnAsStartingIsSeen) {
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

TYPED_TEST(KernelTest, CancellingWhatIsDoneAlreadyKeepsItsResult) {
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

TYPED_TEST(KernelTest, AReceiveCancelledWhileBytesArriveLosesNone) {
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

TYPED_TEST(KernelTest, ACancelledConnectEnds) {
    const int listener = this->listen();
    const int socket = this->open_to(listener);
    Waited connect(OperationKind::connect, socket);
    this->kernel_->start(connect);
    this->kernel_->cancel(connect);
    EXPECT_THAT(this->finish(connect), AnyOf(0, -ECANCELED));
    EXPECT_EQ(connect.done_count, 1U);
}

TYPED_TEST(KernelTest, ShutdownWakesWhatIsPending) {
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

TYPED_TEST(KernelTest, CloseLeavesOperationsPendingUntilTheyAreCancelled) {
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

TYPED_TEST(KernelTest, ADescriptorNumberThatComesBackIsANewSocket) {
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

TYPED_TEST(KernelTest, AForgottenDescriptorComesBackFromAnotherKernel) {
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

TYPED_TEST(KernelTest, OnDoneMayStartAndCancelAnything) {
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

TYPED_TEST(KernelTest, ATurnEndsAtItsTimeout) {
    const uint64_t before_ns = this->kernel_->clock().monotonic_ns();
    EXPECT_EQ(this->kernel_->turn(3 * ns_per_ms), 0U);
    const uint64_t waited_ns = this->kernel_->clock().monotonic_ns() - before_ns;
    EXPECT_GE(waited_ns, 3 * ns_per_ms);
    EXPECT_EQ(this->kernel_->turn(0), 0U);
}

TYPED_TEST(KernelTest, AWakeBeforeTheTurnEndsIt) {
    this->kernel_->turn(0);
    const uint64_t before_ns = this->kernel_->clock().monotonic_ns();
    this->kernel_->wake();
    this->kernel_->turn(100 * ns_per_s);
    EXPECT_LT(this->kernel_->clock().monotonic_ns() - before_ns, 50 * ns_per_s);
}

TYPED_TEST(KernelTest, WakesFromAnotherThreadEndTurnAfterTurn) {
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

TYPED_TEST(KernelTest, MoreOperationsThanTheQueueHoldsAreNotLost) {
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

TYPED_TEST(KernelTest, MoreCompletionsThanTheQueueHoldsAreNotLost) {
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

TYPED_TEST(KernelTest, UnixSocketsWorkTheSame) {
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
