// The server over real sockets, on each Linux backend.
#include "io/http/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/base/units.h"
#include "tests/io/http/mirror.h"

namespace penstock::io::http {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class ConnectionTest : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        Result<std::unique_ptr<Kernel>> kernel =
            std::string_view(GetParam()) == "uring" ? make_uring_kernel({}) : make_epoll_kernel({});
        if (!kernel) GTEST_SKIP() << kernel.error().context;
        reactor_.emplace(std::move(*kernel), ReactorOptions{});
    }

    void TearDown() override {
        if (!reactor_) return;
        if (listener_) reactor_->run_until_done(listener_->stop());
        if (server_) reactor_->run_until_done(server_->stop(reactor_->now_ns() + ns_per_s));
        listener_.reset();
        server_.reset();
        EXPECT_EQ(buffers_.outstanding_count(), 0u);
    }

    void serve(Limits limits = {}) {
        limits.linger_timeout_ns = 20 * ns_per_ms;
        server_.emplace(*reactor_, buffers_, handler_, limits);
        auto listener = Listener::open(*reactor_, *Address::parse("127.0.0.1:0"),
                                       [this](int descriptor) { server_->serve(descriptor); });
        ASSERT_TRUE(listener) << listener.error().context;
        listener_ = std::move(*listener);
    }

    // Sends the pieces, each in a turn of its own, and gives everything until the end.
    std::string exchange(std::vector<std::string> pieces, bool ends = true) {
        return reactor_->run_until_done(exchange_task(std::move(pieces), ends));
    }

    Task<std::string> exchange_task(std::vector<std::string> pieces, bool ends) {
        Result<Socket> socket = co_await Socket::connect(*reactor_, listener_->address(), soon());
        EXPECT_TRUE(socket);
        for (const std::string& piece : pieces) {
            const Status sent = co_await socket->send(as_bytes(piece), soon());
            if (!sent) break;
            co_await reactor_->sleep(reactor_->within_ns(2 * ns_per_ms));
        }
        std::string received;
        std::string buffer(65536, '\0');
        for (;;) {
            const Until until = ends ? soon() : reactor_->within_ns(50 * ns_per_ms);
            const Result<uint32_t> count =
                co_await socket->receive(std::as_writable_bytes(std::span(buffer)), until);
            if (!count || *count == 0) break;
            received.append(buffer, 0, *count);
        }
        co_return received;
    }

    Until soon() { return reactor_->within_ns(5 * ns_per_s); }

    std::optional<Reactor> reactor_;
    BufferPool buffers_{1 << 20};
    Mirror handler_;
    std::optional<Server> server_;
    std::unique_ptr<Listener> listener_;
};

const std::string closing = " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";

TEST_P(ConnectionTest, AnswersAndCloses) {
    serve();
    EXPECT_EQ(exchange({"GET /a" + closing + "\r\n"}),
              "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nGET /a ");
}

