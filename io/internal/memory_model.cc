#include "io/internal/memory_model.h"

#include <cerrno>
#include <utility>

namespace penstock::io::internal {

Status MemoryModel::begin(DiskCallKind kind, const std::string& path) {
    const bool changes = is_changing(kind);
    if (changes && on_call_) on_call_({kind, path});
    const std::lock_guard lock(mutex_);
    if (changes) {
        if (call_count_ >= power_off_at_) is_powered_off_ = true;
        if (call_count_ < recorded_calls_max) calls_.push_back({kind, path});
        ++call_count_;
    }
    if (is_powered_off_) return no_power(kind, path);
    return {};
}

Status MemoryModel::go_on(DiskCallKind kind, const std::string& path) const {
    const std::lock_guard lock(mutex_);
    if (is_powered_off_) return no_power(kind, path);
    return {};
}

std::unexpected<Error> MemoryModel::no_power(DiskCallKind kind, const std::string& path) const {
    return fail(Errc::io_error, std::string(disk_call_name(kind)) + " " + path + ": no power");
}

MemoryState MemoryModel::copy() const {
    const std::lock_guard lock(mutex_);
    return state_;
}

std::vector<DiskCall> MemoryModel::calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
}

uint64_t MemoryModel::call_count() const {
    const std::lock_guard lock(mutex_);
    return call_count_;
}

void MemoryModel::power_off_at(uint64_t index) {
    const std::lock_guard lock(mutex_);
    power_off_at_ = index;
}

void MemoryModel::power_off() {
    const std::lock_guard lock(mutex_);
    is_powered_off_ = true;
}

bool MemoryModel::is_powered_off() const {
    const std::lock_guard lock(mutex_);
    return is_powered_off_;
}

void MemoryModel::fail_sync(uint64_t index, FailedSync effect) {
    const std::lock_guard lock(mutex_);
    failing_syncs_[index] = effect;
}

std::optional<FailedSync> MemoryModel::next_sync() {
    const std::lock_guard lock(mutex_);
    const auto found = failing_syncs_.find(sync_count_++);
    if (found == failing_syncs_.end()) return std::nullopt;
    return found->second;
}

MemoryHandle::MemoryHandle(std::shared_ptr<MemoryModel> model, NodeId id, std::string path,
                           OpenMode mode)
    : model_(std::move(model)), id_(id), path_(std::move(path)), mode_(mode) {}

MemoryHandle::~MemoryHandle() {
    model_->with_state([&](MemoryState& state) {
        if (has_lock_) state.unlock(id_);
        state.close(id_);
    });
}

Result<std::unique_ptr<MemoryHandle>> MemoryHandle::open(std::shared_ptr<MemoryModel> model,
                                                         const std::string& path, OpenMode mode) {
    const bool is_create = mode == OpenMode::create || mode == OpenMode::create_direct;
    const DiskCallKind kind = is_create ? DiskCallKind::create : DiskCallKind::open;
    TRY_STATUS(check_path(path));
    TRY_STATUS(model->begin(kind, path));
    auto opened = model->with_state([&](MemoryState& state) -> Result<NodeId> {
        TRY(const NodeId id, is_create ? state.create(path, false) : state.find(path, kind));
        if (state.node(id).is_directory) return fail(disk_error(EISDIR, kind, path));
        state.open(id);
        return id;
    });
    TRY(const NodeId id, std::move(opened));
    return std::make_unique<MemoryHandle>(std::move(model), id, path, mode);
}

Status MemoryHandle::check_writable(DiskCallKind kind) const {
    if (mode_ != OpenMode::read && mode_ != OpenMode::read_direct) return {};
    return fail(disk_error(kind == DiskCallKind::write ? EBADF : EINVAL, kind, path_));
}

Result<size_t> MemoryHandle::read(MutableBytes buffer, uint64_t offset) {
    if (is_direct(mode_)) TRY_STATUS(check_direct(buffer, offset, DiskCallKind::read, path_));
    TRY_STATUS(model_->begin(DiskCallKind::read, path_));
    return model_->with_state(
        [&](MemoryState& state) { return state.node(id_).live.read(buffer, offset); });
}

size_t MemoryHandle::try_read(MutableBytes buffer, uint64_t offset) {
    if (is_direct(mode_) || !model_->go_on(DiskCallKind::read, path_)) return 0;
    return model_->with_state(
        [&](MemoryState& state) { return state.node(id_).live.read(buffer, offset); });
}

Result<Written> MemoryHandle::begin_write(Bytes bytes, uint64_t offset) {
    TRY_STATUS(check_writable(DiskCallKind::write));
    if (is_direct(mode_)) TRY_STATUS(check_direct(bytes, offset, DiskCallKind::write, path_));
    TRY_STATUS(model_->begin(DiskCallKind::write, path_));
    return model_->with_state(
        [&](MemoryState& state) { return state.begin_write(id_, bytes, offset); });
}

Status MemoryHandle::finish_write(const Written& written) {
    TRY_STATUS(model_->go_on(DiskCallKind::write, path_));
    model_->with_state([&](MemoryState& state) { state.complete(id_, written.sequence); });
    if (written.is_full) return fail(disk_error(ENOSPC, DiskCallKind::write, path_));
    return {};
}

Result<MemoryHandle::Sync> MemoryHandle::begin_sync() {
    TRY_STATUS(model_->begin(DiskCallKind::sync, path_));
    Sync sync;
    sync.failure = model_->next_sync();
    sync.sequences = model_->with_state([&](MemoryState& state) { return state.begin_sync(id_); });
    return sync;
}

