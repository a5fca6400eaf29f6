#include "io/memory_disk.h"

#include <algorithm>
#include <utility>

#include "io/internal/memory_crash.h"
#include "io/internal/memory_model.h"
#include "io/internal/memory_state.h"

namespace penstock::io {
namespace {

using internal::MemoryHandle;
using internal::MemoryModel;
using internal::MemoryState;
using internal::NodeId;

// What the asynchronous disk and its files share: when an operation goes on.
struct Pace {
    Reactor& reactor;
    MemoryDiskOptions options;
    Random random;

    Task<void> wait() {
        if (options.delay_ns_max == 0) {
            co_await reactor.yield();
            co_return;
        }
        // Nothing cancels it: a device cannot be asked to stop.
        co_await reactor.sleep(reactor.within_ns(random.below(options.delay_ns_max + 1)));
    }
    // How many of this many bytes are resident: all, some or none.
    size_t resident(size_t size_bytes) {
        if (random.below(100) < options.resident_percent) return size_bytes;
        return random.below(2) == 0 ? 0 : random.below(size_bytes + 1);
    }
};

class MemoryFile final : public File {
public:
    MemoryFile(std::unique_ptr<MemoryHandle> handle, std::shared_ptr<Pace> pace)
        : handle_(std::move(handle)), pace_(std::move(pace)) {}

    void read_ahead(bool) override {}
    Task<void> bring_in(uint64_t, uint64_t) override { co_return; }
    size_t try_read(MutableBytes buffer, uint64_t offset) override {
        return handle_->try_read(buffer.first(pace_->resident(buffer.size())), offset);
    }
    Task<Status> read_exactly(MutableBytes buffer, uint64_t offset) override {
        co_await pace_->wait();
        CO_TRY(const size_t count, handle_->read(buffer, offset));
        if (count < buffer.size()) {
            co_return fail(Errc::corrupt, "read " + handle_->path() + ": the file ends early");
        }
        co_return Status();
    }
    // Readers see the bytes at once, and a power cut while it waits may leave any of them. A sync
    // that begins before it is done does not cover it.
    Task<Status> write_exactly(Bytes bytes, uint64_t offset) override {
        CO_TRY(const internal::Written written, handle_->begin_write(bytes, offset));
        co_await pace_->wait();
        co_return handle_->finish_write(written);
    }
    Task<Status> sync() override {
        CO_TRY(const MemoryHandle::Sync sync, handle_->begin_sync());
        co_await pace_->wait();
        co_return handle_->finish_sync(sync);
    }
    Task<Result<uint64_t>> size_bytes() override {
        co_await pace_->wait();
        co_return handle_->size_bytes();
    }
    Task<Status> truncate(uint64_t size_bytes) override {
        co_await pace_->wait();
        co_return handle_->truncate(size_bytes);
    }
    Task<Status> allocate(uint64_t size_bytes) override {
        co_await pace_->wait();
        co_return handle_->allocate(size_bytes);
    }
    int descriptor() const override { return -1; }

private:
    std::unique_ptr<MemoryHandle> handle_;
    std::shared_ptr<Pace> pace_;
};

class MemoryDisk final : public Disk {
public:
    MemoryDisk(std::shared_ptr<MemoryModel> model, Reactor& reactor, Pool& pool,
               const MemoryDiskOptions& options)
        : model_(std::move(model)),
          blocking_(internal::make_memory_blocking_disk(model_)),
          pool_(pool),
          pace_(std::make_shared<Pace>(reactor, options, Random(options.seed))) {}

    Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override {
        co_await pace_->wait();
        CO_TRY(auto handle, MemoryHandle::open(model_, path, mode));
        co_return std::make_unique<MemoryFile>(std::move(handle), pace_);
    }
    Task<Status> remove(std::string path) override {
        co_await pace_->wait();
        co_return blocking_->remove(path);
    }
    Task<Status> rename(std::string from, std::string to) override {
        co_await pace_->wait();
        co_return blocking_->rename(from, to);
    }
    Task<Status> make_directory(std::string path) override {
        co_await pace_->wait();
        co_return blocking_->make_directory(path);
    }
    Task<Status> sync_directory(std::string path) override;
    Task<Result<std::vector<DirectoryEntry>>> list(std::string path) override {
        co_await pace_->wait();
        co_return blocking_->list(path);
    }
    Task<Result<DiskSpace>> space() override {
        co_await pace_->wait();
        co_return blocking_->space();
    }

