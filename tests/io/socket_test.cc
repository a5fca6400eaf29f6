// Sockets, listeners and the ways a body goes out, over all three kernels.
#include "io/socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cstring>
#include <string>
#include <vector>

#include "io/base/random.h"
#include "io/base/units.h"
#include "tests/io/kernel_backends.h"

namespace penstock::io::testing {
namespace {

using ::testing::AnyOf;

std::string pattern(uint64_t size) {
    Random random(size + 1);
    std::string text(size, '\0');
    for (char& character : text) character = static_cast<char>(random.next() >> 56);
    return text;
}

// Gives a text in chunks; may end early or fail on the way.
class TextSource final : public Source {
public:
    TextSource(BufferPool& pool, std::string text, uint32_t chunk_bytes)
        : pool_(pool), text_(std::move(text)), size_(text_.size()), chunk_bytes_(chunk_bytes) {}

    Task<Result<Chunk>> next() override {
        if (fails_at_ && position_ >= *fails_at_) co_return fail(Errc::corrupt, "rot");
        const size_t end = std::min(text_.size(), ends_at_.value_or(text_.size()));
        const auto size = static_cast<uint32_t>(std::min<size_t>(end - position_, chunk_bytes_));
        if (size == 0) co_return Chunk();
        Chunk chunk{pool_.take(size), 0, size};
        std::memcpy(chunk.buffer.data(), text_.data() + position_, size);
        position_ += size;
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override {
        if (!knows_size_) return std::nullopt;
        return size_ - position_;
    }

    std::optional<size_t> fails_at_, ends_at_;
    bool knows_size_ = true;

private:
    BufferPool& pool_;
    const std::string text_;
    const size_t size_;
    const uint32_t chunk_bytes_;
    size_t position_ = 0;
};

template <typename Backend>
class SocketTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::unique_ptr<Kernel> kernel = backend_.make();
        if (kernel == nullptr) GTEST_SKIP() << "not available here";
        reactor_ = std::make_unique<Reactor>(std::move(kernel), ReactorOptions{});
    }
    void TearDown() override {
        if (reactor_ == nullptr) return;
        client_ = Socket();
        server_ = Socket();
    }

    static Task<Result<Socket>> connect(Reactor& reactor, Address address) {
        co_return co_await Socket::connect(reactor, std::move(address),
                                           reactor.within_ns(10 * ns_per_s));
    }
    static Task<int32_t> finish_connecting(Reactor& reactor, int descriptor) {
        co_return co_await reactor.connect(descriptor, reactor.within_ns(10 * ns_per_s));
    }
    static Task<void> stop(Listener& listener) { co_await listener.stop(); }

    void connect_pair(bool has_small_buffers = false) {
        Kernel& kernel = reactor_->kernel();
        // TCP takes its buffers' sizes when it connects: later, each would be a stall.
        const auto shrink = [&](int descriptor) {
            if (has_small_buffers) backend_.set_small_buffers(kernel, descriptor);
        };
        int accepted = -1;
        const int listening = kernel.listen(Address::parse("127.0.0.1:0").value(), 16);
        shrink(listening);
        const auto listener =
            Listener::adopt(*reactor_, listening, [&](int descriptor) { accepted = descriptor; });
        client_ = Socket(*reactor_, kernel.open_connection(listener->address()));
        shrink(client_.descriptor());
        ASSERT_EQ(reactor_->run_until_done(finish_connecting(*reactor_, client_.descriptor())), 0);
        while (accepted < 0) reactor_->turn(ns_per_ms);
        server_ = Socket(*reactor_, accepted);
        shrink(accepted);
        reactor_->run_until_done(stop(*listener));
    }

    static Task<void> receive_to_end(Socket& socket, std::string& text) {
        std::string buffer(3000, '.');
        for (;;) {
            const auto count =
                co_await socket.receive(std::as_writable_bytes(std::span(buffer)), Until{});
            if (!count || *count == 0) co_return;
            text.append(buffer, 0, *count);
        }
    }
    static Task<void> send_body(Socket& socket, std::string head, Body body, uint64_t progress_ns,
                                std::optional<Status>& status) {
        status =
            co_await socket.send_with_body(as_bytes(head), std::move(body), progress_ns, nullptr);
        socket.shutdown();
    }

    // What the other end gets of `head` and `body`, and how the sending ended.
    std::string transfer(const std::string& head, Body body, Status& status) {
        std::optional<Status> sent;
        start_detached(send_body(server_, head, std::move(body), 10 * ns_per_s, sent));
        std::string received;
        reactor_->run_until_done(receive_to_end(client_, received));
        while (!sent) reactor_->turn(ns_per_ms);
        status = *sent;
        return received;
    }

