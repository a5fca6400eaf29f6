// Settings: everything that whoever runs a node may choose, from the command line and from a TOML
// file with the same names; the command line wins. Read and checked once, at the start.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "io/base/log.h"
#include "io/cores.h"
#include "io/http/connection.h"
#include "io/kernel.h"

namespace penstock::node {

constexpr const char* default_http = "127.0.0.1:51080";
constexpr const char* default_rpc = "127.0.0.1:51081";

struct Settings {
    std::vector<std::string> data;                              // mountpaths
    bool allows_missing_mountpath = false;                      // starts although one is missing
    std::vector<io::Address> http{io::Address{default_http}};   // empty: off
    std::optional<io::Address> rpc = io::Address{default_rpc};  // none: off
    bool is_rpc_chosen = false;  // by whoever started it: then it is that address or none
    std::string rpc_socket;      // a path; "": off
    uint32_t cores = 0;          // 0: as many as may be used
    io::Backend io_backend = io::Backend::automatic;
    bool is_insecure = false;  // serves other hosts without credentials
    std::string ready_file;    // "": none
    std::string settings_file;
    LogLevel log_level = LogLevel::info;

    struct StoreSettings {
        uint64_t segment_bytes = 0;                     // 0: by the disk's size
        uint64_t reserve_bytes = 0;                     // 0: by the disk's size
        std::optional<uint64_t> catalogue_cache_bytes;  // none: by the memory there is
        bool is_compacting = true;  // off: no space comes back; to measure, or to keep evidence
    } store;
    struct ArchiveSettings {
        std::optional<uint64_t> index_cache_bytes;  // on each core; none: by the memory there is
        // Limits of inflation: kept for the formats that are not built yet.
        uint64_t member_bytes_max = 1ULL << 40;
        uint64_t inflate_ratio_max = 1000;
        uint64_t members_max = 16'000'000;
    } archive;
    struct AccessSettings {
        std::string tokens_file;  // "": no token is needed, and loopback alone is served
    } access;
    // How much is taken on at once, on each core; none: by cores and memory (plan_memory()).
    struct OverloadSettings {
        std::optional<uint32_t> in_flight_max;  // reads, and as many writes; a 16th of listings
        std::optional<uint64_t> buffer_bytes_max;
    } overload;
    struct TlsSettings {
        std::string certificate;      // PEM; "": all addresses are plain
        std::string key;              // PEM
        bool is_on_loopback = false;  // else addresses of this host alone stay plain
    } tls;
    // Whether an address, of HTTP or MessagePack-RPC, speaks TLS; a Unix socket never does.
    bool is_tls(const io::Address& address) const {
        return !tls.certificate.empty() && !address.is_unix() &&
               (tls.is_on_loopback || !address.is_loopback());
    }
    io::http::Limits http_limits;

    // What was asked for and is not built yet, each a sentence for the log.
    std::vector<std::string> not_implemented;
};

// What the arguments ask for: to run (or check) with settings, or to print a text and end.
struct Arguments {
    Settings settings;
    bool only_checks = false;
    std::optional<std::string> printed;  // --help, --version
};

// One line that says what to change.
struct SettingsError {
    std::string text;
};

std::expected<Arguments, SettingsError> parse_arguments(int count, const char* const* values);

// Adds what a TOML file says to `settings`; an error reads `FILE:LINE: key: what is wrong`.
std::expected<void, SettingsError> read_settings(const std::string& path, Settings& settings);

const char* version_text();  // "0.1.0"

}  // namespace penstock::node
