#include "node/store/log.h"

#include <algorithm>
#include <cstring>

#include "io/base/units.h"

namespace penstock::node {
namespace {

constexpr uint32_t page_bytes = 4096;  // what the device and the page cache write at once
// Kept back in each segment for the marks behind its last record: an orderly stop fills a page
// with them, so that what is written after the next start shares no page with older records.
constexpr uint32_t mark_bytes = page_bytes;
constexpr int move_attempts_max = 2;

}  // namespace

// One writer, in its own frame until its record is done.
struct RecordLog::Waiter {
    Waiter(io::Reactor& reactor, const RecordDraft& from, Durability asked, bool privileged)
        : draft(from), durability(asked), is_privileged(privileged), done(reactor) {}

    const RecordDraft& draft;
    Durability durability;
    bool is_privileged;
    Status status;
    Prepared prepared;
    io::Event done;
};

// One record of a group.
struct RecordLog::Entry {
    uint32_t offset = 0;  // in the group's buffer
    uint32_t bytes = 0;
    Digest128 digest;
    Version version;
    Place place;
    Waiter* waiter = nullptr;  // null: told already, or nobody asked
};

// Records that are written at once.
struct RecordLog::Group {
    // A block that must reach the device after everything else: phase 1 the first blocks of PAX
    // records, phase 2 the header of a segment that takes over another's records.
    struct HeldBack {
        uint32_t offset;
        uint32_t phase;
        std::array<std::byte, block_bytes> block;
    };

    io::Buffer buffer;
    uint32_t bytes = 0;
    uint64_t offset = 0;  // in the segment
    Lsn end = 0;
    std::vector<Entry> entries;
    std::vector<HeldBack> held_back;
    bool wants_sync = false;
    bool is_mark = false;

    Bytes written() const { return buffer.bytes().first(bytes); }
    bool holds_back(uint32_t phase) const {
        return std::ranges::any_of(held_back,
                                   [phase](const HeldBack& held) { return held.phase == phase; });
    }
};

// The segment that is written to.
struct RecordLog::Active {
    uint32_t number = 0;
    uint64_t bytes = 0;
    uint64_t end = 0;  // where the next group goes
    std::unique_ptr<io::File> file;

    uint64_t room_bytes() const {
        const uint64_t kept = end + end_of_archive_bytes + mark_bytes;
        return bytes > kept ? bytes - kept : 0;
    }
    bool has_room_for(uint32_t more) const { return end + end_of_archive_bytes + more <= bytes; }
    Lsn lsn(uint64_t at) const { return lsn_at(number, static_cast<uint32_t>(at / block_bytes)); }
};

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
    ASSERT(reactor_.is_current_thread());
    CO_TRY(const io::Gate::Pass pass, gate_.enter());
    const uint64_t room_max =
        options_.segment_bytes - block_bytes - mark_bytes - end_of_archive_bytes;
    if (record_bytes(draft) > room_max) {
        co_return fail(Errc::too_large, "a record is larger than a segment");
    }
    // The first block of a PAX record is written after the rest is durable, so it always waits.
    if (needs_pax(draft)) durability = Durability::group;
    Waiter waiter(reactor_, draft, durability, is_privileged);
    waiting_.push_back(&waiter);
    work_.set();
    co_await waiter.done.wait();
    ASSERT(told_count_ > 0);
    told_count_ -= 1;
    if (!waiter.status) co_return std::unexpected(waiter.status.error());
    co_return waiter.prepared;
}

