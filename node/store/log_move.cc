// The log after a failure, and its segments: what was not durable is logged again in a new segment.
#include <algorithm>
#include <cstring>

#include "io/base/units.h"
#include "node/store/log_parts.h"

namespace penstock::node {
namespace {

constexpr int move_attempts_max = 2;

}  // namespace

// -------------------------------------------------------------------------------------------------
// After a failure

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
    if (!moved) {
        active_.reset();
        stats_.lost_tails += 1;
        written_end_ = durable_;
    }
    for (const auto& group : groups) {
        for (Entry& entry : group->entries) tell(entry, moved);
    }
    for (auto& group : groups) {
        if (moved) keep_durable(std::move(group));
    }
    is_broken_ = false;
    pulse_durable();
}

// What is not durable, and what shares a page with it.
std::vector<std::unique_ptr<RecordLog::Group>> RecordLog::take_tail(Lsn& previous_end) {
    std::vector<std::unique_ptr<Group>> groups;
    const uint64_t durable_bytes = uint64_t{block_of(durable_)} * block_bytes;
    const uint64_t page_begin = round_down(durable_bytes, page_bytes);
    const bool is_known = !durable_tail_.empty() && durable_tail_.back()->end == durable_;
    for (auto& group : durable_tail_) {
        std::erase_if(group->entries, [&](const Entry& entry) {
            return entry.place.offset_bytes() + entry.bytes <= page_begin ||
                   entry.place.segment != segment_of(durable_);
        });
        if (!is_known || group->entries.empty()) continue;
        if (groups.empty()) previous_end = begin_of(group->entries.front().place);
        groups.push_back(std::move(group));
    }
    for (auto& group : undurable_) groups.push_back(std::move(group));
    undurable_.clear();
    undurable_bytes_ = 0;
    durable_tail_.clear();
    return groups;
}

// Commits and marks that end in one page are all written over by the next group's first page.
void RecordLog::keep_durable(std::unique_ptr<Group> group) {
    durable_tail_.push_back(std::move(group));
    const Lsn end = durable_tail_.back()->end;
    const uint64_t page_begin =
        round_down(uint64_t{block_of(end)} * block_bytes, uint64_t{page_bytes});
    while (durable_tail_.size() > 1) {
        const Lsn first_end = durable_tail_.front()->end;
        const bool is_in_page = segment_of(first_end) == segment_of(end) &&
                                uint64_t{block_of(first_end)} * block_bytes > page_begin;
        if (is_in_page) break;
        durable_tail_.pop_front();
    }
}

