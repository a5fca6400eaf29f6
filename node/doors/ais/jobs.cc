#include "node/doors/ais/jobs.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/doors/ais/errors.h"
#include "node/doors/ais/json.h"

namespace penstock::node::ais {
namespace {

constexpr std::string_view queries[] = {"status", "status_all", "running_all", "qryxstats"};

constexpr std::string_view kinds[] = {
    "election",
    "elect-primary",
    "rebalance",
    "etl-inline",
    "lru",
    "lru-eviction",
    "cleanup-store",
    "cleanup",
    "summary-bck",
    "summary",
    "summary-shard",
    "shard-summary",
    "resilver",
    "rechunk",
    "index-shard",
    "shard-index",
    "ec-get",
    "ec-put",
    "ec-resp",
    "put-copies",
    "archive",
    "copy-listrange",
    "copy-objects",
    "etl-listrange",
    "etl-objects",
    "download",
    "promote",
    "promote-files",
    "evict-listrange",
    "evict-objects",
    "evict-remote-bck",
    "evict-remote-bucket",
    "delete-listrange",
    "delete-objects",
    "prefetch-listrange",
    "prefetch-objects",
    "ec-encode",
    "ec-bucket",
    "make-n-copies",
    "mirror",
    "move-bck",
    "rename-bucket",
    "copy-bck",
    "copy-bucket",
    "etl-bck",
    "etl-bucket",
    "list",
    "get-batch",
    "create-inventory",
    "load-lom-cache",
    "warm-up-metadata",
    "blob-download",
    "dsort",
};

struct JobQuery {
    std::string id, kind;
    BucketName bucket;  // an empty name: any
};

std::string text_of(const Json& json, std::string_view key) {
    const Json* found = find_any_case(json, key);
    return found != nullptr && found->is_string() ? found->get<std::string>() : "";
}

JobQuery query_from(const Json& json) {
    JobQuery query{text_of(json, "id"), text_of(json, "kind"), {}};
    const Json* bucket = find_any_case(json, "bck");
    if (bucket == nullptr || !bucket->is_object()) return query;
    query.bucket.name = string_of(*bucket, "name");
    const std::string provider = string_of(*bucket, "provider");
    if (!provider.empty()) query.bucket.provider = provider;
    return query;
}

Reply status_of(const Call& call, const JobQuery& query) {
    if (query.id.empty() && query.kind.empty()) {
        return refuse(400, "", "invalid job query: expected an ID or a kind");
    }
    return refuse(
        404, "ErrXactNotFound",
        fmt::format("p[{}]: x-{}[{}] does not exist", gateway_id(call.node), query.kind, query.id));
}

Reply snapshots_of(const Call& call, const JobQuery& query) {
    if (!query.id.empty()) {
        return refuse(404, "ErrXactNotFound", fmt::format("\"x-[{}]\" not found", query.id));
    }
    if (!query.kind.empty() && !is_job_kind(query.kind)) {
        return refuse(400, "", fmt::format("invalid xaction (job) kind \"{}\"", query.kind));
    }
    if (!query.bucket.name.empty() && !call.service.find_bucket(call.core, query.bucket)) {
        return std::unexpected(bucket_missing(query.bucket));
    }
    const OrderedJson none = {{call.node.node_id, OrderedJson::array()}};
    return json_response(call.request.buffers, none.dump());
}

}  // namespace

bool is_job_query(std::string_view what) {
    return std::ranges::find(queries, what) != std::end(queries);
}

bool is_job_kind(std::string_view kind) {
    return std::ranges::find(kinds, kind) != std::end(kinds);
}

io::Task<Reply> query_jobs(Call& call, std::string_view what) {
    CO_TRY(const std::optional<Json> json, co_await read_json(call));
    if (!json || !json->is_object()) {
        co_return refuse(400, "",
                         fmt::format("p[{}]: failed to unmarshal the query ({}), err: EOF",
                                     gateway_id(call.node), what));
    }
    const JobQuery query = query_from(*json);
    if (what == "status") co_return status_of(call, query);
    if (what == "qryxstats") co_return snapshots_of(call, query);
    co_return json_response(call.request.buffers, "[]");
}

}  // namespace penstock::node::ais
