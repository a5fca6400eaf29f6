// JobJournals: the jobs' journal on the first few mountpaths, all copies of it the same, so that a
// mountpath that fails, or is gone, takes no job with it.
//
// What is written is acknowledged when every copy that answers has it. Which copy counts at a
// start:
//   1. All copies are begun anew together, with the same records, as a generation that no copy had
//      before; each append goes to all of them. So copies of one generation differ in length only,
//      and the longest of the highest generation has everything that was acknowledged.
//   2. A copy that missed something is written no more until all are begun anew, which is tried
//      now and then. When none has what was to be written, all are begun anew first.
//   3. A mountpath whose turn is over, or that comes back and has none, has its file taken away: it
//      is older than the copies are, and shall not be found when they are not there.
//
// On one core. Its owner makes one call at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "node/jobs/journal.h"
#include "node/metadata/copies.h"

namespace penstock::node {

class JobJournals {
public:
    JobJournals(io::Reactor& home, const Log& log)
        : home_(home), log_(log), copies_(home, "the jobs' journal", log) {}

    // Reads all of them, and keeps copies on the first ones; makes nothing. What was found, in the
    // order in which the jobs began. `invalid` if a newer release wrote one, `io_error` if none can
    // be read.
    io::Task<Result<std::vector<JournaledJob>>> open(std::vector<MetadataHome> homes);
    // True: some copy lacks what was found, or there are more than there should be: keep_on() with
    // the same homes makes that good.
    bool is_uneven() const { return is_uneven_; }
    // From now on the copies are on the first of these homes, and the others have none. `all` as
    // for rewrite(). If that fails the homes stay as they were.
    io::Task<Status> keep_on(std::vector<MetadataHome> homes, std::vector<std::byte> all);

    // True: append() would fail, rewrite() must be called. So it is at first, after a failure, when
    // the copies have grown, and now and then while one is behind.
    bool needs_rewrite() const;
    // As JobJournal's, on every copy that answers. An error: none has it.
    io::Task<Status> append(std::vector<std::byte> records, bool syncs);
    io::Task<Status> rewrite(std::vector<std::byte> all);

    // Nothing is written any more; waits for devices that hang.
    io::Task<void> stop() { co_await copies_.stop(); }

    // While a copy is behind, all are begun anew so often.
    static constexpr uint64_t again_ns = 30'000'000'000;

private:
    using Pointer = Copies<JobJournal>::Pointer;

    std::span<const Pointer> keepers() const;
    io::Task<Result<Pointer>> read_all();
    void compare_with(const JobJournal& newest);
    bool lacks_something() const;
    io::Task<void> erase_others();

    io::Reactor& home_;
    const Log& log_;
    Copies<JobJournal> copies_;  // of all homes; the first few are kept
    uint64_t generation_ = 0;    // the highest that any copy may have
    uint64_t next_try_ns_ = 0;
    bool is_uneven_ = false;
};

}  // namespace penstock::node
