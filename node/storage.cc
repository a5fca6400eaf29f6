#include "node/storage.h"

#include <filesystem>
#include <unordered_set>

#include "io/base/random.h"

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

io::Task<void> make_disk(io::Reactor& reactor, io::Pool& pool, io::BlockingDisk& directory,
                         std::unique_ptr<io::Disk>& into) {
    into = io::make_kernel_disk(reactor, pool, directory);
    co_return;
}

// What a node left in a directory that is no longer its own.
Status erase_metadata(io::BlockingDisk& disk) {
    // The metadata last: a directory without it passes for one that never had any.
    TRY_STATUS(JobJournal::erase(disk));
    return Journal::erase(disk);
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
    TRY_STATUS(find_directories(options));
    TRY(cores_, io::Cores::start(options.cores, log_));
    make_disks();
    TRY_STATUS(open_metadata());
    TRY(node_id_, identity_value("node.id", node_id_length));
    TRY(cluster_uuid_, identity_value("cluster.uuid", cluster_uuid_length));
    TRY_STATUS(open_store(std::move(options.store), options.allows_missing));

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
    parts.homes = homes();
    parts.clock = &clock_;
    parts.resilver = [this] { return resilver_progress(); };
    TRY_STATUS(cores_->run_on(0, [&] { return open_jobs_at_home(parts, options); }));
    // The set went on with its moves before there were jobs.
    if (cores_->run_on(0, [this] { return store_->moves(0); }).is_moving) {
        cores_->run_on(0, [this] { return show_moves(); });
    }
    return {};
}

// The set may have changed while there were no jobs yet.
io::Task<Status> Storage::open_jobs_at_home(JobsParts parts, JobsOptions options) {
    CO_TRY(jobs_, co_await Jobs::open(std::move(parts), std::move(options), log_));
    if (host_.kept_on().empty()) co_return Status();
    const Status kept = co_await jobs_->keep_on(host_.kept_on());
    if (!kept) {
        log_.warning("the jobs' journal stays on the mountpaths that had it",
                     {{"reason", std::string_view(kept.error().context)}});
    }
    co_return Status();
}

io::Task<ResilverProgress> Storage::resilver_progress() {
    MoveFigures figures = co_await store_->moves(0);
    co_return ResilverProgress{figures.is_moving, figures.objects, std::move(figures.outcome)};
}

io::Task<void> Storage::show_moves() {
    const Result<std::string> id =
        co_await jobs_->start(0, {.kind = JobKind::resilver, .owner = "node"});
    if (id || id.error().code == Errc::unavailable) co_return;
    log_.warning("moves between mountpaths go on without a job",
                 {{"reason", std::string_view(id.error().context)}});
}

// Before there are cores: which directories these are, and whether they belong together.
Status Storage::find_directories(const StorageOptions& options) {
    ASSERT(!options.paths.empty());
    std::vector<FoundMountpath> found;
    for (const std::string& path : options.paths) {
        TRY(std::unique_ptr<Directory> directory, open_directory(path));
        auto mountpath = find_mountpath(*directory->blocking, directory->of.path);
        if (!mountpath && options.paths.size() > 1) {
            mountpath.error().context = path + ": " + mountpath.error().context;
        }
        if (!mountpath) return fail(mountpath.error());
        directories_.push_back(std::move(directory));
        found.push_back(std::move(*mountpath));
    }
    TRY(plan_, plan_mountpaths(found, options.allows_missing));
    for (const MountpathPlan::Member& member : plan_.members) {
        if (!member.found || !member.is_new || found[*member.found].is_blank) continue;
        TRY_STATUS(erase_metadata(*directories_[*member.found]->blocking));
    }
    return {};
}

Result<std::unique_ptr<Storage::Directory>> Storage::open_directory(const std::string& path) {
    auto directory = std::make_unique<Directory>();
    TRY(directory->of.path, prepare_directory(path));
    TRY(directory->blocking, io::make_posix_disk(directory->of.path));
    directory->of.blocking = directory->blocking.get();
    return directory;
}

// Of its own: what waits for a device that hangs keeps no thread from the others.
void Storage::make_pools(Directory& directory) {
    directory.pool = io::make_thread_pool(2 * cores_->count());
    directory.probe_pool = io::make_thread_pool(1);
    directory.of.pool = directory.pool.get();
    directory.of.probe_pool = directory.probe_pool.get();
    directory.disks.resize(cores_->count());
}

