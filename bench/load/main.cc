// penstock-bench: loads an object store, ours or another, and says how fast it answered.
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <thread>

#include "bench/load/report.h"
#include "bench/load/server_cpu.h"

namespace penstock::bench {
namespace {

[[noreturn]] void give_up(const std::string& what) {
    std::fprintf(stderr, "penstock-bench: %s\n", what.c_str());
    std::exit(1);
}

class Run {
public:
    Run(const Options& options, const ServerAddress& address)
        : options_(options), address_(address), content_(options) {}

    // Puts what is not there yet: the last object is put last, so it tells of all.
    void prepare() {
        if (!options_.prepares || !options_.target.is_writable()) return;
        Worker probe(options_, address_, content_, Workload::reading(options_, last()), 1, 1);
        probe.run({.begin_ns = now_ns()});
        if (probe.tally().errors == 0) return;
        Worker creator(options_, address_, content_, Workload::reading(options_, last()), 1, 1);
        creator.create_bucket();
        fill(0, last());
        fill(last(), options_.objects);
    }

    Outcome measure() {
        const ServerCpu cpu(options_, address_);
        std::deque<Worker> workers;
        for (uint32_t index = 0; index < options_.threads; ++index) {
            workers.emplace_back(options_, address_, content_, Workload(options_, index),
                                 share(options_.connections, index),
                                 share(options_.clients, index));
        }
        const std::optional<double> cpu_before = cpu.seconds();
        const uint64_t begin = now_ns();
        const auto duration = static_cast<uint64_t>(options_.duration_s * 1e9);
        run(
            workers,
            [&](uint32_t index) {
                const double rate = options_.rate_per_s / options_.threads;
                const double offset =
                    options_.is_open_loop() ? 1e9 / options_.rate_per_s * index : 0;
                return Worker::Plan{begin, begin + duration, rate, static_cast<uint64_t>(offset)};
            },
            0);
        const std::optional<double> cpu_after = cpu.seconds();
        Outcome outcome;
        for (const Worker& worker : workers) outcome.tally.add(worker.tally());
        const uint64_t end = std::max(outcome.tally.end_ns, begin + duration);
        outcome.seconds = static_cast<double>(end - begin) / 1e9;
        if (cpu_before && cpu_after) outcome.server_cpu_s = *cpu_after - *cpu_before;
        return outcome;
    }

    void write_files() const {
        std::filesystem::create_directories(options_.files_directory);
        for (uint64_t object = 0; object < options_.objects; ++object) {
            std::ofstream file(options_.files_directory + '/' + object_name(object),
                               std::ios::binary);
            const uint64_t size = options_.sizes.of(object);
            for (uint64_t offset = 0; offset < size;) {
                Bytes piece = content_.from(offset);
                piece = piece.first(std::min<uint64_t>(piece.size(), size - offset));
                file.write(as_text(piece).data(), static_cast<std::streamsize>(piece.size()));
                offset += piece.size();
            }
            if (!file.flush()) give_up("cannot write into " + options_.files_directory);
        }
    }

private:
    uint64_t last() const { return options_.objects - 1; }
    uint32_t share(uint32_t count, uint32_t index) const {
        return count / options_.threads + (index < count % options_.threads ? 1 : 0);
    }

    void fill(uint64_t begin, uint64_t end) {
        constexpr uint32_t writers = 32;
        const bool is_rpc = options_.target.dialect == Dialect::rpc;
        std::deque<Worker> workers;
        for (uint32_t index = 0; index < options_.threads; ++index) {
            workers.emplace_back(options_, address_, content_,
                                 Workload::filling(options_, index, begin, end),
                                 is_rpc ? 1 : writers, writers);
        }
        const auto plan = [](uint32_t) { return Worker::Plan{.begin_ns = now_ns()}; };
        run(workers, plan, end - begin);
        for (const Worker& worker : workers) {
            if (worker.tally().errors == 0) continue;
            give_up("cannot put the objects: " + worker.tally().first_error);
        }
    }

    // `total`: operations that will be done, 0 if time ends them.
    void run(std::deque<Worker>& workers, const std::function<Worker::Plan(uint32_t)>& plan_of,
             uint64_t total) {
        std::vector<std::thread> threads;
        io::SharedWord<uint64_t> finished[256];
        for (uint32_t index = 0; index < workers.size(); ++index) {
            threads.emplace_back([&, index] {
                workers[index].run(plan_of(index));
                finished[index].store(1);
            });
        }
        const bool shows = !options_.is_quiet && ::isatty(STDERR_FILENO) != 0;
        const uint64_t begin = now_ns();
        for (size_t done = 0; done < workers.size();) {
            std::this_thread::sleep_for(std::chrono::milliseconds(shows ? 100 : 5));
            done = 0;
            uint64_t operations = 0;
            for (uint32_t index = 0; index < workers.size(); ++index) {
                done += finished[index].load();
                operations += workers[index].done();
            }
            if (shows) show(operations, total, static_cast<double>(now_ns() - begin) / 1e9);
        }
        if (shows) std::fputs("\r\033[K", stderr);
        for (std::thread& thread : threads) thread.join();
    }

    void show(uint64_t operations, uint64_t total, double seconds) const {
        if (total > 0) {
            std::fprintf(stderr, "\r\033[Kputting objects: %llu of %llu",
                         (unsigned long long)operations, (unsigned long long)total);
        } else {
            std::fprintf(stderr, "\r\033[K%.1f of %.1f s, %llu operations", seconds,
                         options_.duration_s, (unsigned long long)operations);
        }
    }

    const Options& options_;
    const ServerAddress& address_;
    const Content content_;
};

void write_json(const Options& options, const Outcome& outcome) {
    const std::string text = json_of(options, outcome);
    if (options.json_path == "-") {
        std::fputs(text.c_str(), stdout);
        return;
    }
    std::ofstream file(options.json_path);
    if (!(file << text).flush()) give_up("cannot write " + options.json_path);
}

int main_of(int count, char** values) {
    std::signal(SIGPIPE, SIG_IGN);
    const Options options = options_from(count, values);
    if (!options.files_directory.empty()) {
        Run(options, ServerAddress()).write_files();
        return 0;
    }
    const Result<ServerAddress> address = ServerAddress::of(options.target);
    if (!address) give_up(address.error().context);
    if (!address->connect().is_open()) {
        give_up("cannot connect to " + options.target.text + ": " + std::strerror(errno));
    }
    Run run(options, *address);
    run.prepare();
    const Outcome outcome = run.measure();
    if (!options.is_quiet && options.json_path != "-") {
        std::fputs(table_of(options, outcome).c_str(), stdout);
    }
    if (!options.json_path.empty()) write_json(options, outcome);
    if (!options.picture_path.empty()) {
        if (const Status drawn = draw(options, outcome); !drawn) give_up(drawn.error().context);
    }
    return outcome.tally.operations > 0 ? 0 : 1;
}

}  // namespace
}  // namespace penstock::bench

int main(int count, char** values) {
    return penstock::bench::main_of(count, values);
}
