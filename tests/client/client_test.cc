// The client against a server that answers what the test says, cut or damaged, and counts.
#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "client/async_client.h"
#include "client/message.h"
#include "client/rpc_exchange.h"
#include "io/base/checksum.h"
#include "io/descriptor.h"
#include "io/reactor.h"

namespace penstock::client {
namespace {

using testing::ElementsAre;

// Answers each request by what `answer` makes of it. An empty answer closes the connection.
class FakeNode {
public:
    struct Request {
        uint64_t id = 0;
        std::string method;
        std::string bytes;
    };
    using Answer = std::function<std::string(const Request&)>;

    explicit FakeNode(Answer answer) : answer_(std::move(answer)) {
        path_ = testing::TempDir() + "fake-" + std::to_string(::getpid()) + "-" +
                std::to_string(count_.fetch_add(1));
        ::unlink(path_.c_str());
        listener_ = io::Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        path_.copy(name.sun_path, sizeof name.sun_path - 1);
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
        EXPECT_EQ(::listen(listener_.get(), 64), 0);
        thread_ = std::thread([this] { accept_all(); });
    }
    ~FakeNode() {
        is_stopping_ = true;
        ::shutdown(listener_.get(), SHUT_RDWR);
        thread_.join();
        for (std::thread& one : connections_) one.join();
        ::unlink(path_.c_str());
    }
    std::string address() const { return "unix:" + path_; }
    uint32_t accepted() const { return accepted_; }
    uint32_t open_max() const { return open_max_; }
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
        open_max_ = std::max<uint32_t>(open_max_, ++open_);
        std::string received;
        MessageEnd end;
        while (!is_stopping_) {
            pollfd wanted{connection.get(), POLLIN, 0};
            if (::poll(&wanted, 1, 20) <= 0) continue;
            char room[65536];
            const ssize_t count = ::recv(connection.get(), room, sizeof room, 0);
            if (count <= 0) break;
            received.append(room, static_cast<size_t>(count));
            bool goes_on = true;
            while (goes_on && end.look(as_bytes(received)) == MessageEnd::State::whole) {
                goes_on = answer_one(connection.get(), received.substr(0, end.message_bytes()));
                received.erase(0, end.message_bytes());
            }
            if (!goes_on) break;
        }
        --open_;
    }
    bool answer_one(int connection, std::string message) {
        Unpacker reader(as_bytes(message));
        reader.array();
        reader.number();
        Request request;
        request.id = reader.number().value_or(0);
        request.method = reader.text().value_or("");
        request.bytes = std::move(message);
        ++requests_;
        const std::string reply = answer_(request);
        if (reply.empty()) return false;
        const bool is_cut = reply.back() == cut_mark;
        const size_t size = reply.size() - (is_cut ? 1 : 0);
        ::send(connection, reply.data(), size, MSG_NOSIGNAL);
        return !is_cut;
    }

public:
    // Behind an answer: the connection ends there.
    static constexpr char cut_mark = '\x7f';

private:
    static std::atomic<uint32_t> count_;
    Answer answer_;
    std::string path_;
    io::Descriptor listener_;
    std::thread thread_;
    std::vector<std::thread> connections_;
    std::atomic<bool> is_stopping_{false};
    std::atomic<uint32_t> accepted_{0}, open_{0}, open_max_{0}, requests_{0};
};
std::atomic<uint32_t> FakeNode::count_{0};

std::string data_reply(uint64_t id, std::string_view data, uint32_t crc) {
    Packer packer;
    packer.array(4).number(1).number(id);
    std::string reply = packer.take() + "\xc0";
    Packer result;
    result.map(4).text("size").number(data.size()).text("version").text("1-1");
    result.text("crc32c").number(crc).text("data").bytes(as_bytes(data));
    return reply + result.take();
}

std::string good_reply(uint64_t id, std::string_view data) {
    return data_reply(id, data, crc32c(as_bytes(data)));
}

std::string error_reply(uint64_t id, uint64_t code) {
    Packer packer;
    packer.array(4).number(1).number(id).array(3).number(code).text("why").map(0);
    return packer.take() + "\xc0";
}

std::string put_reply(uint64_t id, uint64_t size) {
    Packer head, result;
    head.array(4).number(1).number(id);
    result.map(2).text("size").number(size).text("version").text("1-1");
    return head.take() + "\xc0" + result.take();
}

Options once() {
    return {.timeout_ms = 5'000, .attempts_max = 1};
}

TEST(Client, ReplyThatIsCutOffAnywhereIsNeverTakenForAWholeOne) {
    const std::string data(3000, 'x');
    std::atomic<size_t> cut{0};
    FakeNode node([&](const FakeNode::Request& request) {
        const std::string whole = good_reply(request.id, data);
        const size_t size = cut.load();
        return whole.substr(0, size * (whole.size() - 1) / 1000) + FakeNode::cut_mark;
    });
    auto client = *Client::open(node.address(), once());
    for (cut = 0; cut <= 1000; ++cut) {
        const Result<Content> got = client->get("b", "o");
        ASSERT_FALSE(got) << cut;
        EXPECT_EQ(got.error().code, Errc::closed) << cut;
    }
}

TEST(Client, TheTokenIsShownOnceOnEachConnectionBeforeACall) {
    std::atomic<uint32_t> logins{0}, others{0};
    FakeNode node([&](const FakeNode::Request& request) {
        if (request.method != "auth.login") {
            ++others;
            EXPECT_GE(logins, 1U);
            return good_reply(request.id, "content");
        }
        ++logins;
        EXPECT_NE(request.bytes.find("secret"), std::string::npos);
        return put_reply(request.id, 0);
    });
    Options options = once();
    options.token = "secret";
    auto client = *Client::open(node.address(), options);
    for (int count = 0; count < 5; ++count) EXPECT_TRUE(client->get("b", "o"));
    EXPECT_EQ(logins, 1U);
    client->close_idle();
    EXPECT_TRUE(client->get("b", "o"));
    EXPECT_EQ(logins, 2U);
    EXPECT_EQ(others, 6U);
}

TEST(Client, ATokenThatTheNodeDoesNotKnowIsDeniedAtOnce) {
    constexpr uint64_t unauthenticated = 8;
    FakeNode node(
        [&](const FakeNode::Request& request) { return error_reply(request.id, unauthenticated); });
    Options options;
    options.token = "wrong";
    auto client = *Client::open(node.address(), options);
    const Result<Content> got = client->get("b", "o");
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Errc::denied);
    EXPECT_EQ(node.requests(), 1U);
}

TEST(Client, DamagedByteIsFoundWhereverItIs) {
    const std::string data(300, 'x');
    std::atomic<size_t> at{0};
    FakeNode node([&](const FakeNode::Request& request) {
        std::string whole = good_reply(request.id, data);
        whole[whole.size() - data.size() + at] ^= 1;
        return whole;
    });
    auto client = *Client::open(node.address(), once());
    for (at = 0; at < data.size(); ++at) {
        const Result<Content> got = client->get("b", "o");
        ASSERT_FALSE(got);
        EXPECT_EQ(got.error().code, Errc::corrupt);
    }
}

TEST(Client, ReadIsTriedAgainUntilItIsWhole) {
    std::atomic<int> calls{0};
    FakeNode node([&](const FakeNode::Request& request) -> std::string {
        switch (calls++) {
            case 0:
                return {};
            case 1:
                return data_reply(request.id, "content", 7);
            case 2:
                return error_reply(request.id, 12);  // busy
            default:
                return good_reply(request.id, "content");
        }
    });
    auto client = *Client::open(node.address(), {.attempts_max = 4, .backoff_ms = 1});
    const Result<Content> got = client->get("b", "o");
    ASSERT_TRUE(got) << got.error().context;
    EXPECT_EQ(got->text(), "content");
    EXPECT_EQ(calls, 4);
}

TEST(Client, WhatCannotBeDoneTwiceIsNotTriedTwice) {
    FakeNode node([&](const FakeNode::Request&) { return std::string(); });
    auto client = *Client::open(node.address(), {.attempts_max = 4, .backoff_ms = 1});
    EXPECT_FALSE(client->destroy_bucket("b"));
    EXPECT_EQ(node.requests(), 1U);
}

TEST(Client, NodesErrorsAreNotTriedAgain) {
    FakeNode node([&](const FakeNode::Request& request) { return error_reply(request.id, 1); });
    auto client = *Client::open(node.address(), {.attempts_max = 4, .backoff_ms = 1});
    EXPECT_EQ(client->get("b", "o").error().code, Errc::not_found);
    EXPECT_EQ(node.requests(), 1U);
}

TEST(Client, SecondAttemptFindsWhatTheFirstOneDid) {
    std::atomic<int> calls{0};
    FakeNode node([&](const FakeNode::Request& request) -> std::string {
        if (calls++ == 0) return {};
        return error_reply(request.id, request.method == "bucket.create" ? 3 : 1);
    });
    auto client = *Client::open(node.address(), {.backoff_ms = 1});
    EXPECT_TRUE(client->create_bucket("b"));
    calls = 0;
    EXPECT_TRUE(client->delete_object("b", "o"));
}

TEST(Client, CallEndsAtItsDeadline) {
    FakeNode node([&](const FakeNode::Request&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        return std::string();
    });
    auto client = *Client::open(node.address(), {.timeout_ms = 50});
    EXPECT_EQ(client->stat("b", "o").error().code, Errc::timed_out);
}

TEST(Client, NobodyListens) {
    auto client = *Client::open("tcp://127.0.0.1:1", {.timeout_ms = 2'000, .backoff_ms = 1});
    EXPECT_FALSE(client->buckets());
    EXPECT_FALSE(Client::open("nonsense"));
    EXPECT_FALSE(Client::open("tcp://127.0.0.1"));
}

TEST(Client, ThreadsShareFewConnections) {
    FakeNode node([&](const FakeNode::Request& request) { return put_reply(request.id, 1); });
    auto client = *Client::open(node.address(), {.connections_max = 3});
    std::vector<std::thread> threads;
    for (int index = 0; index < 12; ++index) {
        threads.emplace_back([&] {
            for (int call = 0; call < 50; ++call) EXPECT_TRUE(client->put("b", "o", as_bytes("x")));
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(node.accepted(), 3U);
    EXPECT_EQ(node.requests(), 600U);
}

TEST(Client, ForkedChildHasConnectionsOfItsOwn) {
    FakeNode node([&](const FakeNode::Request& request) { return good_reply(request.id, "x"); });
    auto client = *Client::open(node.address());
    ASSERT_TRUE(client->get("b", "o"));
    const pid_t child = ::fork();
    if (child == 0) {
        bool is_right = true;
        for (int call = 0; call < 20; ++call) is_right = is_right && client->get("b", "o");
        ::_exit(is_right ? 0 : 1);
    }
    for (int call = 0; call < 20; ++call) EXPECT_TRUE(client->get("b", "o"));
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(node.accepted(), 2U);
}

TEST(AsyncClient, ManyCallsAtOnceOnFewConnections) {
    FakeNode node([&](const FakeNode::Request& request) { return good_reply(request.id, "xyz"); });
    auto kernel = io::make_epoll_kernel({});
    ASSERT_TRUE(kernel);
    io::Reactor reactor(std::move(*kernel), {});
    auto client = *AsyncClient::open(reactor, node.address(), {.connections_max = 2});
    uint32_t done = 0;
    const auto one = [](AsyncClient& from, uint32_t& count) -> io::Task<void> {
        const Result<Content> got = co_await from.get("b", "o");
        if (got && got->text() == "xyz") ++count;
    };
    for (int index = 0; index < 40; ++index) io::start_detached(one(*client, done));
    for (int turns = 0; done < 40 && turns < 2000; ++turns) reactor.turn(10'000'000);
    EXPECT_EQ(done, 40U);
    EXPECT_LE(node.accepted(), 2U);
    client->close_idle();
}

TEST(MessageEnd, SaysTheSameHoweverTheBytesAreCut) {
    Packer packer;
    packer.array(4).number(1).number(70000).map(2).text("k").bytes(as_bytes("0123456789"));
    packer.text(std::string(300, 'y')).array(2).number(1).boolean(true).number(5);
    const std::string message = packer.take();
    const std::string both = message + message;
    for (size_t size = 0; size < message.size(); ++size) {
        MessageEnd end;
        ASSERT_EQ(end.look(as_bytes(message).first(size)), MessageEnd::State::more);
        EXPECT_GT(end.bytes_min(), size);
        ASSERT_EQ(end.look(as_bytes(both)), MessageEnd::State::whole);
        EXPECT_EQ(end.message_bytes(), message.size());
    }
    MessageEnd deep;
    EXPECT_EQ(deep.look(as_bytes(std::string(40, '\x91'))), MessageEnd::State::broken);
    MessageEnd never;
    EXPECT_EQ(never.look(as_bytes("\xc1")), MessageEnd::State::broken);
}

TEST(Reply, IsReadOrRefusedWhateverTheBytesAre) {
    EXPECT_TRUE(read_reply(as_bytes(good_reply(3, "x"))));
    EXPECT_EQ(read_reply(as_bytes(error_reply(3, 1)))->error->code, Errc::not_found);
    EXPECT_FALSE(read_reply(as_bytes("\x93\x01\x01\xc0")));
    EXPECT_FALSE(read_reply(as_bytes("\xc0")));
    EXPECT_FALSE(checked_data(as_bytes("\x80")));
}

}  // namespace
}  // namespace penstock::client
