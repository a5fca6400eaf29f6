#include "node/doors/ais/buckets.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/doors/ais/access.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/listing.h"
#include "node/doors/ais/multi_object.h"
#include "node/doors/ais/properties.h"
#include "node/doors/ais/routes.h"
#include "node/doors/ais/text.h"
#include "node/service/bucket_defaults.h"

namespace penstock::node::ais {
namespace {

using io::http::Method;
using io::http::Response;

constexpr std::string_view allowed = "DELETE, GET, HEAD, PATCH, POST, PUT";

// Actions of the contract whose time has not come, by method.
struct LaterAction {
    Method method;
    std::string_view name;
};
constexpr LaterAction later_actions[] = {
    {Method::get, "summary-shard"},  {Method::post, "etl-bck"},   {Method::post, "etl-listrange"},
    {Method::post, "make-n-copies"}, {Method::post, "ec-encode"}, {Method::post, "index-shard"},
    {Method::put, "archive"},
};

std::unexpected<ApiError> refuse_action(const Call& call, std::string_view action) {
    for (const LaterAction& later : later_actions) {
        if (later.method == call.method() && later.name == action) return refuse_not_built(action);
    }
    return refuse(400, "", fmt::format("invalid action \"{}\"", action));
}

std::unexpected<ApiError> refuse_remote_only(std::string_view action, const BucketName& name) {
    return refuse(400, "ErrNotRemoteBck",
                  fmt::format("{}: expecting remote bucket (have {})", action, bucket_url(name)));
}

// Inventories are lists of remote buckets (contract, section 14.3).
std::unexpected<ApiError> refuse_inventory(const BucketName& name) {
    return refuse(400, "", fmt::format("bucket \"{}\" has no inventories", bucket_url(name)));
}

ApiError bucket_error(const Call& call, const BucketName& name, std::string_view operation,
                      const Error& error) {
    if (error.code == Errc::not_found) return bucket_missing(name);
    if (error.code == Errc::exists) {
        return {409,
                "ErrBucketAlreadyExists",
                fmt::format("bucket \"{}\" already exists", bucket_url(name)),
                {},
                false,
                false};
    }
    if (error.code == Errc::denied) {
        if (const auto bucket = call.service.find_bucket(call.core, name)) {
            return access_denied(*bucket, operation);
        }
    }
    return api_error(error, bucket_url(name));
}

// What a list of buckets is narrowed to.
struct BucketFilter {
    std::string_view name;
    std::optional<BucketName> namespace_of;
    bool is_remote_only = false;  // "@@#": buckets of attached clusters, of which there are none

