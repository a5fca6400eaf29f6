// What indexing costs inside a PUT of a .tar, and what a lookup costs inside a GET of a member.
#include <benchmark/benchmark.h>

#include <string>

#include "archive/tar_scanner.h"
#include "archive/tar_writer.h"
#include "io/base/random.h"

namespace penstock::archive {
namespace {

std::string name_of(uint64_t number) {
    const std::string digits = std::to_string(1'000'000'000 + number);
    return "train/n" + digits.substr(1, 4) + "/sample_" + digits + ".jpg";
}

std::string make_shard(uint64_t members, uint64_t member_bytes) {
    const uint64_t entry_bytes = 512 + member_bytes + tar_padding_bytes(member_bytes);
    std::string shard(members * entry_bytes + tar_end_bytes, '\0');
    for (uint64_t number = 0; number < members; ++number) {
        const std::string name = name_of(number);
        put_tar_header(std::as_writable_bytes(std::span(shard)).subspan(number * entry_bytes),
                       {name, member_bytes, 1'700'000'000});
    }
    return shard;
}

// Fed as a PUT does: in buffers of 128 KiB.
void scan_shard(benchmark::State& state) {
    const auto members = static_cast<uint64_t>(state.range(0));
    const std::string shard = make_shard(members, static_cast<uint64_t>(state.range(1)));
    for (auto unused : state) {
        TarScanner scanner;
        for (Bytes rest = as_bytes(shard); !rest.empty();) {
            const size_t piece_bytes = std::min<size_t>(rest.size(), 128 << 10);
            scanner.feed(rest.first(piece_bytes));
            rest = rest.subspan(piece_bytes);
        }
        benchmark::DoNotOptimize(scanner.member_count());
    }
    state.SetBytesProcessed(static_cast<int64_t>(shard.size()) * state.iterations());
    state.SetItemsProcessed(static_cast<int64_t>(members) * state.iterations());
}
BENCHMARK(scan_shard)->Args({100'000, 0})->Args({100'000, 1000})->Args({2'000, 100'000});

ShardIndexBuilder builder_of(uint64_t members) {
    ShardIndexBuilder builder;
    for (uint64_t number = 0; number < members; ++number)
        (void)builder.add(name_of(number), number * 1024, 512);
    return builder;
}
std::vector<std::byte> encoded_of(uint64_t members) {
    return builder_of(members).encode(Format::tar, members * 1024, std::nullopt);
}

void encode_index(benchmark::State& state) {
    const ShardIndexBuilder builder = builder_of(static_cast<uint64_t>(state.range(0)));
    for (auto unused : state)
        benchmark::DoNotOptimize(builder.encode(Format::tar, UINT64_MAX, std::nullopt));
}
BENCHMARK(encode_index)->Arg(100'000)->Unit(benchmark::kMillisecond);

void open_index(benchmark::State& state) {
    const std::vector<std::byte> encoded = encoded_of(static_cast<uint64_t>(state.range(0)));
    for (auto unused : state) benchmark::DoNotOptimize(ShardIndex::open(encoded));
}
BENCHMARK(open_index)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMicrosecond);

// 100,000 are found by the table, 300,000 by searching.
void find_member(benchmark::State& state) {
    const auto members = static_cast<uint64_t>(state.range(0));
    const auto index = ShardIndex::open(encoded_of(members));
    Random random(1);
    std::vector<std::string> names;
    for (int turn = 0; turn < 4096; ++turn) names.push_back(name_of(random.below(members)));
    size_t turn = 0;
    for (auto unused : state) benchmark::DoNotOptimize(index->find(names[turn++ % names.size()]));
}
BENCHMARK(find_member)->Arg(1'000)->Arg(100'000)->Arg(300'000);

}  // namespace
}  // namespace penstock::archive

BENCHMARK_MAIN();
