// Routes: every request that the door knows, and what a caller must be allowed for it (contract,
// section 18, "Required bits"). What stands in no row needs an administrator: a route that somebody
// forgets here is closed, not open.
//
// A request is authorized in two steps, because many say only in their body what they want: the
// door looks for its row before anything of the body is read, and where the rows differ by action,
// reading the action looks again (json.h).
#pragma once

#include <expected>
#include <span>
#include <string_view>

#include "node/doors/ais/call.h"

namespace penstock::node::ais {

struct Route {
    Resource resource;
    io::http::Method method;
    Place place;
    std::string_view query;   // a key that the query has, filled; "": whatever it has
    std::string_view action;  // of the body; "": of a body without one; any_action: whatever
    uint64_t wanted;          // of the bucket, or of the cluster
    // Of the other bucket that the request names; its handler asks for it: require().
    uint64_t wanted_there = 0;
};

constexpr std::string_view any_action = "*";

// In the order in which they are tried.
std::span<const Route> routes();

// First step: 401 without a token that counts, 403 without the right, 400 for a bucket's name that
// cannot be. Sets the call's `resource` and `bucket`. `rest` is the path behind the resource.
std::expected<void, ApiError> authorize(Call& call, Resource resource, std::string_view rest);
// Second step, where the first one left it open.
std::expected<void, ApiError> authorize_action(Call& call, std::string_view action);

// Of another bucket than the one in the path: the destination of a copy. 401, 403.
std::expected<void, ApiError> require(const Call& call, uint64_t wanted, const BucketName& bucket);
// Whether the caller may know that there is such a bucket.
bool may_see(const Call& call, const BucketName& bucket);

}  // namespace penstock::node::ais
