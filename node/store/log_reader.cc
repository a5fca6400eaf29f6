#include "node/store/log_reader.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "io/base/units.h"

namespace penstock::node {
namespace {

constexpr uint64_t piece_bytes_min = 8_KiB;
constexpr uint64_t piece_bytes_max = 1_MiB;
constexpr uint64_t piece_growth = 8;
// Who passes over so much wants what lies behind it, and no more.
constexpr uint64_t leap_bytes_min = 32_KiB;
// How far behind the last good record another one may begin: two groups in flight, or a background
// sync's worth, and a damaged record of the largest size.
constexpr uint64_t gap_bytes_max = 8_MiB + record_bytes_max;

Lsn lsn_of(const SegmentBytes& segment, uint64_t offset) {
    return lsn_at(segment.number(), static_cast<uint32_t>(offset / block_bytes));
}

uint64_t offset_of(Lsn lsn) {
    return uint64_t{block_of(lsn)} * block_bytes;
}

// A record's first block at `offset`, if it is good and belongs there.
Result<BlockState> read_head(SegmentBytes& segment, uint64_t offset, RecordHead& head) {
    TRY(const Bytes block, segment.view(offset, block_bytes));
    const BlockState state = parse_first_block(block, head);
    if (state != BlockState::valid) return state;
    const bool is_here =
        head.lsn == lsn_of(segment, offset) && offset + head.record_bytes() <= segment.size_bytes();
    return is_here ? BlockState::valid : BlockState::damaged;
}

// The next record that begins in [from, to), or nullopt. Sets `saw_bytes` if not all is zeros.
Result<std::optional<uint64_t>> find_record(SegmentBytes& segment, uint64_t from, uint64_t to,
                                            bool& saw_bytes) {
    RecordHead head;
    to = std::min(to, round_down(segment.size_bytes(), block_bytes));
    for (uint64_t offset = from; offset < to; offset += block_bytes) {
        TRY(const BlockState state, read_head(segment, offset, head));
        if (state == BlockState::valid) return offset;
        if (state == BlockState::damaged) saw_bytes = true;
    }
    return std::nullopt;
}

bool is_whole(const RecordHead& head, Bytes record) {
    return record.size() == head.record_bytes() && parse_record_header(record).has_value() &&
           checked_payload(head, record).has_value();
}

std::optional<Digest128> name_in(const RecordHead& head) {
    if (head.kind == RecordKind::segment || head.kind == RecordKind::mark) return std::nullopt;
    return head.digest;
}

std::optional<Digest128> name_in(const Digest128& digest) {
    if (digest == Digest128{}) return std::nullopt;
    return digest;
}

// One pass over a segment's end: what is bad, and what marks say.
class EndFinder {
public:
    EndFinder(SegmentBytes& segment, Lsn from, Lsn durable)
        : segment_(segment), offset_(offset_of(from)), good_end_(offset_) {
        result_.durable = durable;
    }

    Result<SegmentEnd> run() {
        TRY_STATUS(look_back());
        while (!is_done_ && offset_ + block_bytes <= segment_.size_bytes()) TRY_STATUS(step());
        return decide();
    }

private:
    struct Spot {
        uint64_t offset;
        bool is_torn;  // as far as its bytes can tell
        uint64_t end;
    };

    // Whether a closing mark lies right before the begin: then nothing need follow it.
    Status look_back() {
        if (offset_ < block_bytes || offset_ > segment_.size_bytes()) return Status();
        RecordHead head;
        TRY(const BlockState state, read_head(segment_, offset_ - block_bytes, head));
        is_last_closing_ = state == BlockState::valid && is_closing(head);
        return Status();
    }

    static bool is_closing(const RecordHead& head) {
        return head.kind == RecordKind::mark && (head.flags & record_is_closing) != 0;
    }

