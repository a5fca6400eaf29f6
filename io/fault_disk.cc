#include "io/fault_disk.h"

#include <type_traits>
#include <utility>

namespace penstock::io {

bool FaultPlan::Planned::matches(DiskCallKind kind, const std::string& path) const {
    return (!fault.kind || *fault.kind == kind) && path.find(fault.path_part) != path.npos;
}

void FaultPlan::add(const Fault& fault) {
    const std::lock_guard lock(mutex_);
    faults_.push_back({fault});
}

void FaultPlan::reset() {
    const std::lock_guard lock(mutex_);
    faults_.clear();
    calls_.clear();
    call_count_ = 0;
    counts_ = {};
    met_count_ = 0;
    failed_syncs_.clear();
    repeated_sync_count_ = 0;
}

uint64_t FaultPlan::call_count() const {
    const std::lock_guard lock(mutex_);
    return call_count_;
}

uint64_t FaultPlan::call_count(DiskCallKind kind) const {
    const std::lock_guard lock(mutex_);
    return counts_[static_cast<size_t>(kind)];
}

std::vector<DiskCall> FaultPlan::calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
}

uint64_t FaultPlan::met_count() const {
    const std::lock_guard lock(mutex_);
    return met_count_;
}

uint64_t FaultPlan::repeated_sync_count() const {
    const std::lock_guard lock(mutex_);
    return repeated_sync_count_;
}

std::optional<Fault> FaultPlan::on_call(DiskCallKind kind, const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (call_count_ < recorded_calls_max) calls_.push_back({kind, path});
    ++call_count_;
    ++counts_[static_cast<size_t>(kind)];
    std::optional<Fault> met;
    for (Planned& planned : faults_) {
        if (!planned.matches(kind, path)) continue;
        if (planned.is_due() && !met) met = planned.fault;
        ++planned.match_count;
    }
    if (met) ++met_count_;
    const bool is_failing =
        met && (met->effect == FaultEffect::fails || met->effect == FaultEffect::fails_afterward ||
                met->effect == FaultEffect::is_short);
    follow_syncs(kind, path, is_failing);
    return met;
}

void FaultPlan::follow_syncs(DiskCallKind kind, const std::string& path, bool is_failing) {
    if (kind == DiskCallKind::create) failed_syncs_.erase(path);
    if (kind != DiskCallKind::sync) return;
    if (failed_syncs_.contains(path)) ++repeated_sync_count_;
    if (is_failing) failed_syncs_.insert(path);
}

bool FaultPlan::is_next_faulty(DiskCallKind kind, const std::string& path) const {
    const std::lock_guard lock(mutex_);
    for (const Planned& planned : faults_) {
        if (planned.matches(kind, path) && planned.is_due()) return true;
    }
    return false;
}

namespace {

std::unexpected<Error> failure(const Fault& fault, DiskCallKind kind, const std::string& path) {
    return fail(disk_error(fault.error_number, kind, path));
}

// What a call with this fault says, `call` being the real one. Short ones were shortened before.
template <typename Call>
auto call_with(const std::optional<Fault>& fault, DiskCallKind kind, const std::string& path,
               Call call) -> decltype(call()) {
    if (!fault) return call();
    switch (fault->effect) {
        case FaultEffect::is_late:
            return call();
        case FaultEffect::is_lost:
            if constexpr (std::is_same_v<decltype(call()), Status>) return Status();
            return call();
        case FaultEffect::fails_afterward: {
            // Its own result is what this fault hides.
            const auto hidden = call();
            static_cast<void>(hidden);
            break;
        }
        case FaultEffect::fails:
        case FaultEffect::is_short:
            break;
    }
    return failure(*fault, kind, path);
}

bool is_short(const std::optional<Fault>& fault) {
    return fault && fault->effect == FaultEffect::is_short;
}

class FaultBlockingFile final : public BlockingFile {
public:
    FaultBlockingFile(std::unique_ptr<BlockingFile> inner, FaultPlan& plan, std::string path)
        : inner_(std::move(inner)), plan_(plan), path_(std::move(path)) {}

