// AisDoor: AIStore's REST API (/v1) and its easy URLs (/ais, /gs, /az), answered from the object
// service. It translates and nothing else; what is built and what answers 501 stands in
// node/doors/DESIGN.md.
//
// One for the node, called on every core at once. What little it remembers between requests
// (summaries being counted) lives on the home core.
#pragma once

#include <string_view>

#include "io/http/connection.h"
#include "node/doors/ais/statistics.h"
#include "node/doors/ais/summary.h"
#include "node/doors/ais/text.h"
#include "node/node_identity.h"
#include "node/service/object_service.h"

namespace penstock::node {

class MountpathSet;

class AisDoor {
public:
    // All of them outlive the door. `home`: the reactor of core 0.
    AisDoor(ObjectService& service, Jobs& jobs, const NodeIdentity& node, const Access& access,
            io::Reactor& home);

    // Mountpaths can be shown and changed from now on; before the first request.
    void manage(MountpathSet& mountpaths) { mountpaths_ = &mountpaths; }

    // The node's certificate can be shown; before the first request. `certificate` gives a core's,
    // on that core, null if there is none.
    void show_certificate(ais::CertificateOf certificate, ais::LoadCertificate load) {
        certificate_of_ = std::move(certificate);
        load_certificate_ = std::move(load);
    }

    // What was logged last can be read; before the first request. It outlives the door.
    void show_log(RecentLog* log) { log_ = log; }
    // What is counted can be read and reset; before the first request.
    void show_statistics(ais::Statistics::Gather gather) {
        statistics_.count_with(std::move(gather));
    }

    // Whether a path is this door's: "/v1...", "/ais...", "/gs...", "/az...".
    static bool is_for(std::string_view path);

    // Any request, whatever its path; `core` is the caller's own.
    io::Task<io::http::Response> handle(uint32_t core, io::http::Request& request);
    // The answer to a request without a head: its status and sentence in the contract's form.
    io::http::Response refuse(io::BufferPool& buffers, const io::http::HeadError& error) const;

    // The answer to a request that the core cannot take on now: 503, Retry-After.
    io::http::Response refuse_overload(const io::http::Request& request) const;

    // On the home core: waits for what runs in the background.
    io::Task<void> stop();

private:
    io::Task<ais::Reply> route(ais::Call& call);
    io::Task<ais::Reply> serve(ais::Call& call, ais::FirstElement resource);
    io::Task<ais::Reply> route_v1(ais::Call& call, std::string_view rest);
    io::Task<ais::Reply> route_easy(ais::Call& call, std::string_view provider,
                                    std::string_view rest);

    ObjectService& service_;
    Jobs& jobs_;
    const NodeIdentity& node_;
    const Access& access_;
    MountpathSet* mountpaths_ = nullptr;
    ais::CertificateOf certificate_of_;
    ais::LoadCertificate load_certificate_;
    RecentLog* log_ = nullptr;
    ais::Statistics statistics_;
    ais::SummaryBoard summaries_;
};

}  // namespace penstock::node
