// Storage: one data directory, opened: reactors, disks, metadata, store, object service and
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
#include "node/metadata/metadata_log.h"
#include "node/service/service.h"
#include "node/store/store.h"

namespace penstock::node {

struct StorageOptions {
    std::string path;  // of the directory; made if it is missing, in a directory that exists
    io::CoresOptions cores;
    StoreOptions store;
    ServiceOptions service;
    JobsOptions jobs;
};

class Storage {
public:
    // `unavailable`: locked (the text names the pid) or no kernel backend; `invalid`: a newer
    // format; `corrupt`, `io_error`, `full`: nothing can be served. `log` outlives the storage.
    static Result<std::unique_ptr<Storage>> open(StorageOptions options, const Log& log);
    ~Storage();  // asserts that stop() ran

    io::Cores& cores() { return *cores_; }
    ObjectService& service() { return *service_; }
    // For what must see everything, whatever a bucket's access bits say.
    Store& store() { return *store_; }
    Jobs& jobs() { return *jobs_; }
    const Clock& clock() const { return clock_; }
    const std::string& path() const { return path_; }  // absolute
    // Kept in the metadata: made at the first start.
    const std::string& node_id() const { return node_id_; }
    const std::string& cluster_uuid() const { return cluster_uuid_; }

    // Nobody calls the service or the jobs any more. Leaves everything as a quick start wants it.
    void stop();

private:
    explicit Storage(const Log& log) : log_(log) {}
    Status open_parts(StorageOptions options);
    Status open_directory(const std::string& path);
    void make_disks();
    Status open_metadata();
    Status open_store(StoreOptions options);
    Status open_jobs(JobsOptions options);
    Result<std::string> identity_value(const std::string& key, size_t length);

    const Log& log_;
    SystemClock clock_;
    std::string path_;
    std::string node_id_;
    std::string cluster_uuid_;
    std::unique_ptr<io::BlockingDisk> directory_;
    std::unique_ptr<io::Cores> cores_;
    std::vector<std::unique_ptr<io::Disk>> disks_;  // one for each core
    std::unique_ptr<MetadataLog> metadata_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<ObjectService> service_;
    std::unique_ptr<Jobs> jobs_;
};

}  // namespace penstock::node
