// Listing a bucket for AIStore's clients: pages, directories, and shards opened up into their
// members.
#pragma once

#include <memory>

#include "node/doors/ais/call.h"
#include "node/doors/ais/list_request.h"
#include "node/metadata/bucket.h"

namespace penstock::node::ais {

// One page, as MessagePack if the request accepts it, else as JSON.
io::Task<Reply> list_objects(Call& call, std::shared_ptr<const Bucket> bucket, ListRequest request);

// A listing's, a summary's or a job's id: 9 of [0-9A-Za-z], not drawn twice within reason.
std::string make_id(const Call& call);

}  // namespace penstock::node::ais