    Status step() {
        RecordHead head;
        TRY(const BlockState state, read_head(segment_, offset_, head));
        if (state == BlockState::valid) return take_record(head);
        if (state == BlockState::damaged) {
            TRY(const Bytes block, segment_.view(offset_, block_bytes));
            const std::optional<RecordHead> mended = mended_first_block(block);
            if (mended && mended->lsn == lsn_of(segment_, offset_)) {
                spots_.push_back({offset_, false, offset_ + mended->record_bytes()});
                offset_ += mended->record_bytes();
                return Status();
            }
        }
        spots_.push_back({offset_, state == BlockState::zero, offset_ + block_bytes});
        bool saw_bytes = state == BlockState::damaged;
        TRY(const std::optional<uint64_t> next,
            find_record(segment_, offset_ + block_bytes, good_end_ + gap_bytes_max, saw_bytes));
        has_debris_ = has_debris_ || saw_bytes || next.has_value();
        if (next) {
            offset_ = *next;
        } else {
            is_done_ = true;
        }
        return Status();
    }

    Status take_record(const RecordHead& head) {
        TRY(const Bytes record, segment_.view(offset_, head.record_bytes()));
        if (!is_whole(head, record)) {
            spots_.push_back({offset_, has_zero_block(record), offset_ + head.record_bytes()});
            has_debris_ = true;
        }
        result_.durable = std::max(result_.durable, head.durable);
        offset_ += head.record_bytes();
        good_end_ = offset_;
        is_last_closing_ = is_closing(head);
        return Status();
    }

    SegmentEnd decide() {
        uint64_t end = good_end_;
        for (const Spot& spot : spots_) {
            if (lsn_of(segment_, spot.offset) < result_.durable) continue;
            if (spot.is_torn) {
                end = std::min(end, spot.offset);
                break;
            }
            end = std::max(end, spot.end);
        }
        result_.end =
            std::max(lsn_of(segment_, std::min(end, segment_.size_bytes())),
                     segment_of(result_.durable) == segment_.number() ? result_.durable : Lsn{0});
        result_.is_closed =
            is_last_closing_ && !has_debris_ && result_.end == lsn_of(segment_, good_end_);
        return result_;
    }

