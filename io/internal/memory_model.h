// MemoryModel: a MemoryState behind a lock, with what tests ask of it: a record of the calls, the
// power switch, syncs that fail. What the two forms of the memory disk share.
//
// Any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "io/internal/memory_state.h"

namespace penstock::io::internal {

class MemoryModel {
public:
    explicit MemoryModel(MemoryState state) : state_(std::move(state)) {}

    // Every call comes through here first: recorded, and refused when the power is off.
    Status begin(DiskCallKind kind, const std::string& path);
    // Refuses the rest of a call that was going on when the power went.
    Status go_on(DiskCallKind kind, const std::string& path) const;

    template <typename F>
    auto with_state(F function) {
        const std::lock_guard lock(mutex_);
        return function(state_);
    }
    MemoryState copy() const;

    std::vector<DiskCall> calls() const;
    uint64_t call_count() const;
    void on_call(std::function<void(const DiskCall&)> function) { on_call_ = std::move(function); }
    void power_off_at(uint64_t index);
    void power_off();
    bool is_powered_off() const;
    void fail_sync(uint64_t index, FailedSync effect);
    // Counts a sync; what happens to it if it is to fail.
    std::optional<FailedSync> next_sync();

private:
    std::unexpected<Error> no_power(DiskCallKind kind, const std::string& path) const;

    mutable std::mutex mutex_;
    MemoryState state_;
    std::vector<DiskCall> calls_;
    uint64_t call_count_ = 0;
    std::function<void(const DiskCall&)> on_call_;
    uint64_t power_off_at_ = UINT64_MAX;
    bool is_powered_off_ = false;
    std::map<uint64_t, FailedSync> failing_syncs_;
    uint64_t sync_count_ = 0;
};

// An open file. The calls that take time are in two halves, so that the asynchronous form can put
// other calls, and the power cut, between them.
class MemoryHandle {
public:
    MemoryHandle(std::shared_ptr<MemoryModel> model, NodeId id, std::string path, OpenMode mode);
    ~MemoryHandle();
    MemoryHandle(const MemoryHandle&) = delete;
    MemoryHandle& operator=(const MemoryHandle&) = delete;

    static Result<std::unique_ptr<MemoryHandle>> open(std::shared_ptr<MemoryModel> model,
                                                      const std::string& path, OpenMode mode);

    Result<size_t> read(MutableBytes buffer, uint64_t offset);
    size_t try_read(MutableBytes buffer, uint64_t offset);
    Result<Written> begin_write(Bytes bytes, uint64_t offset);
    Status finish_write(const Written& written);

    struct Sync {
        std::vector<uint64_t> sequences;
        std::optional<FailedSync> failure;
    };
    Result<Sync> begin_sync();
    Status finish_sync(const Sync& sync);

    Result<uint64_t> size_bytes();
    Status truncate(uint64_t size_bytes);
    Status allocate(uint64_t size_bytes);
    Status lock_exclusively();
    const std::string& path() const { return path_; }

private:
    Status check_writable(DiskCallKind kind) const;

    std::shared_ptr<MemoryModel> model_;
    NodeId id_;
    std::string path_;
    OpenMode mode_;
    bool has_lock_ = false;
};

std::unique_ptr<BlockingDisk> make_memory_blocking_disk(std::shared_ptr<MemoryModel> model);

}  // namespace penstock::io::internal
