#include "bench/load/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <optional>
#include <sstream>

namespace penstock::bench {
namespace {

constexpr const char* op_names[op_count] = {"get", "put", "range", "member", "get_many", "list"};

[[noreturn]] void refuse(const std::string& what) {
    std::fprintf(stderr, "penstock-bench: %s\n", what.c_str());
    std::exit(2);
}

template <typename T>
T or_refuse(Result<T> result, const char* flag) {
    if (!result) refuse(std::string(flag) + ": " + result.error().context);
    return std::move(*result);
}

template <typename T>
bool parse_whole(const std::string& text, T& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

std::optional<Op> op_from(const std::string& name) {
    for (size_t index = 0; index < op_count; ++index) {
        if (name == op_names[index]) return static_cast<Op>(index);
    }
    return std::nullopt;
}

Status parse_mix(const std::string& text, Options& options) {
    options.mix.fill(0);
    if (const std::optional<Op> only = op_from(text)) {
        options.mix[static_cast<size_t>(*only)] = 100;
        return Status();
    }
    constexpr std::string_view mix = "mix:";
    uint32_t sum = 0;
    if (!text.starts_with(mix)) {
        return fail(Errc::invalid,
                    "'" + text + "' is none of get, put, range, member, get_many, list, mix:...");
    }
    std::stringstream parts(text.substr(mix.size()));
    for (std::string part; std::getline(parts, part, ',');) {
        const size_t equals = part.find('=');
        const std::optional<Op> op = op_from(part.substr(0, equals));
        uint32_t weight = 0;
        if (equals == std::string::npos || !op || !parse_whole(part.substr(equals + 1), weight) ||
            weight > 100) {
            return fail(Errc::invalid, "'" + part + "': write mix:get=90,put=10");
        }
        options.mix[static_cast<size_t>(*op)] += weight;
        sum += weight;
    }
    if (sum != 100) return fail(Errc::invalid, "the shares of a mix are to be 100 together");
    return Status();
}

Status parse_popularity(const std::string& text, Options& options) {
    constexpr std::string_view zipf = "zipf:";
    if (text == "uniform") {
        options.popularity = Popularity::uniform;
    } else if (text == "epoch") {
        options.popularity = Popularity::epoch;
    } else if (text == "zipf") {
        options.popularity = Popularity::zipf;
    } else if (text.starts_with(zipf) &&
               parse_whole(text.substr(zipf.size()), options.zipf_exponent) &&
               options.zipf_exponent > 0 && options.zipf_exponent <= 10) {
        options.popularity = Popularity::zipf;
    } else {
        return fail(Errc::invalid, "'" + text + "': write uniform, epoch or zipf:1.1");
    }
    return Status();
}

Result<double> parse_duration(const std::string& text) {
    const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    const std::string unit = text.substr(digits);
    const double factor = unit == "ms" ? 0.001 : unit == "m" ? 60 : unit == "h" ? 3600 : 1;
    double number = 0;
    const bool is_unit = unit.empty() || unit == "s" || factor != 1;
    if (!is_unit || !parse_whole(text.substr(0, digits), number) || number <= 0) {
        return fail(Errc::invalid, "'" + text + "' is no duration: write 5s, 500ms or 10m");
    }
    return number * factor;
}

void check(Options& options) {
    const bool is_rpc = options.target.dialect == Dialect::rpc;
    if (options.has(Op::get_many) && !is_rpc) {
        refuse("--op get_many: batches go over MessagePack-RPC; give an rpc:// or unix: target");
    }
    if (options.as_descriptors && !options.target.is_unix) {
        refuse("--as fd: descriptors travel over a Unix socket alone; give a unix: target");
    }
    if (options.as_descriptors && !options.has(Op::get) && !options.has(Op::get_many)) {
        refuse("--as fd: only get and get_many are answered by descriptors");
    }
    if (options.has(Op::member) &&
        (options.target.dialect == Dialect::plain || options.target.dialect == Dialect::s3)) {
        refuse("--op member: only /v1 and RPC targets read members of shards");
    }
    if (options.has(Op::put) && !options.target.is_writable()) {
        refuse("--op put: static files cannot be written over HTTP");
    }
    if (options.has(Op::member) && options.has(Op::put)) {
        refuse("--op: members are read out of shards, which a put of the mix would overwrite");
    }
    if (options.connections == 0) {
        options.connections = is_rpc && !options.is_open_loop() ? 1 : options.clients;
    }
    if (!is_rpc && !options.is_open_loop() && options.connections < options.clients) {
        refuse("--connections: over HTTP each client needs one, because it waits for its answer");
    }
    if (options.threads > options.connections) options.threads = options.connections;
}

}  // namespace

const char* op_name(Op op) {
    return op_names[static_cast<size_t>(op)];
}

std::string Options::op_text() const {
    std::string text = "mix:";
    for (size_t index = 0; index < op_count; ++index) {
        if (mix[index] == 100) return op_names[index];
        if (mix[index] == 0) continue;
        if (text.back() != ':') text += ',';
        text += std::string(op_names[index]) + '=' + std::to_string(mix[index]);
    }
    return text;
}

Result<Target> parse_target(const std::string& text) {
    static constexpr struct {
        std::string_view scheme;
        Dialect dialect;
    } schemes[] = {{"static+http://", Dialect::plain},
                   {"s3+http://", Dialect::s3},
                   {"http://", Dialect::ais},
                   {"rpc://", Dialect::rpc}};
    Target target;
    target.text = text;
    if (text.starts_with("unix:") && text.size() > 5) {
        target.dialect = Dialect::rpc;
        target.is_unix = true;
        target.host = text.substr(5);
        return target;
    }
    for (const auto& [scheme, dialect] : schemes) {
        if (!text.starts_with(scheme)) continue;
        const std::string rest = text.substr(scheme.size());
        const std::string authority = rest.substr(0, rest.find('/'));
        const size_t colon = authority.rfind(':');
        target.dialect = dialect;
        target.host = authority.substr(0, colon);
        target.prefix = rest.substr(authority.size());
        while (target.prefix.ends_with('/')) target.prefix.pop_back();
        target.port = 80;
        const bool has_port = colon != std::string::npos;
        if (target.host.empty() ||
            (has_port && !parse_whole(authority.substr(colon + 1), target.port))) {
            break;
        }
        return target;
    }
    return fail(Errc::invalid, "'" + text +
                                   "': write http://H:P (AIStore's /v1), static+http://H:P/PREFIX, "
                                   "s3+http://H:P, rpc://H:P or unix:PATH");
}

Options options_from(int count, char** values) {
    Options options;
    std::string target, op = "get", size = "1KiB", popularity = "uniform", duration = "5s";
    std::string range = "4KiB", as = "bin";
    CLI::App app("penstock-bench: loads an object store and says how fast it answered",
                 "penstock-bench");
    app.add_option(
           "--target", target,
           "http://H:P (/v1), static+http://H:P/PREFIX, s3+http://H:P, rpc://H:P, unix:PATH")
        ->required();
    app.add_option("--bucket", options.bucket, "Bucket (default bench)");
    app.add_option("--op", op, "get, put, range, member, get_many, list or mix:get=90,put=10");
    app.add_option("--objects", options.objects, "Objects, named o000000000 and on (1000)")
        ->check(CLI::Range(uint64_t{1}, uint64_t{1'000'000'000}));
    app.add_option("--size", size,
                   "1KiB, uniform:1KiB-64KiB, lognormal:64KiB:1.5 or 4KiB=90,1MiB=10 (1KiB)");
    app.add_option("--popularity", popularity, "uniform, zipf:1.1 or epoch (uniform)");
    app.add_option("--rate", options.rate_per_s,
                   "Operations a second, whether or not the last are answered (open loop)")
        ->check(CLI::Range(0.001, 1e8));
    app.add_option("--clients", options.clients, "Clients that wait for each answer (16)")
        ->check(CLI::Range(1, 100'000));
    app.add_option("--connections", options.connections,
                   "Connections (one for each client; RPC: one)")
        ->check(CLI::Range(1, 100'000));
    app.add_option("--threads", options.threads, "Threads of the load generator (1)")
        ->check(CLI::Range(1, 256));
    app.add_option("--duration", duration, "How long: 5s, 500ms, 10m (5s)");
    app.add_option("--batch", options.batch, "Objects of a get_many (256)")
        ->check(CLI::Range(1, 4096));
    app.add_option("--as", as,
                   "bin, or fd: get and get_many by descriptor, on a unix: target (bin)")
        ->check(CLI::IsMember({"bin", "fd"}));
    app.add_option("--members", options.members, "Members of each shard, for member (100)")
        ->check(CLI::Range(1, 100'000));
    app.add_option("--range", range, "Bytes of a range, from a random offset (4KiB)");
    app.add_option("--seed", options.seed, "Of everything that is drawn (1)");
    app.add_option("--server-pid", options.server_pid,
                   "Count this process's CPU time, and its children's");
    app.add_flag("!--no-prepare", options.prepares, "Do not put the objects that are missing");
    app.add_option("--write-files", options.files_directory,
                   "Write the objects as files into DIR for a static server, and exit");
    app.add_option("--json", options.json_path, "Write the figures as JSON to FILE (-: stdout)");
    app.add_option("--picture", options.picture_path,
                   "Draw the latencies into FILE.svg or FILE.png (needs gnuplot)");
    app.add_flag("--quiet", options.is_quiet, "No progress, no table");
    try {
        app.parse(count, values);
    } catch (const CLI::ParseError& error) {
        std::exit(app.exit(error) == 0 ? 0 : 2);
    }
    options.as_descriptors = as == "fd";
    options.target = or_refuse(parse_target(target), "--target");
    options.sizes = or_refuse(Sizes::parse(size), "--size");
    options.duration_s = or_refuse(parse_duration(duration), "--duration");
    options.range_bytes = or_refuse(parse_size(range), "--range");
    if (const Status parsed = parse_mix(op, options); !parsed) {
        refuse("--op: " + parsed.error().context);
    }
    if (const Status parsed = parse_popularity(popularity, options); !parsed) {
        refuse("--popularity: " + parsed.error().context);
    }
    check(options);
    return options;
}

}  // namespace penstock::bench
