// Objects: /v1/objects/BUCKET/OBJECT (contract, section 7).
#pragma once

#include <string_view>

#include "node/doors/ais/names.h"

namespace penstock::node::ais {

// `rest` is the path behind "/v1/objects".
io::Task<Reply> handle_objects(Call& call, std::string_view rest);

io::Task<Reply> get_object(Call& call, const ObjectTarget& target);
io::Task<Reply> head_object(Call& call, const ObjectTarget& target);
io::Task<Reply> put_object(Call& call, const ObjectTarget& target);
io::Task<Reply> delete_object(Call& call, const ObjectTarget& target);
io::Task<Reply> patch_object(Call& call, const ObjectTarget& target);
io::Task<Reply> post_object(Call& call, const ObjectTarget& target);

// A call on the service about this object that failed. A bucket that went meanwhile is told from
// an object that is not there.
ApiError object_error(const Call& call, const ObjectTarget& target, const Error& error);

}  // namespace penstock::node::ais
