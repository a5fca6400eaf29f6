// JobJournal: what a node must know of its jobs after a crash, in one file of one disk (journals.h
// has several of them).
//
// It is a file of its own and no values of the metadata: a job's progress is written each second,
// its list of names may have megabytes, and each value of the metadata makes a new state for every
// core and is kept twice on each disk.
//
// `jobs/journal` (journal_format.h) is appended to and begun anew under another name, which a
// rename puts in its place, when it has grown, when its end was torn, and after a write or sync
// that failed: nothing is ever written behind bytes of which nobody knows whether they are there.
// Each time it is of a new generation: two files of one generation hold the same records, as far
// as they reach.
//
// Every call waits for the disk and is made by one job of the pool at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/base/log.h"
#include "io/blocking_disk.h"
#include "node/jobs/journal_format.h"

namespace penstock::node {

// A job as the journal has it.
struct JournaledJob {
    JobBegun begun;
    std::string position;  // "": the beginning
    JobProgress progress;
    std::optional<JobEnded> ended;  // none: it goes on
};

class JobJournal {
public:
    // Reads what is there; makes nothing. `invalid` if a newer release wrote it. What is damaged is
    // reported: what stands before it counts.
    static Result<std::unique_ptr<JobJournal>> open(io::BlockingDisk& disk, const Log& log);
    // Whatever is there does not count.
    static std::unique_ptr<JobJournal> make(io::BlockingDisk& disk, const Log& log);
    // As if there had never been one.
    static Status erase(io::BlockingDisk& disk);

    // What open() found, in the order in which they began.
    std::vector<JournaledJob> take_found() { return std::move(found_); }

    // True: append() would fail, rewrite() must be called. So it is at first, after a failure, and
    // when the file has grown to twice of what it was, and `grown_bytes_min`.
    bool needs_rewrite() const;
    // Durable when it is done if `syncs`; else it outlives this process, not a power cut.
    Status append(Bytes records, bool syncs);
    // A new file with these records alone, durable when it is done. If that fails the old one, or
    // the new one, is what a start finds.
    Status rewrite(Bytes records, uint64_t generation);

    uint64_t generation() const { return generation_; }
    uint64_t size_bytes() const { return end_; }  // that count; 0: there is no file
    uint64_t corruption_count() const { return corruption_count_; }

    static constexpr uint64_t grown_bytes_min = 4 << 20;

private:
    JobJournal(io::BlockingDisk& disk, const Log& log) : disk_(disk), log_(log) {}

    Status read();
    void take(JobRecord record);
    Status make_directory();

    io::BlockingDisk& disk_;
    const Log& log_;
    std::unique_ptr<io::BlockingFile> file_;  // null: nothing may be appended
    bool is_directory_durable_ = false;
    uint64_t generation_ = 0;
    uint64_t end_ = 0;
    uint64_t rewritten_bytes_ = 0;
    std::vector<JournaledJob> found_;
    std::unordered_map<std::string, size_t> numbers_;  // of those found, while reading
    uint64_t corruption_count_ = 0;
};

}  // namespace penstock::node