io::Task<Status> RecordLog::move_groups(std::vector<std::unique_ptr<Group>>& groups,
                                        Lsn previous_end) {
    uint64_t bytes = 0;
    for (const auto& group : groups) {
        for (const Entry& entry : group->entries) bytes += entry.bytes;
    }
    active_.reset();
    CO_TRY_STATUS(co_await activate(previous_end, true, bytes));
    last_digest_ = digest_before(groups);

    // The header is the last to become durable: until then the old segment stands.
    std::vector<std::unique_ptr<Group>> moved;
    moved.push_back(std::make_unique<Group>());
    moved.back()->begin(buffers_, 0, header_bytes());
    add_segment_header(*moved.back(), previous_end);
    hold_back_first_block(*moved.back(), 0, 2);
    active_->end = moved.back()->bytes;
    for (const auto& group : groups) moved.push_back(copy_group(*group, previous_end));

    std::vector<Group*> pointers;
    Status status;
    for (const auto& group : moved) {
        pointers.push_back(group.get());
        if (group->bytes == 0) continue;
        group->pad();
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
    copy->is_mark = group.is_mark;
    uint32_t bytes = 0;
    for (const Entry& entry : group.entries) bytes += entry.bytes;
    copy->begin(buffers_, active_->end, bytes);
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

// The segment that ends there is written to no more, once another one has its header: a second
// attempt to have one changes nothing.
void RecordLog::seal(Lsn end) {
    if (end == 0) return;
    if (!sealed_.empty() && sealed_.back().number == segment_of(end)) {
        sealed_.back().end_blocks = block_of(end);
        return;
    }
    ASSERT(sealed_.empty() || sealed_.back().number < segment_of(end));
    sealed_.push_back({segment_of(end), block_of(end), newest_bytes_});
}

void RecordLog::forget_segment(uint32_t number) {
    const auto found = std::ranges::find(sealed_, number, &SealedSegment::number);
    ASSERT(found != sealed_.end());
    stats_.segment_bytes -= std::min(found->file_bytes, stats_.segment_bytes);
    sealed_.erase(found);
}

void RecordLog::resize_segment(uint32_t number, uint64_t file_bytes) {
    const auto found = std::ranges::find(sealed_, number, &SealedSegment::number);
    uint64_t& known = found == sealed_.end() ? newest_bytes_ : found->file_bytes;
    stats_.segment_bytes -= std::min(known, stats_.segment_bytes);
    stats_.segment_bytes += file_bytes;
    known = file_bytes;
}

// Of the next segment.
uint32_t RecordLog::header_bytes() const {
    return block_bytes + static_cast<uint32_t>(
                             round_up(segment_table_bytes(sealed_.size()), uint64_t{block_bytes}));
}

// `previous_end`: where what counts in the segment before ends; all of it is durable.
io::Task<Status> RecordLog::activate(Lsn previous_end, bool is_privileged, uint64_t bytes) {
    if (sealed_.size() == table_segments_max) {
        co_return fail(Errc::full, "the log has as many segments as it can have");
    }
    seal(previous_end);
    const uint64_t wanted = bytes + header_bytes() + mark_bytes + end_of_archive_bytes;
    CO_TRY_STATUS(co_await await_spare(is_privileged, wanted));
    const uint32_t number = std::exchange(spare_, 0);
    CO_TRY_STATUS(co_await open_active(number, spare_bytes_, 0, is_spare_of_reserve_));
    newest_bytes_ = spare_bytes_;
    durable_tail_.clear();
    if (is_started_) start_spare();
    co_return Status();
}

io::Task<Status> RecordLog::open_active(uint32_t number, uint64_t bytes, uint64_t end,
                                        bool is_of_reserve) {
    const std::string path = segment_path(number);
    CO_TRY(std::unique_ptr<io::File> file, co_await disk_.open(path, io::OpenMode::write));
    CO_TRY(std::unique_ptr<io::File> direct_file,
           co_await disk_.open(path, io::OpenMode::write_direct));
    active_ = std::make_unique<Active>(number, bytes, end, std::move(file), std::move(direct_file),
                                       is_of_reserve);
    co_return Status();
}

io::Task<Status> RecordLog::await_spare(bool is_privileged, uint64_t bytes) {
    is_spare_urgent_ = !spare_done_.is_set();
    co_await spare_done_.wait();
    if (spare_ != 0 && spare_bytes_ < bytes) {
        // Too small for what has to be moved; swept at the next start if it cannot be removed.
        (void)co_await disk_.remove(segment_path(std::exchange(spare_, 0)));
    }
    if (spare_ != 0) co_return Status();
    CO_TRY(io::Gate::Pass pass, background_.enter());
    spare_done_.reset();
    is_spare_urgent_ = true;
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
    const uint64_t smallest = round_up(std::max(smallest_segment_bytes(), bytes_min), page_bytes);
    uint64_t bytes = std::max(std::min(options_.segment_bytes, spare_bytes_next_), smallest);
    Status status = co_await space_.admit(bytes);
    if (!status && bytes > smallest) {
        bytes = smallest;
        status = co_await space_.admit(bytes);
    }
    is_spare_of_reserve_ = !status && is_privileged;
    if (is_spare_of_reserve_) status = Status();
    if (status) {
        const uint32_t number = next_segment_++;
        // Somebody waits, or will: the active segment fills up faster than this one grows.
        const std::function<bool(uint64_t)> is_urgent = [this, bytes](uint64_t written) {
            if (is_spare_urgent_ || active_ == nullptr) return true;
            return active_->end * bytes > written * active_->bytes;
        };
        const SegmentMaking making{disk_, buffers_, is_urgent, cancel_};
        status = co_await create_segment(number, bytes, making);
        if (status) {
            spare_ = number;
            spare_bytes_ = bytes;
            stats_.segment_bytes += bytes;
            spare_bytes_next_ = std::min(2 * bytes, segment_bytes_max);
        }
    }
    if (!status) spare_error_ = status.error();
    is_spare_urgent_ = false;
    spare_done_.set();
}

}  // namespace penstock::node
