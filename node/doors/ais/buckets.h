// Buckets: /v1/buckets (contract, section 5).
#pragma once

#include <string_view>

#include "node/doors/ais/json.h"
#include "node/doors/ais/names.h"
#include "node/doors/ais/summary.h"

namespace penstock::node::ais {

// `rest` is the path behind "/v1/buckets".
io::Task<Reply> handle_buckets(Call& call, std::string_view rest, SummaryBoard& summaries);

// BucketName as clients have it: {"name", "provider", "namespace": {"uuid", "name"}}.
OrderedJson bucket_json(const BucketName& name);

}  // namespace penstock::node::ais
