// Supervisor: whoever started this process and wants to hear how it fares: systemd, or anything
// that speaks its protocol of two environment variables. Written by hand: the library would cost
// more at each start than these few lines do for ever.
//
// Called by `main` on its own thread. Nothing here fails loudly: who is not there is not told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::io {

class Supervisor {
public:
    // Reads and clears NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID, LISTEN_FDS, LISTEN_PID and
    // LISTEN_FDNAMES, so that no child takes them for its own.
    static Supervisor from_environment();

    // "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..."; several are divided by '\n'.
    void notify(std::string_view state) const;
    // "RELOADING=1" with the time that the protocol asks for.
    void notify_reloading() const;
    // How often a "WATCHDOG=1" is waited for; nullopt: not at all.
    std::optional<uint64_t> watchdog_ns() const { return watchdog_ns_; }

    struct Listener {
        int descriptor;
        std::string name;  // "http", "rpc", ...; "unknown" if it was given none
    };
    // Sockets that listen already. They stay open until somebody adopts them.
    const std::vector<Listener>& listeners() const { return listeners_; }

private:
    std::string socket_path_;  // "": nobody wants to hear
    std::optional<uint64_t> watchdog_ns_;
    std::vector<Listener> listeners_;
};

}  // namespace penstock::io
