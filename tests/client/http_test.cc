// The client over HTTP against a server that answers what the test says, cut or damaged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <thread>

#include "client/async_client.h"
#include "client/client.h"
#include "client/message.h"
#include "io/base/checksum.h"
#include "io/descriptor.h"
#include "io/http/head.h"
#include "io/reactor.h"

namespace penstock::client {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct Answer {
    std::string bytes;
    bool is_cut = false;  // the connection ends behind them
};

// One thread a connection, on a free port of the loopback.
class FakeNode {
public:
    using Answering = std::function<Answer(const std::string& request)>;

    explicit FakeNode(Answering answering) : answering_(std::move(answering)) {
        listener_ = io::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
        EXPECT_EQ(::listen(listener_.get(), 64), 0);
        socklen_t size = sizeof name;
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&name), &size);
        port_ = ntohs(name.sin_port);
        thread_ = std::thread([this] { accept_all(); });
    }
    ~FakeNode() {
        is_stopping_ = true;
        ::shutdown(listener_.get(), SHUT_RDWR);
        thread_.join();
        for (std::thread& one : connections_) one.join();
    }
    std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }
    uint32_t accepted() const { return accepted_; }
    uint32_t requests() const { return requests_; }

private:
    void accept_all() {
        for (;;) {
            const int number = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
            if (number < 0) return;
            ++accepted_;
            connections_.emplace_back([this, number] { serve(io::Descriptor(number)); });
        }
    }
    void serve(io::Descriptor connection) {
        std::string received;
        io::http::RequestHead head;
        while (!is_stopping_) {
            pollfd wanted{connection.get(), POLLIN, 0};
            if (::poll(&wanted, 1, 20) <= 0) continue;
            char room[65536];
            const ssize_t count = ::recv(connection.get(), room, sizeof room, 0);
            if (count <= 0) return;
            received.append(room, static_cast<size_t>(count));
            while (const size_t size = request_bytes(received, head)) {
                ++requests_;
                const Answer answer = answering_(received.substr(0, size));
                received.erase(0, size);
                ::send(connection.get(), answer.bytes.data(), answer.bytes.size(), MSG_NOSIGNAL);
                if (answer.is_cut) return;
            }
        }
    }
    // Of the whole request at the front; 0 if it is not here yet. Our own parser finds it good.
    static size_t request_bytes(std::string_view received, io::http::RequestHead& head) {
        const auto end = io::http::find_head_end(as_bytes(received), 0, {});
        if (!end || !*end) return 0;
        EXPECT_TRUE(io::http::parse_request_head(as_bytes(received).first(**end), {}, head));
        const size_t size = **end + head.content_length;
        return received.size() >= size ? size : 0;
    }

    Answering answering_;
    uint16_t port_ = 0;
    io::Descriptor listener_;
    std::thread thread_;
    std::vector<std::thread> connections_;
    std::atomic<bool> is_stopping_{false};
    std::atomic<uint32_t> accepted_{0}, requests_{0};
};

