// Router: gives each HTTP request to the door that its path belongs to, unless its core has more to
// do than it should, and counts it. The one Handler of every core's server.
#pragma once

#include <memory>
#include <vector>

#include "io/http/connection.h"
#include "node/doors/admin.h"
#include "node/doors/ais/ais_door.h"
#include "node/doors/request_metrics.h"
#include "node/service/admission.h"

namespace penstock::node {

class Router final : public io::http::Handler {
public:
    // One admission for each core; they outlive the router.
    explicit Router(std::vector<Admission*> admissions);
    // Before anything is handled; both outlive the router's use.
    void attach(AisDoor& ais, AdminDoor& admin);

    io::Task<io::http::Response> handle(io::http::Request& request) override;
    io::http::Response refuse(io::BufferPool& buffers, const io::http::HeadError& error) override;

    // On that core.
    const RequestMetrics& metrics(uint32_t core) const { return cores_[core]->metrics; }
    void set_draining(uint32_t core) { cores_[core]->is_draining = true; }

private:
    struct alignas(64) Core {
        Admission* admission = nullptr;
        RequestMetrics metrics;
        bool is_draining = false;
    };

    std::vector<std::unique_ptr<Core>> cores_;
    AisDoor* ais_ = nullptr;
    AdminDoor* admin_ = nullptr;
};

}  // namespace penstock::node