    bool matches(const BucketName& bucket) const {
        if (is_remote_only || bucket.name.starts_with('.')) return false;
        if (!name.empty() && bucket.name != name) return false;
        return !namespace_of || (namespace_of->namespace_uuid == bucket.namespace_uuid &&
                                 namespace_of->namespace_name == bucket.namespace_name);
    }
};

Reply list_buckets(const Call& call, const std::string& name) {
    TRY(const std::string_view provider, provider_from(call));
    if (provider != "ais") return refuse(400, "ErrMissingBackend", missing_backend(provider));
    BucketFilter filter{.name = name};
    if (const auto text = call.query.find_filled("namespace")) {
        filter.is_remote_only = *text == "@@#";
        if (!filter.is_remote_only) {
            TRY_STATUS(set_namespace(*text, filter.namespace_of.emplace()));
        }
    }
    OrderedJson list = OrderedJson::array();
    for (const auto& bucket : call.service.buckets(call.core)) {
        if (filter.matches(bucket->name) && may_see(call, bucket->name))
            list.push_back(bucket_json(bucket->name));
    }
    return json_response(call.request.buffers, list.dump());
}

std::string decimal(uint64_t value) {
    return std::to_string(value);
}

OrderedJson summary_json(const BucketSummary& summary, const StoreUsage& usage, bool is_present) {
    OrderedJson json = bucket_json(summary.bucket->name);
    const uint64_t average = summary.objects == 0 ? 0 : summary.bytes / summary.objects;
    json["ObjCount"] = {{"obj_count_present", decimal(summary.objects)}, {"obj_count_remote", "0"}};
    json["ObjSize"] = {{"obj_min_size", summary.bytes_min},
                       {"obj_avg_size", average},
                       {"obj_max_size", summary.bytes_max}};
    json["TotalSize"] = {{"size_on_disk", decimal(summary.disk_bytes)},
                         {"size_all_present_objs", decimal(summary.bytes)},
                         {"size_all_remote_objs", "0"},
                         {"total_disks_size", decimal(usage.space.total_bytes)}};
    const uint64_t total = std::max<uint64_t>(usage.space.total_bytes, 1);
    json["used_pct"] = summary.bytes / (total / 100 + 1);
    json["is_present"] = is_present;
    return json;
}

ApiError summary_error(const std::string& id, const Error& error) {
    if (error.code != Errc::not_found) return api_error(error, "summary " + id);
    return {404, "ErrXactNotFound", fmt::format("\"x-[{}]\" not found", id), {}, false, false};
}

io::Task<Reply> summary_of(Call& call, SummaryBoard& summaries, BucketList buckets,
                           const Json& value) {
    const std::string id = string_of(value, "uuid");
    if (id.empty()) {
        const auto begun =
            co_await summaries.begin(call, std::move(buckets), string_of(value, "prefix"));
        if (!begun) co_return std::unexpected(summary_error("", begun.error()));
        Response response = text_response(call.request.buffers, *begun);
        response.head.set_status(202);
        co_return response;
    }
    const auto outcome = co_await summaries.look(call, id);
    if (!outcome) co_return std::unexpected(summary_error(id, outcome.error()));
    if (!outcome->is_done) co_return empty_response(202);
    OrderedJson list = OrderedJson::array();
    const StoreUsage usage = call.service.usage();
    for (const BucketSummary& summary : outcome->summaries) {
        list.push_back(summary_json(summary, usage, false));
    }
    co_return json_response(call.request.buffers, list.dump());
}

io::Task<Reply> get_buckets(Call& call, SummaryBoard& summaries) {
    CO_TRY(const auto action, co_await read_action_if_any(call));
    if (!action) co_return list_buckets(call, "");
    if (action->action == "list") co_return list_buckets(call, action->name);
    if (action->action != "summary-bck") co_return refuse_action(call, action->action);
    BucketList buckets = call.service.buckets(call.core);
    std::erase_if(buckets, [&](const auto& bucket) { return !may_see(call, bucket->name); });
    if (buckets.empty()) {
        co_return refuse(400, "", "no buckets in the cluster, nothing to do");
    }
    co_return co_await summary_of(call, summaries, std::move(buckets), action->value);
}

// Without a body: everything, and of the options the prefix, for whoever has curl and no JSON.
io::Task<Reply> list_by_default(Call& call, std::shared_ptr<const Bucket> bucket) {
    const std::string prefix(call.query.find("prefix").value_or(""));
    CO_TRY(ListRequest request, list_request_from(Json{{"prefix", prefix}}));
    co_return co_await list_objects(call, std::move(bucket), std::move(request));
}

io::Task<Reply> get_bucket(Call& call, const BucketName& name, SummaryBoard& summaries) {
    CO_TRY(const auto action, co_await read_action_if_any(call));
    CO_TRY(auto bucket, find_bucket(call, name));
    if (!action) co_return co_await list_by_default(call, std::move(bucket));
    if (action->action == "summary-bck") {
        co_return co_await summary_of(call, summaries, {std::move(bucket)}, action->value);
    }
    if (action->action == "show-inventory") {
        co_return json_response(call.request.buffers, "{}");
    }
    if (action->action != "list") co_return refuse_action(call, action->action);
    if (action->value.is_null()) {
        co_return refuse(400, "",
                         fmt::format("bad list-buckets request: \"{}\" vs \"\" ({}, actm[list])",
                                     name.name, bucket_url(name)));
    }
    CO_TRY(ListRequest request, list_request_from(action->value));
    if ((request.flags & flag_inventory) != 0) co_return refuse_inventory(name);
    co_return co_await list_objects(call, std::move(bucket), std::move(request));
}

Response properties_response(const Bucket& bucket) {
    Response response{io::http::ResponseHead(200), {}, {}, false, false};
    response.head.add(
        "Ais-Bucket-Props",
        properties_json(bucket).dump(-1, ' ', true, OrderedJson::error_handler_t::replace));
    return response;
}

// HEAD that asks for a summary, too: 202 and an id at first, the summary when it is counted.
io::Task<Reply> head_summary(Call& call, std::shared_ptr<const Bucket> bucket, std::string prefix,
                             SummaryBoard& summaries) {
    Response response = properties_response(*bucket);
    const std::string id(call.query.find("uuid").value_or(""));
    if (id.empty()) {
        const auto begun = co_await summaries.begin(call, {std::move(bucket)}, std::move(prefix));
        if (!begun) co_return std::unexpected(summary_error("", begun.error()));
        response.head.set_status(202);
        response.head.add("Ais-Xaction-Id", *begun);
        co_return response;
    }
    const auto outcome = co_await summaries.look(call, id);
    if (!outcome) co_return std::unexpected(summary_error(id, outcome.error()));
    response.head.add("Ais-Xaction-Id", id);
    if (!outcome->is_done) {
        response.head.set_status(202);
        co_return response;
    }
    response.head.add("Ais-Bucket-Summ",
                      summary_json(outcome->summaries.front(), call.service.usage(), true).dump());
    co_return response;
}

io::Task<Reply> head_bucket(Call& call, const BucketName& name, std::string_view rest,
                            SummaryBoard& summaries) {
    CO_TRY(auto bucket, find_bucket(call, name));
    if (!call.query.find("bsumm_remote")) co_return properties_response(*bucket);
    std::optional<std::string> prefix = io::http::unescape_path(rest);
    if (!prefix) co_return refuse_escape();
    co_return co_await head_summary(call, std::move(bucket), std::move(*prefix), summaries);
}

io::Task<Reply> create_bucket(Call& call, const BucketName& name, const Action& action) {
    if (name.provider != "ais") {
        co_return refuse(
            501, "ErrRemoteBckNotFound",
            fmt::format("{} bucket \"{}://{}\" does not exist: {}", name.provider,
                        provider_scheme(name.provider), name.name, missing_backend(name.provider)));
    }
    BucketProperties properties = bucket_defaults(call.service, call.core, call.node.started_ns);
    CO_TRY(properties, changed_properties(std::move(properties), action.value));
    const Status created =
        co_await call.service.create_bucket(call.core, name, std::move(properties));
    if (!created) {
        co_return std::unexpected(bucket_error(call, name, "CREATE-BUCKET", created.error()));
    }
    co_return empty_response();
}

io::Task<Reply> post_bucket(Call& call, std::string_view escaped_name) {
    CO_TRY(const BucketName name, any_bucket_from(call, escaped_name));
    CO_TRY(const Action action, co_await read_action(call));
    if (action.action == "create-bck") co_return co_await create_bucket(call, name, action);
    if (name.provider != "ais") CO_TRY_STATUS(bucket_from(call, escaped_name));
    if (action.action == "copy-bck") co_return co_await copy_bucket(call, name, action);
    if (action.action == "move-bck") co_return co_await rename_bucket(call, name);
    if (action.action == "copy-listrange") co_return co_await copy_many(call, name, action);
    if (action.action == "prefetch-listrange") {
        CO_TRY_STATUS(find_bucket(call, name));
        co_return refuse_remote_only(action.action, name);
    }
    if (action.action == "rechunk") co_return co_await rechunk(call, name, action);
    if (action.action == "create-inventory") {
        CO_TRY_STATUS(find_bucket(call, name));
        co_return refuse_inventory(name);
    }
    if (const auto unknown = refuse_action(call, action.action); unknown.error().status == 400) {
        co_return unknown;
    }
    CO_TRY(const auto bucket, find_bucket(call, name));
    co_return refuse_action(call, action.action);
}

io::Task<Reply> patch_bucket(Call& call, const BucketName& name) {
    CO_TRY(const Action action, co_await read_action(call));
    CO_TRY(const auto bucket, find_bucket(call, name));
    BucketProperties properties;
    if (action.action == "set-bprops") {
        CO_TRY(properties, changed_properties(bucket->properties, action.value));
    } else if (action.action == "reset-bprops") {
        properties = bucket_defaults(call.service, call.core, call.node.started_ns);
    } else {
        co_return refuse(400, "",
                         fmt::format("invalid action \"{}\" (expected one of [set-bprops "
                                     "reset-bprops])",
                                     action.action));
    }
    const Status set = co_await call.service.set_properties(call.core, name, std::move(properties));
    if (!set) co_return std::unexpected(bucket_error(call, name, "PATCH", set.error()));
    co_return empty_response();
}

io::Task<Reply> delete_bucket(Call& call, const BucketName& name) {
    CO_TRY(const Action action, co_await read_action(call));
    if (action.action == "evict-remote-bck" || action.action == "evict-listrange") {
        co_return refuse_remote_only(action.action, name);
    }
    if (action.action == "destroy-inventory") {
        CO_TRY_STATUS(find_bucket(call, name));
        co_return refuse_inventory(name);
    }
    if (action.action == "delete-listrange") co_return co_await delete_many(call, name, action);
    if (action.action != "destroy-bck") co_return refuse_action(call, action.action);
    const Status destroyed = co_await call.service.destroy_bucket(call.core, name);
    if (!destroyed) {
        co_return std::unexpected(bucket_error(call, name, "DESTROY-BUCKET", destroyed.error()));
    }
    co_return empty_response();
}

io::Task<Reply> put_bucket(Call& call, const BucketName& name) {
    CO_TRY(const Action action, co_await read_action(call));
    CO_TRY(const auto bucket, find_bucket(call, name));
    co_return refuse_action(call, action.action);
}

Reply answer_options() {
    Response response = empty_response();
    response.head.add("Allow", allowed);
    return response;
}

}  // namespace

OrderedJson bucket_json(const BucketName& name) {
    return {{"name", name.name},
            {"provider", name.provider},
            {"namespace", {{"uuid", name.namespace_uuid}, {"name", name.namespace_name}}}};
}

io::Task<Reply> handle_buckets(Call& call, std::string_view rest, SummaryBoard& summaries) {
    if (call.method() == Method::options) co_return answer_options();
    if (call.method() == Method::other) co_return refuse_method(allowed);
    const FirstElement bucket = split_first(rest);
    if (bucket.element.empty()) {
        if (call.method() == Method::get) co_return co_await get_buckets(call, summaries);
        co_return refuse_short(call, 3, 2);
    }
    const bool may_have_prefix = call.method() == Method::head;
    if (!bucket.rest.empty() && !may_have_prefix) {
        co_return refuse(400, "", fmt::format("invalid request URI \"{}\"", call.path));
    }
    if (call.method() == Method::post) co_return co_await post_bucket(call, bucket.element);
    CO_TRY(const BucketName name, bucket_from(call, bucket.element));
    switch (call.method()) {
        case Method::get:
            co_return co_await get_bucket(call, name, summaries);
        case Method::head:
            co_return co_await head_bucket(call, name, bucket.rest, summaries);
        case Method::patch:
            co_return co_await patch_bucket(call, name);
        case Method::del:
            co_return co_await delete_bucket(call, name);
        default:
            co_return co_await put_bucket(call, name);
    }
}

}  // namespace penstock::node::ais
