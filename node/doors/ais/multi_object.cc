#include "node/doors/ais/multi_object.h"

#include <fmt/format.h>

#include "node/doors/ais/access.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/names.h"
#include "node/doors/ais/routes.h"
#include "node/doors/ais/text.h"
#include "node/jobs/name_template.h"
#include "node/jobs/registry.h"
#include "node/service/stripe_rule.h"

namespace penstock::node::ais {
namespace {

constexpr uint32_t workers_max = 1023;  // what a snapshot has room for
// A file that is promoted is an object when the answer comes, as long as the client waits.
constexpr uint64_t promote_wait_ns = 600'000'000'000;

std::unexpected<ApiError> refuse_value(std::string_view action, std::string_view key) {
    return refuse(400, "", fmt::format("failed to unmarshal {}: invalid \"{}\"", action, key));
}

// A member that is a boolean, absent or null.
std::expected<bool, ApiError> flag_of(const Json& value, std::string_view action,
                                      std::string_view key) {
    if (!value.is_object()) return false;
    const auto found = value.find(key);
    if (found == value.end() || found->is_null()) return false;
    if (!found->is_boolean()) return refuse_value(action, key);
    return found->get<bool>();
}

std::expected<std::string, ApiError> member_text(const Json& value, std::string_view action,
                                                 std::string_view key) {
    if (!value.is_object()) return std::string();
    const auto found = value.find(key);
    if (found == value.end() || found->is_null()) return std::string();
    if (!found->is_string()) return refuse_value(action, key);
    return found->get<std::string>();
}

std::expected<std::vector<std::string>, ApiError> listed_names(const Json& value,
                                                               std::string_view action) {
    std::vector<std::string> names;
    const auto found = value.find("objnames");
    if (found == value.end() || found->is_null()) return names;
    if (!found->is_array()) return refuse_value(action, "objnames");
    for (const Json& name : *found) {
        if (!name.is_string()) return refuse_value(action, "objnames");
        names.push_back(name.get<std::string>());
        if (!check_object_name(names.back())) {
            return refuse(400, "errInvalidPath",
                          fmt::format("invalid object name \"{}\"", names.back()));
        }
    }
    return names;
}

// "objnames", or "template", or everything (contract, section 8.1).
std::expected<Selection, ApiError> selection_from(const Call& call, const Action& action) {
    Selection selection;
    if (action.value.is_null()) return selection;
    if (!action.value.is_object()) return refuse_value(action.action, "value");
    TRY(const bool is_flat, flag_of(action.value, action.action, "non-recurs"));
    selection.is_recursive = !is_flat;
    TRY(selection.names, listed_names(action.value, action.action));
    if (!selection.names.empty()) {
        selection.kind = Selection::Kind::names;
        return selection;
    }
    TRY(selection.text, member_text(action.value, action.action, "template"));
    if (selection.text.empty()) return selection;
    selection.kind = Selection::Kind::pattern;
    if (const auto parsed = NameTemplate::parse(selection.text); !parsed) {
        return refuse(400, "errTemplateInvalid",
                      fmt::format("t[{}] failed to \"{}\" List/Range: {}", call.node.node_id,
                                  action.action, parsed.error().context));
    }
    return selection;
}

std::expected<uint32_t, ApiError> workers_from(const Action& action) {
    if (!action.value.is_object()) return 0;
    const auto found = action.value.find("num-workers");
    if (found == action.value.end() || found->is_null()) return 0;
    if (!found->is_number_integer()) return refuse_value(action.action, "num-workers");
    // Negative: as many as the server likes.
    const int64_t count = found->get<int64_t>();
    if (count > workers_max) return refuse_value(action.action, "num-workers");
    return count < 0 ? 0 : static_cast<uint32_t>(count);
}

std::expected<CopyOptions, ApiError> copy_options(const Action& action) {
    CopyOptions options;
    const std::string_view name = action.action;
    if (action.value.is_null()) return options;
    if (!action.value.is_object()) return refuse_value(name, "value");
    TRY(options.prepend, member_text(action.value, name, "prepend"));
    TRY(options.is_dry_run, flag_of(action.value, name, "dry_run"));
    TRY(options.synchronizes, flag_of(action.value, name, "synchronize"));
    if (options.synchronizes && !options.prepend.empty()) {
        return refuse(400, "", "prepend option is incompatible with synchronize");
    }
    const auto extensions = action.value.find("ext");
    if (extensions == action.value.end() || extensions->is_null()) return options;
    if (!extensions->is_object()) return refuse_value(name, "ext");
    for (const auto& [from, into] : extensions->items()) {
        if (!into.is_string()) return refuse_value(name, "ext");
        std::string text = into.get<std::string>();
        text.erase(0, text.find_first_not_of('.'));
        options.extensions.emplace_back(from, std::move(text));
    }
    return options;
}

// Of the bucket that is copied to.
uint64_t rights_there(const CopyOptions& options) {
    return options.synchronizes ? access::put | access::delete_object : access::put;
}

// "bck_to=ais/@#/name/"
std::expected<BucketName, ApiError> destination_from(const Call& call, std::string_view action) {
    const std::string_view uname = call.query.find("bck_to").value_or("");
    if (uname.empty()) {
        return refuse(400, "", fmt::format("{}: missing destination bucket (bck_to)", action));
    }
    return bucket_from_uname(uname);
}

ApiError start_error(const Call& call, const JobSpec& spec, std::string_view operation,
                     const Error& error) {
    if (error.code == Errc::not_found) return bucket_missing(spec.bucket);
    if (error.code == Errc::exists) {
        return {400,
                "ErrBucketAlreadyExists",
                fmt::format("bucket \"{}\" already exists", bucket_url(spec.copy.to)),
                {},
                false,
                false};
    }
    if (error.code == Errc::denied) {
        if (const auto bucket = call.service.find_bucket(call.core, spec.bucket)) {
            return access_denied(*bucket, operation);
        }
    }
    return api_error(error, bucket_url(spec.bucket));
}

io::Task<Reply> answer_with_job(Call& call, JobSpec spec, std::string_view operation) {
    const Result<std::string> id = co_await call.jobs.start(call.core, spec);
    if (!id) co_return std::unexpected(start_error(call, spec, operation, id.error()));
    co_return text_response(call.request.buffers, *id);
}

// Below the directory that clients may promote from, relative to it.
std::expected<std::string, ApiError> promote_source(const Call& call, std::string_view path) {
    std::string_view root = call.jobs.options().promote_root;
    while (root.ends_with('/')) root.remove_suffix(1);
    const std::string_view whole = path;
    while (path.ends_with('/')) path.remove_suffix(1);
    const bool is_below =
        path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
    std::string relative(is_below ? path.substr(root.size()) : "..");
    relative.erase(0, relative.find_first_not_of('/'));
    if (is_below && !("/" + relative + "/").contains("/../")) return relative;
    return refuse(400, "errInvalidPromoteSource",
                  fmt::format("invalid promote source \"{}\": must be under {}", whole, root));
}

// A file's object name may be given whole, or as what its own name goes behind.
std::string promoted_name(std::string name, std::string_view source, bool is_directory) {
    if (is_directory || (!name.empty() && !name.ends_with('/'))) return name;
    const size_t slash = source.rfind('/');
    return name += slash == std::string_view::npos ? source : source.substr(slash + 1);
}

std::expected<JobSpec, ApiError> promote_spec(const Call& call, const BucketName& name,
                                              const Action& action) {
    JobSpec spec{.kind = JobKind::promote, .owner = "ais", .bucket = name};
    const Json& value = action.value;
    TRY(std::string path, member_text(value, "promote", "src"));
    if (path.empty()) path = action.name;
    TRY(spec.promote.source, promote_source(call, path));
    TRY(spec.promote.name, member_text(value, "promote", "obj"));
    TRY(spec.promote.is_recursive, flag_of(value, "promote", "rcr"));
    TRY(spec.promote.overwrites, flag_of(value, "promote", "ovw"));
    TRY(spec.promote.deletes_source, flag_of(value, "promote", "dls"));
    return spec;
}

// One file: there is nothing to wait for when the answer comes.
io::Task<Reply> answer_with_object(Call& call, std::string id) {
    const auto job = co_await call.jobs.wait(call.core, std::move(id), promote_wait_ns);
    if (!job) co_return std::unexpected(api_error(job.error(), "promote"));
    if (job->state == JobState::stopped) co_return refuse(500, "", job->stop_reason);
    if (!job->progress.errors.empty()) {
        const JobError& error = job->progress.errors.front();
        co_return refuse(400, "",
                         fmt::format("promote {}: {}", job->spec.promote.source, error.text));
    }
    co_return empty_response();
}

}  // namespace

io::Task<Reply> delete_many(Call& call, const BucketName& name, const Action& action) {
    CO_TRY_STATUS(find_bucket(call, name));
    JobSpec spec{.kind = JobKind::delete_objects, .owner = "ais", .bucket = name};
    CO_TRY(spec.selection, selection_from(call, action));
    CO_TRY(spec.worker_count, workers_from(action));
    co_return co_await answer_with_job(call, std::move(spec), "DELETE-OBJECT");
}

io::Task<Reply> copy_many(Call& call, const BucketName& name, const Action& action) {
    CO_TRY_STATUS(find_bucket(call, name));
    JobSpec spec{.kind = JobKind::copy_objects, .owner = "ais", .bucket = name};
    CO_TRY(spec.selection, selection_from(call, action));
    CO_TRY(spec.copy, copy_options(action));
    CO_TRY(spec.worker_count, workers_from(action));
    const Json* to = find_any_case(action.value, "tobck");
    if (to == nullptr || !to->is_object()) co_return refuse(400, "", "bucket name is missing");
    CO_TRY(spec.copy.to, bucket_from_json(*to));
    CO_TRY_STATUS(require(call, rights_there(spec.copy), spec.copy.to));
    co_return co_await answer_with_job(call, std::move(spec), "GET");
}

io::Task<Reply> copy_bucket(Call& call, const BucketName& name, const Action& action) {
    CO_TRY(const BucketName to, destination_from(call, action.action));
    CO_TRY_STATUS(require(call, access::put, to));
    CO_TRY_STATUS(find_bucket(call, name));
    JobSpec spec{.kind = JobKind::copy_bucket, .owner = "ais", .bucket = name};
    CO_TRY(spec.copy, copy_options(action));
    CO_TRY_STATUS(require(call, rights_there(spec.copy), to));
    CO_TRY(spec.worker_count, workers_from(action));
    spec.copy.to = to;
    CO_TRY(const bool is_flat, flag_of(action.value, action.action, "non-recurs"));
    spec.selection.is_recursive = !is_flat;
    CO_TRY(spec.selection.text, member_text(action.value, action.action, "prefix"));
    if (!spec.selection.text.empty()) spec.selection.kind = Selection::Kind::prefix;
    if (to == name && !spec.copy.is_dry_run) {
        co_return refuse(
            400, "", fmt::format("cannot copy-bck bucket \"{}\" onto itself", bucket_url(name)));
    }
    co_return co_await answer_with_job(call, std::move(spec), "GET");
}

io::Task<Reply> rename_bucket(Call& call, const BucketName& name) {
    CO_TRY(const BucketName to, destination_from(call, "move-bck"));
    CO_TRY_STATUS(require(call, access::create_bucket, to));
    CO_TRY_STATUS(find_bucket(call, name));
    JobSpec spec{.kind = JobKind::rename_bucket, .owner = "ais", .bucket = name};
    spec.copy.to = to;
    co_return co_await answer_with_job(call, std::move(spec), "MOVE-BUCKET");
}

// 0, or nothing said: as the bucket has it.
std::expected<void, ApiError> take_size(const Json& value, const char* key, uint64_t& into) {
    if (!value.is_object()) return {};
    const auto found = value.find(key);
    if (found == value.end() || found->is_null()) return {};
    const bool is_size = found->is_number_integer() && *found >= 0;
    if (!is_size) return refuse_value("rechunk", key);
    if (found->get<uint64_t>() != 0) into = found->get<uint64_t>();
    return {};
}

io::Task<Reply> rechunk(Call& call, const BucketName& name, const Action& action) {
    CO_TRY(const auto bucket, find_bucket(call, name));
    JobSpec spec{.kind = JobKind::rechunk, .owner = "ais", .bucket = name};
    spec.rechunk = stripe_rule_of(bucket->properties);
    CO_TRY_STATUS(take_size(action.value, "objsize-limit", spec.rechunk.above_bytes));
    CO_TRY_STATUS(take_size(action.value, "chunk-size", spec.rechunk.part_bytes));
    CO_TRY(spec.selection.text, member_text(action.value, action.action, "prefix"));
    if (!spec.selection.text.empty()) spec.selection.kind = Selection::Kind::prefix;
    co_return co_await answer_with_job(call, std::move(spec), "RECHUNK");
}

io::Task<Reply> promote(Call& call, const BucketName& name, const Action& action) {
    CO_TRY_STATUS(find_bucket(call, name));
    CO_TRY(JobSpec spec, promote_spec(call, name, action));
    const Result<bool> is_directory =
        co_await call.jobs.is_promotable_directory(call.core, spec.promote.source);
    if (!is_directory) {
        co_return refuse(404, "PathError",
                         fmt::format("stat {}/{}: {}", call.jobs.options().promote_root,
                                     spec.promote.source, is_directory.error().context));
    }
    spec.promote.name =
        promoted_name(std::move(spec.promote.name), spec.promote.source, *is_directory);
    const Result<std::string> id = co_await call.jobs.start(call.core, spec);
    if (!id) co_return std::unexpected(start_error(call, spec, "PROMOTE", id.error()));
    if (!*is_directory) co_return co_await answer_with_object(call, *id);
    co_return text_response(call.request.buffers, *id);
}

}  // namespace penstock::node::ais
