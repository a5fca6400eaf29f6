// Which archive a client means, and what it is told when a member is not there.
#pragma once

#include <string_view>

#include "archive/shard_index.h"
#include "io/base/result.h"

namespace penstock::node {

// By the hint (an extension with or without its dot, or a MIME type; "" if there is none), else by
// the object's name; `none`: its bytes must tell. `invalid`: no such format.
Result<archive::Format> format_of(std::string_view hint, std::string_view object);

// Whether an index of a TAR may be used for it.
inline bool is_read_as_tar(archive::Format format) {
    return format == archive::Format::tar || format == archive::Format::none;
}

// `not_found`; but `corrupt`, with the place, if the member may lie behind damage.
Error member_missing(const archive::ShardIndex& index, std::string_view member);

}  // namespace penstock::node
