// Multipart uploads and appends (contract, sections 11 and 7.6): what PUT, POST and DELETE of an
// object mean with `uploadId`, `partNumber` or `append_type`.
#pragma once

#include "node/doors/ais/json.h"
#include "node/doors/ais/names.h"

namespace penstock::node::ais {

// The request is about a part of an upload.
bool is_part(const Call& call);
io::Task<Reply> put_part(Call& call, const ObjectTarget& target);
io::Task<Reply> begin_upload(Call& call, const ObjectTarget& target);
io::Task<Reply> complete_upload(Call& call, const ObjectTarget& target, const Action& action);
io::Task<Reply> abort_upload(Call& call, const ObjectTarget& target);

// `type`: the query's append_type.
io::Task<Reply> append(Call& call, const ObjectTarget& target, std::string_view type);

}  // namespace penstock::node::ais
