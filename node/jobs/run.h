// JobRun: what the action of a job has in hand while it runs: its spec, the buckets under the names
// that they have now, and where it says how far it is.
//
// On core 0, made by the registry for one run of one job.
#pragma once

#include <string>

#include "io/pool.h"
#include "node/jobs/registry.h"
#include "node/jobs/walker.h"

namespace penstock::node {

class JobRun {
public:
    static constexpr uint32_t core = 0;

    JobRun(Jobs& jobs, Jobs::Job& job);

    ObjectService& service() { return *jobs_.parts_.service; }
    io::Reactor& reactor() { return jobs_.home(); }
    io::BufferPool& buffers() { return *jobs_.parts_.buffers; }
    io::Pool& pool() { return *jobs_.parts_.pool; }
    const JobsOptions& options() const { return jobs_.options_; }
    // Nothing moves where there is nobody to ask.
    io::Task<ResilverProgress> resilver_progress();
    const JobSpec& spec() const;
    // Part of this was done before a crash: what is not there any more was done.
    bool is_resumed() const;
    uint64_t started_ns() const;
    const std::string& position() const;  // to go on from; "": the beginning

    // `closed` once it must end: it was asked to stop, or the node is stopping.
    Status may_go_on() const;
    // What the buckets are called now; `not_found` when they were destroyed.
    Result<BucketName> bucket();
    Result<BucketName> destination();
    // Whether `bucket` is the destination already: a rename that was done.
    bool is_destination_there();

    void done(uint64_t objects, uint64_t bytes);
    // Fine if the job goes on without this object; else what it ends with.
    Status failed(std::string object, const Error& error);
    // All before this position is done.
    io::Task<void> settle(std::string position);
    // How many objects may be under way now.
    uint32_t window();

private:
    Result<BucketName> current(BucketId id, BucketName& name);

    Jobs& jobs_;
    Jobs::Job& job_;
    uint64_t settled_ns_;
    // When others' requests were last looked at, and how many there had been.
    uint64_t looked_ns_;
    uint64_t requests_seen_ = 0;
    bool is_busy_ = false;
};

// The kinds. Each is done when all is done, or fails with what the job ends with.
io::Task<Status> delete_many(JobRun& run);
io::Task<Status> copy_many(JobRun& run);
io::Task<Status> rename_bucket(JobRun& run);
io::Task<Status> promote_files(JobRun& run);
io::Task<Status> scrub(JobRun& run);
io::Task<Status> resilver(JobRun& run);
io::Task<Status> rechunk(JobRun& run);

// `invalid` unless the source is a relative path without "..", `not_found` unless it is a file or
// directory below the root; whether it is a directory. Waits for the disk: on the pool.
Result<bool> check_promote(const std::string& root, const std::string& source);

// What a page of names is put through; one at a time or two, as far as the job's window allows.
class PageAction {
public:
    virtual ~PageAction() = default;
    virtual io::Task<Status> act(std::vector<WalkedName> page) = 0;
};
io::Task<Status> run_pages(JobRun& run, PageAction& action);

}  // namespace penstock::node
