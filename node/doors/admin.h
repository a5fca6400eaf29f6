// AdminDoor: /metrics for Prometheus, which needs any token where tokens are needed at all, and
// /health for whoever watches the process, which needs none.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "io/http/connection.h"
#include "node/doors/request_metrics.h"
#include "node/node_identity.h"
#include "node/service/access.h"
#include "node/service/object_service.h"

namespace penstock::node {

// What one core counts; asked for on that core.
struct CoreFigures {
    RequestMetrics requests;
    uint64_t http_connections = 0;
    uint64_t rpc_connections = 0;
    uint64_t batch_bytes = 0;  // handed out as descriptors and leased
    uint64_t busy_ns = 0;
    uint64_t buffer_bytes = 0;  // of bodies, coming or going
    std::array<uint64_t, bounded_class_count> in_flight{};
    std::array<uint64_t, bounded_class_count> refused{};
};

class MountpathSet;

class AdminDoor {
public:
    struct Core {
        io::Reactor* reactor = nullptr;
        std::function<CoreFigures()> figures;
    };

    // All outlive the door.
    AdminDoor(ObjectService& service, const NodeIdentity& node, const Access& access,
              std::vector<Core> cores)
        : service_(service), node_(node), access_(access), cores_(std::move(cores)) {}

    // Until then there are no figures of each mountpath; it outlives the door.
    void show(MountpathSet& mountpaths) { mountpaths_ = &mountpaths; }

    static bool is_for(std::string_view path) { return path == "/metrics" || path == "/health"; }
    // `is_draining`: the node is stopping and takes no new work.
    io::Task<io::http::Response> handle(uint32_t core, io::http::Request& request,
                                        bool is_draining);

private:
    io::Task<std::string> metrics_text(uint32_t core);

    ObjectService& service_;
    const NodeIdentity& node_;
    const Access& access_;
    MountpathSet* mountpaths_ = nullptr;
    std::vector<Core> cores_;
};

}  // namespace penstock::node
