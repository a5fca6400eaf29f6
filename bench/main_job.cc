// penstock-main-job: the work of ./run against a running node.
//
// It stores every file of a folder as an object and, packed into TAR shards, as a member; then it
// reads all samples in random order, once as objects and once out of the shards, and compares every
// byte. It is native, because a Python client reads about 500 objects a second and would measure
// itself; that the unmodified SDK reads the same bytes is a phase of its own (bench/main_job.py).
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "bench/dataset.h"
#include "bench/http_client.h"
#include "io/base/random.h"
#include "io/base/units.h"
#include "io/http/url.h"
#include "io/reactor.h"

namespace penstock::bench {
namespace {

constexpr uint64_t timeout_ns = 30 * ns_per_s;
constexpr std::string_view objects_bucket = "stamps";
constexpr std::string_view shards_bucket = "stamps-shards";

struct Options {
    std::string http;
    std::string source;
    std::string json;
    int server_pid = 0;
    uint32_t connections = 16;
    uint64_t shard_bytes = 8_MiB;
    uint64_t seed = 1;
};

// Processor time that a process has used, all threads, in nanoseconds.
uint64_t cpu_ns_of(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) return 0;
    std::istringstream fields(text.substr(name_end + 2));
    std::string skipped;
    for (int index = 0; index < 11; ++index) fields >> skipped;
    uint64_t user_ticks = 0;
    uint64_t system_ticks = 0;
    fields >> user_ticks >> system_ticks;
    return (user_ticks + system_ticks) * (ns_per_s / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

struct Phase {
    std::string name;
    uint64_t items = 0;
    uint64_t bytes = 0;
    uint64_t elapsed_ns = 0;
    uint64_t cpu_ns = 0;
    std::vector<uint64_t> latencies_ns;

    double percentile_ms(double share) {
        if (latencies_ns.empty()) return 0;
        const auto position =
            static_cast<size_t>(share * static_cast<double>(latencies_ns.size() - 1));
        std::nth_element(latencies_ns.begin(),
                         latencies_ns.begin() + static_cast<ptrdiff_t>(position),
                         latencies_ns.end());
        return static_cast<double>(latencies_ns[position]) / 1e6;
    }
};

// What all connections of a phase share: the items that are left, and what went wrong.
struct Work {
    Phase phase;
    std::vector<uint32_t> order;
    size_t next = 0;
    uint64_t verified = 0;
    uint64_t mismatches = 0;
    uint32_t running = 0;
    std::string error;

    bool take(uint32_t& item) {
        if (next == order.size() || !error.empty()) return false;
        item = order[next++];
        return true;
    }
};

class Progress {
public:
    explicit Progress(std::string name) : name_(std::move(name)), is_terminal_(isatty(1) != 0) {}
    void show(size_t done, size_t total) {
        const auto now = std::chrono::steady_clock::now();
        if (!is_terminal_ || (now - shown_ < std::chrono::milliseconds(100) && done < total))
            return;
        shown_ = now;
        constexpr size_t width = 40;
        const size_t filled = total == 0 ? width : width * done / total;
        std::printf("\r  %-24s [%s%s] %zu/%zu", name_.c_str(), std::string(filled, '#').c_str(),
                    std::string(width - filled, '.').c_str(), done, total);
        std::fflush(stdout);
    }
    void end(const Phase& phase) {
        if (is_terminal_) std::printf("\r\033[K");
        std::printf("  %-24s %llu in %.2f s\n", name_.c_str(),
                    static_cast<unsigned long long>(phase.items),
                    static_cast<double>(phase.elapsed_ns) / 1e9);
        std::fflush(stdout);
    }

private:
    std::string name_;
    bool is_terminal_;
    std::chrono::steady_clock::time_point shown_;
};

// Compares a response, piece by piece, with what it should be.
class Comparison {
public:
    explicit Comparison(Bytes expected) : expected_(expected) {}
    void add(Bytes piece) {
        is_equal_ = is_equal_ && piece.size() <= expected_.size() - offset_ &&
                    std::memcmp(piece.data(), expected_.data() + offset_, piece.size()) == 0;
        offset_ += piece.size();
    }
    bool is_equal() const { return is_equal_ && offset_ == expected_.size(); }

private:
    Bytes expected_;
    size_t offset_ = 0;
    bool is_equal_ = true;
};

class MainJob {
public:
    MainJob(io::Reactor& reactor, const Options& options, Dataset dataset)
        : reactor_(reactor),
          options_(options),
          dataset_(std::move(dataset)),
          random_(options.seed) {}

    Status run() {
        TRY(address_, io::Address::parse(options_.http));
        TRY_STATUS(reactor_.run_until_done(create_buckets()));
        TRY_STATUS(put_phase("put objects", dataset_.files.size(), objects_bucket));
        TRY_STATUS(put_phase("put shards", dataset_.shards.size(), shards_bucket));
        TRY_STATUS(read_phase("read as objects", false));
        TRY_STATUS(read_phase("read out of shards", true));
        return Status();
    }

    nlohmann::json result() {
        nlohmann::json phases = nlohmann::json::array();
        for (Phase& phase : phases_) {
            const double seconds = static_cast<double>(phase.elapsed_ns) / 1e9;
            const auto items = static_cast<double>(phase.items);
            phases.push_back(
                {{"name", phase.name},
                 {"seconds", seconds},
                 {"samples_per_s", items / seconds},
                 {"mb_per_s", static_cast<double>(phase.bytes) / 1e6 / seconds},
                 {"p50_ms", phase.percentile_ms(0.50)},
                 {"p99_ms", phase.percentile_ms(0.99)},
                 {"cpu_us_per_sample", static_cast<double>(phase.cpu_ns) / 1e3 / items}});
        }
        return {{"files", dataset_.files.size()},
                {"objects_verified", objects_verified_},
                {"samples", dataset_.samples.size()},
                {"samples_verified", samples_verified_},
                {"shards", dataset_.shards.size()},
                {"members_verified", members_verified_},
                {"mismatches", mismatches_},
                {"content_bytes", dataset_.content_bytes},
                {"phases", phases}};
    }

private:
    io::Task<Status> create_buckets() {
        HttpClient client(reactor_, address_, timeout_ns);
        CO_TRY_STATUS(co_await client.connect());
        for (const std::string_view bucket : {objects_bucket, shards_bucket}) {
            const std::string target = "/v1/buckets/" + std::string(bucket) + "?provider=ais";
            CO_TRY(
                const int status,
                co_await client.request(
                    "POST", target, as_bytes(R"({"action":"create-bck","name":"","value":null})"),
                    [](Bytes) {}));
            if (status != 200) {
                co_return fail(Errc::invalid, "create bucket " + std::string(bucket) + ": status " +
                                                  std::to_string(status));
            }
        }
        co_return Status();
    }

    std::string target_of(std::string_view bucket, std::string_view name) const {
        return "/v1/objects/" + std::string(bucket) + "/" + io::http::escape_path(name) +
               "?provider=ais";
    }

    Status put_phase(const char* name, size_t count, std::string_view bucket) {
        const bool is_shards = bucket == shards_bucket;
        Work work;
        work.phase.name = name;
        work.order.resize(count);
        std::iota(work.order.begin(), work.order.end(), 0);
        return run_phase(work, [&](Work& shared) { return put_items(shared, is_shards); });
    }

    Status read_phase(const char* name, bool from_shards) {
        Work work;
        work.phase.name = name;
        work.order.resize(dataset_.samples.size());
        std::iota(work.order.begin(), work.order.end(), 0);
        for (size_t index = work.order.size(); index > 1; --index) {
            std::swap(work.order[index - 1], work.order[random_.below(index)]);
        }
        TRY_STATUS(
            run_phase(work, [&](Work& shared) { return read_samples(shared, from_shards); }));
        (from_shards ? members_verified_ : objects_verified_) += work.verified;
        if (!from_shards) samples_verified_ = dataset_.samples.size() - work.mismatches;
        mismatches_ += work.mismatches;
        return Status();
    }

    template <typename MakeTask>
    Status run_phase(Work& work, MakeTask make_task) {
        Progress progress(work.phase.name);
        const uint64_t cpu_start_ns = cpu_ns_of(options_.server_pid);
        const uint64_t start_ns = reactor_.clock().monotonic_ns();
        work.running = options_.connections;
        for (uint32_t index = 0; index < options_.connections; ++index) {
            io::start_detached(make_task(work));
        }
        while (work.running > 0) {
            reactor_.turn(10 * ns_per_ms);
            progress.show(work.phase.items, work.order.size());
        }
        work.phase.elapsed_ns = reactor_.clock().monotonic_ns() - start_ns;
        work.phase.cpu_ns = cpu_ns_of(options_.server_pid) - cpu_start_ns;
        if (!work.error.empty()) return fail(Errc::io_error, work.phase.name + ": " + work.error);
        progress.end(work.phase);
        phases_.push_back(work.phase);
        return Status();
    }

    io::Task<void> put_items(Work& work, bool is_shards) {
        HttpClient client(reactor_, address_, timeout_ns);
        const Status connected = co_await client.connect();
        if (!connected) work.error = connected.error().context;
        uint32_t item = 0;
        while (work.take(item)) {
            const std::string target = is_shards
                                           ? target_of(shards_bucket, dataset_.shards[item].name)
                                           : target_of(objects_bucket, dataset_.files[item].name);
            const Bytes content = is_shards ? Bytes(dataset_.shards[item].content)
                                            : Bytes(dataset_.files[item].content);
            const uint64_t start_ns = reactor_.clock().monotonic_ns();
            const Result<int> status =
                co_await client.request("PUT", target, content, [](Bytes) {});
            note(work, status, target, start_ns, content.size());
        }
        --work.running;
    }

    void note(Work& work, const Result<int>& status, const std::string& target, uint64_t start_ns,
              uint64_t bytes) {
        if (!status) {
            work.error = target + ": " + status.error().context;
        } else if (*status != 200) {
            work.error = target + ": status " + std::to_string(*status);
        } else {
            work.phase.latencies_ns.push_back(reactor_.clock().monotonic_ns() - start_ns);
            work.phase.bytes += bytes;
            ++work.phase.items;
        }
    }

    io::Task<void> read_samples(Work& work, bool from_shards) {
        HttpClient client(reactor_, address_, timeout_ns);
        const Status connected = co_await client.connect();
        if (!connected) work.error = connected.error().context;
        uint32_t item = 0;
        while (work.take(item)) {
            const Sample& sample = dataset_.samples[item];
            const uint64_t start_ns = reactor_.clock().monotonic_ns();
            uint64_t bytes = 0;
            bool is_equal = true;
            Result<int> status = 200;
            for (const uint32_t position : sample.files) {
                const SourceFile& file = dataset_.files[position];
                const std::string target =
                    from_shards ? target_of(shards_bucket, dataset_.shards[sample.shard].name) +
                                      "&archpath=" + io::http::escape_path(file.member)
                                : target_of(objects_bucket, file.name);
                Comparison comparison(file.content);
                status = co_await client.request("GET", target, {},
                                                 [&](Bytes piece) { comparison.add(piece); });
                if (!status || *status != 200) {
                    note(work, status, target, start_ns, 0);
                    break;
                }
                work.verified += comparison.is_equal() ? 1 : 0;
                is_equal = is_equal && comparison.is_equal();
                bytes += file.content.size();
            }
            if (!status || *status != 200) break;
            if (!is_equal) ++work.mismatches;
            note(work, status, sample.key, start_ns, bytes);
        }
        --work.running;
    }

    io::Reactor& reactor_;
    const Options& options_;
    Dataset dataset_;
    Random random_;
    io::Address address_;
    std::vector<Phase> phases_;
    uint64_t objects_verified_ = 0;
    uint64_t samples_verified_ = 0;
    uint64_t members_verified_ = 0;
    uint64_t mismatches_ = 0;
};

Status run(const Options& options) {
    std::printf("  reading %s\n", options.source.c_str());
    TRY(Dataset dataset, load_dataset(options.source));
    pack_shards(dataset, options.shard_bytes);
    std::printf("  %zu files, %zu samples, %zu shards, %.1f MB\n", dataset.files.size(),
                dataset.samples.size(), dataset.shards.size(),
                static_cast<double>(dataset.content_bytes) / 1e6);
    Result<std::unique_ptr<io::Kernel>> kernel = io::make_uring_kernel({});
    if (!kernel) kernel = io::make_epoll_kernel({});
    if (!kernel) return fail(kernel.error());
    io::Reactor reactor(std::move(*kernel), {});
    MainJob job(reactor, options, std::move(dataset));
    TRY_STATUS(job.run());
    const std::string text = job.result().dump() + "\n";
    std::ofstream file(options.json, std::ios::binary);
    file << text;
    file.close();
    if (!file) return fail(Errc::io_error, "write " + options.json);
    return Status();
}

}  // namespace
}  // namespace penstock::bench

int main(int argument_count, char** arguments) {
    penstock::bench::Options options;
    CLI::App app("The main job of ./run: stores a folder's files and shards, reads all back.");
    app.add_option("--http", options.http, "the node's address, ADDR:PORT")->required();
    app.add_option("--source", options.source, "the folder of files")->required();
    app.add_option("--json", options.json, "where the result goes")->required();
    app.add_option("--server-pid", options.server_pid, "whose CPU time is counted")->required();
    app.add_option("--connections", options.connections, "connections at once");
    app.add_option("--shard-bytes", options.shard_bytes, "a shard is closed beyond this size");
    app.add_option("--seed", options.seed, "of the random order");
    CLI11_PARSE(app, argument_count, arguments);
    const penstock::Status status = penstock::bench::run(options);
    if (status) return 0;
    std::fprintf(stderr, "penstock-main-job: %s\n", status.error().context.c_str());
    return 1;
}
