// What jobs are called and look like to AIStore's clients (contract, sections 9.2, 9.3 and 19.2).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "node/doors/ais/json.h"
#include "node/jobs/job.h"

namespace penstock::node::ais {

struct KindName {
    std::string_view name;
    std::string_view display;                    // "": the same
    std::optional<JobKind> kind = std::nullopt;  // none: no such job is built
    bool is_startable = false;                   // by PUT /v1/cluster
};

// By either of its names; null if there is none.
const KindName* find_kind(std::string_view name);
std::string_view kind_name(JobKind kind);

// "copy-listrange[tco-...]"
std::string job_name(const JobSnapshot& job);
// One target's view of a job.
OrderedJson snapshot_json(const NodeIdentity& node, const JobSnapshot& job);
OrderedJson status_json(const NodeIdentity& node, const JobSnapshot& job);

}  // namespace penstock::node::ais
