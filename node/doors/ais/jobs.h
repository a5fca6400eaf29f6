// Jobs as AIStore's clients ask for them: GET /v1/cluster?what=status, status_all, running_all and
// qryxstats, and PUT /v1/cluster with start and stop (contract, section 9).
#pragma once

#include <string_view>

#include "node/doors/ais/json.h"

namespace penstock::node::ais {

bool is_job_query(std::string_view what);
io::Task<Reply> query_jobs(Call& call, std::string_view what);

// PUT /v1/cluster with "start" or "stop".
io::Task<Reply> start_job(Call& call, const Action& action);
io::Task<Reply> stop_job(Call& call, const Action& action);

}  // namespace penstock::node::ais
