// RecordLog: the log of one mountpath. It takes records in, makes them durable in groups, and tells
// each writer where its record lies. Everything else that the store knows is derived from it.
//
// Group commit: writers that arrive while a commit is in flight ride the next one. One group is
// written while the one before is being flushed, no more, so a crash leaves at most two groups
// undecided. One fdatasync serves all.
//
// A failed write or fdatasync is final for its segment: what was not durable, and the durable
// records that share its last page, are logged again in a new segment, and that file is never
// written or synced again.
//
// Belongs to the mountpath's home core; everything is called there.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "io/base/log.h"
#include "io/buffer_pool.h"
#include "io/disk.h"
#include "io/wait.h"
#include "node/store/place.h"
#include "node/store/record.h"
#include "node/store/segment.h"
#include "node/store/segment_table.h"
#include "node/store/space.h"

namespace penstock::node {

struct LogOptions {
    uint64_t segment_bytes = segment_bytes_min;
    Digest128 directory_id;
    uint64_t map_version = 1;
    uint32_t group_bytes_max = 1 << 20;
    // Groups from this size on are written past the page cache, in whole pages of their own.
    uint32_t direct_group_bytes_min = 64 << 10;
    // Payloads from this size on begin with a page of their segment.
    uint32_t aligned_payload_bytes_min = 48 << 10;
    // So much may wait for a background sync when nobody asked for one (Durability::none).
    uint64_t undurable_bytes_max = 4 << 20;
    uint64_t undurable_ns_max = 1'000'000'000;
    // After so long without a write a mark is logged, so that the last group is covered by a
    // durable mark, too, and damage to it can be told from a torn tail.
    uint64_t idle_mark_ns = 5'000'000;
};

// Where recovery says that the log stands.
struct LogStart {
    Lsn end = 0;                 // every valid record lies below; 0: there is no log yet
    bool is_open = false;        // the segment of `end` was closed in order and may be written on
    uint64_t segment_bytes = 0;  // of that segment
    uint64_t all_segments_bytes = 0;
    std::vector<SealedSegment> sealed;  // those before it, in order
    uint32_t next_segment = 1;          // no file has this number or a higher one, or ever had
    Digest128 last_digest;              // of the last record
};

// A whole record that is not known to be durable, to be logged again.
struct TailRecord {
    std::vector<std::byte> bytes;
    RecordHead head;
    Place place;
};

struct Prepared {
    Place place;
    Version version;
};

struct PreparedPair {
    Prepared first;
    Prepared second;
};

struct LogStats {
    uint64_t records = 0;
    uint64_t bytes = 0;
    uint64_t groups = 0;
    uint64_t syncs = 0;
    uint64_t failures = 0;       // segments given up after an error
    uint64_t lost_tails = 0;     // times that what was not durable could not be logged again
    uint64_t segment_bytes = 0;  // of the files that are there
};

class RecordLog {
public:
    // A record that nobody waits for was moved: whoever points at `from` is to point at `to`.
    using OnMoved =
        std::function<void(const RecordHeader& header, const Place& from, const Place& to)>;

    RecordLog(io::Disk& disk, io::BufferPool& buffers, Space& space, const LogOptions& options,
              OnMoved on_moved, const Log& log);
    ~RecordLog();  // asserts that stop() ran, if start() did
    RecordLog(const RecordLog&) = delete;
    RecordLog& operator=(const RecordLog&) = delete;

    // Logs `tail` again in a new segment, if there is any, and begins to work. `tail` must follow
    // the records below start.end without a gap.
    io::Task<Status> start(LogStart start, std::vector<TailRecord> tail);

    // Done when the record is as durable as asked for. Records are ordered by the calls. What
    // `draft` points at must live until then. Errors: `full`, `io_error`, `unavailable` (stopping).
    // `is_privileged` records may use the reserve of a full disk: deletions.
    io::Task<Result<Prepared>> prepare(RecordDraft draft, Durability durability,
                                       bool is_privileged);

    // Two records that are one change, both durable: after a power cut both are there or neither.
    // Between the call and their places in the log's order nothing waits.
    io::Task<Result<PreparedPair>> prepare_two(RecordDraft first, RecordDraft second,
                                               bool is_privileged);

    // Everything prepared so far is durable.
    io::Task<Status> sync();
    // Of versions that are given from now on.
    void set_map_version(uint64_t map_version) { options_.map_version = map_version; }
    // Somebody was told of a record and has not gone on yet: until then what he publishes is
    // missing among what durable() promises.
    bool has_told() const { return told_count_ > 0; }
    // Everything below is on the device.
    Lsn durable() const { return durable_; }
    // Everything prepared lies below.
    Lsn end() const { return written_end_; }
    const LogStats& stats() const { return stats_; }

    // The segments before the one that is written to, in order. Those from segment_of(durable()) on
    // are not to be touched yet.
    const std::vector<SealedSegment>& sealed() const { return sealed_; }
    // The segment's file is gone, for good: the next header's table goes without it.
    void forget_segment(uint32_t number);
    // The segment's file was cut to so many bytes.
    void resize_segment(uint32_t number, uint64_t file_bytes);

    // What a new segment takes on a disk that is nearly full.
    uint64_t smallest_segment_bytes() const {
        return std::min(options_.segment_bytes, segment_bytes_min);
    }

    // Has a segment to write into and a spare one, in the background.
    void make_ready();
    // Refuses new records, waits for the rest, and logs the closing mark.
    io::Task<void> stop();

private:
    struct Waiter;
    struct Entry;
    struct Group;
    struct Active;