    BlockingDisk& blocking() override { return *blocking_; }
    Pool& pool() override { return pool_; }
    Reactor& reactor() override { return pace_->reactor; }

private:
    std::shared_ptr<MemoryModel> model_;
    std::unique_ptr<BlockingDisk> blocking_;
    Pool& pool_;
    std::shared_ptr<Pace> pace_;
};

// Covers the names changed before it began, and only once it is done.
Task<Status> MemoryDisk::sync_directory(std::string path) {
    CO_TRY_STATUS(model_->begin(DiskCallKind::sync_directory, path));
    CO_TRY(const NodeId id, model_->with_state([&](MemoryState& state) {
        return state.find_directory(path, DiskCallKind::sync_directory);
    }));
    const uint64_t mark =
        model_->with_state([](MemoryState& state) { return state.begin_sync_directory(); });
    co_await pace_->wait();
    CO_TRY_STATUS(model_->go_on(DiskCallKind::sync_directory, path));
    model_->with_state([&](MemoryState& state) { state.finish_sync_directory(id, mark); });
    co_return Status();
}

// A file's bytes, without those of its holes.
Status write_file_to(BlockingFile& file, const internal::MemoryContent& content) {
    std::vector<std::byte> piece(1_MiB);
    for (uint64_t offset = 0; offset < content.size_bytes(); offset += piece.size()) {
        if (content.is_hole(offset, piece.size())) continue;
        const size_t count = content.read(piece, offset);
        TRY_STATUS(file.write_exactly(Bytes(piece).first(count), offset));
    }
    return file.truncate(content.size_bytes());
}

Status write_directory_to(BlockingDisk& disk, const MemoryState& state, NodeId directory,
                          const std::string& path) {
    for (const auto& [name, id] : state.node(directory).live_names) {
        const std::string child = path.empty() ? name : path + "/" + name;
        if (state.node(id).is_directory) {
            TRY_STATUS(disk.make_directory(child));
            TRY_STATUS(write_directory_to(disk, state, id, child));
        } else {
            TRY(const auto file, disk.open(child, OpenMode::create));
            TRY_STATUS(write_file_to(*file, state.node(id).live));
        }
    }
    return {};
}

}  // namespace

MemoryStorage::MemoryStorage(const MemoryLimits& limits)
    : model_(std::make_shared<MemoryModel>(MemoryState(limits))) {}
MemoryStorage::MemoryStorage(std::shared_ptr<MemoryModel> model) : model_(std::move(model)) {}
MemoryStorage::MemoryStorage(MemoryStorage&&) noexcept = default;
MemoryStorage& MemoryStorage::operator=(MemoryStorage&&) noexcept = default;
MemoryStorage::~MemoryStorage() = default;

std::unique_ptr<BlockingDisk> MemoryStorage::make_blocking_disk() const {
    return internal::make_memory_blocking_disk(model_);
}

std::unique_ptr<Disk> MemoryStorage::make_disk(Reactor& reactor, Pool& pool,
                                               const MemoryDiskOptions& options) const {
    return std::make_unique<MemoryDisk>(model_, reactor, pool, options);
}

MemoryStorage MemoryStorage::clone() const {
    MemoryState state = model_->copy();
    state.close_all();
    return MemoryStorage(std::make_shared<MemoryModel>(std::move(state)));
}

MemoryStorage MemoryStorage::crash(Random& random, const CrashMode& mode) const {
    return MemoryStorage(
        std::make_shared<MemoryModel>(internal::crash_drawn(model_->copy(), random, mode)));
}

MemoryStorage MemoryStorage::crash_losing_all() const {
    return MemoryStorage(std::make_shared<MemoryModel>(
        internal::crash_extreme(model_->copy(), internal::Extreme::loses_all)));
}

MemoryStorage MemoryStorage::crash_keeping_all() const {
    return MemoryStorage(std::make_shared<MemoryModel>(
        internal::crash_extreme(model_->copy(), internal::Extreme::keeps_all)));
}

uint64_t MemoryStorage::for_each_crash(uint64_t states_max, Random& random, const CrashMode& mode,
                                       const std::function<void(MemoryStorage)>& visit) const {
    const MemoryState state = model_->copy();
    uint64_t visited = 0;
    const auto visit_one = [&](MemoryState left) {
        visit(MemoryStorage(std::make_shared<MemoryModel>(std::move(left))));
        ++visited;
        return visited < states_max;
    };
    if (states_max == 0) return 0;
    if (internal::crash_state_count_max(state, mode) <= states_max) {
        internal::for_each_crash_state(state, mode, visit_one);
        return visited;
    }
    if (!visit_one(internal::crash_extreme(state, internal::Extreme::loses_all))) return visited;
    if (!visit_one(internal::crash_extreme(state, internal::Extreme::keeps_all))) return visited;
    while (visit_one(internal::crash_drawn(state, random, mode))) continue;
    return visited;
}

uint64_t MemoryStorage::crash_count_max(const CrashMode& mode) const {
    return internal::crash_state_count_max(model_->copy(), mode);
}

bool MemoryStorage::has_pending() const {
    return model_->with_state([](MemoryState& state) { return state.has_pending(); });
}

std::vector<DiskCall> MemoryStorage::calls() const {
    return model_->calls();
}
uint64_t MemoryStorage::call_count() const {
    return model_->call_count();
}

void MemoryStorage::on_call(std::function<void(const DiskCall&)> function) {
    model_->on_call(std::move(function));
}

void MemoryStorage::power_off_at(uint64_t index) {
    model_->power_off_at(index);
}
void MemoryStorage::power_off() {
    model_->power_off();
}
bool MemoryStorage::is_powered_off() const {
    return model_->is_powered_off();
}

void MemoryStorage::fail_sync(uint64_t index, FailedSync effect) {
    model_->fail_sync(index, effect);
}

void MemoryStorage::set_limits(const MemoryLimits& limits) {
    model_->with_state([&](MemoryState& state) { state.limits = limits; });
}

Result<std::vector<std::byte>> MemoryStorage::read_file(const std::string& path) const {
    return model_->with_state([&](MemoryState& state) -> Result<std::vector<std::byte>> {
        TRY(const NodeId id, state.find(path, DiskCallKind::read));
        std::vector<std::byte> bytes(state.node(id).live.size_bytes());
        state.node(id).live.read(bytes, 0);
        return bytes;
    });
}

Status MemoryStorage::flip_bit(const std::string& path, uint64_t bit) {
    return model_->with_state([&](MemoryState& state) -> Status {
        TRY(const NodeId id, state.find(path, DiskCallKind::write));
        return state.flip_bit(id, bit);
    });
}

Status MemoryStorage::write_to(const std::string& directory_path) const {
    TRY(const auto disk, make_posix_disk(directory_path));
    return write_directory_to(*disk, model_->copy(), internal::root_id, "");
}

}  // namespace penstock::io
