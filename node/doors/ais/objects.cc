#include "node/doors/ais/objects.h"

#include <fmt/format.h>

#include "node/doors/ais/access.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/json.h"
#include "node/doors/ais/multi_object.h"

namespace penstock::node::ais {
namespace {

constexpr std::string_view allowed = "DELETE, GET, HEAD, PATCH, POST, PUT";

// POST to a bucket's objects as a whole.
io::Task<Reply> post_objects(Call& call, std::string_view bucket) {
    CO_TRY(const BucketName name, bucket_from(call, bucket));
    CO_TRY(const Action action, co_await read_action(call));
    CO_TRY(const auto found, find_bucket(call, name));
    if (action.action == "promote") co_return co_await promote(call, name, action);
    if (action.action == "blob-download") {
        co_return refuse(400, "ErrNotRemoteBck",
                         fmt::format("blob-download: expecting remote bucket (have {})",
                                     bucket_url(found->name)));
    }
    co_return refuse(400, "", fmt::format("invalid action \"{}\"", action.action));
}

io::Task<Reply> handle_object(Call& call, const ObjectTarget& target) {
    using io::http::Method;
    switch (call.method()) {
        case Method::get:
            return get_object(call, target);
        case Method::head:
            return head_object(call, target);
        case Method::put:
            return put_object(call, target);
        case Method::del:
            return delete_object(call, target);
        case Method::patch:
            return patch_object(call, target);
        default:
            return post_object(call, target);
    }
}

Reply answer_options() {
    io::http::Response response = empty_response();
    response.head.add("Allow", allowed);
    return response;
}

}  // namespace

io::Task<Reply> handle_objects(Call& call, std::string_view rest) {
    using io::http::Method;
    if (call.method() == Method::options) co_return answer_options();
    if (call.method() == Method::other) co_return refuse_method(allowed);
    const FirstElement bucket = split_first(rest);
    if (bucket.element.empty()) co_return refuse_short(call, 4, 2);
    if (bucket.rest.empty()) {
        if (call.method() == Method::post) co_return co_await post_objects(call, bucket.element);
        co_return refuse_short(call, 4, 3);
    }
    CO_TRY(const ObjectTarget target, object_from(call, bucket.element, bucket.rest));
    co_return co_await handle_object(call, target);
}

ApiError object_error(const Call& call, const ObjectTarget& target, const Error& error) {
    switch (error.code) {
        case Errc::not_found:
            if (!call.service.find_bucket(call.core, target.bucket->name)) {
                return bucket_missing(target.bucket->name);
            }
            return object_missing(call.node, target.bucket->name, target.object);
        case Errc::denied:
            return access_denied(*target.bucket, object_operation(call.method()));
        case Errc::condition_failed:
            return {412,
                    "ErrPreconditionFailed",
                    fmt::format("{} is not the version that was asked for", target.url()),
                    {},
                    false,
                    false};
        default:
            return api_error(error, target.url());
    }
}

}  // namespace penstock::node::ais