std::string reply(std::string_view status, std::string_view headers, std::string_view body) {
    return "HTTP/1.1 " + std::string(status) + "\r\n" + std::string(headers) +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

std::string object_headers(std::string_view content) {
    return "ETag: \"1-a\"\r\nAis-Checksum-Type: crc32c\r\nAis-Checksum-Value: " +
           hex_from_u64(crc32c(as_bytes(content)), 8) + "\r\n";
}

std::string good_reply(std::string_view content) {
    return reply("200 OK", object_headers(content), content);
}

Options once() {
    return {.timeout_ms = 5'000, .attempts_max = 1};
}

// A call of each kind, each of whose replies is cut at each of its first 1,000 bytes.
struct CutCase {
    const char* name;
    std::string whole;
    std::function<Errc(Client&)> call;
};

template <typename T>
Errc code_of(const T& outcome) {
    return outcome ? Errc::exists : outcome.error().code;
}

std::vector<CutCase> cut_cases() {
    const std::string content(1500, 'x');
    const std::string page = [] {
        Packer packer;
        packer.map(2).text("ContinuationToken").text("").text("Entries").array(1);
        packer.map(2).text("n").text("o").text("s").number(5);
        return packer.take();
    }();
    const std::string no_head =
        "ETag: \"1-a\"\r\nAis-Custom-Md: key=" + std::string(900, 'v') + "\r\n";
    return {
        {"get", good_reply(content), [](Client& it) { return code_of(it.get("b", "o")); }},
        {"get_many", good_reply(content) + good_reply(content),
         [](Client& it) {
             Batch batch;
             const BatchItem items[] = {{"o"}, {"p"}};
             return code_of(it.get_many("b", items, batch));
         }},
        {"stat", reply("200 OK", no_head, ""),
         [](Client& it) { return code_of(it.stat("b", "o")); }},
        {"put", reply("200 OK", object_headers("x"), ""),
         [](Client& it) { return code_of(it.put("b", "o", as_bytes("x"))); }},
        {"list", reply("200 OK", "", page), [](Client& it) { return code_of(it.list("b")); }},
        {"buckets", reply("200 OK", "", R"([{"name":"b"}])"),
         [](Client& it) { return code_of(it.buckets()); }},
        {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
         [](Client& it) { return code_of(it.buckets()); }},
    };
}

TEST(HttpClient, ReplyThatIsCutOffAnywhereIsNeverTakenForAWholeOne) {
    for (const CutCase& one : cut_cases()) {
        SCOPED_TRACE(one.name);
        std::atomic<size_t> cut{0};
        std::atomic<bool> was_answered{false};
        FakeNode node([&](const std::string&) {
            // One answer for all requests of a batch, of which only the first gets one.
            if (was_answered.exchange(true)) return Answer{};
            return Answer{one.whole.substr(0, cut), true};
        });
        auto client = *Client::open(node.address(), once());
        const size_t end = std::min<size_t>(1000, one.whole.size() - 1);
        for (cut = 0; cut <= end; ++cut) {
            was_answered = false;
            ASSERT_EQ(one.call(*client), Errc::closed) << cut;
        }
    }
}

TEST(HttpClient, DamagedByteIsFoundWhereverItIs) {
    const std::string content(300, 'x');
    std::atomic<size_t> at{0};
    FakeNode node([&](const std::string&) {
        std::string whole = good_reply(content);
        whole[whole.size() - content.size() + at] ^= 1;
        return Answer{whole};
    });
    auto client = *Client::open(node.address(), once());
    Batch batch;
    const BatchItem items[] = {{"o"}};
    for (at = 0; at < content.size(); ++at) {
        EXPECT_EQ(code_of(client->get("b", "o")), Errc::corrupt);
        EXPECT_EQ(code_of(client->get_many("b", items, batch)), Errc::corrupt);
    }
}

TEST(HttpClient, ReadGoesOnBehindWhatHasCome) {
    const std::string content(3'000'000, 'y');
    std::atomic<int> calls{0};
    std::string second;
    FakeNode node([&](const std::string& request) {
        if (calls++ == 0) return Answer{good_reply(content).substr(0, 2'500'000), true};
        second = request;
        constexpr size_t first = 2 << 20;
        const std::string range = "Content-Range: bytes " + std::to_string(first) + "-" +
                                  std::to_string(content.size() - 1) + "/" +
                                  std::to_string(content.size()) + "\r\n";
        return Answer{
            reply("206 Partial Content", range + object_headers(content), content.substr(first))};
    });
    auto client = *Client::open(node.address(), {.attempts_max = 2, .backoff_ms = 1});
    const Result<Content> got = client->get("b", "o");
    ASSERT_TRUE(got) << got.error().context;
    EXPECT_EQ(got->text(), content);
    EXPECT_THAT(second,
                AllOf(HasSubstr("Range: bytes=2097152-\r\n"), HasSubstr("If-Range: \"1-a\"\r\n")));
}

TEST(HttpClient, ObjectThatIsOverwrittenWhileItIsReadIsReadAnew) {
    const std::string old_content(3'000'000, 'y'), new_content = "new";
    std::atomic<int> calls{0};
    FakeNode node([&](const std::string&) {
        if (calls++ == 0) return Answer{good_reply(old_content).substr(0, 2'500'000), true};
        return Answer{good_reply(new_content)};
    });
    auto client = *Client::open(node.address(), {.attempts_max = 3, .backoff_ms = 1});
    const Result<Content> got = client->get("b", "o");
    ASSERT_TRUE(got) << got.error().context;
    EXPECT_EQ(got->text(), new_content);
}

TEST(HttpClient, AnotherRangeThanWasAskedForIsNone) {
    std::string answered;
    FakeNode node([&](const std::string&) { return Answer{answered}; });
    auto client = *Client::open(node.address(), once());
    const auto get = [&] { return client->get("b", "o", {.offset = 2, .length = 3}); };
    const auto partial = [](std::string_view range, std::string_view content) {
        return reply("206 Partial Content", "Content-Range: " + std::string(range) + "\r\n",
                     content);
    };
    answered = partial("bytes 2-4/10", "234");
    ASSERT_TRUE(get());
    EXPECT_EQ(get()->text(), "234");
    answered = partial("bytes 2-3/4", "23");  // clipped
    ASSERT_TRUE(get());
    for (const std::string& wrong :
         {good_reply("0123456789"), partial("bytes 3-5/10", "345"), partial("bytes 2-4/10", "23"),
          partial("bytes 2-3/10", "23"), partial("bytes 2-5/10", "2345"), partial("2-4/10", "234"),
          partial("bytes 2-4/*", "234"), partial("bytes 4-2/10", "234")}) {
        answered = wrong;
        EXPECT_EQ(code_of(get()), Errc::corrupt) << wrong;
    }
    answered = reply("416 Range Not Satisfiable", "Content-Range: bytes */2\r\n", "");
    ASSERT_TRUE(get());
    EXPECT_EQ(get()->size(), 0U);
}

TEST(HttpClient, BatchGoesOnBehindTheLastAnswerOfAConnection) {
    std::atomic<uint32_t> answered{0};
    FakeNode node([&](const std::string& request) {
        const size_t begin = request.find("/b/") + 3;
        const std::string name = request.substr(begin, request.find('?') - begin);
        const bool is_last = ++answered % 7 == 0;
        return Answer{reply("200 OK", is_last ? "Connection: close\r\n" : "", "of " + name),
                      is_last};
    });
    auto client = *Client::open(node.address(), {.attempts_max = 1});
    std::vector<std::string> names;
    for (int index = 0; index < 100; ++index) names.push_back(std::to_string(index));
    const std::vector<BatchItem> items(names.begin(), names.end());
    Batch batch;
    for (int round = 0; round < 2; ++round) {
        const Status got = client->get_many("b", items, batch);
        ASSERT_TRUE(got) << got.error().context;
        ASSERT_EQ(batch.size(), 100U);
        for (size_t index = 0; index < 100; ++index) {
            EXPECT_EQ(as_text(batch[index]), "of " + names[index]);
        }
    }
}

TEST(HttpClient, RefusalsAreWhatTheirStatusSays) {
    struct Case {
        const char* status;
        const char* kind;
        Errc code;
    };
    std::string answered;
    FakeNode node([&](const std::string&) { return Answer{answered}; });
    auto client = *Client::open(node.address(), once());
    for (const Case& one : {Case{"400 Bad Request", "", Errc::invalid},
                            {"400 Bad Request", "ErrBadCksum", Errc::corrupt},
                            {"401 Unauthorized", "", Errc::denied},
                            {"403 Forbidden", "", Errc::denied},
                            {"404 Not Found", "ErrNotFound", Errc::not_found},
                            {"409 Conflict", "", Errc::exists},
                            {"412 Precondition Failed", "", Errc::condition_failed},
                            {"413 Content Too Large", "", Errc::too_large},
                            {"500 Internal Server Error", "", Errc::io_error},
                            {"500 Internal Server Error", "ErrCorrupted", Errc::corrupt},
                            {"501 Not Implemented", "", Errc::not_implemented},
                            {"503 Service Unavailable", "", Errc::unavailable},
                            {"507 Insufficient Storage", "", Errc::full}}) {
        const std::string json =
            R"({"tcode":")" + std::string(one.kind) + R"(","message":"the reason"})";
        answered = reply(one.status, "", json);
        const Result<ObjectInfo> put = client->put("b", "o", as_bytes("x"));
        ASSERT_FALSE(put);
        EXPECT_EQ(put.error(), (Error{one.code, "the reason"})) << one.status;
        EXPECT_EQ(code_of(client->get("b", "o")), one.code) << one.status;
        answered = "HTTP/1.1 " + std::string(one.status) + "\r\nHdr-Error: " + json + "\r\n\r\n";
        EXPECT_EQ(code_of(client->stat("b", "o")), one.code) << one.status;
    }
    EXPECT_EQ(node.accepted(), 1U);  // a refusal leaves the connection as good as it was
}

TEST(HttpClient, OnlyWhatMayPassIsTriedAgain) {
    std::atomic<int> calls{0};
    FakeNode node([&](const std::string& request) {
        switch (calls++) {
            case 0:
                return Answer{"", true};
            case 1:
                return Answer{reply("503 Service Unavailable", "", "")};
            case 2:
                return Answer{reply("400 Bad Request", "", R"({"tcode":"ErrBadCksum"})")};
            default:
                return Answer{request.starts_with("PUT") ? reply("200 OK", "", "")
                                                         : reply("404 Not Found", "", "")};
        }
    });
    auto client = *Client::open(node.address(), {.attempts_max = 4, .backoff_ms = 1});
    EXPECT_TRUE(client->put("b", "o", as_bytes("x")));
    EXPECT_EQ(calls, 4);
    EXPECT_EQ(code_of(client->get("b", "o")), Errc::not_found);
    EXPECT_EQ(calls, 5);
    calls = 0;
    EXPECT_EQ(code_of(client->destroy_bucket("b")), Errc::closed);
    EXPECT_EQ(calls, 1);
    calls = 0;
    EXPECT_TRUE(client->delete_object("b", "o"));  // the first attempt may have done it
}

TEST(HttpClient, RefusalBeforeTheWholeBodyIsReadIsHeard) {
    io::Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    ASSERT_EQ(::listen(listener.get(), 4), 0);
    socklen_t size = sizeof name;
    ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&name), &size);
    std::thread server([&] {
        io::Descriptor connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        const std::string answer =
            reply("507 Insufficient Storage", "Connection: close\r\n", R"({"message":"full"})");
        ::send(connection.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
        ::shutdown(connection.get(), SHUT_WR);
        std::string room(1 << 20, '\0');
        while (::recv(connection.get(), room.data(), room.size(), 0) > 0) {
        }
    });
    auto client = *Client::open("http://127.0.0.1:" + std::to_string(ntohs(name.sin_port)), once());
    EXPECT_EQ(code_of(client->put("b", "o", as_bytes(std::string(8 << 20, 'x')))), Errc::full);
    client.reset();
    server.join();
}

TEST(HttpClient, RequestsSayWhatTheCallSays) {
    std::string seen;
    FakeNode node([&](const std::string& request) {
        seen = request;
        return Answer{reply("200 OK", "", "")};
    });
    Options options = once();
    options.token = "secret";
    auto client = *Client::open(node.address(), options);
    const PutOptions how{.metadata = {{"colour", "red = deep"}}, .if_version = "1-a"};
    ASSERT_TRUE(client->put("b", "/a//b c", as_bytes("x"), how));
    EXPECT_THAT(seen, AllOf(HasSubstr("PUT /v1/objects/b/%2Fa/%2Fb%20c?provider=ais HTTP/1.1\r\n"),
                            HasSubstr("Authorization: Bearer secret\r\n"),
                            HasSubstr("Ais-Custom-Md: colour=red = deep\r\n"),
                            HasSubstr("If-Match: \"1-a\"\r\n")));
    ASSERT_TRUE(client->put("b", "o", as_bytes(""), {.if_absent = true}));
    EXPECT_THAT(seen, AllOf(HasSubstr("If-None-Match: *\r\n"), HasSubstr("Content-Length: 0\r\n"),
                            Not(HasSubstr("If-Match: \""))));
    ASSERT_TRUE(client->get("b", "s.tar", {.member = "d/a&b"}));
    EXPECT_THAT(seen, HasSubstr("GET /v1/objects/b/s.tar?provider=ais&archpath=d/a%26b HTTP"));
    // What no header or path carries as it is.
    for (const auto& [key, value] :
         Metadata{{"k", "a\r\nb"}, {"", "v"}, {"a=b", "v"}, {"k", " v"}}) {
        EXPECT_EQ(code_of(client->put("b", "o", {}, {.metadata = {{key, value}}})), Errc::invalid);
    }
    EXPECT_EQ(code_of(client->put("b", "o", {}, {.if_version = "a\"b"})), Errc::invalid);
    EXPECT_EQ(code_of(client->get("", "o")), Errc::invalid);
    EXPECT_EQ(code_of(client->stat("b", "")), Errc::invalid);
    EXPECT_EQ(code_of(client->list("b", "\xff")), Errc::invalid);
    EXPECT_EQ(code_of(client->get_shared("b", "o")), Errc::not_implemented);
    EXPECT_FALSE(Client::open("http://"));
    EXPECT_FALSE(Client::open("http://host/path"));
    options.token = "a\r\nb";
    EXPECT_FALSE(Client::open(node.address(), options));
}

TEST(HttpClient, Addresses) {
    for (const char* address :
         {"http://127.0.0.1", "http://127.0.0.1/", "http://[::1]", "http://[::1]:5",
          "https://127.0.0.1", "https://localhost:5/", "tls://127.0.0.1:5", "tls://localhost:5"}) {
        const auto opened = Client::open(address);
        EXPECT_TRUE(opened) << address << ": " << opened.error().context;
    }
    for (const char* address :
         {"http:", "http://", "http://host/path", "http://a b", "http://127.0.0.1:x",
          "http://127.0.0.1:99999", "https://", "https:///", "tls://127.0.0.1", "tls://",
          "HTTP://127.0.0.1", "ftp://127.0.0.1:5"}) {
        const auto opened = Client::open(address);
        ASSERT_FALSE(opened) << address;
        EXPECT_EQ(opened.error().code, Errc::invalid) << address;
    }
    const auto opened = Client::open("https://127.0.0.1", {.ca_file = "/no such file"});
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::invalid);
    EXPECT_THAT(opened.error().context, HasSubstr("/no such file"));
}

