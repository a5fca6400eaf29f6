#include "node/storage.h"

#include <filesystem>
#include <unordered_set>

#include "io/base/random.h"
#include "node/metadata/single_log.h"

namespace penstock::node {
namespace {

namespace fs = std::filesystem;

constexpr size_t node_id_length = 8;
constexpr size_t cluster_uuid_length = 9;

// Makes the directory if it is missing, so that a power cut does not take it away again.
Result<std::string> prepare_directory(const std::string& path) {
    std::error_code error;
    const fs::path absolute = fs::absolute(path, error).lexically_normal();
    if (error) return fail(Errc::io_error, path + ": " + error.message());
    if (fs::create_directory(absolute, error)) {
        fs::path parent = absolute.parent_path();
        if (absolute.filename().empty()) parent = parent.parent_path();  // "dir/"
        TRY(const std::unique_ptr<io::BlockingDisk> disk, io::make_posix_disk(parent.string()));
        TRY_STATUS(disk->sync_directory(""));
    }
    if (error) return fail(Errc::io_error, "make directory " + path + ": " + error.message());
    const fs::path real = fs::canonical(absolute, error);
    if (error) return fail(Errc::io_error, path + ": " + error.message());
    return real.string();
}

// Buckets that live, for the store's start: it is asked once for every object.
std::function<bool(BucketId)> live_buckets(const MetadataState& state) {
    auto live = std::make_shared<std::unordered_set<uint64_t>>();
    state.for_each_bucket(
        [&live](const std::shared_ptr<const Bucket>& bucket) { live->insert(bucket->id.value); });
    return [live](BucketId bucket) { return live->contains(bucket.value); };
}

io::Task<void> make_disk(io::Cores& cores, uint32_t core, io::BlockingDisk& directory,
                         std::unique_ptr<io::Disk>& into) {
    into = io::make_kernel_disk(cores.reactor(core), cores.pool(), directory);
    co_return;
}

io::Task<void> drop_disk(std::unique_ptr<io::Disk>& disk) {
    disk.reset();
    co_return;
}

io::Task<std::string> value_of(const MetadataLog& metadata, std::string key) {
    const std::string* value = metadata.state(0)->find_value(key);
    co_return value == nullptr ? std::string() : *value;
}

}  // namespace

Result<std::unique_ptr<Storage>> Storage::open(StorageOptions options, const Log& log) {
    std::unique_ptr<Storage> storage(new Storage(log));
    if (const Status opened = storage->open_parts(std::move(options)); !opened) {
        storage->stop();
        return fail(opened.error());
    }
    return storage;
}

Storage::~Storage() {
    ASSERT(cores_ == nullptr);
}

Status Storage::open_parts(StorageOptions options) {
    TRY_STATUS(open_directory(options.path));
    TRY(cores_, io::Cores::start(options.cores, log_));
    make_disks();
    TRY_STATUS(open_metadata());
    TRY(node_id_, identity_value("node.id", node_id_length));
    TRY(cluster_uuid_, identity_value("cluster.uuid", cluster_uuid_length));
    TRY_STATUS(open_store(std::move(options.store)));

    ServiceParts parts;
    parts.metadata = metadata_.get();
    parts.store = store_.get();
    parts.clock = &clock_;
    parts.node_id = node_id_;
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        parts.cores.push_back({&cores_->reactor(core), &cores_->buffers(core)});
    }
    service_ = make_object_service(std::move(parts), options.service);
    return open_jobs(std::move(options.jobs));
}

Status Storage::open_jobs(JobsOptions options) {
    JobsParts parts;
    parts.service = service_.get();
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        parts.reactors.push_back(&cores_->reactor(core));
    }
    parts.buffers = &cores_->buffers(0);
    parts.pool = &cores_->pool();
    parts.disk = directory_.get();
    parts.clock = &clock_;
    TRY(jobs_, cores_->run_on(0, [&] { return Jobs::open(parts, options, log_); }));
    return {};
}

Status Storage::open_directory(const std::string& path) {
    TRY(path_, prepare_directory(path));
    TRY(directory_, io::make_posix_disk(path_));
    return {};
}

void Storage::make_disks() {
    disks_.resize(cores_->count());
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        cores_->run_on(core, [&] { return make_disk(*cores_, core, *directory_, disks_[core]); });
    }
}

Status Storage::open_metadata() {
    SingleLogParts parts{{}, &cores_->pool(), directory_.get()};
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        parts.reactors.push_back(&cores_->reactor(core));
    }
    TRY(metadata_,
        cores_->run_on(0, [&] { return open_single_log(parts, JournalOptions{}, log_); }));
    return {};
}

Result<std::string> Storage::identity_value(const std::string& key, size_t length) {
    std::string value = cores_->run_on(0, [&] { return value_of(*metadata_, key); });
    if (!value.empty()) return value;
    value = Random::from_system().alphanumeric(length);
    TRY_STATUS(cores_->run_on(0, [&] { return metadata_->submit(0, SetValue{key, value}); }));
    return value;
}

Status Storage::open_store(StoreOptions options) {
    std::vector<StoreCore> store_cores;
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        store_cores.push_back({&cores_->reactor(core), &cores_->buffers(core), disks_[core].get()});
    }
    options.is_live_bucket = live_buckets(*metadata_->state(0));
    TRY(store_, cores_->run_on(0, [&] { return Store::open(store_cores, options, log_); }));
    return {};
}

void Storage::stop() {
    if (cores_ == nullptr) return;
    if (jobs_ != nullptr) cores_->run_on(0, [this] { return jobs_->stop(); });
    if (store_ != nullptr) cores_->run_on(0, [this] { return store_->stop(); });
    if (metadata_ != nullptr) cores_->run_on(0, [this] { return metadata_->stop(); });
    jobs_.reset();
    service_.reset();
    store_.reset();
    metadata_.reset();
    for (uint32_t core = 0; core < disks_.size(); ++core) {
        cores_->run_on(core, [&] { return drop_disk(disks_[core]); });
    }
    cores_->stop();
    cores_.reset();
}

}  // namespace penstock::node
