#include "node/doors/ais/routes.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/doors/ais/errors.h"
#include "node/doors/ais/names.h"
#include "node/doors/ais/text.h"
#include "node/doors/bearer.h"

namespace penstock::node::ais {
namespace {

using enum Resource;
constexpr Place on_cluster = Place::cluster;
constexpr Place on_bucket = Place::bucket;
constexpr Place on_object = Place::object;
using io::http::Method;

constexpr Route all[] = {
    {objects, Method::get, on_object, "", any_action, access::get},
    {objects, Method::head, on_object, "", any_action, access::head_object},
    {objects, Method::put, on_object, "object_to", any_action, access::get, access::put},
    {objects, Method::put, on_object, "append_type", any_action, access::append},
    {objects, Method::put, on_object, "", any_action, access::put},
    {objects, Method::patch, on_object, "", any_action, access::update_object},
    {objects, Method::del, on_object, "", "mpt-abort", access::put},
    {objects, Method::del, on_object, "", "evict-listrange", access::delete_object},
    {objects, Method::del, on_object, "", "", access::delete_object},
    {objects, Method::post, on_object, "", "check-lock", access::head_object},
    {objects, Method::post, on_object, "", "rename-obj", access::move_object},
    {objects, Method::post, on_object, "", "mpt-upload", access::put},
    {objects, Method::post, on_object, "", "mpt-complete", access::put},
    {objects, Method::post, on_bucket, "", "promote", access::promote},
    {objects, Method::post, on_bucket, "", "blob-download", access::get},

    {buckets, Method::get, on_cluster, "", "", access::list_buckets},
    {buckets, Method::get, on_cluster, "", "list", access::list_buckets},
    {buckets, Method::get, on_cluster, "", "summary-bck", access::list_buckets},
    {buckets, Method::get, on_bucket, "", "", access::list_objects},
    {buckets, Method::get, on_bucket, "", "list", access::list_objects},
    {buckets, Method::get, on_bucket, "", "summary-bck", access::list_objects},
    {buckets, Method::get, on_bucket, "", "summary-shard", access::list_objects},
    {buckets, Method::get, on_bucket, "", "show-inventory", access::list_objects},
    {buckets, Method::head, on_bucket, "", any_action, access::head_bucket},
    {buckets, Method::post, on_bucket, "", "create-bck", access::create_bucket},
    {buckets, Method::post, on_bucket, "", "move-bck", access::move_bucket, access::create_bucket},
    {buckets, Method::post, on_bucket, "", "copy-bck", access::get | access::list_objects,
     access::put},
    {buckets, Method::post, on_bucket, "", "copy-listrange", access::get | access::list_objects,
     access::put},
    {buckets, Method::post, on_bucket, "", "prefetch-listrange", access::get},
    {buckets, Method::put, on_bucket, "", "archive", access::get | access::put},
    {buckets, Method::patch, on_bucket, "", "set-bprops", access::patch_bucket},
    {buckets, Method::patch, on_bucket, "", "reset-bprops", access::patch_bucket},
    {buckets, Method::del, on_bucket, "", "delete-listrange", access::delete_object},
    {buckets, Method::del, on_bucket, "", "evict-listrange", access::delete_object},
    {buckets, Method::del, on_bucket, "", "evict-remote-bck", access::destroy_bucket},
    {buckets, Method::del, on_bucket, "", "destroy-bck", access::destroy_bucket},

    {health, Method::get, on_cluster, "cii", any_action, access::show_cluster},
    {health, Method::get, on_cluster, "", any_action, access::anyone},
    {health, Method::head, on_cluster, "", any_action, access::anyone},
    {daemon, Method::get, on_cluster, "", any_action, access::show_cluster},
    {reverse, Method::get, on_cluster, "", any_action, access::show_cluster},
    {cluster, Method::get, on_cluster, "", any_action, access::show_cluster},
    {later, Method::get, on_cluster, "", any_action, access::show_cluster},
    {tokens, Method::get, on_cluster, "", any_action, access::show_cluster},
    {tokens, Method::post, on_cluster, "", any_action, access::any_role},
};

bool matches(const Route& route, const Call& call) {
    return route.resource == call.resource && route.method == call.method() &&
           route.place == call.place &&
           (route.query.empty() || call.query.find_filled(route.query).has_value());
}

Place place_of(const Call& call, std::string_view rest) {
    if (call.resource != objects && call.resource != buckets) return Place::cluster;
    const FirstElement first = split_first(rest);
    if (first.element.empty()) return Place::cluster;
    return call.resource == objects && !first.rest.empty() ? Place::object : Place::bucket;
}

std::expected<void, ApiError> refusal(const Call& call, Decision decision,
                                      const BucketName* bucket) {
    if (decision == Decision::allowed) return {};
    ApiError error;
    if (decision == Decision::unauthenticated) {
        error.status = 401;
        error.message =
            call.principal.token ? "invalid token from header \"Authorization\"" : "token required";
        error.headers.emplace_back("WWW-Authenticate", bearer_challenge);
    } else {
        error.status = 403;
        error.message = fmt::format("user `{}` has insufficient permissions: [{}]",
                                    call.access.name_of(call.core, call.principal),
                                    bucket != nullptr ? bucket_url(*bucket) : "cluster");
    }
    return std::unexpected(std::move(error));
}

std::expected<void, ApiError> check(const Call& call, uint64_t wanted, const BucketName* bucket) {
    return refusal(call, call.access.decide(call.core, call.principal, wanted, bucket), bucket);
}

const BucketName* bucket_of(const Call& call) {
    return call.bucket ? &*call.bucket : nullptr;
}

}  // namespace

std::span<const Route> routes() {
    return all;
}

std::expected<void, ApiError> authorize(Call& call, Resource resource, std::string_view rest) {
    call.resource = resource;
    call.is_authorized = !call.access.is_required(call.core);
    if (call.is_authorized) return {};
    call.place = place_of(call, rest);
    // Nothing is done for these.
    if (call.method() == Method::options || call.method() == Method::other) {
        call.is_authorized = true;
        return check(call, access::any_role, nullptr);
    }
    const auto* row =
        std::ranges::find_if(all, [&](const Route& route) { return matches(route, call); });
    const bool is_known = row != std::end(all);
    // Who is nobody is told nothing of names.
    if (!is_known || row->wanted != access::anyone) {
        TRY_STATUS(check(call, access::any_role, nullptr));
    }
    if (call.place != Place::cluster) {
        TRY(call.bucket, any_bucket_from(call, split_first(rest).element));
    }
    if (is_known && row->action != any_action) return {};  // the second step's
    call.is_authorized = true;
    return check(call, is_known ? row->wanted : access::admin, bucket_of(call));
}

std::expected<void, ApiError> authorize_action(Call& call, std::string_view action) {
    if (call.is_authorized) return {};
    const auto* row = std::ranges::find_if(
        all, [&](const Route& route) { return matches(route, call) && route.action == action; });
    call.is_authorized = true;
    return check(call, row != std::end(all) ? row->wanted : access::admin, bucket_of(call));
}

std::expected<void, ApiError> require(const Call& call, uint64_t wanted, const BucketName& bucket) {
    return check(call, wanted, &bucket);
}

bool may_see(const Call& call, const BucketName& bucket) {
    return call.access.decide(call.core, call.principal, access::head_bucket, &bucket) ==
           Decision::allowed;
}

}  // namespace penstock::node::ais
