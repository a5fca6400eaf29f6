// Storage: a node's data directories, opened: reactors, disks, metadata, store, object service and
// jobs, without any door. What a node serves, and what a program of its own embeds (embedded.h).
//
// Made, used and stopped by one thread that is none of its cores.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/base/log.h"
#include "io/blocking_disk.h"
#include "io/cores.h"
#include "io/disk.h"
#include "node/jobs/registry.h"
#include "node/metadata/single_log.h"
#include "node/service/service.h"
#include "node/store/mountpath_set.h"

namespace penstock::node {

struct StorageOptions {
    // The mountpaths' directories; each is made if it is missing, in a directory that exists.
    std::vector<std::string> paths;
    bool allows_missing = false;  // of mountpaths that were there before
    io::CoresOptions cores;
    StoreOptions store;
    ServiceOptions service;
    JobsOptions jobs;
};

class Storage {
public:
    // `unavailable`: locked (the text names the pid) or no kernel backend; `invalid`: a newer
    // format; `condition_failed`: the directories do not belong together, or one is missing (the
    // text says what to do); `corrupt`, `io_error`, `full`: nothing can be served. `log` outlives
    // the storage.
    static Result<std::unique_ptr<Storage>> open(StorageOptions options, const Log& log);
    ~Storage();  // asserts that stop() ran

    io::Cores& cores() { return *cores_; }
    ObjectService& service() { return *service_; }
    // For what must see everything, whatever a bucket's access bits say.
    Store& store() { return *store_; }
    MountpathSet& mountpaths() { return *store_; }
    Jobs& jobs() { return *jobs_; }
    const Clock& clock() const { return clock_; }
    const std::string& path() const { return directories_.front()->of.path; }  // absolute
    // Kept in the metadata: made at the first start.
    const std::string& node_id() const { return node_id_; }
    const std::string& cluster_uuid() const { return cluster_uuid_; }

    // Nobody calls the service or the jobs any more. Leaves everything as a quick start wants it.
    void stop();

private:
    // A directory that is open, and what works on it.
    struct Directory {
        MountpathDisks of;
        std::unique_ptr<io::BlockingDisk> blocking;
        std::unique_ptr<io::Pool> pool;
        std::unique_ptr<io::Pool> probe_pool;
        std::vector<std::unique_ptr<io::Disk>> disks;  // one for each core
    };
    // What the set of mountpaths asks for.
    class Host final : public MountpathHost {
    public:
        explicit Host(Storage& storage) : storage_(storage) {}
        io::Task<Result<MountpathDisks*>> open(std::string path) override;
        io::Task<Status> forget_metadata(MountpathDisks& of) override;
        io::Task<Status> keep_metadata(std::vector<MountpathDisks*> on) override;
        std::vector<BucketId> buckets() override;
        void moves_began() override;

        // Where the metadata is to lie since the last call; empty: as at the start.
        const std::vector<MetadataHome>& kept_on() const { return kept_on_; }

    private:
        Storage& storage_;
        std::vector<MetadataHome> kept_on_;
    };

    explicit Storage(const Log& log) : log_(log), host_(*this) {}
    Status open_parts(StorageOptions options);
    Status find_directories(const StorageOptions& options);
    static Result<std::unique_ptr<Directory>> open_directory(const std::string& path);
    void make_pools(Directory& directory);
    void make_disks();
    Status open_metadata();
    Status open_store(StoreOptions options, bool allows_missing);
    Status open_jobs(JobsOptions options);
    io::Task<Status> open_jobs_at_home(JobsParts parts, JobsOptions options);
    std::vector<MetadataHome> homes() const;
    io::Task<ResilverProgress> resilver_progress();
    io::Task<void> show_moves();
    Result<std::string> identity_value(const std::string& key, size_t length);

    const Log& log_;
    SystemClock clock_;
    Host host_;
    std::string node_id_;
    std::string cluster_uuid_;
    std::vector<std::unique_ptr<Directory>> directories_;  // of the start first
    MountpathPlan plan_;
    std::unique_ptr<io::Cores> cores_;
    std::unique_ptr<SingleLog> metadata_;
    std::unique_ptr<MountpathSet> store_;
    std::unique_ptr<ObjectService> service_;
    std::unique_ptr<Jobs> jobs_;
};

}  // namespace penstock::node
