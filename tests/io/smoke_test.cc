// The four layers of the loop together, on the ring: a message, a sleep, a socket, a job.
#include <gtest/gtest.h>

#include "io/cores.h"
#include "io/socket.h"

namespace penstock::io {
namespace {

Task<Result<std::string>> echo_once(Reactor& reactor) {
    std::optional<Socket> accepted;
    Event came(reactor);
    const Result<Address> any = Address::parse("127.0.0.1:0");
    Result<std::unique_ptr<Listener>> listener = Listener::open(reactor, *any, [&](int descriptor) {
        accepted.emplace(reactor, descriptor);
        came.set();
    });
    if (!listener) co_return std::unexpected(listener.error());
    CO_TRY(Socket client, co_await Socket::connect(reactor, (*listener)->address(),
                                                   reactor.within_ns(1'000'000'000)));
    co_await came.wait();
    CO_TRY_STATUS(co_await client.send(as_bytes("hello"), reactor.within_ns(1'000'000'000)));
    std::string text(5, ' ');
    CO_TRY_STATUS(co_await accepted->receive_exactly(std::as_writable_bytes(std::span(text)),
                                                     reactor.within_ns(1'000'000'000)));
    std::string more(1, ' ');
    const auto nothing = co_await accepted->receive(std::as_writable_bytes(std::span(more)),
                                                    reactor.within_ns(5'000'000));
    if (nothing || nothing.error().code != Errc::timed_out)
        co_return fail(Errc::invalid, "timeout");
    co_await (*listener)->stop();
    co_return text;
}

TEST(Smoke, CoresRunTasksSocketsAndJobs) {
    const Log log = Log::quiet();
    auto cores = Cores::start({.count = 2, .pool_threads = 1}, log);
    ASSERT_TRUE(cores) << cores.error().context;
    Cores& all = **cores;
    const auto text = all.run_on(1, [&] { return echo_once(all.reactor(1)); });
    ASSERT_TRUE(text) << text.error().context;
    EXPECT_EQ(*text, "hello");

    struct Steps {
        static Task<uint32_t> core_of(Reactor& reactor) {
            co_await reactor.sleep(reactor.within_ns(2'000'000));
            co_return reactor.core();
        }
        static Task<uint32_t> there(Cores& cores) {
            Reactor& here = cores.reactor(0);
            Reactor& other = cores.reactor(1);
            const uint32_t core = co_await on_core(here, other, [&] { return core_of(other); });
            const uint32_t job = co_await cores.pool().run(here, [] { return 40u; });
            co_return core + job + here.core();
        }
    };
    for (int round = 0; round < 50; ++round) {
        EXPECT_EQ(all.run_on(0, [&] { return Steps::there(all); }), 41u);
    }
    all.stop();
}

}  // namespace
}  // namespace penstock::io
