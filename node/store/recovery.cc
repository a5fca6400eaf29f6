#include "node/store/recovery.h"

#include <algorithm>
#include <array>

#include "io/base/units.h"

namespace penstock::node {
namespace {

constexpr uint64_t page_bytes = 4_KiB;

}  // namespace

Result<Recovered> Recovery::run() {
    TRY_STATUS(read_headers());
    TRY(std::vector<Link> links, chain());
    result_.start.next_segment = std::max(highest_number_, segment_of(options_.position)) + 1;
    if (!links.empty()) TRY_STATUS(replay(links));
    // The names stay, and answer an error: the catalogue never knows more than was on the device.
    if (links.empty() && options_.position > 0) missing(segment_of(options_.position));
    remove_leftovers(links);
    TRY_STATUS(names_.write_recovered(
        result_.tail.empty() ? result_.start.end : begin_of(result_.tail.front().place), true));
    return std::move(result_);
}

Status Recovery::read_headers() {
    TRY(const std::vector<io::DirectoryEntry> entries, disk_.list(log_directory));
    for (const io::DirectoryEntry& entry : entries) {
        const std::optional<uint32_t> number = segment_number(entry.name);
        if (!number) continue;
        highest_number_ = std::max(highest_number_, *number);
        TRY_STATUS(read_header(*number));
    }
    return Status();
}

Status Recovery::read_header(uint32_t number) {
    SegmentFile& segment = files_[number];
    TRY(segment.file, disk_.open(segment_path(number), io::OpenMode::write));
    TRY(segment.size_bytes, segment.file->size_bytes());
    std::array<std::byte, block_bytes> block{};
    TRY(const size_t count, segment.file->read(block, 0));
    if (count < block_bytes) return Status();  // born, but not whole
    switch (parse_first_block(block, segment.header)) {
        case BlockState::zero:
            segment.state = HeaderState::zero;
            break;
        case BlockState::damaged:
            segment.state = HeaderState::damaged;
            break;
        case BlockState::valid: {
            const RecordHead& head = segment.header;
            // Another directory's segment, or one under another's name, is no part of this log.
            const bool is_ours = head.kind == RecordKind::segment &&
                                 head.lsn == lsn_at(number, 0) &&
                                 head.digest == options_.directory_id;
            segment.state = is_ours ? HeaderState::valid : HeaderState::damaged;
            break;
        }
    }
    return Status();
}

// Without a table a segment is the first one of its log, or an old one: its durable mark tells.
// False: it was torn at its birth, and nothing in it was ever acknowledged.
Result<bool> Recovery::read_table(uint32_t number) {
    SegmentFile& segment = files_.at(number);
    if (segment.state != HeaderState::valid) return true;
    const RecordHead& header = segment.header;
    if (header.payload_bytes == 0) {
        if (header.durable == 0) segment.table.emplace();
        return true;
    }
    SegmentBytes bytes(*segment.file, number, segment.size_bytes);
    TRY(const Bytes record, bytes.view(0, header.record_bytes()));
    const std::optional<Bytes> payload = checked_payload(header, record);
    if (payload) segment.table = parse_segment_table(*payload);
    if (payload || !has_zero_block(record)) return true;
    return has_proven_records(number, header.record_blocks());
}

// A header of zeros: a spare, or what a crash left before the header was written, or a segment
// whose header rotted. The last one has records with durable marks inside itself.
Result<bool> Recovery::has_proven_records(uint32_t number, uint32_t first_block) {
    SegmentFile& segment = files_.at(number);
    SegmentBytes bytes(*segment.file, number, segment.size_bytes);
    TRY(const Bytes block, bytes.view(uint64_t{first_block} * block_bytes, block_bytes));
    if (is_all_zero(block)) return false;
    const Lsn first = lsn_at(number, first_block);
    TRY(const SegmentEnd end, find_segment_end(bytes, first, 0));
    return end.durable > first;
}

std::optional<uint32_t> Recovery::segment_below(uint32_t number) const {
    for (auto at = files_.lower_bound(number); at != files_.begin();) {
        --at;
        if (at->second.state != HeaderState::zero) return at->first;
    }
    return std::nullopt;
}

Result<std::optional<uint32_t>> Recovery::newest_segment() {
    for (auto at = files_.rbegin(); at != files_.rend(); ++at) {
        if (at->second.state != HeaderState::zero) {
            TRY(const bool is_born, read_table(at->first));
            if (is_born) return at->first;
            at->second.state = HeaderState::zero;
            continue;
        }
        const Result<bool> proven = has_proven_records(at->first, 1);
        const bool belongs = (proven && *proven) || at->first == segment_of(options_.position);
        if (!belongs) continue;
        at->second.state = HeaderState::damaged;
        return at->first;
    }
    return std::nullopt;
}

// From the newest segment back to one whose table can be read, which names the rest; oldest first.
Result<std::vector<Recovery::Link>> Recovery::chain() {
    std::vector<Link> links;
    TRY(std::optional<uint32_t> number, newest_segment());
    Link link;
    while (number) {
        link.number = *number;
        links.push_back(link);
        const SegmentFile& segment = files_.at(*number);
        if (!segment.table) TRY_STATUS(read_table(*number));
        if (segment.table) {
            uint32_t next = *number;
            for (auto at = segment.table->rbegin(); at != segment.table->rend(); ++at) {
                if (files_.contains(at->number)) {
                    links.push_back(link_of(*at, next));
                } else {
                    absent_.insert(at->number);
                }
                next = at->number;
            }
            break;
        }
        is_chain_whole_ = false;
        link = Link();
        number = segment_below(*number);
        if (segment.state != HeaderState::valid) continue;
        const Lsn previous_end = segment.header.durable;
        if (previous_end == 0) break;
        const SealedSegment previous{segment_of(previous_end), block_of(previous_end), 0};
        if (files_.contains(previous.number)) {
            number = previous.number;
            link = link_of(previous, links.back().number);
        } else {
            missing(previous.number);
        }
    }
    std::ranges::reverse(links);
    return links;
}

// `next`: the segment that followed it, whose header may tell the name of its last record.
Recovery::Link Recovery::link_of(const SealedSegment& sealed, uint32_t next) const {
    Link link;
    link.number = sealed.number;
    link.end = lsn_at(sealed.number, sealed.end_blocks);
    const auto found = files_.find(next);
    if (found == files_.end() || found->second.state != HeaderState::valid) return link;
    const RecordHead& header = found->second.header;
    if (header.durable == link.end && header.previous != Digest128{}) {
        link.previous_of_next = header.previous;
    }
    return link;
}

void Recovery::missing(uint32_t number) {
    log_.error("a segment of the log is missing", {{"segment", uint64_t{number}}});
    result_.damage_count += 1;
}

// A file that is gone was freed, or is lost: then a name points into it, or, where no catalogue
// knows the names, no record says that it was to be removed.
void Recovery::report_missing() {
    const bool saw_all = options_.position == 0;
    for (const uint32_t number : absent_) {
        const bool is_named = names_.live().segment_bytes(number) > 0;
        if (is_named || (saw_all && !freed_.contains(number))) missing(number);
    }
}

// What the log is told of its segments: all but the newest, which it seals itself.
void Recovery::take_sealed(const std::vector<Link>& links) {
    LogStart& start = result_.start;
    for (const Link& link : links) {
        if (link.number == segment_of(start.end)) continue;
        const SegmentFile& segment = files_.at(link.number);
        const auto blocks = static_cast<uint32_t>(segment.size_bytes / block_bytes);
        start.sealed.push_back(
            {link.number, link.end ? block_of(*link.end) : blocks, segment.size_bytes});
    }
}

Status Recovery::replay(std::vector<Link> links) {
    const Link& newest = links.back();
    const Lsn position = options_.position;
    const bool is_known = position == 0 || std::ranges::any_of(links, [&](const Link& link) {
                              return link.number == segment_of(position);
                          });
    if (!is_known) {
        // Where the newest header can be trusted, the catalogue is older than the log: its segment
        // was freed since.
        const bool is_old = segment_of(position) < newest.number &&
                            files_.at(newest.number).state == HeaderState::valid;
        if (is_old) return fail(Errc::corrupt, "the catalogue's position is not in the log");
        // Else the segment is lost, or was replaced by something else. Rebuilding the catalogue
        // from what is left would make names "not found", or bring back what they held before.
        missing(segment_of(position));
    }
    for (Link& link : links) {
        const bool is_newest = &link == &links.back();
        SegmentEnd end;
        if (link.end) {
            end.end = *link.end;
            end.durable = *link.end;
        } else {
            TRY_STATUS(find_end(link, end));
            link.end = end.end;
        }
        if (!is_newest) {
            TRY_STATUS(replay_segment(link, end.end, false, end.end));
            trim(link.number, end.end);
            continue;
        }
        LogStart& start = result_.start;
        start.end = end.end;
        start.is_open =
            end.is_closed && uint64_t{block_of(end.end)} * block_bytes % page_bytes == 0;
        start.segment_bytes = files_.at(link.number).size_bytes;
        TRY_STATUS(replay_segment(link, end.end, true, start.is_open ? end.end : end.durable));
    }
    LogStart& start = result_.start;
    if (held_) {
        // The last change was torn in the middle: it was never acknowledged.
        if (held_->record.place.segment == segment_of(start.end)) {
            start.end = begin_of(held_->record.place);
            start.is_open = false;
            start.last_digest = held_->record.head.previous;
        }
        held_.reset();
    }
    if (position > start.end) {
        // The catalogue saw more than there is: its entries stay, and reading them says `corrupt`.
        log_.error("the end of the log is missing", {{"segment", uint64_t{newest.number}}});
        result_.damage_count += 1;
        start.end = position;
        start.is_open = false;
    }
    if (!start.is_open) {
        result_.trim_at = result_.tail.empty() ? start.end : begin_of(result_.tail.front().place);
        if (has_damage_[newest.number]) result_.trim_at.reset();
    }
    for (const auto& [number, segment] : files_)
        result_.start.all_segments_bytes += segment.size_bytes;
    take_sealed(links);
    report_missing();
    return Status();
}

Status Recovery::find_end(const Link& link, SegmentEnd& end) {
    SegmentFile& segment = files_.at(link.number);
    SegmentBytes bytes(*segment.file, link.number, segment.size_bytes);
    // Where the catalogue stands a record begins, unless the segment is not that long.
    const bool starts_there =
        segment_of(options_.position) == link.number &&
        uint64_t{block_of(options_.position)} * block_bytes < segment.size_bytes;
    const Lsn from = starts_there ? options_.position : lsn_at(link.number, 0);
    Lsn durable = segment_of(options_.position) == link.number ? options_.position : 0;
    if (segment.state == HeaderState::valid) durable = std::max(durable, segment.header.durable);
    TRY(end, find_segment_end(bytes, from, durable));
    return Status();
}

Status Recovery::replay_segment(const Link& link, Lsn end, bool is_newest, Lsn durable) {
    SegmentFile& segment = files_.at(link.number);
    SegmentBytes bytes(*segment.file, link.number, segment.size_bytes);
    const Lsn from = std::max(options_.position, lsn_at(link.number, 0));
    if (from >= end) return Status();
    SegmentVisitor visitor;
    visitor.on_record = [&](const RecordHeader& header, const Place& place) {
        return visit(bytes, header, place, is_newest, durable);
    };
    visitor.on_damage = [&](const Damage& found) { damage(found); };
    TRY_STATUS(walk_segment(bytes, from, end, link.previous_of_next, visitor));
    if (has_damage_[link.number] && !result_.tail.empty()) {
        // Rot among what may not be durable: the segment must stand as it is, so make it so.
        TRY_STATUS(segment.file->sync());
        std::vector<TailRecord> tail = std::move(result_.tail);
        for (const TailRecord& record : tail) {
            const auto header = parse_record_header(record.bytes);
            ASSERT(header.has_value());
            if (!has_object_name(header->head.kind)) continue;
            names_.apply(change_from(*header, record.place));
        }
        result_.tail.clear();
    }
    return Status();
}

Status Recovery::visit(SegmentBytes& bytes, const RecordHeader& header, const Place& place,
                       bool is_newest, Lsn durable) {
    const RecordHead& head = header.head;
    result_.start.last_digest = head.kind == RecordKind::segment ? Digest128{} : head.digest;
    if (head.kind == RecordKind::segment) return Status();
    if (head.kind == RecordKind::mark || head.lsn < options_.position) return Status();
    const bool is_tail = is_newest && head.lsn >= durable;
    const bool is_freed = head.kind == RecordKind::freed;
    const bool is_live =
        is_freed || !options_.is_live_bucket || options_.is_live_bucket(head.bucket);
    if (!is_live) return Status();
    if (!is_freed) {
        TRY_STATUS(release_held((head.flags & record_is_second_of_two) != 0));
        if ((head.flags & record_is_first_of_two) != 0) return hold(bytes, header, place, is_tail);
    }
    if (is_freed || is_tail) {
        // This may read on and move the header's views: it is not looked at again.
        TRY(const Bytes record, bytes.view(place.offset_bytes(), head.record_bytes()));
        if (is_freed) visit_freed(record, head);
        if (!is_tail) return Status();
        result_.tail.push_back({{record.begin(), record.end()}, head, place});
        return Status();
    }
    names_.apply(change_from(header, place));
    return names_.write_recovered(begin_of(place) + head.record_blocks(), false);
}

Status Recovery::hold(SegmentBytes& bytes, const RecordHeader& header, const Place& place,
                      bool is_tail) {
    const RecordHead head = header.head;
    TRY(const Bytes record, bytes.view(place.offset_bytes(), head.record_bytes()));
    held_ = Held{{{record.begin(), record.end()}, head, place}, is_tail};
    return Status();
}

// The other half of the change was seen, or is not there: then none of it counts.
Status Recovery::release_held(bool counts) {
    if (!held_) return Status();
    Held held = std::move(*held_);
    held_.reset();
    if (!counts) return Status();
    if (held.is_tail) {
        result_.tail.push_back(std::move(held.record));
        return Status();
    }
    const auto header = parse_record_header(held.record.bytes);
    ASSERT(header.has_value());
    names_.apply(change_from(*header, held.record.place));
    return Status();
}

void Recovery::visit_freed(Bytes record, const RecordHead& head) {
    const std::optional<Bytes> payload = checked_payload(head, record);
    const auto numbers = payload ? parse_segment_numbers(*payload) : std::nullopt;
    if (numbers) freed_.insert(numbers->begin(), numbers->end());
}

void Recovery::damage(const Damage& found) {
    // What rotted behind it may be the other half, and a torn one is no damage: it was whole once.
    (void)release_held(true);
    has_damage_[segment_of(found.from)] = true;
    result_.damage_count += 1;
    log_.error("damaged records in the log",
               {{"segment", uint64_t{segment_of(found.from)}},
                {"offset", uint64_t{block_of(found.from)} * block_bytes},
                {"bytes", (found.to - found.from) * block_bytes}});
    if (found.from < options_.position) return;  // the catalogue has the name
    if (found.digest) {
        names_.quarantine(*found.digest, found.place);
    } else if (block_of(found.from) != 0) {
        result_.unnamed_damage_count += 1;
    }
}

// Cuts off what lies behind a segment's end, so that its archive holds what counts and no more.
void Recovery::trim(uint32_t number, Lsn end) {
    SegmentFile& segment = files_.at(number);
    const uint64_t bytes = uint64_t{block_of(end)} * block_bytes;
    if (segment.state == HeaderState::damaged) return;
    if (has_damage_[number] || segment.size_bytes <= bytes + end_of_archive_bytes) return;
    // What fails here is tried again at the next start; nothing depends on it.
    if (!segment.file->truncate(bytes)) return;
    if (segment.file->truncate(bytes + end_of_archive_bytes)) {
        segment.size_bytes = bytes + end_of_archive_bytes;
    }
}

// Spares, moves that failed, and files that were freed but not removed yet. What a header that
// cannot be trusted may have named stays, and what a name points into.
void Recovery::remove_leftovers(const std::vector<Link>& links) {
    for (auto& [number, segment] : files_) {
        const bool belongs = std::ranges::find(links, number, &Link::number) != links.end();
        // A damaged header outside the chain may be all that is left of somebody's bytes.
        if (belongs || segment.state == HeaderState::damaged) continue;
        const bool is_ahead = links.empty() || number > links.back().number;
        const bool is_old = segment.state == HeaderState::valid && !is_ahead;
        if (is_old && !is_chain_whole_ && number < links.front().number) continue;
        if (names_.live().segment_bytes(number) > 0) continue;
        segment.file.reset();
        result_.start.all_segments_bytes -=
            std::min(segment.size_bytes, result_.start.all_segments_bytes);
        if (!disk_.remove(segment_path(number))) {
            log_.warning("a spare segment cannot be removed", {{"segment", uint64_t{number}}});
        }
    }
}

}  // namespace penstock::node
