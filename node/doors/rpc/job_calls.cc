// Long work: what runs, how far it is, stopping it, waiting for it.
#include <algorithm>

#include "io/base/units.h"
#include "node/doors/rpc/calls.h"
#include "node/jobs/registry.h"

namespace penstock::node::rpc {
namespace {

struct KindName {
    JobKind kind;
    std::string_view name;
};
constexpr KindName kind_names[] = {
    {JobKind::delete_objects, "delete_objects"},
    {JobKind::copy_objects, "copy_objects"},
    {JobKind::copy_bucket, "copy_bucket"},
    {JobKind::rename_bucket, "rename_bucket"},
    {JobKind::promote, "promote"},
    {JobKind::rechunk, "rechunk"},
    {JobKind::evict_cold, "evict_cold"},
    {JobKind::clean_up, "clean_up"},
    {JobKind::rebalance, "rebalance"},
    {JobKind::resilver, "resilver"},
    {JobKind::warm_up, "warm_up"},
};
// The call holds its connection's end up: a client that wants to wait longer asks again.
constexpr double wait_s_max = 600;

double seconds_from(const Value& value) {
    switch (value.kind) {
        case Kind::floating:
            return value.real;
        case Kind::positive:
            return static_cast<double>(value.number);
        default:
            return -1;  // below 0; other kinds are refused before
    }
}

std::string_view name_of(JobKind kind) {
    const auto* found = std::ranges::find(kind_names, kind, &KindName::kind);
    return found == std::end(kind_names) ? "other" : found->name;
}

// A job whose work is done but that AIStore's clients still see is done here.
std::string_view state_of(const JobSnapshot& job) {
    if (job.state == JobState::running) return "running";
    if (job.state == JobState::stopped) return "stopped";
    return job.progress.error_count > 0 ? "failed" : "done";
}

void write_job(Writer& writer, const JobSnapshot& job) {
    writer.map(8);
    writer.pair("job", job.id);
    writer.pair("state", state_of(job));
    writer.pair("kind", name_of(job.spec.kind));
    writer.pair("objects", job.progress.objects);
    writer.pair("bytes", job.progress.bytes);
    writer.pair("errors", job.progress.error_count);
    writer.pair("started_ns", job.started_ns);
    writer.pair("ended_ns", job.ended_ns != 0 ? job.ended_ns : job.done_ns);
}

// Jobs of buckets that the caller may not know of are none.
void drop_hidden(const Call& call, std::vector<JobSnapshot>& jobs) {
    std::erase_if(jobs, [&](const JobSnapshot& job) {
        return !job.spec.bucket.name.empty() && !call.may_see(job.spec.bucket);
    });
}

// The job that the arguments name; nullopt: the call has failed.
io::Task<std::optional<JobSnapshot>> find_job(Call& call) {
    JobFilter filter{.id = std::string(call.arguments().text(Name::job))};
    std::vector<JobSnapshot> found;
    if (!filter.id.empty()) {
        found = co_await call.context().jobs->find(call.core(), std::move(filter));
    }
    drop_hidden(call, found);
    if (found.empty()) {
        call.fail(Code::not_found, "there is no such job");
        co_return std::nullopt;
    }
    co_return std::move(found.front());
}

}  // namespace

io::Task<void> list_jobs(Call& call) {
    JobFilter filter{.is_alive_only = call.arguments().boolean(Name::active, false)};
    if (call.arguments().has(Name::kind)) {
        const std::string_view asked = call.arguments().text(Name::kind);
        const auto* found = std::ranges::find(kind_names, asked, &KindName::name);
        if (found == std::end(kind_names)) {
            co_return call.fail(Code::invalid, "there is no such kind of job");
        }
        filter.kinds.push_back(found->kind);
    }
    const bool is_active_only = filter.is_alive_only;
    std::vector<JobSnapshot> jobs =
        co_await call.context().jobs->find(call.core(), std::move(filter));
    drop_hidden(call, jobs);
    if (is_active_only) {
        std::erase_if(jobs, [](const JobSnapshot& job) { return job.state != JobState::running; });
    }
    if (jobs.size() > list_limit_max) jobs.resize(list_limit_max);
    Writer writer = call.reply();
    writer.map(1);
    writer.text("jobs");
    writer.array(jobs.size());
    for (const JobSnapshot& job : jobs) write_job(writer, job);
}

io::Task<void> job_status(Call& call) {
    const std::optional<JobSnapshot> job = co_await find_job(call);
    if (!job) co_return;
    Writer writer = call.reply();
    write_job(writer, *job);
}

// One that has ended needs no stopping.
io::Task<void> stop_job(Call& call) {
    const std::optional<JobSnapshot> job = co_await find_job(call);
    if (!job) co_return;
    JobFilter filter{.id = job->id, .is_alive_only = true};
    (void)co_await call.context().jobs->stop_jobs(call.core(), std::move(filter),
                                                  "stopped by a client");
    call.reply().map(0);
}

io::Task<void> wait_for_job(Call& call) {
    double timeout_s = wait_s_max;
    if (const Value* value = call.arguments().at(Name::timeout_s)) {
        timeout_s = seconds_from(*value);
        if (!(timeout_s >= 0)) {
            co_return call.fail(Code::invalid, "timeout_s must not be negative");
        }
        timeout_s = std::min(timeout_s, wait_s_max);
    }
    if (!co_await find_job(call)) co_return;
    const auto timeout_ns = static_cast<uint64_t>(timeout_s * double(ns_per_s));
    const Result<JobSnapshot> job = co_await call.context().jobs->wait(
        call.core(), std::string(call.arguments().text(Name::job)), timeout_ns);
    if (!job && job.error().code == Errc::not_found) {
        co_return call.fail(Code::not_found, "there is no such job");
    }
    if (!job) co_return call.fail(job.error());
    Writer writer = call.reply();
    write_job(writer, *job);
}

}  // namespace penstock::node::rpc
