#include "node/doors/ais/jobs.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/doors/ais/errors.h"
#include "node/doors/ais/job_shapes.h"
#include "node/doors/ais/multi_object.h"
#include "node/doors/ais/names.h"
#include "node/doors/ais/routes.h"
#include "node/jobs/registry.h"

namespace penstock::node::ais {
namespace {

constexpr std::string_view queries[] = {"status", "status_all", "running_all", "qryxstats"};

// What a job that a client stops says of why.
constexpr std::string_view stop_reason = "user abort";

struct JobQuery {
    std::string id, kind, node;
    BucketName bucket;  // an empty name: any
    bool is_active_only = false;
};

std::string text_of(const Json& json, std::string_view key) {
    const Json* found = find_any_case(json, key);
    return found != nullptr && found->is_string() ? found->get<std::string>() : "";
}

std::expected<BucketName, ApiError> bucket_of(const Json& json) {
    BucketName name;
    const Json* bucket = find_any_case(json, "bck");
    if (bucket == nullptr || !bucket->is_object()) return name;
    return bucket_from_json(*bucket);
}

std::expected<JobQuery, ApiError> query_from(const Json& json) {
    JobQuery query{text_of(json, "id"), text_of(json, "kind"), text_of(json, "DaemonID"), {}};
    TRY(query.bucket, bucket_of(json));
    const Json* active = find_any_case(json, "show_active");
    query.is_active_only = active != nullptr && active->is_boolean() && active->get<bool>();
    return query;
}

// nullopt: no job can be of the kind that is asked for, known or not.
std::optional<JobFilter> filter_from(const JobQuery& query) {
    JobFilter filter{query.id, {}, query.bucket, query.is_active_only};
    if (query.kind.empty()) return filter;
    const KindName* kind = find_kind(query.kind);
    if (kind == nullptr || !kind->kind) return std::nullopt;
    filter.kinds.push_back(*kind->kind);
    return filter;
}

io::Task<std::vector<JobSnapshot>> find_jobs(Call& call, JobQuery query) {
    std::optional<JobFilter> filter = filter_from(query);
    if (!filter) co_return std::vector<JobSnapshot>();
    std::vector<JobSnapshot> found = co_await call.jobs.find(call.core, std::move(*filter));
    // Jobs of no bucket are the cluster's, which everybody may see.
    std::erase_if(found, [&](const JobSnapshot& job) {
        return !job.spec.bucket.name.empty() && !may_see(call, job.spec.bucket);
    });
    co_return found;
}

Reply list_reply(const Call& call, const OrderedJson& json) {
    return json_response(call.request.buffers,
                         json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
}

io::Task<Reply> status_of(Call& call, JobQuery query) {
    if (query.id.empty() && query.kind.empty()) {
        co_return refuse(400, "", "invalid job query: expected an ID or a kind");
    }
    const std::vector<JobSnapshot> found = co_await find_jobs(call, query);
    if (found.empty()) {
        co_return refuse(404, "ErrNotFound",
                         fmt::format("p[{}]: x-{}[{}] does not exist", gateway_id(call.node),
                                     query.kind, query.id));
    }
    co_return list_reply(call, status_json(call.node, found.front()));
}

io::Task<Reply> snapshots_of(Call& call, JobQuery query) {
    if (!query.kind.empty() && find_kind(query.kind) == nullptr) {
        co_return refuse(400, "", fmt::format("invalid xaction (job) kind \"{}\"", query.kind));
    }
    if (!query.bucket.name.empty() && !call.service.find_bucket(call.core, query.bucket)) {
        co_return std::unexpected(bucket_missing(query.bucket));
    }
    const std::vector<JobSnapshot> found = co_await find_jobs(call, query);
    if (found.empty() && !query.id.empty()) {
        co_return refuse(404, "", fmt::format("\"x-{}[{}]\" not found", query.kind, query.id));
    }
    OrderedJson list = OrderedJson::array();
    for (const JobSnapshot& job : found) list.push_back(snapshot_json(call.node, job));
    co_return list_reply(call, {{call.node.node_id, std::move(list)}});
}

io::Task<Reply> statuses_of(Call& call, JobQuery query) {
    OrderedJson list = OrderedJson::array();
    for (const JobSnapshot& job : co_await find_jobs(call, std::move(query))) {
        list.push_back(status_json(call.node, job));
    }
    co_return list_reply(call, list);
}

io::Task<Reply> running_of(Call& call, JobQuery query) {
    query.is_active_only = true;
    OrderedJson list = OrderedJson::array();
    for (const JobSnapshot& job : co_await find_jobs(call, std::move(query))) {
        list.push_back(job_name(job));
    }
    co_return list_reply(call, list);
}

// Why a kind that is known cannot be started by itself.
std::unexpected<ApiError> refuse_start(const KindName& kind) {
    if (kind.name == "make-n-copies" || kind.name == "ec-encode" || kind.name == "blob-download" ||
        kind.name == "prefetch-listrange") {
        return refuse(400, "", fmt::format("{} cannot be started this way", kind.name));
    }
    return refuse(501, "ErrUnsupp",
                  fmt::format("cannot start xaction {} - operation not supported", kind.name));
}

}  // namespace

bool is_job_query(std::string_view what) {
    return std::ranges::find(queries, what) != std::end(queries);
}

io::Task<Reply> query_jobs(Call& call, std::string_view what) {
    CO_TRY(const std::optional<Json> json, co_await read_json(call));
    if (!json || !json->is_object()) {
        co_return refuse(400, "",
                         fmt::format("p[{}]: failed to unmarshal the query ({}), err: EOF",
                                     gateway_id(call.node), what));
    }
    CO_TRY(JobQuery query, query_from(*json));
    if (what == "status") co_return co_await status_of(call, std::move(query));
    if (what == "qryxstats") co_return co_await snapshots_of(call, std::move(query));
    if (what == "running_all") co_return co_await running_of(call, std::move(query));
    co_return co_await statuses_of(call, std::move(query));
}

io::Task<Reply> start_job(Call& call, const Action& action) {
    CO_TRY(const JobQuery query, query_from(action.value));
    const KindName* kind = find_kind(query.kind);
    if (kind == nullptr) {
        co_return refuse(400, "", fmt::format("invalid xaction (job) kind \"{}\"", query.kind));
    }
    if (!kind->is_startable) co_return refuse_start(*kind);
    if (*kind->kind == JobKind::resilver && query.node.empty()) {
        co_return refuse(501, "ErrUnsupp",
                         "cannot run resilver on all targets in the cluster - operation not "
                         "supported");
    }
    if (!query.bucket.name.empty()) CO_TRY_STATUS(find_bucket(call, query.bucket));
    if (*kind->kind == JobKind::rechunk) {
        if (query.bucket.name.empty()) co_return refuse(400, "", "bucket name is missing");
        co_return co_await rechunk(call, query.bucket, {"rechunk", "", {}});
    }
    JobSpec spec{.kind = *kind->kind, .owner = "ais", .bucket = query.bucket};
    const Result<std::string> id = co_await call.jobs.start(call.core, std::move(spec));
    if (!id) co_return std::unexpected(api_error(id.error(), kind->name));
    co_return text_response(call.request.buffers, *id);
}

io::Task<Reply> stop_job(Call& call, const Action& action) {
    CO_TRY(JobQuery query, query_from(action.value));
    if (query.id.empty() && query.kind.empty()) {
        co_return refuse(400, "",
                         "cannot stop xaction given 'xa-[]' - expecting a valid kind and/or UUID");
    }
    if (std::optional<JobFilter> filter = filter_from(query)) {
        (void)co_await call.jobs.stop_jobs(call.core, std::move(*filter), std::string(stop_reason));
    }
    co_return empty_response();
}

}  // namespace penstock::node::ais
