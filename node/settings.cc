#include "node/settings.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "io/tls.h"
#include "node/service/access.h"
#include "node/settings_file.h"

namespace penstock::node {
namespace {

using Failure = std::unexpected<SettingsError>;

Failure wrong(std::string text) {
    return Failure(SettingsError{std::move(text)});
}

// What stands on the command line, before anything is read into it.
struct Flags {
    std::vector<std::string> data;
    std::vector<std::string> http;
    std::vector<std::string> labels;
    std::string rpc, rpc_socket, bus, cores, io_backend, settings, ready_file, join, token_file;
    bool is_insecure = false;
    bool allows_missing = false;
    bool only_checks = false;
    bool wants_version = false;
};

void declare(CLI::App& app, Flags& flags) {
    app.set_help_flag("-h,--help", "Print this and exit");
    app.add_option("--data", flags.data, "A mountpath's directory; made if it is missing")
        ->type_name("DIR");
    app.add_option("--http", flags.http,
                   "HTTP address, or off (default 127.0.0.1:51080; port 0: a free one)")
        ->type_name("ADDR:PORT");
    app.add_option("--rpc", flags.rpc,
                   "MessagePack-RPC address, or off (default 127.0.0.1:51081; port 0: a free one)")
        ->type_name("ADDR:PORT");
    app.add_option("--rpc-socket", flags.rpc_socket,
                   "MessagePack-RPC on a Unix socket, or off (default off)")
        ->type_name("PATH");
    app.add_option("--bus", flags.bus, "Cluster bus address, or off (not implemented yet)")
        ->type_name("ADDR:PORT");
    app.add_option("--cores", flags.cores, "Reactors (default: as many as may be used)")
        ->type_name("N");
    app.add_option("--io-backend", flags.io_backend, "auto, uring or epoll")->type_name("NAME");
    app.add_option("--settings", flags.settings, "TOML file; flags win over it")->type_name("FILE");
    app.add_flag("--insecure", flags.is_insecure, "Serve other hosts without credentials");
    app.add_option("--ready-file", flags.ready_file,
                   "Written in one rename when the node serves: one line of JSON")
        ->type_name("PATH");
    app.add_flag("--allow-missing-mountpath", flags.allows_missing,
                 "Start although a mountpath that was there before is missing");
    app.add_option("--join", flags.join, "Join the cluster at this bus (not implemented yet)")
        ->type_name("BUS_ADDRESS");
    app.add_option("--token-file", flags.token_file, "The token for --join")->type_name("FILE");
    app.add_option("--label", flags.labels, "A label of this node (not implemented yet)")
        ->type_name("K=V");
    app.add_flag("--check-config", flags.only_checks, "Check arguments and settings, and exit");
    app.add_flag("--version", flags.wants_version, "Print the version and exit");
}

void note_unbuilt(const Flags& flags, Settings& settings) {
    if (!flags.bus.empty() && flags.bus != "off") {
        settings.not_implemented.push_back(
            fmt::format("--bus is not implemented yet: nothing is served at {}", flags.bus));
    }
    if (!flags.labels.empty())
        settings.not_implemented.emplace_back("--label is not implemented yet");
}

// The flags over the settings: each that was given replaces what was there.
std::expected<void, SettingsError> apply(const Flags& flags, Settings& settings) {
    if (!flags.data.empty()) settings.data = flags.data;
    if (!flags.http.empty()) {
        auto http = parse_http(flags.http);
        if (!http) return wrong("--http: " + http.error());
        settings.http = std::move(*http);
    }
    if (!flags.rpc.empty()) {
        if (const auto set = set_rpc(flags.rpc, settings); !set) {
            return wrong("--rpc: " + set.error());
        }
    }
    if (!flags.rpc_socket.empty()) {
        if (const auto set = set_rpc_socket(flags.rpc_socket, settings); !set) {
            return wrong("--rpc-socket: " + set.error());
        }
    }
    if (!flags.cores.empty()) {
        const auto cores = parse_cores(flags.cores);
        if (!cores) return wrong("--cores: " + cores.error());
        settings.cores = *cores;
    }
    if (!flags.io_backend.empty()) {
        const auto backend = parse_backend(flags.io_backend);
        if (!backend) return wrong("--io-backend: " + backend.error());
        settings.io_backend = *backend;
    }
    if (!flags.ready_file.empty()) settings.ready_file = flags.ready_file;
    settings.is_insecure = settings.is_insecure || flags.is_insecure;
    settings.allows_missing_mountpath = settings.allows_missing_mountpath || flags.allows_missing;
    if (!flags.join.empty() || !flags.token_file.empty()) {
        return wrong("--join: clusters are not implemented yet; leave it out to run one node");
    }
    note_unbuilt(flags, settings);
    return {};
}

// What must hold of the whole, wherever each part came from.
std::expected<void, SettingsError> check(const Settings& settings) {
    if (settings.data.empty()) return wrong("--data DIR is missing: say where the data lies");
    for (const std::string& path : settings.data) {
        if (path.empty()) return wrong("--data: the directory's name is empty");
    }
    if (settings.tls.certificate.empty() != settings.tls.key.empty()) {
        return wrong("[tls] certificate and key: one without the other proves nothing");
    }
    if (!settings.tls.certificate.empty()) {
        const auto loaded = io::TlsContext::load(settings.tls.certificate, settings.tls.key);
        if (!loaded) return wrong(loaded.error().context);
    }
    if (!settings.access.tokens_file.empty()) {
        // Read here, so that --check-config and the start find the same faults.
        const auto list = AccessList::read(settings.access.tokens_file);
        if (!list) return wrong(list.error());
        return {};
    }
    if (settings.is_insecure) return {};
    const auto refuse = [](std::string_view flag, const io::Address& address) {
        return wrong(
            fmt::format("--{} {}: other hosts could reach it without credentials; name a list of "
                        "tokens ([access] tokens_file), bind it to 127.0.0.1, or say --insecure "
                        "if that is meant",
                        flag, address.text));
    };
    const auto outside = std::ranges::find_if_not(
        settings.http, [](const io::Address& address) { return address.is_loopback(); });
    if (outside != settings.http.end()) return refuse("http", *outside);
    if (settings.rpc && !settings.rpc->is_loopback()) return refuse("rpc", *settings.rpc);
    return {};
}

}  // namespace

const char* version_text() {
    return PENSTOCK_VERSION;
}

std::expected<Arguments, SettingsError> parse_arguments(int count, const char* const* values) {
    Flags flags;
    CLI::App app("penstockd: a node of Penstock, storage for machine-learning data", "penstockd");
    declare(app, flags);
    Arguments arguments;
    try {
        app.parse(count, values);
    } catch (const CLI::CallForHelp&) {
        arguments.printed = app.help();
        return arguments;
    } catch (const CLI::ParseError& error) {
        return wrong(std::string(error.what()) + "; see penstockd --help");
    }
    if (flags.wants_version) {
        arguments.printed = fmt::format("penstockd {}\n", version_text());
        return arguments;
    }
    arguments.only_checks = flags.only_checks;
    arguments.settings.settings_file = flags.settings;
    if (!flags.settings.empty()) {
        if (auto read = read_settings(flags.settings, arguments.settings); !read) {
            return Failure(read.error());
        }
    }
    if (auto applied = apply(flags, arguments.settings); !applied) return Failure(applied.error());
    if (auto checked = check(arguments.settings); !checked) return Failure(checked.error());
    return arguments;
}

}  // namespace penstock::node
