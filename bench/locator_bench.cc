// The locator: what a look-up costs, and the catalogue: names a second in a listing's pages and in
// the scan at the start.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>

#include "io/base/random.h"
#include "io/blocking_disk.h"
#include "node/store/catalogue.h"
#include "node/store/locator.h"

namespace penstock::node {
namespace {

Digest128 digest_for(uint64_t number) {
    return xxh3_128({reinterpret_cast<const std::byte*>(&number), sizeof number}, 99);
}

void fill(Locator& locator, uint64_t count) {
    for (uint64_t number = 0; number < count; ++number) {
        locator.publish(digest_for(number), {1, static_cast<uint32_t>(number), 3, 1});
    }
}

void find_present(benchmark::State& state) {
    io::Turns turns({});
    Locator locator(turns);
    const auto count = static_cast<uint64_t>(state.range(0));
    fill(locator, count);
    Random random(1);
    std::vector<Digest128> digests(1 << 16);
    for (Digest128& digest : digests) digest = digest_for(random.below(count));
    size_t next = 0;
    for (auto step : state) {
        benchmark::DoNotOptimize(locator.find(digests[next++ % digests.size()]));
    }
    state.counters["bytes_per_object"] =
        static_cast<double>(locator.memory_bytes()) / static_cast<double>(count);
}
BENCHMARK(find_present)->Arg(1'000'000)->Arg(10'000'000);

void publish_growing(benchmark::State& state) {
    for (auto step : state) {
        io::Turns turns({});
        Locator locator(turns);
        fill(locator, 1'000'000);
    }
    state.SetItemsProcessed(state.iterations() * 1'000'000);
}
BENCHMARK(publish_growing)->Unit(benchmark::kMillisecond);

// A directory with `count` names, removed in the end.
class Directory {
public:
    explicit Directory(uint64_t count) {
        char path[] = "/tmp/penstock-catalogue-XXXXXX";
        path_ = mkdtemp(path);
        disk_ = *io::make_posix_disk(path_);
        catalogue_ = *open_level_catalogue(*disk_, "catalogue", 32 << 20);
        constexpr uint64_t batch = 10'000;
        for (uint64_t first = 0; first < count; first += batch) {
            std::vector<CatalogueChange> changes;
            for (uint64_t number = first; number < first + batch; ++number) {
                char name[32];
                std::snprintf(name, sizeof name, "train/%010llu.jpg",
                              static_cast<unsigned long long>(number));
                changes.push_back({BucketId{1}, name, false, {7, 3, 9, 1}, {1, number}, 4096});
            }
            static_cast<void>(catalogue_->apply(changes, first + 1, first + batch, false));
        }
    }
    ~Directory() {
        catalogue_.reset();
        std::filesystem::remove_all(path_);
    }
    Catalogue& catalogue() { return *catalogue_; }

private:
    std::string path_;
    std::unique_ptr<io::BlockingDisk> disk_;
    std::unique_ptr<Catalogue> catalogue_;
};

void list_pages(benchmark::State& state) {
    constexpr int64_t count = 1'000'000;
    Directory directory(count);
    for (auto step : state) {
        ListOptions options;
        std::vector<Place> places;
        while (true) {
            const Result<ListPage> page = directory.catalogue().list(BucketId{1}, options, places);
            if (!page || page->is_last) break;
            options.after = page->name(page->entries.back());
        }
    }
    state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(list_pages)->Unit(benchmark::kMillisecond);

void scan(benchmark::State& state) {
    const int64_t count = state.range(0);
    Directory directory(static_cast<uint64_t>(count));
    uint64_t bytes = 0;
    for (auto step : state) {
        static_cast<void>(directory.catalogue().scan(
            [&](const Catalogue::Entry& entry) { bytes += entry.name.size(); }));
    }
    benchmark::DoNotOptimize(bytes);
    state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(scan)->Arg(1'000'000)->Arg(10'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace penstock::node

BENCHMARK_MAIN();
