// Compactor: gives back the space of what was overwritten and deleted. It picks a sealed segment
// with much garbage, logs its live records again at the log's end, and removes its file.
//
//     for each record of the segment, in steps:
//         current for its name: read and verified, logged again with its version, durable,
//         published a tombstone that an older segment still needs: logged again anything else:
//         garbage
//     a `freed` record, durable; the catalogue, synced beyond all of this
//     the file is unlinked, the directory synced, and every core lets go of it
//
// Whatever happens in between, each name's newest record is in the log, behind all of its older
// ones: a copy takes its place in the log's order in the same turn in which the home core sees that
// the record is current and no change to the name is under way. A segment goes only when LiveBytes
// counts nothing in it. A current record that cannot be read is given up (compactor_lost.cc): its
// bytes go to the quarantine, its name stays and answers `corrupt`. What cannot be decided keeps
// its segment, which is looked at again when something about it changed, no sooner.
//
// Belongs to the mountpath's home core.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "io/base/log.h"
#include "io/disk.h"
#include "io/wait.h"
#include "node/store/compaction_pace.h"
#include "node/store/compaction_policy.h"
#include "node/store/log.h"
#include "node/store/names.h"
#include "node/store/quarantine.h"
#include "node/store/reader.h"
#include "node/store/segment_digests.h"
#include "node/store/segment_scan.h"
#include "node/store/space.h"

namespace penstock::node {

// What it stands on; all of it outlives the compactor.
struct CompactorParts {
    io::Disk& disk;
    RecordLog& records;
    Names& names;
    Reader& reader;
    Space& space;
    Quarantine& quarantine;
    const Log& log;
    // Whether a change to the name is logged and not published yet, and the event that is pulsed
    // whenever one was.
    std::function<bool(const Digest128&)> is_changing;
    io::Event& change_done;
    // Done when the files of records in the segment that were replaced are removed: what they are
    // stands in it.
    std::function<io::Task<void>(uint32_t segment)> reclaimed;
    // Done when no core keeps the segment's file open but for who reads it right now.
    std::function<io::Task<void>(uint32_t segment)> let_go;
    // Whether clients are waiting for this core.
    std::function<bool()> is_anybody_waiting;
};

struct CompactionStats {
    uint64_t moved_bytes = 0;  // logged again
    uint64_t moved_records = 0;
    uint64_t freed_bytes = 0;  // of files
    uint64_t freed_segments = 0;
    uint64_t unreadable_records = 0;  // that were current and could not be moved
    uint64_t lost_records = 0;        // of those, given up: their bytes are in quarantine
};

// The bucket's name in the log's entry of a lost object: what it is called is not known here.
constexpr std::string_view lost_label = "lost";

class Compactor {
public:
    explicit Compactor(CompactorParts parts);
    ~Compactor();  // asserts that stop() ran, if start() did

    // Works in the background from now on.
    void start();
    // Compacts every segment that has enough garbage, now and without pacing; gives the bytes that
    // were freed. A segment that cannot be freed is reported and passed over; the first such error
    // is what this fails with, after the others are done.
    io::Task<Result<uint64_t>> run_now();
    // What is under way ends soon; stop() waits for it.
    void cancel() {
        if (!cancel_.is_cancelled()) cancel_.cancel();
    }
    io::Task<void> stop();

    // Whether space will come back without anybody's deleting something.
    bool will_free() const;

    const CompactionStats& stats() const { return stats_; }
    CompactionView view() const {
        return {parts_.records.sealed(), parts_.names.live(), kept_, parts_.records.durable()};
    }

private:
    // A segment that could not be freed: left alone until one of these changed.
    struct Barred {
        uint64_t live_bytes = 0;
        uint32_t older_segments = 0;
        uint64_t until_ns = 0;  // or until then, where the device or the space was to blame
    };
    // What one segment's compaction has come to.
    struct Work {
        Victim victim;
        bool is_paced = true;
        std::unique_ptr<io::File> file;  // past the page cache
        uint64_t damaged_bytes = 0;
        Status status;  // of the first record that failed to be logged
        uint32_t in_flight = 0;
        std::vector<Place> needed;  // tombstones of this step that must be kept, in order
    };

    io::Task<void> run(io::Gate::Pass pass);
    std::optional<Victim> next_victim() const;
    double ratio() const;
    bool is_barred(const Victim& victim) const;
    void bar(const Victim& victim, const Error& error);
    bool is_sealed(uint32_t number) const;
    uint32_t older_than(uint32_t segment) const;

    io::Task<Status> compact(Work& work);
    io::Task<Status> pace(Work& work);
    io::Task<Result<SegmentScan>> scan(const SealedSegment& segment, uint32_t block,
                                       uint64_t step_bytes);
    io::Task<Status> move_step(Work& work, std::vector<ScannedRecord> records);
    io::Task<void> move(Work& work, ScannedRecord record);
    io::Task<Status> move_record(Work& work, const ScannedRecord& record);
    io::Task<Status> log_again(Work& work, const ScannedRecord& record, const ReadRecord& read);
    io::Task<Status> keep_freed(const Work& work, const ReadRecord& read);
    bool is_wanted(const Work& work, const ScannedRecord& record) const;
    // Whether a batch may be logged now: `full`, or `io_error` if the log is not to be relied on.
    io::Task<Status> check_log();
    Status check_lost() const;

    // Tombstones.
    io::Task<Status> find_needed(Work& work, const std::vector<ScannedRecord>& records);
    std::vector<SealedSegment> segments_with_older(const Work& work, Lsn sequence) const;
    io::Task<void> load_digests(const SealedSegment& segment, Work& work);

    // What is damaged (compactor_lost.cc).
    io::Task<Status> give_up_damaged(Work& work);
    io::Task<Status> give_up(Work& work, const CatalogueChange& entry);

    io::Task<Status> free(const Work& work);

    CompactorParts parts_;
    io::Reactor& reactor_;
    CompactionPace pace_;
    SegmentDigests digests_;
    KeptTombstoneMap kept_;
    std::unordered_map<uint32_t, Barred> barred_;
    // Unlinked, but the directory could not be synced: may come back, and so may what they hold.
    std::unordered_set<uint32_t> doubtful_;
    CompactionStats stats_;

    io::Gate gate_;
    io::Cancel cancel_;
    io::Semaphore working_;  // one segment at a time
    io::Event moved_;        // set while nothing of a batch is in flight
    bool is_started_ = false;
};

}  // namespace penstock::node
