// Server: serves MessagePack-RPC connections on one core: bytes in, bytes out, and their limits.
// What the messages mean is session.h's business.
#pragma once

#include <memory>

#include "node/connection_server.h"
#include "node/doors/rpc/session.h"

namespace penstock::node::rpc {

struct ServerLimits {
    uint64_t progress_timeout_ns = 30'000'000'000;   // for more of a message, or for sending more
    uint64_t handshake_timeout_ns = 10'000'000'000;  // of TLS
    uint64_t idle_timeout_ns = 3'600'000'000'000;    // between messages: pools keep connections
    uint32_t connections_max = 16'384;               // above: closed at once
};

// Made, used and stopped on its core.
class Server final : public ConnectionServer {
public:
    // `service`, `jobs`, `node`, `access` and the core's `admission` outlive it, and so do the
    // core's reactor, buffers and `tls`, which is what connections that speak TLS begin with.
    Server(ObjectService& service, Jobs& jobs, const NodeIdentity& node, const Access& access,
           Admission& admission, io::Reactor& reactor, io::BufferPool& buffers, const TlsSlot& tls,
           const ServerLimits& limits);
    ~Server() override;  // asserts that stop() ran

    void serve(int descriptor, bool is_tls) override;
    uint32_t connection_count() const override;
    // No message is read any more; calls that are under way are answered, and what is not done by
    // the deadline is cut.
    io::Task<void> stop(uint64_t deadline_ns) override;

    // For node.status; before the first call. It outlives the server.
    void show(MountpathSet& mountpaths);
    const RequestMetrics& metrics() const;
    uint64_t leased_bytes() const;

private:
    class Connection;
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock::node::rpc
