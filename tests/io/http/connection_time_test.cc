// What a connection does in time, on the simulated kernel: seconds and minutes pass at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/base/units.h"
#include "io/http/connection.h"
#include "io/sim_kernel.h"
#include "tests/io/http/mirror.h"

namespace penstock::io::http {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;
using testing::Not;
using testing::StartsWith;

// A client's end: what it got, and when that ended.
struct Client {
    Socket socket;
    std::string received;
    uint64_t opened_ns = 0;
    uint64_t ended_ns = 0;
    bool is_ended = false;
};

class ConnectionTimeTest : public testing::Test {
protected:
    void TearDown() override {
        over_.cancel();
        while (sender_count_ > 0) reactor_.turn(ns_per_s);
        clients_.clear();
        if (listener_) reactor_.run_until_done(listener_->stop());
        if (server_) reactor_.run_until_done(server_->stop(reactor_.now_ns() + ns_per_s));
        listener_.reset();
        server_.reset();
        EXPECT_EQ(buffers_.outstanding_count(), 0U);
    }

    void serve(const Limits& limits = {}) {
        handler_.file = world_.open_file(std::string(Mirror::large_bytes, 'x'));
        server_.emplace(reactor_, buffers_, handler_, limits);
        auto listener = Listener::open(reactor_, *Address::parse("127.0.0.1:0"),
                                       [this](int descriptor) { server_->serve(descriptor); });
        ASSERT_TRUE(listener) << listener.error().context;
        listener_ = std::move(*listener);
    }

    Client& connect() {
        clients_.push_back(std::make_unique<Client>());
        Client& client = *clients_.back();
        client.socket = reactor_.run_until_done(open(reactor_, listener_->address()));
        client.opened_ns = reactor_.now_ns();
        return client;
    }
    // Goes on in the background, while the test waits for something else.
    void send(Client& client, std::string text, size_t piece_bytes = SIZE_MAX,
              uint64_t pause_ns = 0) {
        start_detached(send_slowly(client, std::move(text), piece_bytes, pause_ns));
    }
    // Until the connection's end: everything that came.
    std::string receive(Client& client, size_t piece_bytes = 65536, uint64_t pause_ns = 0) {
        reactor_.run_until_done(receive_slowly(reactor_, client, piece_bytes, pause_ns, SIZE_MAX));
        return client.received;
    }
    void receive_at_least(Client& client, size_t bytes) {
        reactor_.run_until_done(receive_slowly(reactor_, client, 4096, 0, bytes));
    }
    // Seconds since the client connected, or began the text that it was sent last.
    static double seconds(uint64_t from_ns, uint64_t to_ns) {
        return static_cast<double>(to_ns - from_ns) / ns_per_s;
    }
    static double lifetime(const Client& client) {
        return seconds(client.opened_ns, client.ended_ns);
    }
    double seconds_until_served_count_is(uint32_t count) {
        const uint64_t begin_ns = reactor_.now_ns();
        while (server_->connection_count() != count) reactor_.turn(10 * ns_per_ms);
        return seconds(begin_ns, reactor_.now_ns());
    }
    void pass(uint64_t ns) { reactor_.run_until_done(wait(reactor_, ns)); }

    static Task<void> wait(Reactor& reactor, uint64_t ns) {
        co_await reactor.sleep(reactor.within_ns(ns));
    }
    static Task<Socket> open(Reactor& reactor, Address address) {
        Result<Socket> socket = co_await Socket::connect(reactor, std::move(address), Until{});
        EXPECT_TRUE(socket);
        co_return std::move(*socket);
    }
    Task<void> send_slowly(Client& client, std::string text, size_t piece_bytes,
                           uint64_t pause_ns) {
        ++sender_count_;
        for (Bytes rest = as_bytes(text); !rest.empty();) {
            const Bytes piece = rest.first(std::min(piece_bytes, rest.size()));
            rest = rest.subspan(piece.size());
            const Status sent = co_await client.socket.send(piece, {Until::never, &over_});
            if (!sent) break;
            if (pause_ns > 0) co_await reactor_.sleep(reactor_.within_ns(pause_ns, &over_));
        }
        --sender_count_;
    }
    static Task<void> receive_slowly(Reactor& reactor, Client& client, size_t piece_bytes,
                                     uint64_t pause_ns, size_t enough_bytes) {
        std::string buffer(piece_bytes, '\0');
        while (client.received.size() < enough_bytes) {
            if (pause_ns > 0) co_await reactor.sleep(reactor.within_ns(pause_ns));
            const Result<uint32_t> count =
                co_await client.socket.receive(std::as_writable_bytes(std::span(buffer)), Until{});
            if (!count || *count == 0) {
                client.is_ended = true;
                client.ended_ns = reactor.now_ns();
                co_return;
            }
            client.received.append(buffer, 0, *count);
        }
    }