Status MemoryHandle::finish_sync(const Sync& sync) {
    TRY_STATUS(model_->go_on(DiskCallKind::sync, path_));
    model_->with_state([&](MemoryState& state) {
        if (!sync.failure) return state.finish_sync(id_, sync.sequences);
        if (*sync.failure == FailedSync::drops) state.drop_unsynced(id_, sync.sequences);
    });
    if (sync.failure) return fail(disk_error(EIO, DiskCallKind::sync, path_));
    return {};
}

Result<uint64_t> MemoryHandle::size_bytes() {
    TRY_STATUS(model_->begin(DiskCallKind::size, path_));
    return model_->with_state(
        [&](MemoryState& state) { return state.node(id_).live.size_bytes(); });
}

Status MemoryHandle::truncate(uint64_t size_bytes) {
    TRY_STATUS(check_writable(DiskCallKind::truncate));
    TRY_STATUS(model_->begin(DiskCallKind::truncate, path_));
    model_->with_state([&](MemoryState& state) { state.truncate(id_, size_bytes); });
    return {};
}

Status MemoryHandle::allocate(uint64_t size_bytes) {
    TRY_STATUS(check_writable(DiskCallKind::write));
    TRY_STATUS(model_->begin(DiskCallKind::allocate, path_));
    const bool has_space =
        model_->with_state([&](MemoryState& state) { return state.allocate(id_, size_bytes); });
    if (!has_space) return fail(disk_error(ENOSPC, DiskCallKind::allocate, path_));
    return {};
}

Status MemoryHandle::lock_exclusively() {
    TRY_STATUS(model_->begin(DiskCallKind::lock, path_));
    const bool is_locked =
        model_->with_state([&](MemoryState& state) { return state.try_lock(id_); });
    if (!is_locked && !has_lock_) {
        return fail(Errc::unavailable, "lock " + path_ + ": somebody else holds it");
    }
    has_lock_ = true;
    return {};
}

namespace {

class MemoryBlockingFile final : public BlockingFile {
public:
    explicit MemoryBlockingFile(std::unique_ptr<MemoryHandle> handle)
        : handle_(std::move(handle)) {}

    Result<size_t> read(MutableBytes buffer, uint64_t offset) override {
        return handle_->read(buffer, offset);
    }
    Status write_exactly(Bytes bytes, uint64_t offset) override {
        TRY(const Written written, handle_->begin_write(bytes, offset));
        return handle_->finish_write(written);
    }
    Status sync() override {
        TRY(const MemoryHandle::Sync sync, handle_->begin_sync());
        return handle_->finish_sync(sync);
    }
    Result<uint64_t> size_bytes() override { return handle_->size_bytes(); }
    Status truncate(uint64_t size_bytes) override { return handle_->truncate(size_bytes); }
    Status allocate(uint64_t size_bytes) override { return handle_->allocate(size_bytes); }
    Status lock_exclusively() override { return handle_->lock_exclusively(); }
    int descriptor() const override { return -1; }

private:
    std::unique_ptr<MemoryHandle> handle_;
};

class MemoryBlockingDisk final : public BlockingDisk {
public:
    explicit MemoryBlockingDisk(std::shared_ptr<MemoryModel> model) : model_(std::move(model)) {}

    Result<std::unique_ptr<BlockingFile>> open(const std::string& path, OpenMode mode) override {
        TRY(auto handle, MemoryHandle::open(model_, path, mode));
        return std::make_unique<MemoryBlockingFile>(std::move(handle));
    }
    Status remove(const std::string& path) override {
        TRY_STATUS(model_->begin(DiskCallKind::remove, path));
        return model_->with_state([&](MemoryState& state) { return state.remove(path); });
    }
    Status rename(const std::string& from, const std::string& to) override {
        TRY_STATUS(model_->begin(DiskCallKind::rename, from));
        return model_->with_state([&](MemoryState& state) { return state.rename(from, to); });
    }
    // What a system's own path would be lies on this disk, too: tests have no other.
    Status link(const std::string& from, const std::string& to) override {
        TRY_STATUS(model_->begin(DiskCallKind::link, to));
        const std::string source = from.starts_with('/') ? from.substr(1) : from;
        return model_->with_state([&](MemoryState& state) { return state.link(source, to); });
    }
    Status make_directory(const std::string& path) override {
        TRY_STATUS(model_->begin(DiskCallKind::make_directory, path));
        return model_->with_state([&](MemoryState& state) -> Status {
            TRY_STATUS(state.create(path, true));
            return {};
        });
    }
    Status sync_directory(const std::string& path) override {
        TRY_STATUS(model_->begin(DiskCallKind::sync_directory, path));
        return model_->with_state([&](MemoryState& state) -> Status {
            TRY(const NodeId id, state.find_directory(path, DiskCallKind::sync_directory));
            state.finish_sync_directory(id, state.begin_sync_directory());
            return {};
        });
    }
    Status sync_file_system() override {
        TRY_STATUS(model_->begin(DiskCallKind::sync_file_system, ""));
        model_->with_state([](MemoryState& state) { state.sync_all(); });
        return {};
    }
    Result<std::vector<DirectoryEntry>> list(const std::string& path) override {
        TRY_STATUS(model_->begin(DiskCallKind::list, path));
        return model_->with_state([&](MemoryState& state) { return state.list(path); });
    }
    Result<DiskSpace> space() override {
        TRY_STATUS(model_->begin(DiskCallKind::space, ""));
        return model_->with_state([](MemoryState& state) { return state.space(); });
    }

private:
    std::shared_ptr<MemoryModel> model_;
};

}  // namespace

std::unique_ptr<BlockingDisk> make_memory_blocking_disk(std::shared_ptr<MemoryModel> model) {
    return std::make_unique<MemoryBlockingDisk>(std::move(model));
}

}  // namespace penstock::io::internal