    Result<size_t> read(MutableBytes buffer, uint64_t offset) override {
        const auto fault = plan_.on_call(DiskCallKind::read, path_);
        if (is_short(fault)) TRY_STATUS(inner_->read(buffer.first(buffer.size() / 2), offset));
        return call_with(fault, DiskCallKind::read, path_,
                         [&] { return inner_->read(buffer, offset); });
    }
    Status write_exactly(Bytes bytes, uint64_t offset) override {
        const auto fault = plan_.on_call(DiskCallKind::write, path_);
        if (is_short(fault)) {
            TRY_STATUS(inner_->write_exactly(bytes.first(bytes.size() / 2), offset));
        }
        return call_with(fault, DiskCallKind::write, path_,
                         [&] { return inner_->write_exactly(bytes, offset); });
    }
    Status sync() override {
        return call(DiskCallKind::sync, [&] { return inner_->sync(); });
    }
    Result<uint64_t> size_bytes() override {
        return call(DiskCallKind::size, [&] { return inner_->size_bytes(); });
    }
    Status truncate(uint64_t size_bytes) override {
        return call(DiskCallKind::truncate, [&] { return inner_->truncate(size_bytes); });
    }
    Status allocate(uint64_t size_bytes) override {
        return call(DiskCallKind::allocate, [&] { return inner_->allocate(size_bytes); });
    }
    Status lock_exclusively() override {
        return call(DiskCallKind::lock, [&] { return inner_->lock_exclusively(); });
    }
    int descriptor() const override { return -1; }

private:
    template <typename Call>
    auto call(DiskCallKind kind, Call real) -> decltype(real()) {
        return call_with(plan_.on_call(kind, path_), kind, path_, real);
    }

    std::unique_ptr<BlockingFile> inner_;
    FaultPlan& plan_;
    std::string path_;
};

DiskCallKind open_kind(OpenMode mode) {
    const bool is_create = mode == OpenMode::create || mode == OpenMode::create_direct;
    return is_create ? DiskCallKind::create : DiskCallKind::open;
}

class FaultBlockingDisk final : public BlockingDisk {
public:
    FaultBlockingDisk(BlockingDisk& inner, FaultPlan& plan) : inner_(inner), plan_(plan) {}

    Result<std::unique_ptr<BlockingFile>> open(const std::string& path, OpenMode mode) override {
        TRY(auto file, call(open_kind(mode), path, [&] { return inner_.open(path, mode); }));
        return std::make_unique<FaultBlockingFile>(std::move(file), plan_, path);
    }
    Status remove(const std::string& path) override {
        return call(DiskCallKind::remove, path, [&] { return inner_.remove(path); });
    }
    Status rename(const std::string& from, const std::string& to) override {
        return call(DiskCallKind::rename, from, [&] { return inner_.rename(from, to); });
    }
    Status link(const std::string& from, const std::string& to) override {
        return call(DiskCallKind::link, to, [&] { return inner_.link(from, to); });
    }
    Status make_directory(const std::string& path) override {
        return call(DiskCallKind::make_directory, path,
                    [&] { return inner_.make_directory(path); });
    }
    Status sync_directory(const std::string& path) override {
        return call(DiskCallKind::sync_directory, path,
                    [&] { return inner_.sync_directory(path); });
    }
    Status sync_file_system() override {
        return call(DiskCallKind::sync_file_system, "", [&] { return inner_.sync_file_system(); });
    }
    Result<std::vector<DirectoryEntry>> list(const std::string& path) override {
        return call(DiskCallKind::list, path, [&] { return inner_.list(path); });
    }
    Result<DiskSpace> space() override {
        return call(DiskCallKind::space, "", [&] { return inner_.space(); });
    }

private:
    template <typename Call>
    auto call(DiskCallKind kind, const std::string& path, Call real) -> decltype(real()) {
        return call_with(plan_.on_call(kind, path), kind, path, real);
    }

    BlockingDisk& inner_;
    FaultPlan& plan_;
};

// What a call with this fault gives, `real` being the call itself, not yet begun.
template <typename T>
Task<T> run_with(Reactor& reactor, std::optional<Fault> fault, DiskCallKind kind, std::string path,
                 Task<T> real) {
    if (fault && fault->effect == FaultEffect::is_late) {
        co_await reactor.sleep(reactor.within_ns(fault->delay_ns));
    }
    const bool is_done_in_fact = !fault || fault->effect == FaultEffect::is_late ||
                                 fault->effect == FaultEffect::fails_afterward;
    if (is_done_in_fact) {
        T result = co_await real;
        co_return call_with(fault, kind, path, [&] { return std::move(result); });
    }
    if constexpr (std::is_same_v<T, Status>) {
        if (fault->effect == FaultEffect::is_lost) co_return Status();
    } else {
        if (fault->effect == FaultEffect::is_lost) co_return co_await real;
    }
    co_return failure(*fault, kind, path);
}

class FaultFile final : public File {
public:
    FaultFile(std::unique_ptr<File> inner, Reactor& reactor, FaultPlan& plan, std::string path)
        : inner_(std::move(inner)), reactor_(reactor), plan_(plan), path_(std::move(path)) {}

