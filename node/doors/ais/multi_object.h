// Verbs on a bucket, or on many of its objects, that are jobs: delete, copy, rename, rechunk,
// promote (contract, sections 5.4, 7.10, 8).
#pragma once

#include <string_view>

#include "node/doors/ais/json.h"

namespace penstock::node::ais {

// DELETE /v1/buckets/{b} with "delete-listrange".
io::Task<Reply> delete_many(Call& call, const BucketName& name, const Action& action);
// POST /v1/buckets/{b} with "copy-listrange", "copy-bck" or "move-bck".
io::Task<Reply> copy_many(Call& call, const BucketName& name, const Action& action);
io::Task<Reply> copy_bucket(Call& call, const BucketName& name, const Action& action);
io::Task<Reply> rename_bucket(Call& call, const BucketName& name);
// The same with "rechunk"; started as a job without more it takes the bucket's own rule.
io::Task<Reply> rechunk(Call& call, const BucketName& name, const Action& action);
// POST /v1/objects/{b} with "promote".
io::Task<Reply> promote(Call& call, const BucketName& name, const Action& action);

}  // namespace penstock::node::ais
