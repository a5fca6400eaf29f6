// Recovery: what the log of a mountpath says after whatever happened to it. Finds the chain of
// segments, where the log ends, which records may not be durable, and replays into Names what the
// catalogue does not know yet. A job on the pool, before anybody else is there.
//
// Each segment's header says where those before it end (segment_table.h), so records behind that
// point, left by a torn write or a failed fsync, are never seen again, whichever segments were
// freed since. A header whose table cannot be read still says where the one before ends (its
// durable mark), and that one has a table.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "io/base/log.h"
#include "io/blocking_disk.h"
#include "node/store/log.h"
#include "node/store/log_reader.h"
#include "node/store/names.h"
#include "node/store/segment_table.h"

namespace penstock::node {

struct RecoveryOptions {
    Digest128 directory_id;
    Lsn position = 0;                              // the catalogue knows the log up to here
    std::function<bool(BucketId)> is_live_bucket;  // null: all
};

struct Recovered {
    LogStart start;
    std::vector<TailRecord> tail;  // to be logged again
    uint64_t damage_count = 0;
    uint64_t unnamed_damage_count = 0;  // records lost, and nobody can say whose
    // Of the newest segment, once the tail was logged again: nothing behind this is wanted.
    std::optional<Lsn> trim_at;
};

class Recovery {
public:
    Recovery(io::BlockingDisk& disk, Names& names, const RecoveryOptions& options, const Log& log)
        : disk_(disk), names_(names), options_(options), log_(log) {}

    // `corrupt` if the catalogue's position is nowhere in this log: then it must be rebuilt.
    Result<Recovered> run();

private:
    enum class HeaderState : uint8_t { valid, zero, damaged };
    struct SegmentFile {
        std::unique_ptr<io::BlockingFile> file;
        uint64_t size_bytes = 0;
        HeaderState state = HeaderState::zero;
        RecordHead header;
        std::optional<std::vector<SealedSegment>> table;  // of those before it
    };
    // A segment of the chain and how far it counts.
    struct Link {
        uint32_t number = 0;
        std::optional<Lsn> end;  // nullopt: to be found
        std::optional<Digest128> previous_of_next;
    };

    // The first of two records that are one change, until the second is seen.
    struct Held {
        TailRecord record;
        bool is_tail = false;
    };

    Status read_headers();
    Status read_header(uint32_t number);
    Result<bool> read_table(uint32_t number);
    Result<bool> has_proven_records(uint32_t number, uint32_t first_block);
    Result<std::optional<uint32_t>> newest_segment();
    Result<std::vector<Link>> chain();
    Link link_of(const SealedSegment& sealed, uint32_t next) const;
    std::optional<uint32_t> segment_below(uint32_t number) const;
    Status replay(std::vector<Link> links);
    void take_sealed(const std::vector<Link>& links);
    void report_missing();
    void missing(uint32_t number);
    Status replay_segment(const Link& link, Lsn end, bool is_newest, Lsn durable);
    Status visit(SegmentBytes& bytes, const RecordHeader& header, const Place& place,
                 bool is_newest, Lsn durable);
    Status hold(SegmentBytes& bytes, const RecordHeader& header, const Place& place, bool is_tail);
    Status release_held(bool counts);
    void visit_freed(Bytes record, const RecordHead& head);
    void damage(const Damage& found);
    Status find_end(const Link& newest, SegmentEnd& end);
    void trim(uint32_t number, Lsn end);
    void remove_leftovers(const std::vector<Link>& links);

    io::BlockingDisk& disk_;
    Names& names_;
    const RecoveryOptions& options_;
    const Log& log_;
    std::map<uint32_t, SegmentFile> files_;
    std::map<uint32_t, bool> has_damage_;
    std::set<uint32_t> absent_;  // that the tables name and whose files are not there
    std::set<uint32_t> freed_;   // that records say were to be removed
    bool is_chain_whole_ = true;
    std::optional<Held> held_;
    Recovered result_;
    uint32_t highest_number_ = 0;
};

}  // namespace penstock::node
