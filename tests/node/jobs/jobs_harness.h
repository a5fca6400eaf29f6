// A whole node without doors on a disk in memory, on one core: metadata, store, service, jobs.
#pragma once

#include <map>
#include <string>

#include "node/jobs/registry.h"
#include "node/metadata/single_log.h"
#include "node/service/service.h"
#include "tests/node/store/store_harness.h"

namespace penstock::node {

class JobsHarness {
public:
    JobsHarness(TestLoop& loop, io::MemoryStorage& storage, io::FaultPlan* faults = nullptr)
        : loop_(loop) {
        disk_ = storage.make_disk(*loop.reactor, *loop.pool);
        blocking_ = storage.make_blocking_disk();
        if (faults != nullptr) jobs_disk_ = io::make_fault_blocking_disk(*blocking_, *faults);
        options.unjournaled_ns = 0;  // every job that waits for anything is journaled
        options.checkpoint_ns = 0;
        options.in_flight_max = 16;
    }
    ~JobsHarness() { close(); }

    Status open() {
        SingleLogParts log_parts{{loop_.reactor.get()}, {{blocking_.get(), loop_.pool.get()}}};
        auto metadata = run(open_single_log(log_parts, JournalOptions{}, log_));
        if (!metadata) return fail(metadata.error());
        metadata_ = std::move(*metadata);
        StoreOptions store_options;
        store_options.segment_bytes = 256 << 10;
        store_options.reserve_bytes = 64 << 10;
        store_options.catalogue_cache_bytes = 0;
        auto store = run(
            Store::open({{loop_.reactor.get(), &loop_.buffers, disk_.get()}}, store_options, log_));
        if (!store) return fail(store.error());
        store_ = std::move(*store);
        ServiceParts parts{metadata_.get(),
                           store_.get(),
                           &loop_.reactor->clock(),
                           {{loop_.reactor.get(), &loop_.buffers}},
                           "node"};
        service_ = make_object_service(parts, {});
        JobsParts jobs_parts{service_.get(),
                             {loop_.reactor.get()},
                             &loop_.buffers,
                             loop_.pool.get(),
                             journal_homes.empty() ? own_home() : journal_homes,
                             &loop_.reactor->clock()};
        auto jobs = run(Jobs::open(jobs_parts, options, log_));
        if (!jobs) return fail(jobs.error());
        jobs_ = std::move(*jobs);
        return {};
    }
    void close() {
        if (jobs_ != nullptr) run(jobs_->stop());
        if (store_ != nullptr) run(store_->stop());
        if (metadata_ != nullptr) run(metadata_->stop());
        jobs_.reset();
        service_.reset();
        store_.reset();
        metadata_.reset();
    }

    template <typename T>
    T run(io::Task<T> task) {
        return loop_.reactor->run_until_done(std::move(task));
    }
    Jobs& jobs() { return *jobs_; }
    ObjectService& service() { return *service_; }
    TestLoop& loop() { return loop_; }

    static BucketName bucket(const std::string& name) { return {"ais", "", "", name}; }
    Status create(const std::string& name) {
        return run(service_->create_bucket(0, bucket(name), {}));
    }
    Status put(const std::string& in, const std::string& object, const std::string& content) {
        io::Body body = io::Body::copy_of(loop_.buffers, as_bytes(content));
        const BucketName name = bucket(in);
        const auto stored = run(service_->put(0, {name, object}, std::move(body), {}));
        return stored ? Status() : fail(stored.error());
    }
    // Name -> content, with the version in front; or what is wrong.
    std::map<std::string, std::string> objects(const std::string& in) {
        std::map<std::string, std::string> all;
        const BucketName name = bucket(in);
        auto page = run(service_->list(0, name, {}));
        if (!page) return {{"<error>", page.error().context}};
        for (const ListPage::Entry& entry : page->entries) {
            const std::string object(page->name(entry));
            auto opened = run(service_->get(0, {name, object}, {}));
            if (!opened) {
                all[object] = "<error> " + opened.error().context;
                continue;
            }
            auto bytes = run(opened->body.read_all(*loop_.reactor, loop_.buffers, 1 << 20));
            all[object] = std::to_string(opened->attributes.display_version) + ":" +
                          std::string(bytes ? as_text(bytes->bytes()) : "<error>");
        }
        return all;
    }

    Result<std::string> start(JobSpec spec) { return run(jobs_->start(0, std::move(spec))); }
    // Its id, once its work is done; "" if it did not begin.
    std::string finish(JobSpec spec) {
        const Result<std::string> id = start(std::move(spec));
        return id && wait(*id).id == *id ? *id : "";
    }
    JobSnapshot wait(const std::string& id) {
        const auto found = run(jobs_->wait(0, id, 60'000'000'000));
        return found ? *found : JobSnapshot();
    }
    std::vector<JobSnapshot> find(JobFilter filter = {}) {
        return run(jobs_->find(0, std::move(filter)));
    }

    static JobSpec deletion(const std::string& from, Selection selection) {
        JobSpec spec{.kind = JobKind::delete_objects, .owner = "test", .bucket = bucket(from)};
        spec.selection = std::move(selection);
        return spec;
    }
    static JobSpec copying(JobKind kind, const std::string& from, const std::string& to,
                           Selection selection = {}) {
        JobSpec spec{.kind = kind, .owner = "test", .bucket = bucket(from)};
        spec.selection = std::move(selection);
        spec.copy.to = bucket(to);
        return spec;
    }
    static Selection listed(std::vector<std::string> names) {
        return {Selection::Kind::names, std::move(names), ""};
    }
    static Selection pattern(std::string text) {
        return {Selection::Kind::pattern, {}, std::move(text)};
    }

    std::vector<MetadataHome> own_home() {
        return {{jobs_disk_ ? jobs_disk_.get() : blocking_.get(), loop_.pool.get()}};
    }

    JobsOptions options;
    std::vector<MetadataHome> journal_homes;  // empty: the node's own disk

private:
    TestLoop& loop_;
    Log log_ = Log::quiet();
    std::unique_ptr<io::Disk> disk_;
    std::unique_ptr<io::BlockingDisk> blocking_;
    std::unique_ptr<io::BlockingDisk> jobs_disk_;
    std::unique_ptr<MetadataLog> metadata_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<ObjectService> service_;
    std::unique_ptr<Jobs> jobs_;
};

}  // namespace penstock::node
