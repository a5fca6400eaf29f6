// Parts of io that every request passes: the URL, checksums, and switching tasks.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "io/base/checksum.h"
#include "io/http/url.h"
#include "io/reactor.h"
#include "io/task.h"

namespace penstock::io {
namespace {

// A path and a query as AIStore's SDK sends them, plain and with escapes.
const std::string paths[] = {"/v1/objects/train/images/000017.jpg",
                             "/v1/objects/train/caf%C3%A9%20images/000017%2Bsmall.jpg"};
const std::string queries[] = {"provider=ais&namespace=",
                               "provider=ais&archpath=a%2Fb%20c.jpg&uuid="};

void url(benchmark::State& state) {
    const std::string& path = paths[state.range(0)];
    const std::string& query = queries[state.range(0)];
    for (auto step : state) {
        benchmark::DoNotOptimize(http::split_path(path, 3));
        benchmark::DoNotOptimize(http::Query::parse(query));
    }
}
BENCHMARK(url)->Arg(0)->Arg(1);

template <auto checksum>
void checksum_of(benchmark::State& state) {
    const std::vector<std::byte> bytes(static_cast<size_t>(state.range(0)), std::byte{0x5A});
    for (auto step : state) benchmark::DoNotOptimize(checksum(bytes, 1));
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum_of<crc32c>)->Arg(512)->Arg(4 << 10)->Arg(64 << 10);
BENCHMARK(checksum_of<xxh64>)->Arg(512)->Arg(4 << 10)->Arg(64 << 10);
BENCHMARK(checksum_of<xxh3_128>)->Arg(64);

void crc32c_combined(benchmark::State& state) {
    uint32_t crc = 1;
    for (auto step : state) benchmark::DoNotOptimize(crc = crc32c_combine(crc, 77, 64 << 10));
}
BENCHMARK(crc32c_combined);

Task<uint32_t> one_more(uint32_t than) {
    co_return than + 1;
}

// A call of a task that does not wait: its frame is made, runs and goes.
Task<uint32_t> call_tasks(uint32_t count) {
    uint32_t sum = 0;
    while (sum < count) sum = co_await one_more(sum);
    co_return sum;
}

// Through the loop: another task could have run.
Task<void> switch_tasks(Reactor& reactor, uint32_t count) {
    for (uint32_t index = 0; index < count; ++index) co_await reactor.yield();
}

constexpr uint32_t tasks = 10'000;

std::unique_ptr<Reactor> make_reactor() {
    auto kernel = make_uring_kernel({});
    if (!kernel) kernel = make_epoll_kernel({});
    return std::make_unique<Reactor>(std::move(*kernel), ReactorOptions{});
}

void task_call(benchmark::State& state) {
    const auto reactor = make_reactor();
    for (auto step : state) benchmark::DoNotOptimize(reactor->run_until_done(call_tasks(tasks)));
    state.SetItemsProcessed(state.iterations() * tasks);
}
BENCHMARK(task_call);

void task_switch(benchmark::State& state) {
    const auto reactor = make_reactor();
    for (auto step : state) reactor->run_until_done(switch_tasks(*reactor, tasks));
    state.SetItemsProcessed(state.iterations() * tasks);
}
BENCHMARK(task_switch);

}  // namespace
}  // namespace penstock::io

BENCHMARK_MAIN();
