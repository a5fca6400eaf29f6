#include "bench/load/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace penstock::bench {
namespace {

double us(uint64_t ns) {
    return static_cast<double>(ns) / 1000;
}

double rate_of(const Outcome& outcome) {
    return static_cast<double>(outcome.tally.operations) / outcome.seconds;
}

std::optional<double> cpu_us_per_operation(const Outcome& outcome) {
    if (!outcome.server_cpu_s || outcome.tally.operations == 0) return std::nullopt;
    return *outcome.server_cpu_s * 1e6 / static_cast<double>(outcome.tally.operations);
}

std::string line_of(const std::string& name, const Histogram& latency) {
    return fmt::format("{:<10}{:>12}{:>11.1f}{:>11.1f}{:>11.1f}{:>11.1f}{:>11.1f}\n", name,
                       latency.count(), us(latency.quantile_ns(0.5)), us(latency.quantile_ns(0.9)),
                       us(latency.quantile_ns(0.99)), us(latency.quantile_ns(0.999)),
                       us(latency.max_ns()));
}

}  // namespace

std::string table_of(const Options& options, const Outcome& outcome) {
    const Tally& tally = outcome.tally;
    const std::string loop = options.is_open_loop()
                                 ? fmt::format("open loop, {}/s asked", options.rate_per_s)
                                 : fmt::format("closed loop, {} clients", options.clients);
    std::string text = fmt::format("{} {}: {}, {} connections, {:.2f} s\n\n", options.op_text(),
                                   options.target.text, loop, options.connections, outcome.seconds);
    text += fmt::format("{:<10}{:>12}{:>11}{:>11}{:>11}{:>11}{:>11}\n", "latency us", "operations",
                        "p50", "p90", "p99", "p99.9", "max");
    size_t kinds = 0;
    for (size_t op = 0; op < op_count; ++op) {
        if (tally.latency_by_op[op].count() == 0) continue;
        ++kinds;
        text += line_of(op_name(static_cast<Op>(op)), tally.latency_by_op[op]);
    }
    if (kinds != 1) text += line_of("all", tally.latency);
    text += fmt::format("\n{:.0f} operations/s, {:.1f} MB/s, {} errors", rate_of(outcome),
                        static_cast<double>(tally.bytes) / 1e6 / outcome.seconds, tally.errors);
    if (options.is_open_loop()) {
        text += fmt::format(", {} began more than 1 ms late", tally.missed_schedules);
    }
    text += '\n';
    if (const std::optional<double> cpu = cpu_us_per_operation(outcome)) {
        text += fmt::format("server: {:.2f} us of CPU time per operation\n", *cpu);
    }
    if (!tally.first_error.empty()) text += "first error: " + tally.first_error + '\n';
    return text;
}

std::string json_of(const Options& options, const Outcome& outcome) {
    using nlohmann::json;
    const Tally& tally = outcome.tally;
    json histogram = json::array();
    tally.latency.for_each([&](uint64_t upper_ns, uint64_t count) {
        histogram.push_back(json::array({us(upper_ns), count}));
    });
    const std::optional<double> cpu = cpu_us_per_operation(outcome);
    json document = {{"target", options.target.text},
                     {"op", options.op_text()},
                     {"loop", options.is_open_loop() ? "open" : "closed"},
                     {"rate_asked", options.is_open_loop() ? json(options.rate_per_s) : json()},
                     {"clients", options.clients},
                     {"connections", options.connections},
                     {"operations", tally.operations},
                     {"errors", tally.errors},
                     {"seconds", outcome.seconds},
                     {"operations_per_s", rate_of(outcome)},
                     {"bytes", tally.bytes},
                     {"latency_us",
                      {{"p50", us(tally.latency.quantile_ns(0.5))},
                       {"p90", us(tally.latency.quantile_ns(0.9))},
                       {"p99", us(tally.latency.quantile_ns(0.99))},
                       {"p99_9", us(tally.latency.quantile_ns(0.999))},
                       {"max", us(tally.latency.max_ns())},
                       {"histogram", std::move(histogram)}}},
                     {"server_cpu_us_per_op", cpu ? json(*cpu) : json()},
                     {"missed_schedules", tally.missed_schedules}};
    if (!tally.first_error.empty()) document["first_error"] = tally.first_error;
    // A server may have said anything.
    return document.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

Status draw(const Options& options, const Outcome& outcome) {
    const std::string& path = options.picture_path;
    const bool is_svg = path.ends_with(".svg");
    if (!is_svg && !path.ends_with(".png")) {
        return fail(Errc::invalid, "a picture's name ends in .svg or .png");
    }
    if (path.find('\'') != std::string::npos || path.find('\n') != std::string::npos) {
        return fail(Errc::invalid, "a picture's name has no quotes and no line ends");
    }
    FILE* gnuplot = ::popen("gnuplot 2>/dev/null", "w");
    if (gnuplot == nullptr) return fail(Errc::unavailable, "gnuplot cannot be started");
    std::string script = fmt::format(
        "set terminal {} size 900,540\nset output '{}'\n"
        "set title '{} {}: {:.0f} operations/s' noenhanced\n"
        "set logscale xy\nset grid\nunset key\nset ylabel 'latency, us'\n"
        "set xlabel 'operations that took longer: one in'\n"
        "plot '-' using 1:2 with lines linewidth 2\n",
        is_svg ? "svg" : "png", path, options.op_text(),
        options.target.dialect == Dialect::rpc ? "MessagePack-RPC" : "HTTP", rate_of(outcome));
    const auto all = static_cast<double>(outcome.tally.latency.count());
    double above = all;
    outcome.tally.latency.for_each([&](uint64_t upper_ns, uint64_t count) {
        above -= static_cast<double>(count);
        script += fmt::format("{} {}\n", all / std::max(above, 1.0), us(upper_ns));
    });
    script += "e\n";
    std::fwrite(script.data(), 1, script.size(), gnuplot);
    if (::pclose(gnuplot) != 0) {
        return fail(Errc::unavailable, "gnuplot failed: is the package gnuplot-nox installed?");
    }
    return Status();
}

}  // namespace penstock::bench