    // Hints: what fails there is the read's that follows.
    Task<void> bring_in(uint64_t offset, uint64_t size) override {
        return inner_->bring_in(offset, size);
    }
    void read_ahead(bool is_wanted) override { inner_->read_ahead(is_wanted); }
    // Where it would meet a fault it is not resident: the read that follows meets it.
    size_t try_read(MutableBytes buffer, uint64_t offset) override {
        if (plan_.is_next_faulty(DiskCallKind::read, path_)) return 0;
        const size_t count = inner_->try_read(buffer, offset);
        if (count == buffer.size()) plan_.on_call(DiskCallKind::read, path_);
        return count;
    }
    Task<Status> read_exactly(MutableBytes buffer, uint64_t offset) override {
        const auto fault = plan_.on_call(DiskCallKind::read, path_);
        if (is_short(fault)) {
            CO_TRY_STATUS(co_await inner_->read_exactly(buffer.first(buffer.size() / 2), offset));
        }
        co_return co_await run_with(reactor_, fault, DiskCallKind::read, path_,
                                    inner_->read_exactly(buffer, offset));
    }
    Task<Status> write_exactly(Bytes bytes, uint64_t offset) override {
        const auto fault = plan_.on_call(DiskCallKind::write, path_);
        if (is_short(fault)) {
            CO_TRY_STATUS(co_await inner_->write_exactly(bytes.first(bytes.size() / 2), offset));
        }
        co_return co_await run_with(reactor_, fault, DiskCallKind::write, path_,
                                    inner_->write_exactly(bytes, offset));
    }
    Task<Status> sync() override { return run(DiskCallKind::sync, inner_->sync()); }
    Task<Result<uint64_t>> size_bytes() override {
        return run(DiskCallKind::size, inner_->size_bytes());
    }
    Task<Status> truncate(uint64_t size_bytes) override {
        return run(DiskCallKind::truncate, inner_->truncate(size_bytes));
    }
    Task<Status> allocate(uint64_t size_bytes) override {
        return run(DiskCallKind::allocate, inner_->allocate(size_bytes));
    }
    int descriptor() const override { return -1; }

private:
    template <typename T>
    Task<T> run(DiskCallKind kind, Task<T> real) {
        const auto fault = plan_.on_call(kind, path_);
        co_return co_await run_with(reactor_, fault, kind, path_, std::move(real));
    }

    std::unique_ptr<File> inner_;
    Reactor& reactor_;
    FaultPlan& plan_;
    std::string path_;
};

class FaultDisk final : public Disk {
public:
    FaultDisk(Disk& inner, FaultPlan& plan)
        : inner_(inner), plan_(plan), blocking_(inner.blocking(), plan) {}

    Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override {
        CO_TRY(auto file, co_await run(open_kind(mode), path, inner_.open(path, mode)));
        co_return std::make_unique<FaultFile>(std::move(file), inner_.reactor(), plan_,
                                              std::move(path));
    }
    Task<Status> remove(std::string path) override {
        return run(DiskCallKind::remove, path, inner_.remove(path));
    }
    Task<Status> rename(std::string from, std::string to) override {
        return run(DiskCallKind::rename, from, inner_.rename(from, std::move(to)));
    }
    Task<Status> make_directory(std::string path) override {
        return run(DiskCallKind::make_directory, path, inner_.make_directory(path));
    }
    Task<Status> sync_directory(std::string path) override {
        return run(DiskCallKind::sync_directory, path, inner_.sync_directory(path));
    }
    Task<Result<std::vector<DirectoryEntry>>> list(std::string path) override {
        return run(DiskCallKind::list, path, inner_.list(path));
    }
    Task<Result<DiskSpace>> space() override {
        return run(DiskCallKind::space, "", inner_.space());
    }

    BlockingDisk& blocking() override { return blocking_; }
    Pool& pool() override { return inner_.pool(); }
    Reactor& reactor() override { return inner_.reactor(); }

private:
    template <typename T>
    Task<T> run(DiskCallKind kind, std::string path, Task<T> real) {
        const auto fault = plan_.on_call(kind, path);
        co_return co_await run_with(inner_.reactor(), fault, kind, std::move(path),
                                    std::move(real));
    }

    Disk& inner_;
    FaultPlan& plan_;
    FaultBlockingDisk blocking_;
};

}  // namespace

std::unique_ptr<BlockingDisk> make_fault_blocking_disk(BlockingDisk& inner, FaultPlan& plan) {
    return std::make_unique<FaultBlockingDisk>(inner, plan);
}

std::unique_ptr<Disk> make_fault_disk(Disk& inner, FaultPlan& plan) {
    return std::make_unique<FaultDisk>(inner, plan);
}

}  // namespace penstock::io