void Storage::make_disks() {
    for (const auto& directory : directories_) {
        make_pools(*directory);
        for (uint32_t core = 0; core < cores_->count(); ++core) {
            cores_->run_on(core, [&] {
                return make_disk(cores_->reactor(core), *directory->pool, *directory->blocking,
                                 directory->disks[core]);
            });
            directory->of.cores.push_back(directory->disks[core].get());
        }
    }
}

Status Storage::open_metadata() {
    SingleLogParts parts;
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        parts.reactors.push_back(&cores_->reactor(core));
    }
    parts.homes = homes();
    TRY(metadata_,
        cores_->run_on(0, [&] { return open_single_log(parts, JournalOptions{}, log_); }));
    return {};
}

// The mountpaths that are there, in the order of the registry.
std::vector<MetadataHome> Storage::homes() const {
    std::vector<MetadataHome> homes;
    for (const MountpathPlan::Member& member : plan_.members) {
        if (!member.found) continue;
        const Directory& directory = *directories_[*member.found];
        homes.push_back({directory.blocking.get(), directory.pool.get(), member.is_new});
    }
    return homes;
}

Result<std::string> Storage::identity_value(const std::string& key, size_t length) {
    std::string value = cores_->run_on(0, [&] { return value_of(*metadata_, key); });
    if (!value.empty()) return value;
    value = Random::from_system().alphanumeric(length);
    TRY_STATUS(cores_->run_on(0, [&] { return metadata_->submit(0, SetValue{key, value}); }));
    return value;
}

Status Storage::open_store(StoreOptions options, bool allows_missing) {
    std::vector<MountpathCore> cores;
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        cores.push_back({&cores_->reactor(core), &cores_->buffers(core)});
    }
    std::vector<MountpathDisks*> disks;
    for (const auto& directory : directories_) disks.push_back(&directory->of);
    MountpathSetOptions set;
    set.store = std::move(options);
    set.store.is_live_bucket = live_buckets(*metadata_->state(0));
    set.allows_missing = allows_missing;
    TRY(store_, cores_->run_on(
                    0, [&] { return MountpathSet::open(cores, plan_, disks, host_, set, log_); }));
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
    for (const auto& directory : directories_) {
        for (uint32_t core = 0; core < directory->disks.size(); ++core) {
            cores_->run_on(core, [&] { return drop_disk(directory->disks[core]); });
        }
    }
    cores_->stop();
    directories_.clear();
    cores_.reset();
}

// -------------------------------------------------------------------------------------------------
// What the set of mountpaths asks for, on core 0

io::Task<Result<MountpathDisks*>> Storage::Host::open(std::string path) {
    Storage& storage = storage_;
    io::Cores& cores = *storage.cores_;
    io::Reactor& home = cores.reactor(0);
    CO_TRY(std::unique_ptr<Directory> opened,
           co_await cores.pool().run(home, [&path] { return open_directory(path); }));
    for (const auto& known : storage.directories_) {
        if (known->of.path == opened->of.path) co_return &known->of;
    }
    Directory& directory = *storage.directories_.emplace_back(std::move(opened));
    storage.make_pools(directory);
    for (uint32_t core = 0; core < cores.count(); ++core) {
        co_await io::on_core(home, cores.reactor(core), [&] {
            return make_disk(cores.reactor(core), *directory.pool, *directory.blocking,
                             directory.disks[core]);
        });
        directory.of.cores.push_back(directory.disks[core].get());
    }
    co_return &directory.of;
}

io::Task<Status> Storage::Host::forget_metadata(MountpathDisks& of) {
    io::BlockingDisk& disk = *of.blocking;
    co_return co_await of.pool->run(storage_.cores_->reactor(0),
                                    [&disk] { return erase_metadata(disk); });
}

io::Task<Status> Storage::Host::keep_metadata(std::vector<MountpathDisks*> on) {
    kept_on_.clear();
    for (const MountpathDisks* disks : on) kept_on_.push_back({disks->blocking, disks->pool});
    Status kept = co_await storage_.metadata_->keep_on(kept_on_);
    if (storage_.jobs_ == nullptr) co_return kept;
    const Status jobs_kept = co_await storage_.jobs_->keep_on(kept_on_);
    co_return kept ? jobs_kept : kept;
}

std::vector<BucketId> Storage::Host::buckets() {
    std::vector<BucketId> ids;
    storage_.metadata_->state(0)->for_each_bucket(
        [&ids](const std::shared_ptr<const Bucket>& bucket) { ids.push_back(bucket->id); });
    return ids;
}

void Storage::Host::moves_began() {
    if (storage_.jobs_ != nullptr) io::start_detached(storage_.show_moves());
}

}  // namespace penstock::node
