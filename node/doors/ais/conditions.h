// Conditional requests (RFC 9110, section 13): entity tags and dates, for reading and writing.
#pragma once

#include <expected>
#include <optional>
#include <string_view>

#include "node/doors/ais/names.h"

namespace penstock::node::ais {

// Whether a list of entity tags, or "*", names `etag`. Weak ones count where `is_weak_enough`.
bool names_etag(std::string_view list, std::string_view etag, bool is_weak_enough);

// The answer (304 or 412) if a GET or HEAD must not have the object; nullopt: go on.
std::optional<Reply> unmet_condition(const Call& call, const ObjectAttributes& attributes);
// False if the Range header counts for another version than this one (If-Range).
bool is_range_meant(const Call& call, const ObjectAttributes& attributes);

// What If-Match and If-None-Match ask of a change; 412 if it cannot hold whatever happens.
io::Task<std::expected<Condition, ApiError>> write_condition(Call& call,
                                                             const ObjectTarget& target);
ApiError condition_failed(const ObjectTarget& target);

}  // namespace penstock::node::ais