TEST(HttpClient, AnswersThatCouldBeReadInTwoWaysAreRefused) {
    std::string answered;
    FakeNode node([&](const std::string&) { return Answer{answered, true}; });
    auto client = *Client::open(node.address(), once());
    for (const char* head :
         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n[]",
          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]",
          "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n[]", "HTTP/1.1 200 OK\r\n\r\n[]",
          "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n[]", "HTTP/2 200 OK\r\n\r\n",
          "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n[]",
          "HTTP/1.1 200 OK\nContent-Length: 2\n\n[]", "SSH-2.0-OpenSSH_9.2\r\n\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]0\r\n\r\n"}) {
        answered = head;
        EXPECT_EQ(code_of(client->buckets()), Errc::corrupt) << head;
    }
}

TEST(HttpClient, InterimAnswersArePassedOver) {
    FakeNode node([&](const std::string&) {
        return Answer{"HTTP/1.1 100 Continue\r\n\r\n" + good_reply("x")};
    });
    auto client = *Client::open(node.address(), once());
    EXPECT_EQ(client->get("b", "o")->text(), "x");
}

TEST(HttpAsyncClient, ManyCallsAtOnceOnFewConnections) {
    FakeNode node([&](const std::string&) { return Answer{good_reply("xyz")}; });
    auto kernel = io::make_epoll_kernel({});
    ASSERT_TRUE(kernel);
    io::Reactor reactor(std::move(*kernel), {});
    auto client = *AsyncClient::open(reactor, node.address(), {.connections_max = 2});
    uint32_t done = 0;
    const auto one = [](AsyncClient& from, uint32_t& count) -> io::Task<void> {
        const Result<Content> got = co_await from.get("b", "o");
        Batch batch;
        const BatchItem items[] = {{"o"}, {"p"}};
        const Status many = co_await from.get_many("b", items, batch);
        if (got && got->text() == "xyz" && many && as_text(batch[1]) == "xyz") ++count;
    };
    for (int index = 0; index < 40; ++index) io::start_detached(one(*client, done));
    for (int turns = 0; done < 40 && turns < 4000; ++turns) reactor.turn(10'000'000);
    EXPECT_EQ(done, 40U);
    EXPECT_LE(node.accepted(), 2U);
    client->close_idle();
}

}  // namespace
}  // namespace penstock::client
