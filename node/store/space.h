// Space: whether there is room for what is to be written. A reserve is kept, so that deletions and
// metadata can always be written: writes are refused before it is touched, and accepted again, by
// themselves, once enough was deleted.
//
// Belongs to the mountpath's home core.
#pragma once

#include <cstdint>

#include "io/disk.h"

namespace penstock::node {

class Space {
public:
    // `disk` is asked; `reserve_bytes` are never given to writes.
    Space(io::Disk& disk, uint64_t reserve_bytes) : disk_(disk), reserve_bytes_(reserve_bytes) {}

    // `full` unless so many bytes can be written without touching the reserve. Asks the disk if
    // the last answer is old, or much was written since. If the disk cannot tell, there is room:
    // the write itself will say.
    io::Task<Status> admit(uint64_t bytes);
    // For what gives space back once it is written: three quarters of the reserve may be used, the
    // rest is the catalogue's. Asks the disk each time, and counts nothing as taken.
    io::Task<Status> admit_reclaiming(uint64_t bytes);
    // By the last answer, however old it is. Space is worth more than work: a sixteenth is left.
    bool is_scarce() const {
        return last_.total_bytes != 0 &&
               last_.available_bytes < reserve_bytes_ + last_.total_bytes / 16;
    }
    // Writes will be refused soon, or are, unless space comes back.
    bool is_nearly_full() const {
        return last_.total_bytes != 0 && last_.available_bytes < 2 * reserve_bytes_;
    }
    // Something was deleted: ask the disk next time.
    void forget() { asked_ns_ = 0; }
    const io::DiskSpace& last() const { return last_; }

private:
    bool has_files() const {
        return last_.total_files == 0 || last_.available_files > reserve_files + admitted_files_;
    }
    std::unexpected<Error> refusal();

    static constexpr uint64_t trusted_ns_max = 500'000'000;
    static constexpr uint64_t trusted_bytes_max = 16 << 20;
    // Kept for the catalogue, the metadata and what deletions need.
    static constexpr uint64_t reserve_files = 16;

    io::Disk& disk_;
    uint64_t reserve_bytes_;
    io::DiskSpace last_;
    uint64_t asked_ns_ = 0;
    uint64_t admitted_bytes_ = 0;  // since then
    uint64_t admitted_files_ = 0;  // each may be one
};

}  // namespace penstock::node
