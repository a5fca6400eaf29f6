// Faults: a layer around any disk, blocking or not, whose calls fail, stop short, come late or are
// lost where a FaultPlan says so. Made for tests: "each call of a put fails in turn" is a loop that
// sets one fault at number 0, 1, 2, ... until a run meets none.
//
// A plan counts the calls of all layers it was given to; any thread may use it. A layer's files
// have no descriptor, so that nothing reads around it.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/disk_call.h"

namespace penstock::io {

enum class FaultEffect : uint8_t {
    fails,            // it does nothing and says the errno
    fails_afterward,  // it does everything and says the errno all the same
    is_short,         // a read or write moves half of its bytes, then says the errno
    is_late,          // it takes `delay_ns` longer, and succeeds (a blocking disk: just succeeds)
    is_lost,          // what returns a Status does nothing and says success: a device that lies
};

struct Fault {
    FaultEffect effect = FaultEffect::fails;
    int error_number = EIO;
    std::optional<DiskCallKind> kind;  // none: calls of any kind
    std::string path_part;             // only paths that have this in them
    uint64_t at = 0;                   // the matching call with this number, from 0
    bool is_sticky = false;            // and all matching ones after it
    uint64_t delay_ns = 0;
};

class FaultPlan {
public:
    void add(const Fault& fault);
    // No faults, and counting from 0.
    void reset();

    uint64_t call_count() const;
    uint64_t call_count(DiskCallKind kind) const;
    std::vector<DiskCall> calls() const;  // the first recorded_calls_max
    // How many calls met a fault: 0 ends the loop over all calls.
    uint64_t met_count() const;
    // How often a file was synced again after its sync had failed: no caller may do that.
    uint64_t repeated_sync_count() const;

    // For the layers: counts the call and says what happens to it.
    std::optional<Fault> on_call(DiskCallKind kind, const std::string& path);
    // Whether the next such call meets a fault.
    bool is_next_faulty(DiskCallKind kind, const std::string& path) const;

private:
    struct Planned {
        Fault fault;
        uint64_t match_count = 0;
        bool matches(DiskCallKind kind, const std::string& path) const;
        bool is_due() const {
            return match_count == fault.at || (fault.is_sticky && match_count > fault.at);
        }
    };
    void follow_syncs(DiskCallKind kind, const std::string& path, bool is_failing);

    mutable std::mutex mutex_;
    std::vector<Planned> faults_;
    std::vector<DiskCall> calls_;
    uint64_t call_count_ = 0;
    std::array<uint64_t, disk_call_kinds> counts_{};
    uint64_t met_count_ = 0;
    std::set<std::string> failed_syncs_;
    uint64_t repeated_sync_count_ = 0;
};

// `inner` and `plan` must outlive the disk and its files. The second one's blocking() has the same
// faults.
std::unique_ptr<BlockingDisk> make_fault_blocking_disk(BlockingDisk& inner, FaultPlan& plan);
std::unique_ptr<Disk> make_fault_disk(Disk& inner, FaultPlan& plan);

}  // namespace penstock::io
