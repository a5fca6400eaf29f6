// A bucket's access bits (contract, section 19.5) in words: the service decides, the door says why.
#pragma once

#include <string_view>

#include "io/http/head.h"
#include "node/doors/ais/call.h"
#include "node/metadata/bucket.h"

namespace penstock::node::ais {

// "PUT", "DELETE-OBJECT": what the method does to an object.
std::string_view object_operation(io::http::Method method);
// 403 that names what is allowed.
ApiError access_denied(const Bucket& bucket, std::string_view operation);

}  // namespace penstock::node::ais
