#include "node/store/log.h"

#include <algorithm>
#include <cstring>

#include "io/base/units.h"
#include "node/store/log_parts.h"

namespace penstock::node {

RecordLog::RecordLog(io::Disk& disk, io::BufferPool& buffers, Space& space,
                     const LogOptions& options, OnMoved on_moved, const Log& log)
    : disk_(disk),
      reactor_(disk.reactor()),
      buffers_(buffers),
      space_(space),
      options_(options),
      on_moved_(std::move(on_moved)),
      log_(log),
      gate_(reactor_),
      background_(reactor_),
      work_(reactor_),
      flush_done_(reactor_),
      durable_moved_(reactor_),
      spare_done_(reactor_),
      ended_(reactor_) {
    options_.segment_bytes = round_up(options_.segment_bytes, page_bytes);
    // Small segments (tests, tiny disks) must hold several groups, and all that waits for a sync.
    const uint64_t quarter = std::max<uint64_t>(options_.segment_bytes / 4, page_bytes);
    options_.group_bytes_max =
        static_cast<uint32_t>(std::min<uint64_t>(options_.group_bytes_max, quarter));
    options_.undurable_bytes_max = std::min(options_.undurable_bytes_max, quarter);
    flush_done_.set();
    spare_done_.set();
}

RecordLog::~RecordLog() {
    ASSERT(is_stopped_ || !is_started_);
}

// -------------------------------------------------------------------------------------------------
// Writers

io::Task<Result<Prepared>> RecordLog::prepare(RecordDraft draft, Durability durability,
                                              bool is_privileged) {
    // The first block of a PAX record is written after the rest is durable, so it always waits.
    if (needs_pax(draft)) durability = Durability::group;
    Waiter waiter(reactor_, draft, durability, is_privileged);
    CO_TRY_STATUS(co_await commit(waiter));
    co_return waiter.prepared;
}

io::Task<Result<PreparedPair>> RecordLog::prepare_two(RecordDraft first, RecordDraft second,
                                                      bool is_privileged) {
    ASSERT(has_object_name(first.kind) && has_object_name(second.kind));
    first.flags |= record_is_first_of_two;
    second.flags |= record_is_second_of_two;
    Waiter waiter(reactor_, first, Durability::group, is_privileged);
    waiter.second = &second;
    CO_TRY_STATUS(co_await commit(waiter));
    co_return PreparedPair{waiter.prepared, waiter.second_prepared};
}

io::Task<Status> RecordLog::commit(Waiter& waiter) {
    ASSERT(reactor_.is_current_thread());
    CO_TRY(const io::Gate::Pass pass, gate_.enter());
    const uint64_t room_max =
        options_.segment_bytes - header_bytes() - mark_bytes - end_of_archive_bytes;
    if (placed_bytes_max(waiter) > room_max) {
        co_return fail(Errc::too_large, "a record is larger than a segment");
    }
    waiting_.push_back(&waiter);
    work_.set();
    co_await waiter.done.wait();
    ASSERT(told_count_ > 0);
    told_count_ -= 1;
    co_return waiter.status;
}

io::Task<Status> RecordLog::sync() {
    ASSERT(reactor_.is_current_thread());
    const Lsn target = written_end_;
    const uint64_t failures_before = stats_.failures;
    const uint64_t lost_before = stats_.lost_tails;
    // While a tail moves to another segment it is nowhere else, and not durable.
    while (durable_ < target && (undurable_bytes_ > 0 || is_broken_)) {
        if (stats_.failures > failures_before + 2) {
            co_return fail(Errc::io_error, "the log cannot be made durable");
        }
        wants_flush_ = true;
        work_.set();
        co_await durable_moved_.wait();
    }
    if (stats_.lost_tails != lost_before) {
        co_return fail(Errc::io_error, "the end of the log is lost");
    }
    co_return Status();
}

io::Task<Status> RecordLog::start(LogStart start, std::vector<TailRecord> tail) {
    ASSERT(!is_started_);
    next_segment_ = start.next_segment;
    last_digest_ = start.last_digest;
    durable_ = tail.empty() ? start.end : begin_of(tail.front().place);
    written_end_ = start.end;
    stamped_durable_ = start.is_open ? start.end : 0;
    if (!start.is_open) spare_bytes_next_ = std::min(options_.segment_bytes, segment_bytes_min);
    stats_.segment_bytes = start.all_segments_bytes;
    sealed_ = std::move(start.sealed);
    newest_bytes_ = start.segment_bytes;

    if (start.is_open) {
        const uint32_t number = segment_of(start.end);
        CO_TRY_STATUS(co_await open_active(number, start.segment_bytes,
                                           uint64_t{block_of(start.end)} * block_bytes, false));
    } else if (!tail.empty()) {
        std::vector<std::unique_ptr<Group>> groups;
        for (const TailRecord& record : tail) adopt_tail(groups, record);
        CO_TRY_STATUS(co_await move_groups(groups, durable_));
        for (auto& group : groups) keep_durable(std::move(group));
    }
    is_started_ = true;
    io::start_detached(run());
    co_return Status();
}

void RecordLog::make_ready() {
    start_spare();
}

io::Task<void> RecordLog::stop() {
    ASSERT(reactor_.is_current_thread());
    if (!is_started_ || is_stopped_) co_return;
    co_await gate_.close();
    is_stopping_ = true;
    work_.set();
    co_await ended_.wait();
    cancel_.cancel();
    co_await background_.close();
    active_.reset();
    is_stopped_ = true;
}

// -------------------------------------------------------------------------------------------------
// The one task that writes

io::Task<void> RecordLog::run() {
    for (;;) {
        if (is_broken_) {
            co_await move_tail();
        } else if (!waiting_.empty()) {
            co_await commit_next();
        } else if (wants_flush_) {
            co_await flush_done_.wait();
            wants_flush_ = false;
            if (!is_broken_ && !undurable_.empty()) start_flush();
        } else if (wants_mark_) {
            wants_mark_ = false;
            co_await commit_marks(1, 0);
        } else if (is_stopping_) {
            break;
        } else {
            work_.reset();
            co_await work_.wait();
        }
    }
    co_await close_log();
    ended_.set();
}

io::Task<void> RecordLog::close_log() {
    co_await flush_done_.wait();
    if (is_broken_) co_await move_tail();
    if (!has_written_ || active_ == nullptr) co_return;
    // Everything is durable before the mark says so, and the mark itself is durable, too. If one
    // of them fails, the next start finds an unclosed log, which is nothing worse than slower.
    if (!undurable_.empty()) start_flush();
    co_await flush_done_.wait();
    if (is_broken_ || active_ == nullptr) co_return;
    const uint32_t to_page_end = active_->bytes_to_page_end();
    const uint32_t bytes = to_page_end > 0 ? to_page_end : page_bytes;
    if (!active_->has_room_for(bytes)) co_return;
    co_await commit_marks(bytes / block_bytes, record_is_closing);
    if (is_broken_) co_return;
    start_flush();
    co_await flush_done_.wait();
}

io::Task<void> RecordLog::commit_next() {
    const Waiter& first = *waiting_.front();
    Status room = co_await make_room(placed_bytes_max(first), first.is_privileged);
    if (room && active_->is_of_reserve && !first.is_privileged) {
        space_.forget();
        room = co_await space_.admit(0);
        if (room) active_->is_of_reserve = false;  // space came back
    }
    if (!room) {
        refuse_waiting(room.error(), first.is_privileged);
        co_return;
    }
    size_t count = 0;
    if (waiting_bytes(active_->end, count) >= options_.direct_group_bytes_min &&
        active_->bytes_to_page_end() > 0) {
        // What is written past the page cache shares no page with what is in it.
        const uint32_t gap = active_->bytes_to_page_end();
        if (active_->room_bytes() >= gap + placed_bytes_max(first)) {
            co_await commit_marks(gap / block_bytes, 0);
            co_return;
        }
    }
    const uint32_t bytes = waiting_bytes(active_->end, count);
    undurable_.push_back(build_group(count, bytes));
    co_await write_newest();
}

io::Task<void> RecordLog::commit_marks(uint32_t count, uint8_t flags) {
    if (active_ == nullptr || active_->end == 0 || !active_->has_room_for(count * block_bytes)) {
        stamped_durable_ = durable_;  // the next segment's header will say it
        co_return;
    }
    RecordDraft mark;
    mark.kind = RecordKind::mark;
    mark.flags = flags;
    auto group = std::make_unique<Group>();
    group->begin(buffers_, active_->end, count * block_bytes);
    group->is_mark = true;
    for (uint32_t index = 0; index < count; ++index) add_record(*group, mark, nullptr);
    active_->end += group->bytes;
    undurable_.push_back(std::move(group));
    co_await write_newest();
}

io::Task<void> RecordLog::write_newest() {
    Group& group = *undurable_.back();
    group.pad();
    stats_.groups += 1;
    stats_.bytes += group.bytes;
    has_written_ = true;
    last_write_ns_ = reactor_.now_ns();
    const Status written =
        co_await active_->file_for(group).write_exactly(group.written(), group.offset);
    if (!written) {
        give_up_segment(written.error());
    } else {
        written_end_ = group.end;
        if (!is_broken_) release_without_sync(group);
    }
    // The next flush covers what the one in flight does not.
    co_await flush_done_.wait();
    if (is_broken_) co_return;  // run() moves what is not durable
    if (group.wants_sync || undurable_bytes_ > options_.undurable_bytes_max) {
        start_flush();
    } else {
        arm_idle();
    }
}

io::Task<Status> RecordLog::make_room(uint32_t bytes, bool is_privileged) {
    for (;;) {
        if (is_broken_) {
            co_await move_tail();
        } else if (active_ != nullptr && active_->room_bytes() >= bytes) {
            co_return Status();
        } else if (!undurable_.empty()) {
            // A segment's header says that everything before it is durable: make it so.
            if (flush_done_.is_set()) start_flush();
            co_await flush_done_.wait();
        } else {
            co_return co_await activate(durable_, is_privileged, bytes);
        }
    }
}

void RecordLog::refuse_waiting(const Error& error, bool also_privileged) {
    std::deque<Waiter*> kept;
    for (Waiter* waiter : waiting_) {
        if (waiter->is_privileged && !also_privileged) {
            kept.push_back(waiter);
            continue;
        }
        waiter->status = fail(error);
        told_count_ += 1;
        waiter->done.set();
    }
    waiting_ = std::move(kept);
}

// What the next group takes if it begins at `at`, and of how many writers it is.
uint32_t RecordLog::waiting_bytes(uint64_t at, size_t& count) const {
    uint32_t bytes = at == 0 ? header_bytes() : 0;
    const uint64_t room = active_->room_bytes();
    count = 0;
    for (const Waiter* waiter : waiting_) {
        if (active_->is_of_reserve && !waiter->is_privileged) break;
        const uint32_t more = placed_bytes(*waiter, at + bytes);
        if (count > 0 && bytes + more > options_.group_bytes_max) break;
        if (bytes + more > room) break;
        bytes += more;
        ++count;
    }
    return bytes;
}

std::unique_ptr<RecordLog::Group> RecordLog::build_group(size_t count, uint32_t bytes) {
    ASSERT(count > 0);
    auto group = std::make_unique<Group>();
    group->begin(buffers_, active_->end, bytes);
    group->entries.reserve(count + 1);
    if (active_->end == 0) add_segment_header(*group, durable_);
    for (size_t index = 0; index < count; ++index) {
        Waiter* waiter = waiting_.front();
        waiting_.pop_front();
        add_placed(*group, waiter->draft, waiter);
        if (waiter->second != nullptr) {
            group->entries.back().part = Entry::Part::first;
            add_placed(*group, *waiter->second, waiter);
            group->entries.back().part = Entry::Part::second;
        }
        if (waiter->durability == Durability::group) group->wants_sync = true;
    }
    ASSERT(group->bytes == bytes);
    const auto gap =
        static_cast<uint32_t>(round_up(active_->end + bytes, page_bytes) - (active_->end + bytes));
    if (bytes >= options_.direct_group_bytes_min && active_->bytes_to_page_end() == 0 &&
        active_->has_room_for(bytes + gap + mark_bytes)) {
        add_gap(*group, gap);
        group->is_direct = true;
        bytes += gap;
    }
    active_->end += bytes;
    if (undurable_bytes_ == 0) undurable_since_ns_ = reactor_.now_ns();
    undurable_bytes_ += bytes;
    return group;
}

void RecordLog::add_placed(Group& group, const RecordDraft& draft, Waiter* waiter) {
    add_gap(group, gap_before(draft, group.offset + group.bytes));
    add_record(group, draft, waiter);
}

void RecordLog::add_record(Group& group, const RecordDraft& draft, Waiter* waiter) {
    const uint32_t bytes = record_bytes(draft);
    const uint64_t at = group.offset + group.bytes;
    RecordStamp stamp;
    stamp.lsn = active_->lsn(at);
    stamp.durable = durable_;
    stamp.version =
        draft.version.is_absent() ? Version{options_.map_version, stamp.lsn} : draft.version;
    stamp.previous = last_digest_;

    Entry entry;
    entry.offset = group.bytes;
    entry.bytes = bytes;
    entry.digest = draft.digest;
    entry.version = stamp.version;
    entry.waiter = waiter;
    entry.place.segment = active_->number;
    entry.place.offset_blocks = block_of(stamp.lsn);
    entry.place.record_blocks = bytes / block_bytes;
    entry.place.record_blocks |= place_bits(draft.kind, draft.flags);
    entry.place.display_version =
        static_cast<uint32_t>(std::min<uint64_t>(draft.display_version, UINT32_MAX));

    build_record(draft, stamp, group.buffer.bytes().subspan(group.bytes, bytes));
    if (needs_pax(draft)) hold_back_first_block(group, group.bytes, 1);
    group.entries.push_back(entry);
    group.bytes += bytes;
    group.end = active_->lsn(group.offset + group.bytes);
    last_digest_ = draft.digest;
    stamped_durable_ = std::max(stamped_durable_, durable_);
    stats_.records += 1;
}

// What lies before a record that is added at `at`: whole blocks, less than a page.
uint32_t RecordLog::gap_before(const RecordDraft& draft, uint64_t at) const {
    if (draft.payload.size() < options_.aligned_payload_bytes_min) return 0;
    const uint64_t end = at + record_bytes(draft);
    const uint64_t payload_at = end - round_up(draft.payload.size(), block_bytes);
    return static_cast<uint32_t>(round_up(payload_at, page_bytes) - payload_at);
}

uint32_t RecordLog::placed_bytes(const Waiter& waiter, uint64_t at) const {
    uint32_t bytes = gap_before(waiter.draft, at) + record_bytes(waiter.draft);
    if (waiter.second == nullptr) return bytes;
    bytes += gap_before(*waiter.second, at + bytes) + record_bytes(*waiter.second);
    return bytes;
}

uint32_t RecordLog::placed_bytes_max(const Waiter& waiter) const {
    const uint32_t first = placed_bytes_max(waiter.draft);
    return waiter.second == nullptr ? first : first + placed_bytes_max(*waiter.second);
}

// The most that a record takes, wherever it is added.
uint32_t RecordLog::placed_bytes_max(const RecordDraft& draft) const {
    const bool is_aligned = draft.payload.size() >= options_.aligned_payload_bytes_min;
    return record_bytes(draft) + (is_aligned ? page_bytes - block_bytes : 0);
}

void RecordLog::add_gap(Group& group, uint32_t bytes) {
    RecordDraft mark;
    mark.kind = RecordKind::mark;
    for (; bytes > 0; bytes -= block_bytes) add_record(group, mark, nullptr);
}

void RecordLog::add_segment_header(Group& group, Lsn previous_end) {
    const std::vector<std::byte> table = encode_segment_table(sealed_);
    RecordDraft header;
    header.kind = RecordKind::segment;
    header.digest = options_.directory_id;
    header.payload = table;
    header.payload_crc = crc32c(table);
    const uint32_t bytes = header_bytes();
    ASSERT(group.bytes == 0 && record_bytes(header) == bytes);
    const RecordStamp stamp{active_->lsn(0), previous_end, {}, last_digest_};
    build_record(header, stamp, group.buffer.bytes().first(bytes));
    group.bytes = bytes;
    group.end = active_->lsn(bytes);
    last_digest_ = {};
}

void RecordLog::hold_back_first_block(Group& group, uint32_t offset, uint32_t phase) {
    Group::HeldBack held{offset, phase, {}};
    std::memcpy(held.block.data(), group.buffer.data() + offset, block_bytes);
    std::memset(group.buffer.data() + offset, 0, block_bytes);
    group.held_back.push_back(held);
}

// -------------------------------------------------------------------------------------------------
// Making durable

void RecordLog::start_flush() {
    ASSERT(flush_done_.is_set() && !is_broken_ && active_ != nullptr);
    flush_done_.reset();
    io::start_detached(flush());
}

io::Task<void> RecordLog::flush() {
    const Lsn end = written_end_;
    std::vector<Group*> groups;
    for (const auto& group : undurable_) {
        if (group->end <= end) groups.push_back(group.get());
    }
    const Status synced = co_await sync_groups(groups);
    if (synced) {
        durable_ = std::max(durable_, end);
        release(end);
        arm_idle();
    } else {
        give_up_segment(synced.error());
    }
    flush_done_.set();
    pulse_durable();
    work_.set();
}

io::Task<Status> RecordLog::sync_groups(std::vector<Group*> groups) {
    io::File& file = *active_->file;
    CO_TRY_STATUS(co_await file.sync());
    stats_.syncs += 1;
    for (const uint32_t phase : {1U, 2U}) {
        bool has_any = false;
        for (Group* group : groups) {
            if (!group->holds_back(phase)) continue;
            has_any = true;
            CO_TRY_STATUS(co_await write_held_back(*group, phase));
        }
        if (!has_any) continue;
        CO_TRY_STATUS(co_await file.sync());
        stats_.syncs += 1;
    }
    co_return Status();
}

io::Task<Status> RecordLog::write_held_back(Group& group, uint32_t phase) {
    io::File& file = active_->file_for(group);
    for (const Group::HeldBack& held : group.held_back) {
        if (held.phase != phase) continue;
        std::memcpy(group.buffer.data() + held.offset, held.block.data(), block_bytes);
        Bytes bytes = held.block;
        uint64_t at = group.offset + held.offset;
        if (group.is_direct) {
            const uint64_t page = round_down(held.offset, page_bytes);
            bytes = group.written().subspan(page, page_bytes);
            at = group.offset + page;
        }
        CO_TRY_STATUS(co_await file.write_exactly(bytes, at));
    }
    std::erase_if(group.held_back,
                  [phase](const Group::HeldBack& held) { return held.phase == phase; });
    co_return Status();
}

void RecordLog::pulse_durable() {
    durable_moved_.set();
    durable_moved_.reset();
}

void RecordLog::give_up_segment(const Error& error) {
    is_broken_ = true;
    stats_.failures += 1;
    log_.error(
        "a segment of the log failed and is given up",
        {{"segment", uint64_t{active_->number}}, {"error", std::string_view(error.context)}});
}

// Those who do not wait for the device are told once their records can be read.
void RecordLog::release_without_sync(Group& group) {
    for (Entry& entry : group.entries) {
        if (entry.waiter == nullptr || entry.waiter->durability != Durability::none) continue;
        tell(entry, Status());
    }
}

void RecordLog::tell(Entry& entry, const Status& status) {
    Waiter* waiter = std::exchange(entry.waiter, nullptr);
    if (waiter == nullptr) return;
    Prepared& prepared =
        entry.part == Entry::Part::second ? waiter->second_prepared : waiter->prepared;
    prepared = {entry.place, entry.version};
    // The other one is in the same group and told right behind this.
    if (entry.part == Entry::Part::first) return;
    waiter->status = status;
    told_count_ += 1;
    waiter->done.set();
}

void RecordLog::release(Lsn end) {
    while (!undurable_.empty() && undurable_.front()->end <= end) {
        std::unique_ptr<Group> group = std::move(undurable_.front());
        undurable_.pop_front();
        for (Entry& entry : group->entries) tell(entry, Status());
        if (!group->is_mark) undurable_bytes_ -= group->bytes;
        keep_durable(std::move(group));
    }
    if (undurable_bytes_ > 0) undurable_since_ns_ = reactor_.now_ns();
}

// -------------------------------------------------------------------------------------------------
// When nothing happens

void RecordLog::arm_idle() {
    if (is_idle_armed_ || is_stopping_) return;
    if (undurable_bytes_ == 0 && stamped_durable_ >= durable_) return;
    Result<io::Gate::Pass> pass = background_.enter();
    if (!pass) return;
    is_idle_armed_ = true;
    io::start_detached(watch_idle(std::move(*pass)));
}

io::Task<void> RecordLog::watch_idle(io::Gate::Pass) {
    for (;;) {
        const int32_t result =
            co_await reactor_.sleep(reactor_.within_ns(options_.idle_mark_ns, &cancel_));
        if (result != 0) break;
        const uint64_t now_ns = reactor_.now_ns();
        const bool is_idle = now_ns - last_write_ns_ >= options_.idle_mark_ns;
        const bool is_late =
            undurable_bytes_ > 0 && now_ns - undurable_since_ns_ > options_.undurable_ns_max;
        if (!is_idle && !is_late) continue;
        if (undurable_bytes_ > 0) {
            wants_flush_ = true;
        } else if (stamped_durable_ < durable_) {
            wants_mark_ = true;
        } else {
            break;
        }
        last_write_ns_ = now_ns;
        work_.set();
    }
    is_idle_armed_ = false;
}

}  // namespace penstock::node
