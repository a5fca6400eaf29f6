#include "node/store/compactor.h"

#include <algorithm>

#include "io/base/units.h"

namespace penstock::node {
namespace {

// How often it is looked whether there is something to do: costs a microsecond.
constexpr uint64_t look_ns = 100'000'000;
// After an error of the device, or on a full disk.
constexpr uint64_t retry_ns = 1'000'000'000;
// Fewer tombstones than this share of what was scanned are kept without asking what they delete:
// the answer may cost a scan of every older segment.
constexpr uint64_t tombstone_share_min = 32;
constexpr size_t batch_records_max = 256;

bool is_temporary(Errc code) {
    return code != Errc::corrupt;
}

bool is_at(const std::optional<Place>& current, const Place& place) {
    return current && begin_of(*current) == begin_of(place);
}

}  // namespace

Compactor::Compactor(CompactorParts parts)
    : parts_(std::move(parts)),
      reactor_(parts_.disk.reactor()),
      pace_(reactor_),
      gate_(reactor_),
      working_(reactor_, 1),
      moved_(reactor_) {}

Compactor::~Compactor() {
    ASSERT(!is_started_ || gate_.is_closed());
}

void Compactor::start() {
    ASSERT(!is_started_);
    Result<io::Gate::Pass> pass = gate_.enter();
    ASSERT(pass.has_value());
    is_started_ = true;
    io::start_detached(run(std::move(*pass)));
}

io::Task<void> Compactor::stop() {
    cancel();
    co_await gate_.close();
}

// -------------------------------------------------------------------------------------------------
// What to do next

io::Task<void> Compactor::run(io::Gate::Pass) {
    while (!cancel_.is_cancelled()) {
        if (co_await reactor_.sleep(reactor_.within_ns(look_ns, &cancel_)) != 0) break;
        co_await working_.acquire();
        while (std::optional<Victim> victim = next_victim()) {
            Work work{.victim = *victim};
            const Status status = co_await compact(work);
            if (cancel_.is_cancelled()) break;
            if (!status) bar(work.victim, status.error());
        }
        working_.release();
    }
}

std::optional<Victim> Compactor::next_victim() const {
    const CompactionView now = view();
    if (now.sealed.empty() || cancel_.is_cancelled()) return std::nullopt;
    std::optional<Victim> victim =
        choose_victim(now, [this](const Victim& candidate) { return is_barred(candidate); });
    // Where nothing lives nothing is copied: that space is free.
    if (!victim || victim->live_bytes == 0) return victim;
    const double start = parts_.space.is_scarce() ? space_ratio_full : space_ratio_start;
    return ratio() > start ? victim : std::nullopt;
}

bool Compactor::will_free() const {
    if (!is_started_) return false;
    const bool is_tried_again = std::ranges::any_of(
        barred_, [this](const auto& entry) { return entry.second.until_ns > reactor_.now_ns(); });
    return is_tried_again || next_victim().has_value();
}

double Compactor::ratio() const {
    return space_ratio(view(), [this](const Victim& victim) { return is_barred(victim); });
}

io::Task<Result<uint64_t>> Compactor::run_now() {
    CO_TRY(const io::Gate::Pass pass, gate_.enter());
    co_await working_.acquire();
    const uint64_t freed_before = stats_.freed_bytes;
    // What is sealed from now on holds what this copies.
    const Lsn end = parts_.records.durable();
    std::unordered_set<uint32_t> tried;
    Status result;
    for (;;) {
        CompactionView now = view();
        now.durable = std::min(now.durable, end);
        const std::optional<Victim> victim = choose_victim(now, [&](const Victim& candidate) {
            return tried.contains(candidate.segment.number) ||
                   doubtful_.contains(candidate.segment.number);
        });
        if (!victim || cancel_.is_cancelled()) break;
        tried.insert(victim->segment.number);
        Work work{.victim = *victim, .is_paced = false};
        const Status status = co_await compact(work);
        if (!status) bar(work.victim, status.error());
        if (!status && result) result = status;
    }
    working_.release();
    CO_TRY_STATUS(result);
    co_return stats_.freed_bytes - freed_before;
}

bool Compactor::is_barred(const Victim& victim) const {
    const uint32_t number = victim.segment.number;
    if (doubtful_.contains(number)) return true;
    const auto found = barred_.find(number);
    if (found == barred_.end()) return false;
    const Barred& barred = found->second;
    if (barred.until_ns != 0) return reactor_.now_ns() < barred.until_ns;
    return barred.live_bytes == victim.live_bytes && barred.older_segments == older_than(number);
}

void Compactor::bar(const Victim& victim, const Error& error) {
    const uint32_t number = victim.segment.number;
    Barred& barred = barred_[number];
    barred.live_bytes = parts_.names.live().segment_bytes(number);
    barred.older_segments = older_than(number);
    barred.until_ns = is_temporary(error.code) ? reactor_.now_ns() + retry_ns : 0;
    parts_.log.error("a segment cannot be compacted", {{"segment", uint64_t{number}},
                                                       {"live_bytes", barred.live_bytes},
                                                       {"error", std::string_view(error.context)}});
}

bool Compactor::is_sealed(uint32_t number) const {
    const auto& sealed = parts_.records.sealed();
    return std::ranges::find(sealed, number, &SealedSegment::number) != sealed.end();
}

uint32_t Compactor::older_than(uint32_t segment) const {
    const auto& sealed = parts_.records.sealed();
    const auto found = std::ranges::lower_bound(sealed, segment, {}, &SealedSegment::number);
    return static_cast<uint32_t>(found - sealed.begin());
}

// -------------------------------------------------------------------------------------------------
// One segment

io::Task<Status> Compactor::compact(Work& work) {
    const SealedSegment& segment = work.victim.segment;
    CO_TRY(work.file,
           co_await parts_.disk.open(segment_path(segment.number), io::OpenMode::read_direct));
    for (uint32_t block = 0; block < segment.end_blocks;) {
        CO_TRY_STATUS(co_await pace(work));
        const uint64_t step_bytes =
            work.is_paced ? pace_.step_bytes() : CompactionPace::idle_step_bytes;
        CO_TRY(SegmentScan step, co_await scan(segment, block, step_bytes));
        pace_.take(uint64_t{step.next_block - block} * block_bytes);
        block = step.next_block;
        work.damaged_bytes += step.damaged_bytes;
        CO_TRY_STATUS(co_await find_needed(work, step.records));
        CO_TRY_STATUS(co_await move_step(work, std::move(step.records)));
    }
    if (parts_.names.live().segment_bytes(segment.number) > 0) {
        CO_TRY_STATUS(co_await give_up_damaged(work));
    }
    if (parts_.names.live().segment_bytes(segment.number) > 0) {
        co_return fail(Errc::corrupt, "records that are current in it cannot be read");
    }
    // What rotted may have been a tombstone that an older segment needs.
    if (work.damaged_bytes > 0 && older_than(segment.number) > 0) {
        co_return fail(Errc::corrupt, "it is damaged, and not the oldest one");
    }
    co_return co_await free(work);
}

// Waits until a step may be made. Stopping ends it.
io::Task<Status> Compactor::pace(Work& work) {
    for (;;) {
        if (cancel_.is_cancelled()) co_return fail(Errc::unavailable, "stopping");
        if (!work.is_paced) co_return Status();
        CompactionPace::Signs signs;
        signs.logged_bytes = parts_.records.stats().bytes - stats_.moved_bytes;
        signs.is_anybody_waiting = parts_.is_anybody_waiting();
        signs.is_urgent = parts_.space.is_nearly_full() || ratio() > space_ratio_hurry;
        signs.garbage_share = work.victim.garbage_share();
        pace_.observe(signs);
        const uint64_t wait_ns = pace_.wait_ns();
        if (wait_ns == 0) co_return Status();
        (void)co_await reactor_.sleep(reactor_.within_ns(wait_ns, &cancel_));
    }
}

io::Task<Result<SegmentScan>> Compactor::scan(const SealedSegment& segment, uint32_t block,
                                              uint64_t step_bytes) {
    io::BlockingDisk& disk = parts_.disk.blocking();
    co_return co_await parts_.disk.pool().run(reactor_, [&disk, &segment, block, step_bytes] {
        return scan_segment(disk, segment, block, step_bytes);
    });
}

// In batches: what is in one is read, logged in few groups with whatever clients log, and
// published.
io::Task<Status> Compactor::move_step(Work& work, std::vector<ScannedRecord> records) {
    uint64_t bytes = 0;
    size_t count = 0;
    for (const ScannedRecord& record : records) {
        if (!is_wanted(work, record)) continue;
        if (count == 0) {
            CO_TRY_STATUS(co_await check_log());
            moved_.reset();
            work.in_flight = 1;  // this loop
        }
        bytes += record.place.record_bytes();
        count += 1;
        work.in_flight += 1;
        io::start_detached(move(work, record));
        const uint64_t batch_bytes =
            work.is_paced ? pace_.batch_bytes() : CompactionPace::idle_batch_bytes;
        if (bytes < batch_bytes && count < batch_records_max && work.status) continue;
        if (--work.in_flight == 0) moved_.set();
        co_await moved_.wait();
        CO_TRY_STATUS(work.status);
        bytes = count = 0;
        co_await reactor_.yield();
    }
    if (count > 0) {
        if (--work.in_flight == 0) moved_.set();
        co_await moved_.wait();
    }
    co_return work.status;
}

io::Task<void> Compactor::move(Work& work, ScannedRecord record) {
    const Status status = co_await move_record(work, record);
    if (!status && work.status) work.status = status;
    if (--work.in_flight == 0) moved_.set();
}

io::Task<Status> Compactor::move_record(Work& work, const ScannedRecord& record) {
    const Result<ReadRecord> read =
        co_await parts_.reader.read_record_directly(record.place, *work.file);
    if (read) co_return co_await log_again(work, record, *read);
    // Replaced meanwhile, it does not matter; else it stays, and keeps its segment.
    const bool is_damaged =
        read.error().code == Errc::corrupt || read.error().code == Errc::not_found;
    if (!is_damaged) co_return std::unexpected(read.error());
    if (is_wanted(work, record)) {
        stats_.unreadable_records += 1;
        parts_.log.error(
            "a record cannot be moved: it is damaged",
            {{"segment", uint64_t{record.place.segment}}, {"offset", record.place.offset_bytes()}});
    }
    co_return Status();
}

// The decision that the record is wanted and its place in the log's order are one step: nothing
// waits in between.
io::Task<Status> Compactor::log_again(Work& work, const ScannedRecord& record,
                                      const ReadRecord& read) {
    if (record.kind == RecordKind::freed) co_return co_await keep_freed(work, read);
    for (;;) {
        if (!is_wanted(work, record)) co_return Status();
        if (!parts_.is_changing(record.digest)) break;
        co_await parts_.change_done.wait();
    }
    const RecordDraft draft = draft_of(read);
    CO_TRY(const Prepared prepared,
           co_await parts_.records.prepare(draft, Durability::group, true));
    stats_.moved_bytes += prepared.place.record_bytes();
    stats_.moved_records += 1;
    if (record.kind == RecordKind::tombstone) {
        KeptTombstones& kept = kept_[prepared.place.segment];
        kept.bytes += prepared.place.record_bytes();
        kept.older_segments = older_than(prepared.place.segment);
        co_return Status();
    }
    const std::optional<Place> current = parts_.names.find(record.digest);
    if (is_at(current, record.place)) {
        parts_.names.moved(change_from(read.header, prepared.place), *current);
    }
    co_return Status();
}

// As long as a table may name the segments, something must say that they were not lost.
io::Task<Status> Compactor::keep_freed(const Work& work, const ReadRecord& read) {
    const Bytes payload = draft_of(read).payload;
    std::optional<std::vector<uint32_t>> numbers = parse_segment_numbers(payload);
    if (!numbers) co_return Status();
    std::erase_if(*numbers, [&](uint32_t number) {
        return number == work.victim.segment.number || !is_sealed(number);
    });
    if (numbers->empty()) co_return Status();
    const std::vector<std::byte> encoded = encode_segment_numbers(*numbers);
    RecordDraft draft;
    draft.kind = RecordKind::freed;
    draft.payload = encoded;
    draft.payload_crc = crc32c(encoded);
    CO_TRY(const Prepared prepared,
           co_await parts_.records.prepare(draft, Durability::group, true));
    stats_.moved_bytes += prepared.place.record_bytes();
    co_return Status();
}

bool Compactor::is_wanted(const Work& work, const ScannedRecord& record) const {
    switch (record.kind) {
        case RecordKind::object:
        case RecordKind::extents:
        case RecordKind::lost:
            return is_at(parts_.names.find(record.digest), record.place);
        case RecordKind::tombstone:
            // A newer record of the name, where there is one, says all that this one says.
            return !parts_.names.find(record.digest) &&
                   std::ranges::binary_search(work.needed, begin_of(record.place), {}, begin_of);
        case RecordKind::freed:
            return true;
        case RecordKind::segment:
        case RecordKind::mark:
            break;
    }
    return false;
}

// Names may point at records that will be gone after a restart, when what they replaced counts
// again: nothing may be freed before.
Status Compactor::check_lost() const {
    if (parts_.records.stats().lost_tails == 0) return Status();
    return fail(Errc::io_error, "the log lost records: nothing is freed until a restart");
}

io::Task<Status> Compactor::check_log() {
    CO_TRY_STATUS(check_lost());
    // A segment can be had for what is copied; while it is copied, both take room.
    co_return co_await parts_.space.admit_reclaiming(parts_.records.smallest_segment_bytes());
}

// -------------------------------------------------------------------------------------------------
// Tombstones

// A tombstone is needed while any segment that was there when it was first logged may hold a record
// of the name: nothing older than it is ever logged after it. The segment that is being compacted
// does not count: it goes as a whole or not at all.
io::Task<Status> Compactor::find_needed(Work& work, const std::vector<ScannedRecord>& records) {
    work.needed.clear();
    std::vector<ScannedRecord> asked;
    uint64_t scanned_bytes = 0;
    uint64_t tombstone_bytes = 0;
    Lsn newest = 0;
    for (const ScannedRecord& record : records) {
        scanned_bytes += record.place.record_bytes();
        if (record.kind != RecordKind::tombstone || parts_.names.find(record.digest)) continue;
        tombstone_bytes += record.place.record_bytes();
        newest = std::max(newest, record.version.sequence);
        asked.push_back(record);
    }
    const std::vector<SealedSegment> older = segments_with_older(work, newest);
    if (asked.empty() || older.empty()) co_return Status();

    std::vector<std::pair<uint32_t, std::shared_ptr<const SegmentDigests::Set>>> sets;
    const bool are_few = tombstone_bytes * tombstone_share_min < scanned_bytes;
    for (const SealedSegment& segment : older) {
        if (!are_few) co_await load_digests(segment, work);
        if (cancel_.is_cancelled()) co_return fail(Errc::unavailable, "stopping");
        sets.emplace_back(segment.number, digests_.find(segment.number));
    }
    work.needed = co_await parts_.disk.pool().run(reactor_, [&] {
        std::vector<Place> needed;
        for (const ScannedRecord& record : asked) {
            const bool is_needed = std::ranges::any_of(sets, [&](const auto& entry) {
                const auto& [number, set] = entry;
                if (number > segment_of(record.version.sequence)) return false;
                return set == nullptr || SegmentDigests::may_hold(*set, record.digest);
            });
            if (is_needed) needed.push_back(record.place);
        }
        return needed;
    });
    co_return Status();
}

std::vector<SealedSegment> Compactor::segments_with_older(const Work& work, Lsn sequence) const {
    std::vector<SealedSegment> older;
    for (const SealedSegment& segment : parts_.records.sealed()) {
        if (segment.number > segment_of(sequence)) break;
        if (segment.number != work.victim.segment.number) older.push_back(segment);
    }
    return older;
}

// A segment that cannot be scanned whole may hold anything: it gets no set.
io::Task<void> Compactor::load_digests(const SealedSegment& segment, Work& work) {
    if (digests_.find(segment.number) != nullptr || doubtful_.contains(segment.number)) co_return;
    SegmentDigests::Set set;
    for (uint32_t block = 0; block < segment.end_blocks;) {
        if (!co_await pace(work)) co_return;
        const Result<SegmentScan> step =
            co_await scan(segment, block, CompactionPace::busy_step_bytes);
        if (!step || step->damaged_bytes > 0) co_return;
        pace_.take(uint64_t{step->next_block - block} * block_bytes);
        block = step->next_block;
        for (const ScannedRecord& record : step->records) {
            const bool is_content =
                has_object_name(record.kind) && record.kind != RecordKind::tombstone;
            if (is_content) set.push_back(SegmentDigests::short_digest(record.digest));
        }
    }
    digests_.keep(segment.number, std::move(set));
}

// -------------------------------------------------------------------------------------------------
// Giving the space back

io::Task<Status> Compactor::free(const Work& work) {
    CO_TRY_STATUS(check_lost());
    const SealedSegment& segment = work.victim.segment;
    const uint32_t number = segment.number;
    const std::vector<std::byte> numbers = encode_segment_numbers({{number}});
    RecordDraft draft;
    draft.kind = RecordKind::freed;
    draft.payload = numbers;
    draft.payload_crc = crc32c(numbers);
    CO_TRY(const Prepared prepared,
           co_await parts_.records.prepare(draft, Durability::group, true));
    stats_.moved_bytes += prepared.place.record_bytes();
    // A catalogue that a power cut takes back must not name what is gone.
    CO_TRY_STATUS(co_await parts_.names.checkpoint());
    co_await parts_.reclaimed(number);
    ASSERT(parts_.names.live().segment_bytes(number) == 0);

    // What is damaged in it is nobody's that is known: the last copy is kept all the same.
    const Status removed = work.damaged_bytes == 0
                               ? co_await parts_.disk.remove(segment_path(number))
                               : co_await parts_.quarantine.keep_segment(
                                     number, segment.file_bytes, reactor_.clock().wall_ns());
    if (!removed && removed.error().code != Errc::not_found) co_return removed;
    parts_.space.forget();
    stats_.freed_bytes += segment.file_bytes;
    stats_.freed_segments += 1;
    digests_.forget(number);
    kept_.erase(number);
    barred_.erase(number);
    const Status synced = co_await parts_.disk.sync_directory(log_directory);
    if (synced) {
        parts_.records.forget_segment(number);
    } else {
        doubtful_.insert(number);
    }
    co_await parts_.let_go(number);
    co_return synced;
}

}  // namespace penstock::node
