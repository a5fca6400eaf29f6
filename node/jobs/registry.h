// Jobs: the registry of all jobs of a node, those of the past for a while. It starts them, bounds
// what they do at once, stops them, answers who asks, and goes on with what a crash interrupted.
//
// One for the node; its state lives on core 0, where the work is done, too. Every call may be made
// on any core and takes the caller's own number.
//
// A promise: the id that start() gives is known after a crash, unless the job had ended by then. A
// job that is done within `unjournaled_ns` never waits for the journal.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/random.h"
#include "io/buffer_pool.h"
#include "io/pool.h"
#include "io/reactor.h"
#include "io/wait.h"
#include "node/jobs/job.h"
#include "node/jobs/journals.h"
#include "node/service/object_service.h"

namespace penstock::node {

struct JobsOptions {
    uint32_t running_max = 16;  // more wait for their turn
    uint32_t alive_max = 1024;  // more are refused: `unavailable`
    uint32_t past_max = 4096;   // the oldest go first
    uint64_t past_ns_max = 24ULL * 3600 * 1'000'000'000;
    uint64_t unjournaled_ns = 20'000'000;
    uint64_t checkpoint_ns = 1'000'000'000;  // how much is done twice after a crash
    uint64_t linger_ns = 60'000'000'000;     // of an idle job
    // Objects that one job has under way while nobody else wants anything, and while somebody does.
    uint32_t in_flight_max = 4096;
    uint32_t in_flight_busy_max = 128;
    uint64_t in_flight_bytes_max = 64 << 20;  // of content that is being copied
    uint64_t scrub_bytes_per_s = 64 << 20;    // a quarter of it while somebody wants something
    std::string promote_root = "/var/lib/ais/promote";
};

// How far the moves between mountpaths are.
struct ResilverProgress {
    bool is_moving = false;
    uint64_t objects = 0;  // moved since the moves began
    Status outcome;        // of the last round
};

// What the registry stands on; all of it outlives it.
struct JobsParts {
    ObjectService* service = nullptr;
    std::vector<io::Reactor*> reactors;  // of all cores
    io::BufferPool* buffers = nullptr;   // of core 0
    io::Pool* pool = nullptr;
    std::vector<MetadataHome> homes;  // mountpaths: the first few have the journal
    const Clock* clock = nullptr;
    // On core 0; null: nothing ever moves.
    std::function<io::Task<ResilverProgress>()> resilver;
};

class Jobs {
public:
    // On core 0. Reads the journal and goes on with the jobs that it knows as unfinished. `invalid`
    // if a newer release wrote it; a journal that is damaged is reported and what can be read of
    // it counts, or another mountpath's.
    static io::Task<Result<std::unique_ptr<Jobs>>> open(JobsParts parts, JobsOptions options,
                                                        const Log& log);
    ~Jobs();  // asserts that stop() ran

    // The job's id. `not_found` without the bucket, `exists` for a rename onto a bucket, `denied`
    // by its access bits, `invalid` for a selection that cannot be, `unavailable` when too many
    // jobs are alive, `io_error` or `full` when the journal cannot be written: then there is none.
    io::Task<Result<std::string>> start(uint32_t core, JobSpec spec);
    // Newest first.
    io::Task<std::vector<JobSnapshot>> find(uint32_t core, JobFilter filter);
    // When the job's work is done, or `until` ends: what it looks like then. `not_found`.
    io::Task<Result<JobSnapshot>> wait(uint32_t core, std::string id, uint64_t timeout_ns);
    // Asks every live job that the filter names to stop, and waits until each has; how many.
    io::Task<uint32_t> stop_jobs(uint32_t core, JobFilter filter, std::string reason);

    // Whether such a source of a promotion is a directory. `invalid` if it is not below the promote
    // root, `not_found` if there is neither a file nor a directory.
    io::Task<Result<bool>> is_promotable_directory(uint32_t core, std::string source);

    // How many requests core 0 has taken for clients; with it, jobs give way to them. On core 0.
    void yield_to(std::function<uint64_t()> request_count) {
        request_count_ = std::move(request_count);
    }
    const JobsOptions& options() const { return options_; }

    // On core 0. From now on the first few of these have the journal, all of it when it is done. An
    // error if none of them can be written: then nothing changes.
    io::Task<Status> keep_on(std::vector<MetadataHome> homes);

    // On core 0, before the service stops: interrupts what runs, which the next start goes on with.
    io::Task<void> stop();

private:
    struct Job;
    friend class JobRun;
    using JobPointer = std::shared_ptr<Job>;

    Jobs(JobsParts parts, JobsOptions options, const Log& log);
    io::Reactor& home() { return *parts_.reactors.front(); }

    io::Task<Result<std::string>> start_here(JobSpec spec);
    io::Task<std::vector<JobSnapshot>> find_here(JobFilter filter);
    io::Task<Result<JobSnapshot>> wait_here(std::string id, uint64_t timeout_ns);
    io::Task<uint32_t> stop_here(JobFilter filter, std::string reason);

    // Beginning and ending.
    io::Task<Status> check(const JobSpec& spec);
    Status check_copy(const JobSpec& spec);
    JobPointer alive_of(JobKind kind) const;
    io::Task<Result<JobPointer>> make_job(JobSpec spec);
    std::string new_id(JobKind kind);
    void adopt(JournaledJob found);
    io::Task<void> run(JobPointer job, io::Gate::Pass pass);
    io::Task<Status> act(Job& job);
    io::Task<void> end(Job& job, JobState state, std::string reason);
    io::Task<Status> promise(Job& job);
    void forget_past();

    // The journal, one call at a time.
    io::Task<Status> write(JobRecord record, bool syncs);
    io::Task<void> write_past(JobPointer job, io::Gate::Pass pass);
    std::vector<std::byte> encode_all() const;

    bool is_lingering(const Job& job) const;
    bool matches(const Job& job, const JobFilter& filter) const;
    JobSnapshot snapshot(const Job& job) const;

    JobsParts parts_;
    JobsOptions options_;
    const Log& log_;
    Random random_;
    JobJournals journals_;
    io::Semaphore writing_;
    io::Gate gate_;
    io::Semaphore slots_;
    std::function<uint64_t()> request_count_;
    std::deque<JobPointer> jobs_;  // oldest first; live ones and those of the past
    uint32_t alive_count_ = 0;
    uint32_t rebalance_count_ = 0;
    bool is_stopping_ = false;
};

}  // namespace penstock::node