    Backend backend_;
    std::unique_ptr<Reactor> reactor_;
    BufferPool pool_{1 << 20};
    Socket client_, server_;
};

TYPED_TEST_SUITE(SocketTest, AllBackends, BackendNames);

TYPED_TEST(SocketTest, AChunkGoesOutBehindItsHeadWhereverItLies) {
    // begin and size in a buffer of 4096 or more: room before, room behind, no room.
    for (const auto& [begin, size] : std::vector<std::pair<uint32_t, uint32_t>>{
             {100, 50}, {0, 50}, {10, 3000}, {0, 4096}, {0, 100'000}, {64, 4032}, {0, 0}}) {
        SCOPED_TRACE(std::to_string(begin) + " " + std::to_string(size));
        this->connect_pair(true);
        const std::string body = pattern(size);
        const std::string head = "head of sixty bytes, more or less: " + std::to_string(size);
        Chunk chunk{this->pool_.take(begin + size + 1), begin, size};
        std::memcpy(chunk.mutable_bytes().data(), body.data(), size);
        Status status;
        EXPECT_TRUE(this->transfer(head, Body(std::move(chunk)), status) == head + body);
        EXPECT_TRUE(status);
    }
    EXPECT_EQ(this->pool_.outstanding_count(), 0U);
}

TYPED_TEST(SocketTest, NoBodyIsJustTheHead) {
    this->connect_pair();
    Status status;
    EXPECT_EQ(this->transfer("head", Body(), status), "head");
    EXPECT_TRUE(status);
}

TYPED_TEST(SocketTest, ABigSourceArrivesWholeThroughTinyBuffers) {
    this->connect_pair(true);
    const std::string text = pattern(2_MiB + 17);
    Status status;
    const std::string received = this->transfer(
        "head", Body(std::make_unique<TextSource>(this->pool_, text, 100'000)), status);
    EXPECT_TRUE(status) << status.error().context;
    EXPECT_EQ(received.size(), text.size() + 4);
    EXPECT_TRUE(received == "head" + text);
    EXPECT_EQ(this->pool_.outstanding_count(), 0U);
}

TYPED_TEST(SocketTest, ASourceOfUnknownSizeIsSentToItsEnd) {
    this->connect_pair();
    const std::string text = pattern(10'000);
    auto source = std::make_unique<TextSource>(this->pool_, text, 3000);
    source->knows_size_ = false;
    Status status;
    EXPECT_TRUE(this->transfer("h", Body(std::move(source)), status) == "h" + text);
    EXPECT_TRUE(status);
}

TYPED_TEST(SocketTest, ASourceThatFailsFailsTheSend) {
    this->connect_pair();
    auto source = std::make_unique<TextSource>(this->pool_, pattern(10'000), 1000);
    source->fails_at_ = 4000;
    Status status;
    const std::string received = this->transfer("head", Body(std::move(source)), status);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::corrupt);
    EXPECT_EQ(received, "head" + pattern(10'000).substr(0, 4000));
}

TYPED_TEST(SocketTest, ASourceThatEndsEarlyFailsTheSend) {
    this->connect_pair();
    auto source = std::make_unique<TextSource>(this->pool_, pattern(10'000), 1000);
    source->ends_at_ = 4500;
    Status status;
    const std::string received = this->transfer("head", Body(std::move(source)), status);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::corrupt);
    EXPECT_EQ(received.size(), 4504U);
}

TYPED_TEST(SocketTest, AFileRangeArrivesWholeThroughTinyBuffers) {
    this->connect_pair(true);
    const std::string content = pattern(1_MiB);
    const int file = this->backend_.open_file(content);
    for (const auto& [offset, size] :
         std::vector<std::pair<uint64_t, uint64_t>>{{5, 300'000}, {0, 1_MiB}, {7, 0}}) {
        Status status;
        const std::string received =
            this->transfer("head", Body(FileRange{file, offset, size, nullptr}), status);
        EXPECT_TRUE(status) << status.error().context;
        EXPECT_TRUE(received == "head" + content.substr(offset, size));
        this->connect_pair(true);
    }
    this->reactor_->kernel().close(file);
}

// A head with nothing behind it must not wait in the socket for what never comes.
TYPED_TEST(SocketTest, TheHeadOfAnEmptySourceGoesOutAtOnce) {
    if (TypeParam::is_simulated) GTEST_SKIP() << "holds nothing back";
    this->connect_pair();
    struct Steps {
        static Task<Status> send(Socket& socket, Body body) {
            co_return co_await socket.send_with_body(as_bytes("head"), std::move(body), ns_per_s,
                                                     nullptr);
        }
    };
    EXPECT_TRUE(this->reactor_->run_until_done(
        Steps::send(this->server_, Body(std::make_unique<TextSource>(this->pool_, "", 100)))));
    int unsent_bytes = -1;
    ioctl(this->server_.descriptor(), SIOCOUTQNSD, &unsent_bytes);
    EXPECT_EQ(unsent_bytes, 0);
}

TYPED_TEST(SocketTest, APeerThatDoesNotReadTimesTheSendOut) {
    this->connect_pair(true);
    std::optional<Status> sent;
    const uint64_t before_ns = this->reactor_->clock().monotonic_ns();
    start_detached(
        this->send_body(this->server_, "head",
                        Body(std::make_unique<TextSource>(this->pool_, pattern(8_MiB), 1_MiB)),
                        50 * ns_per_ms, sent));
    while (!sent) this->reactor_->turn(ns_per_ms);
    ASSERT_FALSE(*sent);
    EXPECT_EQ(sent->error().code, Errc::timed_out);
    EXPECT_GE(this->reactor_->clock().monotonic_ns() - before_ns, 49 * ns_per_ms);
}

// Each piece gets its time anew: a slow reader that keeps reading is served to the end, however
// long the whole takes.
TYPED_TEST(SocketTest, ASlowReaderThatKeepsReadingIsServedToTheEnd) {
    struct Steps {
        static Task<std::string> read_slowly(Reactor& reactor, Socket& socket) {
            std::string text;
            std::string buffer(5000, '.');
            for (;;) {
                co_await reactor.sleep(reactor.within_ns(2 * ns_per_ms));
                const auto count =
                    co_await socket.receive(std::as_writable_bytes(std::span(buffer)), Until{});
                if (!count || *count == 0) co_return text;
                text.append(buffer, 0, *count);
            }
        }
    };
    this->connect_pair(true);
    const std::string text = pattern(200'000);
    std::optional<Status> sent;
    start_detached(this->send_body(this->server_, "",
                                   Body(std::make_unique<TextSource>(this->pool_, text, 10'000)),
                                   5 * ns_per_s, sent));
    EXPECT_TRUE(
        this->reactor_->run_until_done(Steps::read_slowly(*this->reactor_, this->client_)) == text);
    while (!sent) this->reactor_->turn(ns_per_ms);
    EXPECT_TRUE(*sent);
}

// Linux wakes a sender when a third of its buffer is free again. Until then the reader's progress
// is only seen in the buffer.
TYPED_TEST(SocketTest, AReaderThatSlowlyEmptiesALargeBufferIsNotCut) {
    if (TypeParam::is_simulated) GTEST_SKIP() << "wakes a sender at once";
    struct Steps {
        // Four times what a stopped reader would be given; then as fast as it can.
        static Task<void> read(Reactor& reactor, Socket& socket, std::string& text) {
            std::string buffer(1024, '.');
            for (uint32_t round = 0;; ++round) {
                if (round < 320) co_await reactor.sleep(reactor.within_ns(5 * ns_per_ms));
                const auto count =
                    co_await socket.receive(std::as_writable_bytes(std::span(buffer)), Until{});
                if (!count || *count == 0) co_return;
                text.append(buffer, 0, *count);
            }
        }
    };
    this->connect_pair(true);
    const int buffer_bytes = 512 << 10;
    setsockopt(this->server_.descriptor(), SOL_SOCKET, SO_SNDBUF, &buffer_bytes,
               sizeof buffer_bytes);
    const std::string text = pattern(2_MiB);
    std::optional<Status> sent;
    start_detached(this->send_body(this->server_, "",
                                   Body(std::make_unique<TextSource>(this->pool_, text, 1_MiB)),
                                   400 * ns_per_ms, sent));
    std::string received;
    this->reactor_->run_until_done(Steps::read(*this->reactor_, this->client_, received));
    while (!sent) this->reactor_->turn(ns_per_ms);
    EXPECT_TRUE(*sent);
    EXPECT_TRUE(received == text);
}

TYPED_TEST(SocketTest, APeerThatGoesAwayFailsTheSendAsClosed) {
    this->connect_pair(true);
    std::optional<Status> sent;
    start_detached(
        this->send_body(this->server_, "head",
                        Body(std::make_unique<TextSource>(this->pool_, pattern(8_MiB), 1_MiB)),
                        60 * ns_per_s, sent));
    for (int turn = 0; turn < 10; ++turn) this->reactor_->turn(ns_per_ms);
    this->backend_.reset(this->reactor_->kernel(), this->client_.release());
    while (!sent) this->reactor_->turn(ns_per_ms);
    ASSERT_FALSE(*sent);
    EXPECT_EQ(sent->error().code, Errc::closed);
}

TYPED_TEST(SocketTest, ReceiveExactlyFailsWhenThePeerEndsEarly) {
    struct Steps {
        static Task<Status> receive(Socket& socket, uint32_t size, Until until) {
            std::string buffer(size, '.');
            co_return co_await socket.receive_exactly(std::as_writable_bytes(std::span(buffer)),
                                                      until);
        }
    };
    this->connect_pair();
    this->reactor_->kernel().try_send(this->client_.descriptor(), as_bytes("abcdef"), false);
    EXPECT_TRUE(this->reactor_->run_until_done(Steps::receive(this->server_, 4, Until{})));
    EXPECT_TRUE(this->reactor_->run_until_done(Steps::receive(this->server_, 0, Until{})));
    const Status late = this->reactor_->run_until_done(
        Steps::receive(this->server_, 4, this->reactor_->within_ns(10 * ns_per_ms)));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Errc::timed_out);
    this->client_.shutdown();
    const Status early = this->reactor_->run_until_done(Steps::receive(this->server_, 4, Until{}));
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().code, Errc::closed);
}

TYPED_TEST(SocketTest, ConnectingWhereNobodyListensIsUnavailable) {
    auto listener =
        Listener::open(*this->reactor_, Address::parse("127.0.0.1:0").value(), [](int) {});
    const Address address = (*listener)->address();
    this->reactor_->run_until_done(this->stop(**listener));
    listener->reset();
    const auto socket = this->reactor_->run_until_done(this->connect(*this->reactor_, address));
    ASSERT_FALSE(socket);
    EXPECT_EQ(socket.error().code, Errc::unavailable);
}

TYPED_TEST(SocketTest, AListenerWithoutDescriptorsPausesAndGoesOn) {
    std::vector<Socket> accepted;
    auto listener =
        Listener::open(*this->reactor_, Address::parse("127.0.0.1:0").value(),
                       [&](int descriptor) { accepted.emplace_back(*this->reactor_, descriptor); });
    const int socket = this->reactor_->kernel().open_connection((*listener)->address());
    Socket client(*this->reactor_, socket);
    this->backend_.forbid_descriptors();
    struct Steps {
        static Task<int32_t> connect(Reactor& reactor, int descriptor) {
            co_return co_await reactor.connect(descriptor, reactor.within_ns(10 * ns_per_s));
        }
    };
    EXPECT_EQ(this->reactor_->run_until_done(Steps::connect(*this->reactor_, socket)), 0);
    for (int turn = 0; turn < 20; ++turn) this->reactor_->turn(ns_per_ms);
    this->backend_.allow_descriptors();
    const uint64_t end_ns = this->reactor_->clock().monotonic_ns() + 10 * ns_per_s;
    while (accepted.empty() && this->reactor_->clock().monotonic_ns() < end_ns) {
        this->reactor_->turn(10 * ns_per_ms);
    }
    EXPECT_EQ(accepted.size(), 1U);
    this->reactor_->run_until_done(this->stop(**listener));
}

TYPED_TEST(SocketTest, AStoppedListenerMayStopWhileConnectionsCome) {
    for (int round = 0; round < 10; ++round) {
        std::vector<Socket> accepted;
        auto listener = Listener::open(
            *this->reactor_, Address::parse("127.0.0.1:0").value(),
            [&](int descriptor) { accepted.emplace_back(*this->reactor_, descriptor); });
        const int socket = this->reactor_->kernel().open_connection((*listener)->address());
        struct Steps {
            static Task<void> connect(Reactor& reactor, int descriptor, bool& is_done) {
                co_await reactor.connect(descriptor, reactor.within_ns(ns_per_s));
                is_done = true;
            }
        };
        bool is_done = false;
        start_detached(Steps::connect(*this->reactor_, socket, is_done));
        for (int turn = 0; turn < round; ++turn) this->reactor_->turn(0);
        this->reactor_->run_until_done(this->stop(**listener));
        listener->reset();
        while (!is_done) this->reactor_->turn(ns_per_ms);
        this->reactor_->kernel().close(socket);
    }
}

TYPED_TEST(SocketTest, MovingASocketMovesItsDescriptor) {
    this->connect_pair();
    const int descriptor = this->server_.descriptor();
    Socket moved = std::move(this->server_);
    EXPECT_FALSE(this->server_.is_open());
    EXPECT_EQ(moved.descriptor(), descriptor);
    EXPECT_EQ(moved.release(), descriptor);
    EXPECT_FALSE(moved.is_open());
    this->server_ = Socket(*this->reactor_, descriptor);
}

}  // namespace
}  // namespace penstock::io::testing
