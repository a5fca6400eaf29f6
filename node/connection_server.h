// ConnectionServer: what serves connections of one protocol on one core, as the front that accepts
// and deals them sees it. Made, used and destroyed on its core.
#pragma once

#include <cstdint>
#include <memory>

#include "io/task.h"
#include "io/tls.h"

namespace penstock::node {

// What connections over TLS begin with: a core's, changed there.
using TlsSlot = std::shared_ptr<const io::TlsContext>;

class ConnectionServer {
public:
    virtual ~ConnectionServer() = default;

    // Takes over a connected descriptor and serves it until it ends; over TLS if its listener says
    // so.
    virtual void serve(int descriptor, bool is_tls) = 0;
    virtual uint32_t connection_count() const = 0;
    // Connections end when they have answered what they are in; at the deadline they are cut.
    virtual io::Task<void> stop(uint64_t deadline_ns) = 0;
};

}  // namespace penstock::node