    SimWorld world_{4711};
    Reactor reactor_{make_sim_kernel(world_), ReactorOptions{}};
    BufferPool buffers_{1 << 20};
    Mirror handler_;
    std::optional<Server> server_;
    std::unique_ptr<Listener> listener_;
    std::vector<std::unique_ptr<Client>> clients_;
    Cancel over_;
    uint32_t sender_count_ = 0;
};

const std::string host = " HTTP/1.1\r\nHost: h\r\n";
const std::string closing = host + "Connection: close\r\n";

TEST_F(ConnectionTimeTest, AHeadOfOneByteASecondEndsWith408AfterTenSeconds) {
    serve();
    Client& client = connect();
    send(client, "GET /a" + host + std::string(1000, 'x'), 1, ns_per_s);
    reactor_.run_until_done(receive_slowly(reactor_, client, 4096, 0, 1));
    EXPECT_THAT(seconds(client.opened_ns, reactor_.now_ns()), AllOf(Ge(10), Le(10.5)));
    EXPECT_THAT(receive(client), AllOf(StartsWith("HTTP/1.1 408"), HasSubstr("10 s")));
    // Its end comes although the client goes on for minutes.
    EXPECT_THAT(lifetime(client), Le(21));
}

TEST_F(ConnectionTimeTest, AnIdleConnectionIsClosedAfterFiveMinutes) {
    serve();
    Client& silent = connect();
    EXPECT_EQ(receive(silent), "");
    EXPECT_THAT(lifetime(silent), AllOf(Ge(300), Le(301)));

    Client& used = connect();
    pass(200 * ns_per_s);
    send(used, "GET /a" + host + "\r\n");
    EXPECT_THAT(receive(used), EndsWith("GET /a "));
    EXPECT_THAT(lifetime(used), AllOf(Ge(500), Le(501)));
}

TEST_F(ConnectionTimeTest, ABodyThatStopsIsCutAfterThirtySeconds) {
    serve();
    const std::string half(150'000, 'x');
    for (const std::string& text :
         {"PUT /a" + closing + "Content-Length: 300000\r\n\r\n" + half,
          "PUT /a" + closing + "Transfer-Encoding: chunked\r\n\r\n493E0\r\n" + half,
          "PUT /a" + closing + "Content-Length: 300000\r\n\r\n"}) {
        handler_.failures.clear();
        Client& client = connect();
        send(client, text);
        EXPECT_THAT(receive(client), StartsWith("HTTP/1.1 400"));
        EXPECT_THAT(handler_.failures, ElementsAre(Errc::timed_out));
        EXPECT_THAT(lifetime(client), AllOf(Ge(30), Le(40)));
    }
}

TEST_F(ConnectionTimeTest, ASlowBodyThatKeepsComingGoesThrough) {
    serve();
    const std::string body(120'000, 'x');
    const std::string answer = "PUT /a " + body;
    Client& slow = connect();
    send(slow, "PUT /a" + closing + "Content-Length: 120000\r\n\r\n" + body, 1000, ns_per_s);
    EXPECT_THAT(receive(slow), EndsWith(answer));
    EXPECT_THAT(lifetime(slow), Ge(119));

    Client& chunked = connect();
    send(
        chunked,
        "PUT /a" + closing + "Transfer-Encoding: chunked\r\n\r\n1D4C0\r\n" + body + "\r\n0\r\n\r\n",
        1000, ns_per_s);
    EXPECT_THAT(receive(chunked), EndsWith(answer));
    EXPECT_THAT(lifetime(chunked), Ge(119));
}

// What came quickly before makes nobody wait for a large piece as a whole.
TEST_F(ConnectionTimeTest, ABodyThatBecomesSlowGoesThrough) {
    serve();
    const std::string quick(1'000'000, 'q');
    const std::string slow(60'000, 's');
    Client& client = connect();
    const std::string body = quick + slow;
    send(client, "PUT /a" + closing + "Content-Length: " + std::to_string(body.size()) +
                     "\r\n\r\n" + quick);
    pass(ns_per_s);
    send(client, slow, 500, ns_per_s);
    EXPECT_THAT(receive(client), EndsWith("PUT /a " + body));
    EXPECT_THAT(lifetime(client), Ge(119));
}

// However a body goes out.
TEST_F(ConnectionTimeTest, AReaderOf8KiBASecondGetsAllOfALargeBody) {
    serve();
    for (const std::string path : {"/chunk", "/source", "/file"}) {
        Client& client = connect();
        send(client, "GET " + path + closing + "\r\n");
        const size_t bytes = (path == "/source" ? 2 : 1) * size_t{Mirror::large_bytes};
        EXPECT_THAT(receive(client, 8192, ns_per_s), EndsWith("\r\n\r\n" + std::string(bytes, 'x')))
            << path;
        EXPECT_GE(lifetime(client), static_cast<double>(bytes) / 8192) << path;
    }
}

TEST_F(ConnectionTimeTest, AReaderThatStopsIsCutAfterThirtySeconds) {
    serve();
    for (const std::string path : {"/chunk", "/source", "/file"}) {
        for (const size_t read_bytes : {0U, 100'000U}) {
            Client& client = connect();
            send(client, "GET " + path + host + "\r\n");
            receive_at_least(client, read_bytes);
            EXPECT_THAT(seconds_until_served_count_is(0), AllOf(Ge(29), Le(40)))
                << path << " " << read_bytes;
            EXPECT_LT(receive(client).size(), Mirror::large_bytes);
        }
    }
}

TEST_F(ConnectionTimeTest, ConnectionsAboveTheLimitAreTurnedAwayAndThenClosed) {
    serve({.connections_max = 2});
    connect();
    connect();
    pass(ns_per_ms);
    EXPECT_EQ(server_->connection_count(), 2U);
    // Those that are told so wait for the client to read it; there are not any number of these.
    constexpr uint32_t turned_away_max = 64;
    std::vector<Client*> above;
    for (uint32_t count = 0; count < turned_away_max; ++count) above.push_back(&connect());
    pass(ns_per_ms);
    Client& closed = connect();
    EXPECT_EQ(receive(closed), "");
    for (Client* client : above) {
        EXPECT_THAT(receive(*client),
                    AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("\r\nRetry-After: 1\r\n"),
                          HasSubstr("\r\nConnection: close\r\n")));
    }
    EXPECT_EQ(server_->connection_count(), 2U);
    // With them gone there is time for politeness again, and with one of the two gone a place.
    pass(3 * ns_per_s);
    EXPECT_THAT(receive(connect()), StartsWith("HTTP/1.1 503"));
    clients_.front()->socket = Socket();
    pass(ns_per_ms);
    Client& served = connect();
    send(served, "GET /a" + closing + "\r\n");
    EXPECT_THAT(receive(served), EndsWith("GET /a "));
}

TEST_F(ConnectionTimeTest, AClientThatSaysItsEndStillGetsItsAnswer) {
    serve();
    for (const std::string& text : {"GET /wait" + host + "\r\n", "GET /wait" + closing + "\r\n",
                                    "PUT /wait" + host + "Content-Length: 3\r\n\r\nabc"}) {
        Client& client = connect();
        send(client, text);
        pass(ns_per_ms);
        reactor_.kernel().finish_sending(client.socket.descriptor());
        EXPECT_THAT(receive(client), AllOf(StartsWith("HTTP/1.1 200"), HasSubstr(" /wait ")));
        EXPECT_THAT(lifetime(client), AllOf(Ge(1), Le(1.1))) << "nothing is waited for behind it";
        EXPECT_EQ(seconds_until_served_count_is(0), 0);
    }
}

TEST_F(ConnectionTimeTest, LingeringEndsWhateverTheClientDoes) {
    serve();
    const std::string refused = "GET /a HTTP/1.1\r\nHost : h\r\n\r\n";
    Client& quiet = connect();
    send(quiet, refused);
    EXPECT_THAT(seconds_until_served_count_is(1), Le(0.1));
    EXPECT_THAT(seconds_until_served_count_is(0), AllOf(Ge(1.9), Le(2.1)));
    EXPECT_THAT(receive(quiet), StartsWith("HTTP/1.1 400"));

    Client& dripping = connect();
    send(dripping, refused + std::string(1000, 'x'), 1, ns_per_s);
    EXPECT_THAT(receive(dripping), AllOf(StartsWith("HTTP/1.1 4"), Not(HasSubstr("200"))));
    EXPECT_THAT(seconds_until_served_count_is(0), Le(11));

    // 100 MiB at once: dropped up to a bound.
    Client& flooding = connect();
    send(flooding, refused + std::string(100 << 20, 'x'));
    EXPECT_THAT(receive(flooding), StartsWith("HTTP/1.1 400"));
    EXPECT_THAT(seconds_until_served_count_is(0), Le(10));
}

TEST_F(ConnectionTimeTest, ABodyThatNobodyWantsIsDroppedUpToItsLimit) {
    serve({.drained_bytes_max = 100'000});
    const std::string next = "GET /next" + closing + "\r\n";
    const std::string chunked = "PUT /ignore" + host + "Transfer-Encoding: chunked\r\n\r\n";
    const std::string last_chunk = "\r\n0\r\n\r\n";
    Client& small = connect();
    send(small, chunked + "186A0\r\n" + std::string(100'000, 'x') + last_chunk + next);
    EXPECT_THAT(receive(small), AllOf(StartsWith("HTTP/1.1 200"), EndsWith("GET /next ")));
    // Its length is not known before: the answer could not say that the connection ends.
    Client& large = connect();
    send(large, chunked + "7A120\r\n" + std::string(500'000, 'x') + last_chunk + next);
    EXPECT_THAT(receive(large), AllOf(EndsWith("PUT /ignore "), Not(HasSubstr("/next"))));
    EXPECT_THAT(lifetime(large), Le(3));
    // A client that stops in the middle of it is not waited for longer than for any body.
    Client& stopped = connect();
    send(stopped, "PUT /ignore" + host + "Content-Length: 100\r\n\r\nx");
    EXPECT_THAT(receive(stopped), EndsWith("PUT /ignore "));
    EXPECT_THAT(lifetime(stopped), AllOf(Ge(30), Le(40)));
}

}  // namespace
}  // namespace penstock::io::http
