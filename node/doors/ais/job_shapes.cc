#include "node/doors/ais/job_shapes.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/doors/ais/buckets.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/text.h"

namespace penstock::node::ais {
namespace {

constexpr std::string_view zero_time = "0001-01-01T00:00:00Z";

constexpr KindName kinds[] = {
    {"election", "elect-primary"},
    {"rebalance", "", JobKind::rebalance, true},
    {"etl-inline", ""},
    {"lru", "lru-eviction", JobKind::evict_cold, true},
    {"cleanup-store", "cleanup", JobKind::clean_up, true},
    {"summary-bck", "summary"},
    {"summary-shard", "shard-summary"},
    {"resilver", "", JobKind::resilver, true},
    {"rechunk", "", JobKind::rechunk, true},
    {"index-shard", "shard-index"},
    {"ec-get", ""},
    {"ec-put", ""},
    {"ec-resp", ""},
    {"put-copies", ""},
    {"archive", ""},
    {"copy-listrange", "copy-objects", JobKind::copy_objects},
    {"etl-listrange", "etl-objects"},
    {"download", ""},
    {"promote", "promote-files", JobKind::promote},
    {"evict-listrange", "evict-objects"},
    {"evict-remote-bck", "evict-remote-bucket"},
    {"delete-listrange", "delete-objects", JobKind::delete_objects},
    {"prefetch-listrange", "prefetch-objects"},
    {"ec-encode", "ec-bucket"},
    {"make-n-copies", "mirror"},
    {"move-bck", "rename-bucket", JobKind::rename_bucket},
    {"copy-bck", "copy-bucket", JobKind::copy_bucket},
    {"etl-bck", "etl-bucket"},
    {"list", ""},
    {"get-batch", ""},
    {"create-inventory", ""},
    {"scrub", "", JobKind::scrub, true},  // ours
    {"load-lom-cache", "warm-up-metadata", JobKind::warm_up, true},
    {"blob-download", ""},
    {"dsort", ""},
};

bool has_destination(JobKind kind) {
    return kind == JobKind::copy_objects || kind == JobKind::copy_bucket ||
           kind == JobKind::rename_bucket;
}

std::string selection_text(const JobSnapshot& job) {
    const Selection& selection = job.spec.selection;
    if (selection.kind == Selection::Kind::names) {
        std::string text = "list:[";
        for (const std::string& name : selection.names) {
            if (text.back() != '[') text += ' ';
            text += name;
        }
        if (job.selected_count > selection.names.size()) text += " ...";
        return text + "]";
    }
    return selection.text.empty() ? "" : "template:" + selection.text;
}

std::string control_text(const JobSnapshot& job) {
    const JobSpec& spec = job.spec;
    switch (spec.kind) {
        case JobKind::copy_objects:
        case JobKind::copy_bucket:
            return fmt::format("cp {}=>{}{}{}", bucket_url(spec.bucket), bucket_url(spec.copy.to),
                               spec.copy.is_dry_run ? "; dry-run" : "",
                               job.is_resumed ? "; resumed" : "");
        case JobKind::rename_bucket:
            return fmt::format("mv {}=>{}", bucket_url(spec.bucket), bucket_url(spec.copy.to));
        case JobKind::promote:
            return "promote:" + spec.promote.source;
        default:
            return selection_text(job);
    }
}

std::string error_text(const NodeIdentity& node, const JobSnapshot& job) {
    if (job.progress.errors.empty()) return "";
    const JobError& error = job.progress.errors.front();
    return fmt::format("t[{}]: {} {}", node.node_id, object_url(job.spec.bucket, error.object),
                       error.text);
}

// Joggers in the low 10 bits, workers above.
std::string packed_workers(const JobSnapshot& job) {
    return std::to_string(uint64_t{job.spec.worker_count} << 10);
}

OrderedJson stats_json(const JobSnapshot& job) {
    return {{"loc-objs", std::to_string(job.progress.objects)},
            {"loc-bytes", std::to_string(job.progress.bytes)},
            {"out-objs", "0"},
            {"out-bytes", "0"},
            {"in-objs", "0"},
            {"in-bytes", "0"}};
}

}  // namespace

const KindName* find_kind(std::string_view name) {
    if (name.empty()) return nullptr;
    const auto found = std::ranges::find_if(
        kinds, [name](const KindName& kind) { return kind.name == name || kind.display == name; });
    return found == std::end(kinds) ? nullptr : found;
}

std::string_view kind_name(JobKind kind) {
    const auto found =
        std::ranges::find_if(kinds, [kind](const KindName& named) { return named.kind == kind; });
    ASSERT(found != std::end(kinds));
    return found->name;
}

std::string job_name(const JobSnapshot& job) {
    return fmt::format("{}[{}]", kind_name(job.spec.kind), job.id);
}

OrderedJson snapshot_json(const NodeIdentity& node, const JobSnapshot& job) {
    BucketName none;
    none.provider = "";
    const bool has_two = has_destination(job.spec.kind);
    const bool shows_destination =
        job.spec.kind == JobKind::copy_bucket || job.spec.kind == JobKind::rename_bucket;
    const BucketName& bucket = shows_destination ? job.spec.copy.to : job.spec.bucket;
    OrderedJson json = {{"ext", nullptr},
                        {"start-time", rfc3339(job.started_ns)},
                        {"end-time", job.ended_ns == 0 ? zero_time : rfc3339(job.ended_ns)},
                        {"bck", bucket_json(bucket.name.empty() ? none : bucket)},
                        {"src-bck", bucket_json(has_two ? job.spec.bucket : none)},
                        {"dst-bck", bucket_json(has_two ? job.spec.copy.to : none)},
                        {"id", job.id},
                        {"kind", kind_name(job.spec.kind)}};
    const std::string control = control_text(job);
    if (!control.empty()) json["ctlmsg"] = control;
    const bool is_stopped = job.state == JobState::stopped;
    json["abort-err"] = is_stopped ? job.stop_reason : "";
    json["err"] = error_text(node, job);
    json["glob.id"] = packed_workers(job);
    json["stats"] = stats_json(job);
    json["aborted"] = is_stopped;
    json["is_idle"] = job.state != JobState::running;
    return json;
}

OrderedJson status_json(const NodeIdentity& node, const JobSnapshot& job) {
    const bool is_stopped = job.state == JobState::stopped;
    // A copy goes on without what is missing, and clients take its status for the whole.
    std::string error =
        job.spec.kind == JobKind::delete_objects || job.spec.kind == JobKind::promote
            ? error_text(node, job)
            : "";
    if (is_stopped && error.empty()) error = job.stop_reason;
    // Of an idle job, too: SDK 1.25 waits for nothing else.
    OrderedJson json = {{"kind", kind_name(job.spec.kind)},
                        {"uuid", job.id},
                        {"err", error},
                        {"end_time", job.done_ns},
                        {"aborted", is_stopped}};
    if (job.state == JobState::idle) json["is_idle"] = true;
    return json;
}

}  // namespace penstock::node::ais