io::Task<Status> RecordLog::sync() {
    ASSERT(reactor_.is_current_thread());
    const Lsn target = written_end_;
    const uint64_t failures_before = stats_.failures;
    while (durable_ < target && undurable_bytes_ > 0) {
        if (stats_.failures > failures_before + move_attempts_max) {
            co_return fail(Errc::io_error, "the log cannot be made durable");
        }
        wants_flush_ = true;
        work_.set();
        co_await durable_moved_.wait();
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
    is_small_segment_next_ = !start.is_open;
    stats_.segment_bytes = start.all_segments_bytes;

    if (start.is_open) {
        const uint32_t number = segment_of(start.end);
        CO_TRY(std::unique_ptr<io::File> file,
               co_await disk_.open(segment_path(number), io::OpenMode::write));
        active_ =
            std::make_unique<Active>(number, start.segment_bytes,
                                     uint64_t{block_of(start.end)} * block_bytes, std::move(file));
    } else if (!tail.empty()) {
        std::vector<std::unique_ptr<Group>> groups;
        for (const TailRecord& record : tail) adopt_tail(groups, record);
        CO_TRY_STATUS(co_await move_groups(groups, durable_));
        last_durable_ = std::move(groups.back());
    }
    is_started_ = true;
    io::start_detached(run());
    co_return Status();
}

void RecordLog::adopt_tail(std::vector<std::unique_ptr<Group>>& groups, const TailRecord& record) {
    const auto bytes = static_cast<uint32_t>(record.bytes.size());
    if (groups.empty() || groups.back()->bytes + bytes > groups.back()->buffer.size()) {
        groups.push_back(std::make_unique<Group>());
        groups.back()->buffer = buffers_.take(std::max(bytes, options_.group_bytes_max));
    }
    Group& group = *groups.back();
    std::memcpy(group.buffer.data() + group.bytes, record.bytes.data(), bytes);
    group.entries.push_back(
        {group.bytes, bytes, record.head.digest, record.head.version, record.place, nullptr});
    group.bytes += bytes;
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
    const uint64_t end = active_ == nullptr ? 0 : active_->end;
    const auto count = static_cast<uint32_t>((page_bytes - end % page_bytes) / block_bytes);
    if (is_broken_ || active_ == nullptr || !active_->has_room_for(count * block_bytes)) co_return;
    co_await commit_marks(count, record_is_closing);
    start_flush();
    co_await flush_done_.wait();
}

io::Task<void> RecordLog::commit_next() {
    const Waiter& first = *waiting_.front();
    const Status room = co_await make_room(record_bytes(first.draft), first.is_privileged);
    if (!room) {
        refuse_waiting(room.error(), first.is_privileged);
        co_return;
    }
    undurable_.push_back(build_group());
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
    group->buffer = buffers_.take(count * block_bytes);
    group->offset = active_->end;
    group->is_mark = true;
    for (uint32_t index = 0; index < count; ++index) add_record(*group, mark, nullptr);
    active_->end += group->bytes;
    undurable_.push_back(std::move(group));
    co_await write_newest();
}

io::Task<void> RecordLog::write_newest() {
    Group& group = *undurable_.back();
    stats_.groups += 1;
    stats_.bytes += group.bytes;
    has_written_ = true;
    last_write_ns_ = reactor_.now_ns();
    const Status written = co_await active_->file->write_exactly(group.written(), group.offset);
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
            co_return co_await activate(is_privileged, bytes);
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

std::unique_ptr<RecordLog::Group> RecordLog::build_group() {
    uint32_t bytes = active_->end == 0 ? block_bytes : 0;
    const uint64_t room = active_->room_bytes();
    size_t count = 0;
    for (const Waiter* waiter : waiting_) {
        const uint32_t more = record_bytes(waiter->draft);
        if (count > 0 && bytes + more > options_.group_bytes_max) break;
        if (bytes + more > room) break;
        bytes += more;
        ++count;
    }
    ASSERT(count > 0);

    auto group = std::make_unique<Group>();
    group->buffer = buffers_.take(bytes);
    group->offset = active_->end;
    group->entries.reserve(count + 1);
    if (active_->end == 0) add_segment_header(*group, durable_);
    for (size_t index = 0; index < count; ++index) {
        Waiter* waiter = waiting_.front();
        waiting_.pop_front();
        add_record(*group, waiter->draft, waiter);
        if (waiter->durability == Durability::group) group->wants_sync = true;
    }
    ASSERT(group->bytes == bytes);
    active_->end += bytes;
    if (undurable_bytes_ == 0) undurable_since_ns_ = reactor_.now_ns();
    undurable_bytes_ += bytes;
    return group;
}

void RecordLog::add_record(Group& group, const RecordDraft& draft, Waiter* waiter) {
    const uint32_t bytes = record_bytes(draft);
    const uint64_t at = group.offset + group.bytes;
    RecordStamp stamp;
    stamp.lsn = active_->lsn(at);
    stamp.durable = durable_;
    stamp.version = {options_.map_version, stamp.lsn};
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
    if (draft.kind == RecordKind::extents) entry.place.record_blocks |= Place::in_files_bit;
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

void RecordLog::add_segment_header(Group& group, Lsn previous_end) {
    RecordDraft header;
    header.kind = RecordKind::segment;
    header.digest = options_.directory_id;
    const RecordStamp stamp{active_->lsn(0), previous_end, {}, last_digest_};
    ASSERT(group.bytes == 0 && record_bytes(header) == block_bytes);
    build_record(header, stamp, group.buffer.bytes().first(block_bytes));
    group.bytes = block_bytes;
    group.end = active_->lsn(block_bytes);
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
            CO_TRY_STATUS(co_await write_held_back(file, *group, phase));
        }
        if (!has_any) continue;
        CO_TRY_STATUS(co_await file.sync());
        stats_.syncs += 1;
    }
    co_return Status();
}

io::Task<Status> RecordLog::write_held_back(io::File& file, Group& group, uint32_t phase) {
    for (const Group::HeldBack& held : group.held_back) {
        if (held.phase != phase) continue;
        std::memcpy(group.buffer.data() + held.offset, held.block.data(), block_bytes);
        CO_TRY_STATUS(co_await file.write_exactly(held.block, group.offset + held.offset));
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
    waiter->status = status;
    waiter->prepared = {entry.place, entry.version};
    told_count_ += 1;
    waiter->done.set();
}

void RecordLog::release(Lsn end) {
    while (!undurable_.empty() && undurable_.front()->end <= end) {
        std::unique_ptr<Group> group = std::move(undurable_.front());
        undurable_.pop_front();
        for (Entry& entry : group->entries) tell(entry, Status());
        if (!group->is_mark) undurable_bytes_ -= group->bytes;
        last_durable_ = std::move(group);
    }
    if (undurable_bytes_ > 0) undurable_since_ns_ = reactor_.now_ns();
}

// -------------------------------------------------------------------------------------------------
// After a failure

io::Task<void> RecordLog::move_tail() {
    co_await flush_done_.wait();
    // Writers that were told already publish their places before these change.
    while (told_count_ > 0) co_await reactor_.yield();
    Lsn previous_end = durable_;
    std::vector<std::unique_ptr<Group>> groups = take_tail(previous_end);
    Status moved = fail(Errc::io_error, "not tried");
    for (int attempt = 0; attempt < move_attempts_max && !moved; ++attempt) {
        moved = co_await move_groups(groups, previous_end);
    }
    if (!moved) active_.reset();
    for (const auto& group : groups) {
        for (Entry& entry : group->entries) tell(entry, moved);
    }
    if (moved && !groups.empty()) last_durable_ = std::move(groups.back());
    is_broken_ = false;
    pulse_durable();
}

// What is not durable, and what shares a page with it.
std::vector<std::unique_ptr<RecordLog::Group>> RecordLog::take_tail(Lsn& previous_end) {
    std::vector<std::unique_ptr<Group>> groups;
    const uint64_t durable_bytes = uint64_t{block_of(durable_)} * block_bytes;
    const uint64_t page_begin = round_down(durable_bytes, page_bytes);
    if (last_durable_ != nullptr && !last_durable_->entries.empty() &&
        last_durable_->end == durable_) {
        std::erase_if(last_durable_->entries, [&](const Entry& entry) {
            return entry.place.offset_bytes() + entry.bytes <= page_begin ||
                   entry.place.segment != segment_of(durable_);
        });
        if (!last_durable_->entries.empty()) {
            previous_end = begin_of(last_durable_->entries.front().place);
            groups.push_back(std::move(last_durable_));
        }
    }
    for (auto& group : undurable_) groups.push_back(std::move(group));
    undurable_.clear();
    undurable_bytes_ = 0;
    last_durable_.reset();
    return groups;
}

io::Task<Status> RecordLog::move_groups(std::vector<std::unique_ptr<Group>>& groups,
                                        Lsn previous_end) {
    uint64_t bytes = block_bytes;
    for (const auto& group : groups) {
        for (const Entry& entry : group->entries) bytes += entry.bytes;
    }
    active_.reset();
    CO_TRY_STATUS(co_await activate(true, bytes));
    last_digest_ = digest_before(groups);

    // The header is the last to become durable: until then the old segment stands.
    std::vector<std::unique_ptr<Group>> moved;
    moved.push_back(std::make_unique<Group>());
    moved.back()->buffer = buffers_.take(block_bytes);
    add_segment_header(*moved.back(), previous_end);
    hold_back_first_block(*moved.back(), 0, 2);
    active_->end = block_bytes;
    for (const auto& group : groups) moved.push_back(copy_group(*group, previous_end));

    std::vector<Group*> pointers;
    Status status;
    for (const auto& group : moved) {
        pointers.push_back(group.get());
        if (group->bytes == 0) continue;
        status = co_await active_->file->write_exactly(group->written(), group->offset);
        if (!status) break;
    }
    if (status) status = co_await sync_groups(pointers);
    if (!status) {
        give_up_segment(status.error());
        co_return status;
    }
    adopt_moved(groups, moved);
    co_return Status();
}

// The name of the record before the first of these.
Digest128 RecordLog::digest_before(const std::vector<std::unique_ptr<Group>>& groups) const {
    for (const auto& group : groups) {
        if (group->entries.empty()) continue;
        const Entry& first = group->entries.front();
        Bytes block = group->buffer.bytes().subspan(first.offset, block_bytes);
        for (const Group::HeldBack& held : group->held_back) {
            if (held.offset == first.offset) block = held.block;
        }
        RecordHead head;
        ASSERT(parse_first_block(block, head) == BlockState::valid);
        return head.previous;
    }
    return last_digest_;
}

// The same records, stamped for their new places. The waiters stay with the old entries until it
// is known that the move succeeded.
std::unique_ptr<RecordLog::Group> RecordLog::copy_group(const Group& group, Lsn previous_end) {
    auto copy = std::make_unique<Group>();
    copy->offset = active_->end;
    copy->is_mark = group.is_mark;
    uint32_t bytes = 0;
    for (const Entry& entry : group.entries) bytes += entry.bytes;
    if (bytes > 0) copy->buffer = buffers_.take(bytes);
    for (const Entry& entry : group.entries) {
        const MutableBytes to = copy->buffer.bytes().subspan(copy->bytes, entry.bytes);
        std::memcpy(to.data(), group.buffer.data() + entry.offset, entry.bytes);
        for (const Group::HeldBack& held : group.held_back) {
            if (held.offset == entry.offset) {
                std::memcpy(to.data(), held.block.data(), block_bytes);
            }
        }
        const Lsn lsn = active_->lsn(copy->offset + copy->bytes);
        stamp_record(to, {lsn, previous_end, entry.version, last_digest_});
        last_digest_ = entry.digest;

        RecordHead head;
        ASSERT(parse_first_block(to, head) == BlockState::valid);
        if (head.header_blocks > 1) hold_back_first_block(*copy, copy->bytes, 1);
        Entry moved = entry;
        moved.waiter = nullptr;
        moved.offset = copy->bytes;
        moved.place.segment = active_->number;
        moved.place.offset_blocks = block_of(lsn);
        copy->entries.push_back(moved);
        copy->bytes += entry.bytes;
    }
    active_->end += copy->bytes;
    copy->end = active_->lsn(active_->end);
    return copy;
}

void RecordLog::adopt_moved(std::vector<std::unique_ptr<Group>>& groups,
                            std::vector<std::unique_ptr<Group>>& moved) {
    // moved[0] holds the segment's header alone.
    for (size_t index = 0; index < groups.size(); ++index) {
        Group& to = *moved[index + 1];
        for (size_t at = 0; at < to.entries.size(); ++at) {
            Entry& entry = to.entries[at];
            entry.waiter = groups[index]->entries[at].waiter;
            if (entry.waiter != nullptr) continue;
            const std::optional<RecordHeader> header =
                parse_record_header(to.buffer.bytes().subspan(entry.offset, entry.bytes));
            ASSERT(header.has_value());
            on_moved_(*header, groups[index]->entries[at].place, entry.place);
        }
        groups[index] = std::move(moved[index + 1]);
    }
    written_end_ = active_->lsn(active_->end);
    durable_ = written_end_;
    has_written_ = true;
}

// -------------------------------------------------------------------------------------------------
// Segments

io::Task<Status> RecordLog::activate(bool is_privileged, uint64_t bytes) {
    const uint64_t wanted = bytes + block_bytes + mark_bytes + end_of_archive_bytes;
    CO_TRY_STATUS(co_await await_spare(is_privileged, wanted));
    const uint32_t number = std::exchange(spare_, 0);
    CO_TRY(std::unique_ptr<io::File> file,
           co_await disk_.open(segment_path(number), io::OpenMode::write));
    active_ = std::make_unique<Active>(number, spare_bytes_, uint64_t{0}, std::move(file));
    last_durable_.reset();
    if (is_started_) start_spare();
    co_return Status();
}

io::Task<Status> RecordLog::await_spare(bool is_privileged, uint64_t bytes) {
    co_await spare_done_.wait();
    if (spare_ != 0 && spare_bytes_ < bytes) {
        // Too small for what has to be moved; swept at the next start if it cannot be removed.
        (void)co_await disk_.remove(segment_path(std::exchange(spare_, 0)));
    }
    if (spare_ != 0) co_return Status();
    CO_TRY(io::Gate::Pass pass, background_.enter());
    spare_done_.reset();
    co_await create_spare(std::move(pass), is_privileged, bytes);
    if (spare_ == 0) co_return fail(spare_error_);
    co_return Status();
}

void RecordLog::start_spare() {
    if (spare_ != 0 || !spare_done_.is_set() || is_stopping_) return;
    Result<io::Gate::Pass> pass = background_.enter();
    if (!pass) return;
    spare_done_.reset();
    io::start_detached(create_spare(std::move(*pass), false, 0));
}

io::Task<void> RecordLog::create_spare(io::Gate::Pass, bool is_privileged, uint64_t bytes_min) {
    // The first segment of a run is small, so that the first writer does not wait for 256 MiB.
    const uint64_t smallest = round_up(
        std::max(std::min(options_.segment_bytes, segment_bytes_min), bytes_min), page_bytes);
    uint64_t bytes = is_small_segment_next_ ? smallest : std::max(options_.segment_bytes, smallest);
    Status status = co_await space_.admit(bytes);
    if (!status && bytes > smallest) {
        bytes = smallest;
        status = co_await space_.admit(bytes);
    }
    if (!status && is_privileged) status = Status();
    if (status) {
        const uint32_t number = next_segment_++;
        status = co_await disk_.pool().run(reactor_, [this, number, bytes] {
            return create_segment(disk_.blocking(), number, bytes);
        });
        if (status) {
            spare_ = number;
            spare_bytes_ = bytes;
            stats_.segment_bytes += bytes;
            is_small_segment_next_ = false;
        }
    }
    if (!status) spare_error_ = status.error();
    spare_done_.set();
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
