// PUT, DELETE, PATCH and POST of objects.
#include <fmt/format.h>

#include "node/doors/ais/access.h"
#include "node/doors/ais/checksums.h"
#include "node/doors/ais/conditions.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/json.h"
#include "node/doors/ais/object_headers.h"
#include "node/doors/ais/objects.h"
#include "node/doors/ais/routes.h"
#include "node/doors/ais/text.h"
#include "node/doors/ais/uploads.h"

namespace penstock::node::ais {
namespace {

using io::http::Response;

std::expected<CustomMetadata, ApiError> custom_from_json(const Json& value) {
    if (!value.is_object()) {
        return refuse(400, "", "invalid custom metadata: expected an object of strings");
    }
    CustomMetadata custom;
    for (const auto& [key, text] : value.items()) {
        if (!text.is_string()) {
            return refuse(400, "", fmt::format("invalid custom metadata \"{}\"", key));
        }
        custom.emplace_back(key, text.get<std::string>());
    }
    TRY_STATUS(check_custom(custom));
    return custom;
}

Response put_response(const Bucket& bucket, const ObjectAttributes& attributes) {
    Response response = empty_response();
    add_attributes(response.head, bucket, attributes);
    return response;
}

ApiError put_error(const Call& call, const ObjectTarget& target, const PutRequest& asked,
                   const Error& error) {
    ApiError answer = object_error(call, target, error);
    const bool has_differed = error.code == Errc::invalid && asked.expected.has_value();
    if (has_differed) answer.tcode = "ErrBadCksum";
    return answer;
}

io::Task<Reply> put_plain(Call& call, const ObjectTarget& target) {
    PutRequest asked;
    CO_TRY(asked.expected, expected_checksum(call.request.head));
    CO_TRY(asked.custom, custom_from_headers(call.request.head));
    CO_TRY(asked.condition, co_await write_condition(call, target));
    const PutRequest kept{.expected = asked.expected};
    auto stored = co_await call.service.put(call.core, target.address(),
                                            std::move(call.request.body), std::move(asked));
    if (!stored) co_return std::unexpected(put_error(call, target, kept, stored.error()));
    co_return put_response(*target.bucket, *stored);
}

// "ais/@#/bucket/dir/object" (contract, section 1.10): an object of any bucket in one word, to
// which the caller may do what is `wanted`.
std::expected<ObjectTarget, ApiError> object_from_uname(const Call& call, std::string_view uname,
                                                        uint64_t wanted) {
    const std::string_view whole = uname;
    std::string_view parts[3];
    for (std::string_view& part : parts) {
        const size_t slash = uname.find('/');
        if (slash == std::string_view::npos) {
            return refuse(400, "", fmt::format("invalid destination \"{}\"", whole));
        }
        part = uname.substr(0, slash);
        uname.remove_prefix(slash + 1);
    }
    BucketName name{.provider = std::string(parts[0])};
    TRY_STATUS(set_namespace(parts[1], name));
    name.name = parts[2];
    if (!check_bucket_name(name.name) || !check_object_name(uname)) {
        return refuse(400, "errInvalidPath", fmt::format("invalid destination \"{}\"", whole));
    }
    TRY_STATUS(require(call, wanted, name));
    TRY(std::shared_ptr<const Bucket> bucket, find_bucket(call, name));
    return ObjectTarget{std::move(bucket), std::string(uname)};
}

// The copy is a new object: its versions begin anew, its metadata goes along.
io::Task<Reply> copy_object(Call& call, const ObjectTarget& from, std::string_view uname) {
    CO_TRY(const ObjectTarget to, object_from_uname(call, uname, access::put));
    const auto copied = co_await call.service.copy(call.core, from.address(), to.address(), {});
    if (copied) co_return empty_response();
    // Which of the two it is about, a second look tells.
    const auto source = co_await call.service.stat(call.core, from.address());
    co_return std::unexpected(object_error(call, source ? to : from, copied.error()));
}

// Over TLS the SDK sends an upload's head alone at first and waits to be told where to send the
// whole, and no server can tell such a head from another (contract, section 1.4): every upload
// without the mark is sent on, to here. Nothing of its body is read.
std::optional<Response> send_on(const Call& call) {
    const io::http::RequestHead& head = call.request.head;
    if (!call.request.is_tls || call.query.find("pid") || call.path_provider != "") {
        return std::nullopt;
    }
    Response response = empty_response(307);
    response.head.add("Location",
                      fmt::format("https://{}{}?{}{}pid={}&utm={:x}", head.find("Host"), head.path,
                                  head.query, head.query.empty() ? "" : "&", gateway_id(call.node),
                                  call.request.reactor.clock().wall_ns()));
    return response;
}

std::expected<void, ApiError> check_put_options(const Call& call) {
    if (call.query.find_filled("archpath")) return refuse_not_built("append to an archive");
    if (call.query.find_filled("etl_name") || call.query.find_filled("etl_pipeline")) {
        return refuse_not_built("ETL");
    }
    return {};
}

}  // namespace

io::Task<Reply> put_object(Call& call, const ObjectTarget& target) {
    CO_TRY_STATUS(check_put_options(call));
    if (const auto uname = call.query.find_filled("object_to")) {
        co_return co_await copy_object(call, target, *uname);
    }
    if (auto elsewhere = send_on(call)) co_return std::move(*elsewhere);
    if (const auto type = call.query.find_filled("append_type")) {
        co_return co_await append(call, target, *type);
    }
    if (is_part(call)) co_return co_await put_part(call, target);
    co_return co_await put_plain(call, target);
}

io::Task<Reply> delete_object(Call& call, const ObjectTarget& target) {
    CO_TRY(const auto action, co_await read_action_if_any(call));
    if (action && action->action == "evict-listrange") {
        co_return refuse(400, "ErrNotRemoteBck",
                         fmt::format("evict: expecting remote bucket (have {})",
                                     bucket_url(target.bucket->name)));
    }
    if (action && action->action == "mpt-abort") co_return co_await abort_upload(call, target);
    if (action && !action->action.empty()) {
        co_return refuse(400, "", fmt::format("invalid action \"{}\"", action->action));
    }
    CO_TRY(const Condition condition, co_await write_condition(call, target));
    const auto removed = co_await call.service.remove(call.core, target.address(), condition);
    if (removed) co_return empty_response();
    ApiError error = object_error(call, target, removed.error());
    if (error.tcode == "ErrNotFound") {
        error.tcode = "";
        error.message = target.url() + " doesn't exist";
    }
    co_return std::unexpected(std::move(error));
}

io::Task<Reply> patch_object(Call& call, const ObjectTarget& target) {
    CO_TRY(const Action action, co_await read_action(call));
    CO_TRY(CustomMetadata custom, custom_from_json(action.value));
    const auto replaces = boolean_from(call.query.find("set-new-custom").value_or(""));
    if (!replaces) co_return refuse(400, "", "invalid value of set-new-custom");
    const auto changed =
        co_await call.service.set_custom(call.core, target.address(), std::move(custom), *replaces);
    if (!changed) co_return std::unexpected(object_error(call, target, changed.error()));
    co_return empty_response();
}

io::Task<Reply> post_object(Call& call, const ObjectTarget& target) {
    CO_TRY(const Action action, co_await read_action(call));
    // Readers and writers do not exclude each other here, so nothing is ever locked.
    if (action.action == "check-lock") co_return empty_response();
    if (action.action == "rename-obj") {
        if (!check_object_name(action.name)) {
            co_return refuse(400, "errInvalidPath",
                             fmt::format("invalid object name \"{}\"", action.name));
        }
        const Status renamed =
            co_await call.service.rename(call.core, target.address(), action.name);
        if (!renamed) co_return std::unexpected(object_error(call, target, renamed.error()));
        co_return empty_response();
    }
    if (action.action == "mpt-upload") co_return co_await begin_upload(call, target);
    if (action.action == "mpt-complete") {
        co_return co_await complete_upload(call, target, action);
    }
    co_return refuse(400, "", fmt::format("invalid action \"{}\"", action.action));
}

}  // namespace penstock::node::ais
