// Front: the side of the node that clients of one protocol connect to: a server on each core, the
// listeners on core 0, and the dealing of each new connection to the core that has the fewest.
//
// Made, used and stopped by one thread that is none of the cores, except where it is said.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "io/cores.h"
#include "io/http/connection.h"
#include "io/socket.h"
#include "node/connection_server.h"

namespace penstock::node {

class Front {
public:
    // Makes the server of a core, on that core.
    using MakeServer = std::function<std::unique_ptr<ConnectionServer>(uint32_t core)>;

    // `cores` outlives it.
    Front(io::Cores& cores, const MakeServer& make_server);
    ~Front();  // asserts that stop() ran

    // The address that it listens at, with its port. `is_tls`: what its connections speak.
    Result<io::Address> listen(const io::Address& address, bool is_tls = false);
    // A descriptor that listens already.
    io::Address adopt(int descriptor, bool is_tls = false);

    // On that core; until the front is destroyed.
    uint32_t connection_count(uint32_t core) const { return servers_[core]->connection_count(); }

    // Takes no more connections; those that are open end after the request they are in, and at
    // the latest when `patience_ns` have passed.
    void stop(uint64_t patience_ns);

private:
    // A connection on its way to its core, and back with what that core has now.
    struct Deal : io::Message {
        Front* front = nullptr;
        uint32_t core = 0;
        int descriptor = -1;
        bool is_tls = false;
        uint32_t connection_count = 0;
    };
    // What core 0 knows of each core. Connections that ended are only noticed when it asks.
    struct Load {
        uint32_t connection_count = 0;
        uint32_t underway_count = 0;
        uint32_t total() const { return connection_count + underway_count; }
    };

    io::Task<void> make_here(uint32_t core, const MakeServer& make_server);
    io::Task<Status> listen_here(io::Address address, bool is_tls);
    io::Task<void> adopt_here(int descriptor, bool is_tls);
    io::Task<void> stop_listeners();
    io::Task<void> stop_server(uint32_t core, uint64_t patience_ns);
    io::Task<void> destroy_server(uint32_t core);

    void on_connection(int descriptor, bool is_tls);
    void ask_for_loads();
    void send(uint32_t core, int descriptor, bool is_tls);
    static void on_dealt(io::Message& message);
    static void on_returned(io::Message& message);

    io::Cores& cores_;
    std::vector<std::unique_ptr<ConnectionServer>> servers_;
    std::vector<std::unique_ptr<io::Listener>> listeners_;
    std::vector<Load> loads_;
    uint64_t asked_ns_ = 0;
    bool is_stopped_ = false;
};

// Serves HTTP on one core; `handler` and `tls` outlive the server.
std::unique_ptr<ConnectionServer> make_http_server(io::Cores& cores, uint32_t core,
                                                   io::http::Handler& handler, const TlsSlot& tls,
                                                   const io::http::Limits& limits);

}  // namespace penstock::node
