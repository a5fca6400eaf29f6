// penstockd: arguments, signals, the ready file and the exit status; everything else is Node's.
#include <fmt/format.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

#include "io/base/units.h"
#include "io/supervisor.h"
#include "node/node.h"
#include "node/settings.h"

namespace penstock::node {
namespace {

// The drain is bounded by itself; should a device hang, the process ends all the same.
constexpr unsigned stop_seconds_max = 10;

int refuse(int status, const std::string& text) {
    fmt::print(stderr, "penstockd: {}\n", text);
    return status;
}

// The signals that main waits for; no other thread gets them.
sigset_t awaited_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
    return signals;
}

Status write_ready_file(const std::string& path, const std::string& json) {
    const std::string work_path = fmt::format("{}.{}", path, getpid());
    std::ofstream file(work_path);
    file << json << '\n';
    file.close();
    if (!file) return fail(Errc::io_error, "write " + work_path);
    std::error_code error;
    std::filesystem::rename(work_path, path, error);
    if (error) return fail(Errc::io_error, "rename to " + path + ": " + error.message());
    return {};
}

void log_ready(const Log& log, const NodeIdentity& node) {
    log.info("ready", {{"http", std::string_view(node.http_address)},
                       {"rpc", std::string_view(node.rpc_address)},
                       {"rpc_socket", std::string_view(node.rpc_socket)},
                       {"node", std::string_view(node.node_id)},
                       {"pid", uint64_t{node.pid}},
                       {"version", std::string_view(node.version)},
                       {"io_backend", std::string_view(node.io_backend)},
                       {"cores", uint64_t{node.cores}}});
}

// Tokens and certificates take effect now, other settings at the next start; that the file is right
// is worth knowing now.
void reload(Node& node, int count, const char* const* values, const io::Supervisor& supervisor,
            const Log& log) {
    supervisor.notify_reloading();
    const auto arguments = parse_arguments(count, values);
    const auto reloaded =
        arguments ? node.reload(arguments->settings) : std::unexpected(arguments.error().text);
    if (reloaded) {
        log.info(
            "settings were read again and are right; tokens and certificates take effect now, the "
            "others at the next start");
    } else {
        log.error("settings were read again and are wrong; the old ones stay",
                  {{"what", std::string_view(reloaded.error())}});
    }
    supervisor.notify("READY=1");
}

// Until it is time to stop.
void wait_for_stop(Node& node, int count, const char* const* values,
                   const io::Supervisor& supervisor, const Log& log) {
    const sigset_t signals = awaited_signals();
    // Twice as often as is asked for, as the protocol advises.
    const uint64_t interval_ns = supervisor.watchdog_ns().value_or(3600 * ns_per_s) / 2;
    const timespec interval{static_cast<time_t>(interval_ns / ns_per_s),
                            static_cast<long>(interval_ns % ns_per_s)};
    while (true) {
        const int signal = sigtimedwait(&signals, nullptr, &interval);
        if (signal == SIGTERM || signal == SIGINT) return;
        if (signal == SIGHUP) reload(node, count, values, supervisor, log);
        if (signal >= 0 || errno != EAGAIN || !supervisor.watchdog_ns()) continue;
        node.check_cores();
        supervisor.notify("WATCHDOG=1");
    }
}

// From now on a second signal ends the process at once, and so does a stop that takes too long.
void allow_sudden_end() {
    for (const int number : {SIGTERM, SIGINT, SIGALRM}) signal(number, SIG_DFL);
    const sigset_t signals = awaited_signals();
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    alarm(stop_seconds_max);
}

int serve(const Settings& settings, int count, const char* const* values) {
    const io::Supervisor supervisor = io::Supervisor::from_environment();
    const Log log = Log::to_stderr(settings.log_level);
    for (const std::string& text : settings.not_implemented) log.warning(text);

    auto started = Node::start(settings, supervisor, log);
    if (!started) return refuse(started.error().exit_status, started.error().text);
    Node& node = **started;

    log_ready(log, node.identity());
    int status = 0;
    if (!settings.ready_file.empty()) {
        const Status written = write_ready_file(settings.ready_file, node.ready_json());
        if (!written) {
            status = refuse(exit_bad_settings, "--ready-file: " + written.error().context +
                                                   "; choose a directory that can be written");
        }
    }
    if (status == 0) {
        supervisor.notify("READY=1");
        wait_for_stop(node, count, values, supervisor, log);
        supervisor.notify("STOPPING=1");
        log.info("stopping");
    }
    allow_sudden_end();
    node.stop();
    if (status == 0) log.info("stopped");
    return status;
}

// As many descriptors as are allowed: each connection is one, and the usual 1,024 are for programs
// that use select().
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);  // if it fails, the lower limit stays: the listener copes
}

int run(int count, const char* const* values) {
    raise_descriptor_limit();
    // Writing to a client that went away is an error of that call, not the process's end.
    signal(SIGPIPE, SIG_IGN);
    const sigset_t signals = awaited_signals();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    const auto arguments = parse_arguments(count, values);
    if (!arguments) return refuse(exit_bad_settings, arguments.error().text);
    if (arguments->printed) {
        fmt::print("{}", *arguments->printed);
        return 0;
    }
    if (arguments->only_checks) return 0;
    const Settings& settings = arguments->settings;
    if (!settings.ready_file.empty()) {
        // A stale one would say that this node is ready.
        std::error_code ignored;
        std::filesystem::remove(settings.ready_file, ignored);
    }
    return serve(settings, count, values);
}

}  // namespace
}  // namespace penstock::node

int main(int count, char** values) {
    return penstock::node::run(count, values);
}
