// MemoryStorage: a disk in memory that loses power, in every way that a real one legally may.
//
// Made for tests and the simulation: what the store promises after a power cut is proved against
// all states that this model allows (io/DESIGN.md says which, and why these). One storage gives any
// number of disks, which all see the same files, as several opens of one directory do.
//
// Any thread may use a storage and its blocking disks. A `Disk` belongs to its reactor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/base/random.h"
#include "io/disk.h"
#include "io/disk_call.h"

namespace penstock::io {

namespace internal {
class MemoryModel;
}

// Tearing is by this: what the device writes whole.
constexpr uint64_t sector_bytes = 512;

struct MemoryLimits {
    uint64_t bytes_max = 1ULL << 40;
    uint64_t files_max = 1ULL << 30;
};

// Which states a power cut may leave. The defaults are what Linux's journalling file systems do.
struct CrashMode {
    enum class Names : uint8_t {
        in_order,    // of each directory, the first of its pending changes, as a journal has it
        any_subset,  // any of them, whatever their order
    };
    enum class Tearing : uint8_t {
        sectors,       // of a pending write any of its sectors
        whole_writes,  // all of it or nothing; fewer states where tearing is not the point
    };
    Names names = Names::in_order;
    Tearing tearing = Tearing::sectors;
};

// What a failed sync does to the bytes it was to make durable.
enum class FailedSync : uint8_t {
    // They look clean and are lost at the power cut, whatever is synced later: ext4, XFS, Btrfs.
    drops,
    // They stay pending: any of them may have been written.
    keeps,
};

struct MemoryDiskOptions {
    // Operations take this much virtual time at most, drawn for each; 0: a turn of the loop.
    uint64_t delay_ns_max = 0;
    uint64_t seed = 1;
    // How many of 100 calls of try_read find all bytes resident; half of the others find some.
    uint32_t resident_percent = 100;
};

class MemoryStorage {
public:
    explicit MemoryStorage(const MemoryLimits& limits = {});
    MemoryStorage(MemoryStorage&&) noexcept;
    MemoryStorage& operator=(MemoryStorage&&) noexcept;
    ~MemoryStorage();  // its disks live on by themselves

    std::unique_ptr<BlockingDisk> make_blocking_disk() const;
    // `reactor` and `pool` must outlive the disk.
    std::unique_ptr<Disk> make_disk(Reactor& reactor, Pool& pool,
                                    const MemoryDiskOptions& options = {}) const;

    // The same files with the same pending changes, in a storage of its own.
    MemoryStorage clone() const;

    // What a power cut at this moment may leave: one state, drawn; the two extremes; or the first
    // `states_max` of all states if they are that few, otherwise that many draws, with both
    // extremes among them. The last one returns how many it visited. Locks are gone in all of them.
    MemoryStorage crash(Random& random, const CrashMode& mode = {}) const;
    MemoryStorage crash_losing_all() const;
    MemoryStorage crash_keeping_all() const;
    uint64_t for_each_crash(uint64_t states_max, Random& random, const CrashMode& mode,
                            const std::function<void(MemoryStorage)>& visit) const;
    // An upper bound of the number of states; UINT64_MAX: that many or more.
    uint64_t crash_count_max(const CrashMode& mode = {}) const;
    // Whether a power cut now could lose anything.
    bool has_pending() const;

    // The calls so far that change something (is_changing), failed ones too: the first
    // recorded_calls_max of them, and how many there were.
    std::vector<DiskCall> calls() const;
    uint64_t call_count() const;
    // Called on the caller's thread before each such call takes effect, without a lock held: may
    // clone and crash this storage. Set it before the disks are used.
    void on_call(std::function<void(const DiskCall&)> function);

    // The power is off from changing call `index` (from 0) on: it and everything after it, reads
    // too, fails with `io_error` and has no effect. crash() then gives what was left.
    void power_off_at(uint64_t index);
    void power_off();
    bool is_powered_off() const;

    // The sync of a file with this number (from 0, counting those only) fails with `io_error`.
    void fail_sync(uint64_t index, FailedSync effect = FailedSync::drops);

    void set_limits(const MemoryLimits& limits);

    // The bytes of a file as readers see them.
    Result<std::vector<std::byte>> read_file(const std::string& path) const;
    // Bit rot, in what readers see and in what survives. `bit` counts from the file's first byte.
    Status flip_bit(const std::string& path, uint64_t bit);
    // All files, as readers see them, into an existing directory of the real disk.
    Status write_to(const std::string& directory_path) const;

private:
    explicit MemoryStorage(std::shared_ptr<internal::MemoryModel> model);

    std::shared_ptr<internal::MemoryModel> model_;
};

}  // namespace penstock::io