TEST_P(ConnectionTest, PipelinedRequestsAreAnsweredInOrder) {
    serve();
    std::string requests;
    for (int count = 0; count < 50; ++count) {
        requests += "POST /" + std::to_string(count) +
                    " HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    }
    const std::string answers = exchange({requests + "GET /last" + closing + "\r\n"});
    size_t from = 0;
    for (int count = 0; count < 50; ++count) {
        const size_t at = answers.find("POST /" + std::to_string(count) + " abc", from);
        ASSERT_NE(at, std::string::npos) << count;
        from = at;
    }
    EXPECT_THAT(answers, EndsWith("GET /last "));
}

TEST_P(ConnectionTest, ThreeBodiesInOnePacketAreToldApart) {
    serve();
    EXPECT_EQ(exchange({"PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
                        "PUT /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "2\r\nde\r\n4;x=y\r\nfghi\r\n0\r\nTrailer: GET /no HTTP/1.1\r\n\r\n"
                        "PUT /3" +
                        closing + "Content-Length: 1\r\n\r\nj"}),
              "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nPUT /1 abc"
              "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nPUT /2 defghi"
              "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nPUT /3 j");
}

TEST_P(ConnectionTest, AnAbsoluteTargetIsItsPath) {
    serve();
    EXPECT_THAT(exchange({"GET http://other:80/a/b?c=d" + closing + "\r\n"}),
                EndsWith("GET /a/b "));
    EXPECT_THAT(exchange({"GET http://other:80" + closing + "\r\n"}), EndsWith("GET / "));
    EXPECT_THAT(exchange({"GET ftp://other/a" + closing + "\r\n"}), StartsWith("HTTP/1.1 400"));
}

TEST_P(ConnectionTest, AnswersWithoutContentHaveNoLength) {
    serve();
    EXPECT_EQ(exchange({"GET /204 HTTP/1.1\r\nHost: h\r\n\r\n"
                        "GET /304 HTTP/1.1\r\nHost: h\r\n\r\n"
                        "GET /a" +
                        closing + "\r\n"}),
              "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"
              "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nGET /a ");
}

TEST_P(ConnectionTest, BodiesComeInPiecesAndChunks) {
    serve();
    EXPECT_THAT(exchange({"PUT /a" + closing + "Content-Length: 10\r\n\r\n", "01234", "56789"}),
                EndsWith("PUT /a 0123456789"));
    EXPECT_THAT(exchange({"PUT /a" + closing + "Transfer-Encoding: chunked\r\n\r\n5\r\n01",
                          "234\r\n", "5\r\n56789\r\n0\r", "\n\r\n"}),
                EndsWith("PUT /a 0123456789"));
    const std::string large(3'000'000, 'x');
    EXPECT_EQ(exchange({"PUT /a" + closing + "Content-Length: 3000000\r\n\r\n", large}).size(),
              large.size() + std::string("HTTP/1.1 200 OK\r\nContent-Length: 3000007\r\n"
                                         "Connection: close\r\n\r\nPUT /a ")
                                 .size());
    EXPECT_THAT(exchange({"PUT /a" + closing + "Transfer-Encoding: chunked\r\n\r\n" + "2DC6C0\r\n" +
                          large + "\r\n0\r\n\r\n"}),
                EndsWith("xxx"));
}

TEST_P(ConnectionTest, CutOffBodiesAreNeverWhole) {
    serve();
    exchange({"PUT /a" + closing + "Content-Length: 10\r\n\r\n01234"}, false);
    exchange({"PUT /a" + closing + "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n"}, false);
    EXPECT_THAT(exchange({"PUT /a" + closing + "Transfer-Encoding: chunked\r\n\r\n5\r\n0123456"}),
                StartsWith("HTTP/1.1 400"));
    reactor_->run_until_done(server_->stop(reactor_->now_ns()));
    EXPECT_THAT(handler_.failures,
                testing::UnorderedElementsAre(Errc::closed, Errc::closed, Errc::invalid));
}

TEST_P(ConnectionTest, ContinueIsSentWhenTheBodyIsWanted) {
    serve();
    const std::string head =
        "PUT /a" + closing + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    EXPECT_THAT(exchange({head, "ok"}),
                testing::AllOf(StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"),
                               EndsWith("PUT /a ok")));
    const std::string unwanted =
        "PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    const std::string answer = exchange({unwanted});
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK"));
    EXPECT_THAT(answer, HasSubstr("Connection: close"));
}

TEST_P(ConnectionTest, UnwantedBodiesAreDroppedUpToALimit) {
    serve({.drained_bytes_max = 1000});
    const std::string small =
        "PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'x');
    EXPECT_THAT(exchange({small + "GET /next" + closing + "\r\n"}), EndsWith("GET /next "));
    const std::string large =
        "PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x');
    const std::string answer = exchange({large + "GET /next" + closing + "\r\n"});
    EXPECT_THAT(answer, HasSubstr("Connection: close"));
    EXPECT_THAT(answer, testing::Not(HasSubstr("GET /next")));
}

TEST_P(ConnectionTest, RefusalsSayWhyAndClose) {
    serve();
    EXPECT_THAT(exchange({"GET /a HTTP/1.1\r\nHost : h\r\n\r\n"}),
                testing::AllOf(StartsWith("HTTP/1.1 400 Bad Request"),
                               HasSubstr("Connection: close"), EndsWith("a header is malformed")));
    EXPECT_THAT(exchange({"GET /" + std::string(9000, 'a')}), StartsWith("HTTP/1.1 414"));
}

TEST_P(ConnectionTest, SlowHeadsAreCut) {
    serve({.head_timeout_ns = 30 * ns_per_ms});
    std::vector<std::string> letters;
    for (const char letter : std::string("GET / HTTP/1.1\r\nHost: h")) {
        letters.emplace_back(1, letter);
    }
    EXPECT_THAT(exchange(letters), StartsWith("HTTP/1.1 408 Request Timeout"));
}

TEST_P(ConnectionTest, StalledBodiesAndIdleConnectionsAreClosed) {
    serve({.progress_timeout_ns = 20 * ns_per_ms, .idle_timeout_ns = 20 * ns_per_ms});
    exchange({"PUT /a" + closing + "Content-Length: 10\r\n\r\n01234"});
    EXPECT_EQ(exchange({}), "");
    EXPECT_THAT(handler_.failures, testing::ElementsAre(Errc::timed_out));
}

TEST_P(ConnectionTest, UnknownLengthsAreChunkedAndShortOnesBreak) {
    serve();
    EXPECT_THAT(exchange({"GET /stream" + closing + "\r\n"}),
                EndsWith("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n00000002\r\n1,\r\n"
                         "00000002\r\n2,\r\n00000002\r\n3,\r\n0\r\n\r\n"));
    EXPECT_THAT(exchange({"GET /stream HTTP/1.0\r\n\r\n"}), EndsWith("\r\n\r\n1,2,3,"));
    const std::string cut = exchange({"GET /early HTTP/1.1\r\nHost: h\r\n\r\n"});
    EXPECT_THAT(cut, testing::AllOf(HasSubstr("Content-Length: 100"), EndsWith("1,2,3,")));
}

TEST_P(ConnectionTest, HeadHasTheLengthAndNoBody) {
    serve();
    EXPECT_EQ(exchange({"HEAD /a" + closing + "\r\n"}),
              "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n");
}

TEST_P(ConnectionTest, ConnectionsAboveTheLimitGet503) {
    serve({.connections_max = 0});
    EXPECT_THAT(exchange({}), StartsWith("HTTP/1.1 503"));
}

TEST_P(ConnectionTest, StopEndsIdleConnectionsAtOnce) {
    serve();
    const std::string answer = exchange({"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"}, false);
    EXPECT_THAT(answer, EndsWith("GET /a "));
    Result<Socket> idle =
        reactor_->run_until_done(Socket::connect(*reactor_, listener_->address(), soon()));
    ASSERT_TRUE(idle);
    for (int turn = 0; turn < 20; ++turn) reactor_->turn(ns_per_ms);
    reactor_->run_until_done(server_->stop(reactor_->now_ns() + 3600 * ns_per_s));
    EXPECT_EQ(server_->connection_count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Backends, ConnectionTest, testing::Values("uring", "epoll"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace penstock::io::http
