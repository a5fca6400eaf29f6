#include "node/jobs/registry.h"

#include <algorithm>
#include <utility>

#include "io/cores.h"
#include "node/jobs/name_template.h"
#include "node/jobs/run.h"
#include "node/jobs/running.h"
#include "node/service/access.h"

namespace penstock::node {
namespace {

constexpr uint32_t home_core = 0;
constexpr size_t id_letters = 9;
// How often the end of a job is tried to be written down: without it the next start goes on with
// what was done.
constexpr int end_attempts_max = 3;

Error bucket_missing(const BucketName& name) {
    return {Errc::not_found, "bucket \"" + name.provider + "://" + name.name + "\" does not exist"};
}

bool is_copy(JobKind kind) {
    return kind == JobKind::copy_objects || kind == JobKind::copy_bucket;
}

// What a bucket's access bits must have for a job on it.
uint64_t access_for(JobKind kind) {
    switch (kind) {
        case JobKind::delete_objects:
            return access::delete_object;
        case JobKind::copy_objects:
        case JobKind::copy_bucket:
            return access::get;
        case JobKind::rename_bucket:
            return access::move_bucket;
        case JobKind::promote:
            return access::promote;
        case JobKind::rechunk:
            return access::get | access::put;
        default:
            return 0;
    }
}

bool needs_bucket(JobKind kind) {
    return access_for(kind) != 0;
}

// Whether names that the copy makes could be selected again, and copied again, without end.
bool may_select_copies(const JobSpec& spec) {
    if (spec.copy.prepend.empty() || spec.selection.kind == Selection::Kind::names) return false;
    std::string prefix = spec.selection.text;
    if (spec.selection.kind == Selection::Kind::pattern) {
        const Result<NameTemplate> names = NameTemplate::parse(spec.selection.text);
        if (!names || names->form() == NameTemplate::Form::range) return false;
        prefix = names->prefix();
    }
    return prefix.starts_with(spec.copy.prepend) || spec.copy.prepend.starts_with(prefix);
}

}  // namespace

Jobs::Jobs(JobsParts parts, JobsOptions options, const Log& log)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      log_(log),
      random_(Random::from_system()),
      journals_(home(), log),
      writing_(home(), 1),
      gate_(home()),
      slots_(home(), options_.running_max) {}

Jobs::~Jobs() {
    ASSERT(gate_.is_closed());
}

io::Task<Result<std::unique_ptr<Jobs>>> Jobs::open(JobsParts parts, JobsOptions options,
                                                   const Log& log) {
    std::unique_ptr<Jobs> jobs(new Jobs(std::move(parts), std::move(options), log));
    Result<std::vector<JournaledJob>> found = co_await jobs->journals_.open(jobs->parts_.homes);
    if (!found) {
        co_await jobs->stop();
        co_return fail(found.error());
    }
    for (JournaledJob& job : *found) jobs->adopt(std::move(job));
    jobs->forget_past();
    if (jobs->journals_.is_uneven()) {
        const Status kept = co_await jobs->keep_on(jobs->parts_.homes);
        if (!kept) {
            log.error("the copies of the jobs' journal could not be made the same",
                      {{"reason", std::string_view(kept.error().context)}});
        }
    }
    co_return jobs;
}

// A job of before the start: its end, or its continuation.
void Jobs::adopt(JournaledJob found) {
    auto job = std::make_shared<Job>();
    job->id = std::move(found.begun.id);
    job->spec = std::move(found.begun.spec);
    job->bucket = found.begun.bucket;
    job->to = found.begun.to;
    job->started_ns = found.begun.started_ns;
    job->progress = found.progress;
    job->at_position = std::move(found.progress);
    job->position = std::move(found.position);
    job->is_journaled = true;
    if (job->spec.kind == JobKind::rebalance) ++rebalance_count_;
    jobs_.push_back(job);
    if (found.ended) {
        job->state = found.ended->state;
        job->ended_ns = found.ended->ended_ns;
        job->reason = found.ended->reason;
        job->outcome = std::move(found.ended);
        job->ended.cancel();
        return;
    }
    job->is_resumed = true;
    ++alive_count_;
    Result<io::Gate::Pass> pass = gate_.enter();
    ASSERT(pass.has_value());
    log_.info("a job of before the start goes on",
              {{"id", std::string_view(job->id)}, {"objects", job->progress.objects}});
    io::start_detached(run(std::move(job), std::move(*pass)));
}

io::Task<void> Jobs::stop() {
    is_stopping_ = true;
    co_await gate_.close();
    co_await journals_.stop();
}

// -------------------------------------------------------------------------------------------------
// From any core

io::Task<Result<std::string>> Jobs::start(uint32_t core, JobSpec spec) {
    const auto there = [&] { return start_here(std::move(spec)); };
    co_return co_await io::on_core(*parts_.reactors[core], home(), there);
}

io::Task<std::vector<JobSnapshot>> Jobs::find(uint32_t core, JobFilter filter) {
    const auto there = [&] { return find_here(std::move(filter)); };
    co_return co_await io::on_core(*parts_.reactors[core], home(), there);
}

io::Task<Result<JobSnapshot>> Jobs::wait(uint32_t core, std::string id, uint64_t timeout_ns) {
    const auto there = [&] { return wait_here(std::move(id), timeout_ns); };
    co_return co_await io::on_core(*parts_.reactors[core], home(), there);
}

io::Task<uint32_t> Jobs::stop_jobs(uint32_t core, JobFilter filter, std::string reason) {
    const auto there = [&] { return stop_here(std::move(filter), std::move(reason)); };
    co_return co_await io::on_core(*parts_.reactors[core], home(), there);
}

// -------------------------------------------------------------------------------------------------
// Beginning

io::Task<Result<std::string>> Jobs::start_here(JobSpec spec) {
    CO_TRY(const io::Gate::Pass pass, gate_.enter());
    // There is one set of moves: who asks again is told of the job that is there.
    if (spec.kind == JobKind::resilver) {
        if (const JobPointer alive = alive_of(spec.kind)) co_return alive->id;
    }
    if (alive_count_ >= options_.alive_max) {
        co_return fail(Errc::unavailable, "too many jobs are alive");
    }
    CO_TRY(const JobPointer job, co_await make_job(std::move(spec)));
    CO_TRY(io::Gate::Pass run_pass, gate_.enter());
    jobs_.push_back(job);
    ++alive_count_;
    io::start_detached(run(job, std::move(run_pass)));
    // Most jobs are over nothing, or little: what has ended needs no promise.
    if (!job->ended.is_cancelled()) {
        (void)co_await home().sleep(home().within_ns(options_.unjournaled_ns, &job->ended));
    }
    if (!job->ended.is_cancelled()) CO_TRY_STATUS(co_await promise(*job));
    if (job->is_interrupted && !job->is_journaled) {
        co_return fail(Errc::unavailable, "stopping");
    }
    forget_past();
    co_return job->id;
}

Jobs::JobPointer Jobs::alive_of(JobKind kind) const {
    const auto found = std::ranges::find_if(jobs_, [kind](const JobPointer& job) {
        return job->spec.kind == kind && !job->ended.is_cancelled();
    });
    return found == jobs_.end() ? nullptr : *found;
}

io::Task<Result<Jobs::JobPointer>> Jobs::make_job(JobSpec spec) {
    CO_TRY_STATUS(co_await check(spec));
    auto job = std::make_shared<Job>();
    job->started_ns = parts_.clock->wall_ns();
    job->id = new_id(spec.kind);
    if (needs_bucket(spec.kind)) {
        const auto bucket = parts_.service->find_bucket(home_core, spec.bucket);
        if (bucket == nullptr) co_return fail(bucket_missing(spec.bucket));
        job->bucket = bucket->id;
        const bool makes_destination = is_copy(spec.kind) && !spec.copy.is_dry_run &&
                                       !parts_.service->find_bucket(home_core, spec.copy.to);
        if (makes_destination) {
            const Status made =
                co_await parts_.service->create_bucket(home_core, spec.copy.to, bucket->properties);
            if (!made && made.error().code != Errc::exists) co_return fail(made.error());
        }
        const auto to = parts_.service->find_bucket(home_core, spec.copy.to);
        if (to != nullptr && is_copy(spec.kind)) job->to = to->id;
    }
    job->spec = std::move(spec);
    co_return job;
}

io::Task<Status> Jobs::check(const JobSpec& spec) {
    CO_TRY_STATUS(check_spec(spec));
    if (spec.selection.kind == Selection::Kind::pattern) {
        CO_TRY_STATUS(NameTemplate::parse(spec.selection.text));
    }
    if (!needs_bucket(spec.kind)) co_return Status();
    const auto bucket = parts_.service->find_bucket(home_core, spec.bucket);
    if (bucket == nullptr) co_return fail(bucket_missing(spec.bucket));
    const uint64_t access = access_for(spec.kind);
    if ((bucket->properties.access & access) != access) {
        co_return fail(Errc::denied, "the bucket's access property does not allow this");
    }
    if (is_copy(spec.kind)) co_return check_copy(spec);
    if (spec.kind == JobKind::rename_bucket) {
        CO_TRY_STATUS(check_bucket_name(spec.copy.to.name));
        if (parts_.service->find_bucket(home_core, spec.copy.to) != nullptr) {
            co_return fail(Errc::exists, "the new name of the bucket is taken");
        }
    }
    if (spec.kind == JobKind::promote) {
        CO_TRY_STATUS(co_await is_promotable_directory(home_core, spec.promote.source));
    }
    co_return Status();
}

io::Task<Result<bool>> Jobs::is_promotable_directory(uint32_t core, std::string source) {
    co_return co_await parts_.pool->run(*parts_.reactors[core], [this, &source] {
        return check_promote(options_.promote_root, source);
    });
}

Status Jobs::check_copy(const JobSpec& spec) {
    TRY_STATUS(check_bucket_name(spec.copy.to.name));
    if (spec.copy.synchronizes && !spec.copy.prepend.empty()) {
        return fail(Errc::invalid, "a copy that synchronizes prepends nothing");
    }
    if (spec.bucket != spec.copy.to || spec.copy.is_dry_run) return {};
    if (spec.copy.synchronizes) {
        return fail(Errc::invalid, "a bucket cannot be synchronized with itself");
    }
    if (spec.kind == JobKind::copy_bucket) {
        return fail(Errc::invalid, "a bucket cannot be copied onto itself");
    }
    if (may_select_copies(spec)) {
        return fail(Errc::invalid, "the copies would be copied again, without end");
    }
    return {};
}

std::string Jobs::new_id(JobKind kind) {
    if (kind == JobKind::rebalance) return "g" + std::to_string(++rebalance_count_);
    return (kind == JobKind::copy_objects ? "tco-" : "") + random_.alphanumeric(id_letters);
}

// Its id is known after a crash from now on. What deletes goes on all the same when the disk is
// full: that makes room.
io::Task<Status> Jobs::promise(Job& job) {
    job.is_journaled = true;
    const Status written = co_await write(job.begun(), true);
    if (written) co_return Status();
    log_.warning(
        "a job could not be written down",
        {{"id", std::string_view(job.id)}, {"reason", std::string_view(written.error().context)}});
    if (written.error().code == Errc::full && job.spec.kind == JobKind::delete_objects) {
        co_return Status();
    }
    job.is_stop_asked = true;
    job.reason = "it could not be written down";
    if (!job.ended.is_cancelled()) {
        (void)co_await home().sleep({io::Until::never, &job.ended});
    }
    // What was done needs no promise either.
    if (job.state == JobState::finished) co_return Status();
    co_return written;
}

// -------------------------------------------------------------------------------------------------
// Running and ending

io::Task<void> Jobs::run(JobPointer job, io::Gate::Pass) {
    co_await slots_.acquire();
    job->is_begun = true;
    Status status = co_await act(*job);
    slots_.release();
    if (!status && is_stopping_ && !job->is_stop_asked) {
        // The journal has it, and the next start goes on; or nobody was told of it.
        job->is_interrupted = true;
        job->ended.cancel();
        co_return;
    }
    if (status) {
        co_await end(*job, JobState::finished, "");
    } else {
        const bool is_asked = status.error().code == Errc::closed && job->is_stop_asked;
        co_await end(*job, JobState::stopped, is_asked ? job->reason : status.error().context);
    }
    if (job->is_journaled) co_return;
    Result<io::Gate::Pass> pass = gate_.enter();
    if (pass) io::start_detached(write_past(std::move(job), std::move(*pass)));
}

io::Task<Status> Jobs::act(Job& job) {
    JobRun run(*this, job);
    CO_TRY_STATUS(run.may_go_on());
    switch (job.spec.kind) {
        case JobKind::delete_objects:
            co_return co_await delete_many(run);
        case JobKind::copy_objects:
        case JobKind::copy_bucket:
            co_return co_await copy_many(run);
        case JobKind::rename_bucket:
            co_return co_await rename_bucket(run);
        case JobKind::promote:
            co_return co_await promote_files(run);
        case JobKind::scrub:
            co_return co_await scrub(run);
        case JobKind::resilver:
            co_return co_await resilver(run);
        case JobKind::rechunk:
            co_return co_await rechunk(run);
        case JobKind::evict_cold:
        case JobKind::clean_up:
        case JobKind::rebalance:
        case JobKind::warm_up:
            break;  // one node has nothing to do for them
    }
    co_return Status();
}

// The end of a job that the journal knows is durable before anybody sees it: a start that did not
// know of it would do the job again, to what was changed since.
io::Task<void> Jobs::end(Job& job, JobState state, std::string reason) {
    JobEnded outcome{job.id, state, parts_.clock->wall_ns(), std::move(reason), job.progress};
    job.outcome = outcome;
    Status written = fail(Errc::unavailable, "");
    for (int attempt = 0; job.is_journaled && !written && attempt < end_attempts_max; ++attempt) {
        written = co_await write(outcome, true);
    }
    if (job.is_journaled && !written) {
        log_.error("the end of a job could not be written down: the next start does it again",
                   {{"id", std::string_view(job.id)},
                    {"reason", std::string_view(written.error().context)}});
    }
    job.state = state;
    job.ended_ns = outcome.ended_ns;
    job.reason = outcome.reason;
    if (state == JobState::finished && lingers(job.spec.kind)) {
        job.linger_until_ns = home().now_ns() + options_.linger_ns;
    }
    ASSERT(alive_count_ > 0);
    --alive_count_;
    job.ended.cancel();
}

// The oldest first, live ones never.
void Jobs::forget_past() {
    const uint64_t now_ns = parts_.clock->wall_ns();
    size_t past_count = jobs_.size() - alive_count_;
    std::erase_if(jobs_, [&](const JobPointer& job) {
        if (job->state == JobState::running || is_lingering(*job)) return false;
        const bool is_old = job->ended_ns + options_.past_ns_max < now_ns;
        if (!is_old && past_count <= options_.past_max) return false;
        --past_count;
        return true;
    });
}

// -------------------------------------------------------------------------------------------------
// The journal

io::Task<Status> Jobs::write(JobRecord record, bool syncs) {
    std::vector<std::byte> bytes;
    append_job_record(bytes, record);
    co_await writing_.acquire();
    Status written;
    if (journals_.needs_rewrite()) {
        written = co_await journals_.rewrite(encode_all());
    } else {
        written = co_await journals_.append(std::move(bytes), syncs);
    }
    writing_.release();
    co_return written;
}

io::Task<Status> Jobs::keep_on(std::vector<MetadataHome> homes) {
    CO_TRY(const io::Gate::Pass pass, gate_.enter());
    co_await writing_.acquire();
    const Status kept = co_await journals_.keep_on(std::move(homes), encode_all());
    writing_.release();
    co_return kept;
}

// Of a job that ended before it was journaled: so that a restart does not forget it. Nobody waits
// for that, and a power cut may take it.
io::Task<void> Jobs::write_past(JobPointer job, io::Gate::Pass) {
    job->is_journaled = true;
    const Status begun = co_await write(job->begun(), false);
    if (begun && job->outcome) (void)co_await write(*job->outcome, false);
}

// All that the journal must know, in the order in which jobs began.
std::vector<std::byte> Jobs::encode_all() const {
    std::vector<std::byte> bytes;
    for (const JobPointer& job : jobs_) {
        if (!job->is_journaled) continue;
        JobBegun begun = job->begun();
        std::vector<std::string>& names = begun.spec.selection.names;
        if (job->outcome && names.size() > snapshot_names_max) names.resize(snapshot_names_max);
        append_job_record(bytes, begun);
        if (job->outcome) {
            append_job_record(bytes, *job->outcome);
        } else {
            append_job_record(bytes, JobMoved{job->id, job->position, job->at_position});
        }
    }
    return bytes;
}

// -------------------------------------------------------------------------------------------------
// Asking and stopping

bool Jobs::is_lingering(const Job& job) const {
    return job.state == JobState::finished &&
           parts_.reactors.front()->now_ns() < job.linger_until_ns;
}

bool Jobs::matches(const Job& job, const JobFilter& filter) const {
    if (!filter.id.empty() && job.id != filter.id) return false;
    const std::vector<JobKind>& kinds = filter.kinds;
    if (!kinds.empty() && std::ranges::find(kinds, job.spec.kind) == kinds.end()) return false;
    if (!filter.bucket.name.empty() && job.spec.bucket != filter.bucket &&
        job.spec.copy.to != filter.bucket) {
        return false;
    }
    return !filter.is_alive_only || job.state == JobState::running || is_lingering(job);
}

JobSnapshot Jobs::snapshot(const Job& job) const {
    JobSnapshot shot;
    shot.id = job.id;
    shot.spec.kind = job.spec.kind;
    shot.spec.owner = job.spec.owner;
    shot.spec.bucket = job.spec.bucket;
    shot.spec.copy = job.spec.copy;
    shot.spec.promote = job.spec.promote;
    shot.spec.worker_count = job.spec.worker_count;
    shot.spec.selection.kind = job.spec.selection.kind;
    shot.spec.selection.text = job.spec.selection.text;
    shot.spec.selection.is_recursive = job.spec.selection.is_recursive;
    const std::vector<std::string>& names = job.spec.selection.names;
    shot.selected_count = names.size();
    const auto shown = static_cast<ptrdiff_t>(std::min(names.size(), snapshot_names_max));
    shot.spec.selection.names.assign(names.begin(), names.begin() + shown);
    shot.state = is_lingering(job) ? JobState::idle : job.state;
    shot.progress = job.progress;
    shot.stop_reason = job.reason;
    shot.started_ns = job.started_ns;
    shot.ended_ns = shot.state == JobState::idle ? 0 : job.ended_ns;
    shot.done_ns = job.ended_ns;
    shot.is_resumed = job.is_resumed;
    return shot;
}

io::Task<std::vector<JobSnapshot>> Jobs::find_here(JobFilter filter) {
    forget_past();
    std::vector<JobSnapshot> found;
    for (auto job = jobs_.rbegin(); job != jobs_.rend(); ++job) {
        if (matches(**job, filter)) found.push_back(snapshot(**job));
    }
    co_return found;
}

io::Task<Result<JobSnapshot>> Jobs::wait_here(std::string id, uint64_t timeout_ns) {
    CO_TRY(const io::Gate::Pass pass, gate_.enter());
    const auto found =
        std::ranges::find_if(jobs_, [&id](const JobPointer& job) { return job->id == id; });
    if (found == jobs_.end()) co_return fail(Errc::not_found, "no such job: " + id);
    const JobPointer job = *found;
    if (!job->ended.is_cancelled()) {
        (void)co_await home().sleep(home().within_ns(timeout_ns, &job->ended));
    }
    co_return snapshot(*job);
}

io::Task<uint32_t> Jobs::stop_here(JobFilter filter, std::string reason) {
    const Result<io::Gate::Pass> pass = gate_.enter();
    if (!pass) co_return 0;
    filter.is_alive_only = true;
    std::vector<JobPointer> stopped;
    for (const JobPointer& job : jobs_) {
        if (matches(*job, filter)) stopped.push_back(job);
    }
    for (const JobPointer& job : stopped) {
        if (job->state != JobState::running) continue;
        job->is_stop_asked = true;
        job->reason = reason;
    }
    for (const JobPointer& job : stopped) {
        if (job->state == JobState::running && !job->ended.is_cancelled()) {
            // One that waits for its turn will see it then.
            if (job->is_begun) (void)co_await home().sleep({io::Until::never, &job->ended});
        } else if (is_lingering(*job)) {
            job->linger_until_ns = 0;
            job->state = JobState::stopped;
            job->ended_ns = parts_.clock->wall_ns();
            job->reason = reason;
            job->outcome = JobEnded{job->id, job->state, job->ended_ns, job->reason, job->progress};
            (void)co_await write(*job->outcome, false);
        }
    }
    co_return static_cast<uint32_t>(stopped.size());
}

}  // namespace penstock::node