    SegmentBytes& segment_;
    uint64_t offset_;
    uint64_t good_end_;
    bool is_done_ = false;
    bool has_debris_ = false;
    bool is_last_closing_ = false;
    std::vector<Spot> spots_;
    SegmentEnd result_;
};

}  // namespace

Result<Bytes> SegmentBytes::view(uint64_t offset, uint64_t bytes) {
    if (offset >= size_bytes_) return Bytes();
    bytes = std::min(bytes, size_bytes_ - offset);
    const uint64_t held_end = held_offset_ + held_.size();
    if (offset < held_offset_ || offset + bytes > held_end) {
        const bool is_leap = offset < held_offset_ || offset >= held_end + leap_bytes_min;
        piece_bytes_ = is_leap ? 0 : std::min(piece_bytes_ * piece_growth, piece_bytes_max);
        piece_bytes_ = std::max(piece_bytes_, piece_bytes_min);
        const uint64_t begin = round_down(offset, uint64_t{io::direct_alignment});
        TRY_STATUS(hold(begin, std::max(offset + bytes, begin + piece_bytes_)));
    }
    return held_.subspan(offset - held_offset_, bytes);
}

Status SegmentBytes::hold(uint64_t begin, uint64_t end) {
    held_ = {};
    const uint64_t wanted = std::min(end, size_bytes_) - begin;
    const uint64_t size = round_up(wanted, uint64_t{io::direct_alignment});
    if (memory_bytes_.size() < size) {
        memory_.reset(static_cast<std::byte*>(std::aligned_alloc(io::direct_alignment, size)));
        ASSERT(memory_ != nullptr);
        memory_bytes_ = {memory_.get(), size};
    }
    size_t filled = 0;
    while (filled < wanted) {
        // A read that came back short may have ended anywhere.
        const size_t from = round_down(filled, size_t{io::direct_alignment});
        TRY(const size_t count, file_.read(memory_bytes_.subspan(from, size - from), begin + from));
        if (from + count <= filled) break;
        filled = from + count;
    }
    // The file is shorter than it said: what is missing reads as zeros, which is no record.
    const MutableBytes held = memory_bytes_.first(wanted);
    std::ranges::fill(held.subspan(std::min<size_t>(filled, wanted)), std::byte{0});
    held_ = held;
    held_offset_ = begin;
    return Status();
}

Status walk_segment(SegmentBytes& segment, Lsn from, Lsn to,
                    std::optional<Digest128> previous_of_next, const SegmentVisitor& visitor) {
    ASSERT(segment_of(from) == segment.number() && segment_of(to) == segment.number());
    uint64_t offset = offset_of(from);
    const uint64_t end = std::min(offset_of(to), segment.size_bytes());
    RecordHead head;
    while (offset < end) {
        TRY(const BlockState state, read_head(segment, offset, head));
        if (state == BlockState::valid) {
            TRY(const Bytes headers, segment.view(offset, head.header_bytes()));
            const std::optional<RecordHeader> header = parse_record_header(headers);
            const Lsn next = lsn_of(segment, offset + head.record_bytes());
            if (header) {
                TRY_STATUS(visitor.on_record(*header, place_of(head)));
            } else {
                visitor.on_damage({head.lsn, next, name_in(head), place_of(head)});
            }
            offset += head.record_bytes();
            continue;
        }
        Damage damage;
        damage.from = lsn_of(segment, offset);
        TRY(const Bytes block, segment.view(offset, block_bytes));
        const std::optional<RecordHead> mended = mended_first_block(block);
        if (mended && mended->lsn == damage.from) {
            offset += mended->record_bytes();
            damage.digest = name_in(*mended);
        } else {
            bool saw_bytes = false;
            TRY(const std::optional<uint64_t> next,
                find_record(segment, offset + block_bytes, end, saw_bytes));
            damage.digest = previous_of_next;
            if (next) {
                TRY(const BlockState found, read_head(segment, *next, head));
                ASSERT(found == BlockState::valid);
                damage.digest = name_in(head.previous);
            }
            offset = next.value_or(end);
        }
        damage.to = lsn_of(segment, offset);
        damage.place = {segment.number(), block_of(damage.from),
                        block_of(damage.to) - block_of(damage.from), 0};
        visitor.on_damage(damage);
    }
    return Status();
}

Result<SegmentEnd> find_segment_end(SegmentBytes& segment, Lsn from, Lsn durable) {
    ASSERT(segment_of(from) == segment.number());
    return EndFinder(segment, from, durable).run();
}

bool has_zero_block(Bytes bytes) {
    for (; bytes.size() >= block_bytes; bytes = bytes.subspan(block_bytes)) {
        if (is_all_zero(bytes.first(block_bytes))) return true;
    }
    return false;
}

Place place_of(const RecordHead& head) {
    Place place{segment_of(head.lsn), block_of(head.lsn), head.record_blocks(),
                static_cast<uint32_t>(std::min<uint64_t>(head.display_version, UINT32_MAX))};
    place.record_blocks |= place_bits(head.kind, head.flags);
    return place;
}

std::optional<RecordHead> mended_first_block(Bytes block) {
    if (block.size() < block_bytes || is_all_zero(block)) return std::nullopt;
    std::array<std::byte, block_bytes> copy;
    std::memcpy(copy.data(), block.data(), block_bytes);
    RecordHead head;
    for (size_t bit = 0; bit < size_t{block_bytes} * 8; ++bit) {
        const auto mask = static_cast<std::byte>(1U << (bit % 8));
        copy[bit / 8] ^= mask;
        if (parse_first_block(copy, head) == BlockState::valid) return head;
        copy[bit / 8] ^= mask;
    }
    return std::nullopt;
}

}  // namespace penstock::node
