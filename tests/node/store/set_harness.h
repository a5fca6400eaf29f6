// A set of mountpaths on disks in memory, on one core, and the small language that its tests speak.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node/store/mountpath_set.h"
#include "tests/node/store/store_harness.h"

namespace penstock::node {

// A directory of the machine under test.
struct Drive {
    explicit Drive(std::string named) : path(std::move(named)) {}
    std::string path;
    io::MemoryStorage storage;
};

class SetHarness final : public MountpathHost {
public:
    explicit SetHarness(TestLoop& loop) : loop_(loop) {}
    ~SetHarness() override { stop(); }

    // Faults of all drives that are opened from now on.
    void set_faults(io::FaultPlan& plan) { plan_ = &plan; }
    MountpathSetOptions& options() { return options_; }

    Status begin(const std::vector<Drive*>& drives, bool allows_missing = false) {
        std::vector<MountpathDisks*> disks;
        std::vector<FoundMountpath> found;
        for (Drive* drive : drives) {
            disks.push_back(&add(*drive));
            TRY(FoundMountpath each, find_mountpath(*disks.back()->blocking, drive->path));
            found.push_back(std::move(each));
        }
        TRY(MountpathPlan plan, plan_mountpaths(found, allows_missing));
        configure(allows_missing);
        auto opened = run(MountpathSet::open({{loop_.reactor.get(), &loop_.buffers}},
                                             std::move(plan), disks, *this, options_, log_));
        if (!opened) return fail(opened.error());
        set_ = std::move(*opened);
        return {};
    }
    void stop() {
        if (set_ == nullptr) return;
        run(set_->stop());
        set_.reset();
    }
    // So that attach() finds it by its path.
    void plug(Drive& drive) { plugged_.push_back(&drive); }

    io::Task<Result<MountpathDisks*>> open(std::string path) override {
        for (const auto& known : opened_) {
            if (known->of.path == path) co_return &known->of;
        }
        for (Drive* drive : plugged_) {
            if (drive->path == path) co_return &add(*drive);
        }
        co_return fail(Errc::not_found, "no directory " + path);
    }
    io::Task<Status> forget_metadata(MountpathDisks&) override { co_return Status(); }
    io::Task<Status> keep_metadata(std::vector<MountpathDisks*> on) override {
        metadata_on.clear();
        for (const MountpathDisks* disks : on) metadata_on.push_back(disks->path);
        co_return Status();
    }
    std::vector<BucketId> buckets() override { return {{1}, {2}}; }
    void moves_began() override { ++moves_begun; }

    template <typename T>
    T run(io::Task<T> task) {
        return loop_.reactor->run_until_done(std::move(task));
    }
    MountpathSet& set() { return *set_; }
    TestLoop& loop() { return loop_; }
    static ObjectName name(std::string_view object) { return {{1}, "bucket", object}; }

    Result<ObjectAttributes> put(std::string_view object, const std::string& content,
                                 PutOptions options = {}) {
        return run(set_->put(0, name(object), body(content), std::move(options)));
    }
    io::Body body(const std::string& content) {
        if (content.size() > io::BufferPool::size_max) {
            return io::Body(std::make_unique<PiecewiseSource>(loop_.buffers, content, true));
        }
        return io::Body::copy_of(loop_.buffers, as_bytes(content));
    }
    Result<std::string> get(std::string_view object, ReadRange range = {}) {
        auto opened = run(set_->get(0, name(object), range));
        if (!opened) return fail(opened.error());
        return read(std::move(opened->body));
    }
    Result<std::string> read(io::Body body) {
        const auto source = body.into_source(*loop_.reactor, loop_.buffers);
        std::string content;
        for (;;) {
            auto chunk = run(source->next());
            if (!chunk) return fail(chunk.error());
            if (chunk->is_empty()) return content;
            content += as_text(chunk->bytes());
        }
    }
    Status remove(std::string_view object) {
        auto removed = run(set_->remove(0, name(object), {}, Durability::group));
        if (!removed) return fail(removed.error());
        return {};
    }
    Result<std::vector<std::string>> list(ListOptions options = {}) {
        std::vector<std::string> names;
        for (;;) {
            auto page = run(set_->list(0, {1}, options));
            if (!page) return fail(page.error());
            for (const auto& entry : page->entries) names.emplace_back(page->name(entry));
            if (page->is_last) return names;
            options.after = names.back();
        }
    }
    uint64_t objects_at(const std::string& path) {
        for (const MountpathFigures& figures : run(set_->figures(0))) {
            if (figures.path == path) return figures.usage.objects;
        }
        return UINT64_MAX;
    }

    std::vector<std::string> metadata_on;
    int moves_begun = 0;

private:
    struct Opened {
        MountpathDisks of;
        std::unique_ptr<io::BlockingDisk> blocking;
        std::unique_ptr<io::BlockingDisk> faulty_blocking;
        std::unique_ptr<io::Disk> disk;
        std::unique_ptr<io::Disk> faulty;
    };

    MountpathDisks& add(Drive& drive) {
        Opened& opened = *opened_.emplace_back(std::make_unique<Opened>());
        opened.of.path = drive.path;
        opened.of.pool = opened.of.probe_pool = loop_.pool.get();
        opened.blocking = drive.storage.make_blocking_disk();
        opened.disk = drive.storage.make_disk(*loop_.reactor, *loop_.pool);
        opened.of.blocking = opened.blocking.get();
        opened.of.cores = {opened.disk.get()};
        if (plan_ != nullptr) {
            opened.faulty_blocking = io::make_fault_blocking_disk(*opened.blocking, *plan_);
            opened.faulty = io::make_fault_disk(*opened.disk, *plan_);
            opened.of.blocking = opened.faulty_blocking.get();
            opened.of.cores = {opened.faulty.get()};
        }
        return opened.of;
    }
    void configure(bool allows_missing) {
        options_.store.segment_bytes = 256 << 10;
        options_.store.small_object_bytes_max = 8 << 10;
        options_.store.reserve_bytes = 16 << 10;
        options_.store.catalogue_cache_bytes = 0;
        options_.store.is_compacting = false;
        options_.allows_missing = allows_missing;
        options_.move_grace_ns = 0;
        options_.move_again_ns = 1'000'000;
    }

    TestLoop& loop_;
    Log log_ = Log::quiet();
    io::FaultPlan* plan_ = nullptr;
    MountpathSetOptions options_{.probe_interval_ns = 0};
    std::vector<Drive*> plugged_;
    std::vector<std::unique_ptr<Opened>> opened_;
    std::unique_ptr<MountpathSet> set_;
};

}  // namespace penstock::node