    // The one task that writes.
    io::Task<void> run();
    io::Task<void> close_log();
    io::Task<void> commit_next();
    io::Task<void> commit_marks(uint32_t count, uint8_t flags);
    void adopt_tail(std::vector<std::unique_ptr<Group>>& groups, const TailRecord& record);
    void keep_durable(std::unique_ptr<Group> group);
    io::Task<void> write_newest();
    io::Task<Status> make_room(uint32_t bytes, bool is_privileged);
    void refuse_waiting(const Error& error, bool also_privileged);
    uint32_t waiting_bytes(uint64_t at, size_t& count) const;
    std::unique_ptr<Group> build_group(size_t count, uint32_t bytes);
    void add_record(Group& group, const RecordDraft& draft, Waiter* waiter);
    uint32_t gap_before(const RecordDraft& draft, uint64_t at) const;
    uint32_t placed_bytes(const Waiter& waiter, uint64_t at) const;
    uint32_t placed_bytes_max(const RecordDraft& draft) const;
    uint32_t placed_bytes_max(const Waiter& waiter) const;
    io::Task<Status> commit(Waiter& waiter);
    void add_placed(Group& group, const RecordDraft& draft, Waiter* waiter);
    void add_gap(Group& group, uint32_t bytes);
    uint32_t header_bytes() const;
    void add_segment_header(Group& group, Lsn previous_end);
    static void hold_back_first_block(Group& group, uint32_t offset, uint32_t phase);

    // Making durable.
    void start_flush();
    io::Task<void> flush();
    io::Task<Status> sync_groups(std::vector<Group*> groups);
    io::Task<Status> write_held_back(Group& group, uint32_t phase);
    void pulse_durable();
    void release(Lsn end);
    void release_without_sync(Group& group);
    void tell(Entry& entry, const Status& status);

    // After a failure.
    void give_up_segment(const Error& error);
    io::Task<void> move_tail();
    std::vector<std::unique_ptr<Group>> take_tail(Lsn& previous_end);
    io::Task<Status> move_groups(std::vector<std::unique_ptr<Group>>& groups, Lsn previous_end);
    Digest128 digest_before(const std::vector<std::unique_ptr<Group>>& groups) const;
    std::unique_ptr<Group> copy_group(const Group& group, Lsn previous_end);
    void adopt_moved(std::vector<std::unique_ptr<Group>>& groups,
                     std::vector<std::unique_ptr<Group>>& moved);

    // Segments.
    void seal(Lsn end);
    io::Task<Status> activate(Lsn previous_end, bool is_privileged, uint64_t bytes);
    io::Task<Status> open_active(uint32_t number, uint64_t bytes, uint64_t end, bool is_of_reserve);
    io::Task<Status> await_spare(bool is_privileged, uint64_t bytes);
    void start_spare();
    io::Task<void> create_spare(io::Gate::Pass pass, bool is_privileged, uint64_t bytes_min);

    void arm_idle();
    io::Task<void> watch_idle(io::Gate::Pass pass);

    io::Disk& disk_;
    io::Reactor& reactor_;
    io::BufferPool& buffers_;
    Space& space_;
    LogOptions options_;
    OnMoved on_moved_;
    const Log& log_;

    io::Gate gate_;        // writers
    io::Gate background_;  // spares and the idle watch
    io::Cancel cancel_;
    io::Event work_;           // something for run() to do
    io::Event flush_done_;     // set while no flush is in flight
    io::Event durable_moved_;  // pulsed when a flush ended, well or not
    io::Event spare_done_;     // set while no spare is being created
    io::Event ended_;
    bool is_started_ = false;
    bool is_stopping_ = false;
    bool is_stopped_ = false;
    bool has_written_ = false;

    std::deque<Waiter*> waiting_;
    uint64_t told_count_ = 0;         // writers that are done but have not gone on yet
    std::unique_ptr<Active> active_;  // null: the next group needs a new segment
    std::deque<std::unique_ptr<Group>> undurable_;  // written, or being written, in order
    // Those before them that may share a page with them: the last one, and what ends in its page.
    std::deque<std::unique_ptr<Group>> durable_tail_;
    uint64_t undurable_bytes_ = 0;  // that somebody is to be told about or may read
    uint64_t undurable_since_ns_ = 0;
    Lsn written_end_ = 0;
    Lsn durable_ = 0;
    Lsn stamped_durable_ = 0;  // the highest durable mark in the log
    Digest128 last_digest_;
    bool is_broken_ = false;  // the active segment failed
    bool wants_flush_ = false;
    bool wants_mark_ = false;
    bool is_idle_armed_ = false;
    uint64_t last_write_ns_ = 0;

    std::vector<SealedSegment> sealed_;
    uint64_t newest_bytes_ = 0;  // of the file that was written to last
    uint32_t next_segment_ = 1;
    uint32_t spare_ = 0;  // 0: none
    uint64_t spare_bytes_ = 0;
    bool is_spare_of_reserve_ = false;
    bool is_spare_urgent_ = false;  // somebody waits for the one that is being made
    // The first segments of a run are small, each twice the last: at a steady rate of writes the
    // next one is made before this one is full.
    uint64_t spare_bytes_next_ = segment_bytes_max;
    Error spare_error_{Errc::unavailable, ""};
    LogStats stats_;
};

}  // namespace penstock::node
