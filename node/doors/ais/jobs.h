// Queries about jobs (contract, section 9.3). There are none yet, so these are the answers of a
// cluster in which no job has run.
#pragma once

#include <string_view>

#include "node/doors/ais/call.h"

namespace penstock::node::ais {

// `what` is `status`, `status_all`, `running_all` or `qryxstats`.
bool is_job_query(std::string_view what);
io::Task<Reply> query_jobs(Call& call, std::string_view what);

// A kind or its display name (contract, section 19.2).
bool is_job_kind(std::string_view kind);

}  // namespace penstock::node::ais
