// Invariants of the table:
//
// - A digest's first bits choose the segment, by a directory whose size is a power of two. A
//   segment that is full at its largest is split by the next bit; until then it grows by steps of
//   an eighth or less. So growing copies at most a quarter of a MiB at once, and memory never
//   doubles.
// - In a segment entries lie in the order of the digest's high half (Amble and Knuth 1974, "Ordered
//   hash tables"). An entry's home is a monotone function of that half, it lies at its home or
//   behind it, and there is no empty slot between the two. So a look-up, found or not, ends
//   after the same few slots (about 3 at the highest load), and copying a segment reads and writes
//   straight on.
// - The high half is kept inverted: an empty slot, all zero, then sorts behind everything, and one
//   comparison ends a look-up at an empty slot or at a larger digest.
// - Everything that a reader looks at in a segment changes under the segment's SequenceLock. A
//   segment that was replaced is never written again: a reader that still has it sees what held
//   before it was replaced, which was while that reader looked.
//
// Ways that lost: one table with buckets needs twice the memory while it grows, or a frontier that
// readers must follow; segments that only double stand half empty (up to 71 bytes an object);
// segments in one piece left a third of the memory in gaps between pieces of other sizes; a lock
// for each bucket costs a word for each.
#include "node/store/locator.h"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "io/base/assert.h"
#include "io/shared_words.h"
#include "node/store/slot_arena.h"

namespace penstock::node {
namespace {

struct Slot {
    io::SharedWord<uint64_t> inverse;  // ~digest.high
    io::SharedWord<uint64_t> low;
    io::SharedWord<uint64_t> where;   // segment, offset_blocks; 0: the slot is empty
    io::SharedWord<uint64_t> extent;  // record_blocks, display_version
};
static_assert(sizeof(Slot) == 32);

constexpr uint32_t page_slots = SlotArena::page_bytes / sizeof(Slot);
constexpr uint32_t segment_pages_max = 16;
constexpr uint32_t pages_max = 32;   // where digests lie much less evenly than they ever do
constexpr uint32_t split_pages = 9;  // half of a full segment at the highest load takes 8
// Slots behind the last home: how far an entry is pushed from its home beyond them is past one in
// 10^7 segments (the queue of M/D/1 at this load); then the segment grows early.
constexpr uint32_t overflow_slots = 64;
// A directory of 2^24 segments holds 10^11 objects: deeper means that digests are not digests.
constexpr uint32_t depth_max = 24;

constexpr uint32_t home_slots_of(uint32_t pages) {
    return pages * page_slots - overflow_slots;
}
// The highest load: 7/8.
constexpr uint32_t count_max_of(uint32_t pages) {
    return home_slots_of(pages) / 8 * 7;
}

uint64_t where_word(const Place& place) {
    return place.segment | uint64_t{place.offset_blocks} << 32;
}
uint64_t extent_word(const Place& place) {
    return place.record_blocks | uint64_t{place.display_version} << 32;
}
Place place_from_words(uint64_t where, uint64_t extent) {
    return {static_cast<uint32_t>(where), static_cast<uint32_t>(where >> 32),
            static_cast<uint32_t>(extent), static_cast<uint32_t>(extent >> 32)};
}

}  // namespace

// A table in pages: its own line and the page's address stay in a core's cache, the slots do not.
class alignas(64) Locator::Segment {
public:
    Segment(SlotArena& arena, uint32_t pages, uint32_t depth)
        : slot_count_(pages * page_slots),
          home_slots_(slot_count_ - overflow_slots),
          depth_(depth) {
        ASSERT(pages <= pages_max);
        for (uint32_t page = 0; page < pages; ++page) {
            pages_[page] = reinterpret_cast<Slot*>(arena.allocate());
            std::uninitialized_value_construct_n(pages_[page], page_slots);
        }
    }
    void release_pages(SlotArena& arena) {
        for (uint32_t page = 0; page < page_count(); ++page) {
            arena.release(reinterpret_cast<std::byte*>(pages_[page]));
        }
    }

    uint32_t depth() const { return depth_; }
    uint32_t count() const { return count_; }
    uint32_t page_count() const { return slot_count_ / page_slots; }

    // Readers.
    std::optional<Place> find(const Digest128& digest) const;
    void prefetch(uint64_t high) const { __builtin_prefetch(&slot(home_of(high))); }

    // The writer. False: no room, grow first.
    bool publish(const Digest128& digest, const Place& place);
    bool remove(const Digest128& digest);
    // Puts behind everything else; only into a segment that no reader sees yet. False: no room.
    bool append(const Slot& other);
    template <typename F>
    void for_each_slot(F visit) const {
        for (uint32_t index = 0; index < slot_count_; ++index) {
            if (!is_empty(index)) visit(slot(index));
        }
    }
    bool is_over_half(const Slot& other) const {
        return (~other.inverse.load_own() << depth_) >> 63 != 0;
    }

private:
    // The segment's own part of the digest begins behind the directory's bits; 32 of it are
    // plenty to spread over 8,192 slots or so.
    uint32_t home_of(uint64_t high) const {
        return static_cast<uint32_t>(((high << depth_) >> 32) * home_slots_ >> 32);
    }
    const Slot& slot(uint32_t index) const {
        return pages_[index / page_slots][index % page_slots];
    }
    Slot& slot(uint32_t index) { return pages_[index / page_slots][index % page_slots]; }
    bool is_empty(uint32_t index) const { return slot(index).where.load_own() == 0; }
    // The first slot, from the digest's home on, that is empty or holds no smaller digest.
    uint32_t first_not_below(uint64_t inverse) const;
    std::optional<uint32_t> index_of(const Digest128& digest) const;
    void copy(uint32_t from, uint32_t to);
    void fill(uint32_t index, uint64_t inverse, uint64_t low, const Place& place);

    io::SequenceLock lock_;
    uint32_t slot_count_;
    uint32_t home_slots_;
    uint32_t depth_;
    uint32_t count_ = 0;      // the writer's
    uint32_t append_at_ = 0;  // the writer's, while it fills a new segment
    std::array<Slot*, pages_max> pages_{};
};

std::optional<Place> Locator::Segment::find(const Digest128& digest) const {
    const uint64_t inverse = ~digest.high;
    const uint32_t first = home_of(digest.high);
    while (true) {
        const uint64_t ticket = lock_.begin_read();
        std::optional<Place> place;
        for (uint32_t index = first; index < slot_count_; ++index) {
            const Slot& at = slot(index);
            const uint64_t other = at.inverse.load();
            if (other > inverse) continue;
            if (other < inverse) break;
            const uint64_t where = at.where.load();
            if (where == 0) break;
            if (at.low.load() != digest.low) continue;
            place = place_from_words(where, at.extent.load());
            break;
        }
        if (lock_.is_unchanged(ticket)) return place;
    }
}

uint32_t Locator::Segment::first_not_below(uint64_t inverse) const {
    uint32_t index = home_of(~inverse);
    while (index < slot_count_ && slot(index).inverse.load_own() > inverse) ++index;
    return index;
}

std::optional<uint32_t> Locator::Segment::index_of(const Digest128& digest) const {
    const uint64_t inverse = ~digest.high;
    for (uint32_t index = first_not_below(inverse); index < slot_count_; ++index) {
        const Slot& at = slot(index);
        if (at.inverse.load_own() != inverse || is_empty(index)) return std::nullopt;
        if (at.low.load_own() == digest.low) return index;
    }
    return std::nullopt;
}

void Locator::Segment::copy(uint32_t from, uint32_t to) {
    slot(to).inverse.store(slot(from).inverse.load_own());
    slot(to).low.store(slot(from).low.load_own());
    slot(to).where.store(slot(from).where.load_own());
    slot(to).extent.store(slot(from).extent.load_own());
}

void Locator::Segment::fill(uint32_t index, uint64_t inverse, uint64_t low, const Place& place) {
    slot(index).inverse.store(inverse);
    slot(index).low.store(low);
    slot(index).where.store(where_word(place));
    slot(index).extent.store(extent_word(place));
}

bool Locator::Segment::publish(const Digest128& digest, const Place& place) {
    const uint64_t inverse = ~digest.high;
    if (const std::optional<uint32_t> index = index_of(digest)) {
        lock_.begin_write();
        fill(*index, inverse, digest.low, place);
        lock_.end_write();
        return true;
    }
    if (count_ >= count_max_of(page_count())) return false;
    const uint32_t index = first_not_below(inverse);
    uint32_t empty = index;
    while (empty < slot_count_ && !is_empty(empty)) ++empty;
    if (empty == slot_count_) return false;

    lock_.begin_write();
    for (uint32_t to = empty; to > index; --to) copy(to - 1, to);
    fill(index, inverse, digest.low, place);
    lock_.end_write();
    ++count_;
    return true;
}

bool Locator::Segment::remove(const Digest128& digest) {
    const std::optional<uint32_t> found = index_of(digest);
    if (!found) return false;
    lock_.begin_write();
    // Those behind it come closer, up to one that is at home.
    uint32_t index = *found;
    for (; index + 1 < slot_count_; ++index) {
        const uint32_t next = index + 1;
        if (is_empty(next) || home_of(~slot(next).inverse.load_own()) == next) break;
        copy(next, index);
    }
    fill(index, 0, 0, Place{});
    lock_.end_write();
    --count_;
    return true;
}

bool Locator::Segment::append(const Slot& other) {
    const uint64_t inverse = other.inverse.load_own();
    const uint32_t index = std::max(append_at_, home_of(~inverse));
    if (index >= slot_count_) return false;
    fill(index, inverse, other.low.load_own(),
         place_from_words(other.where.load_own(), other.extent.load_own()));
    append_at_ = index + 1;
    ++count_;
    return true;
}

struct Locator::Directory {
    explicit Directory(uint32_t directory_depth)
        : depth(directory_depth), segments(size_t{1} << directory_depth) {}

    // In two steps: shifting by all 64 bits is undefined.
    size_t index_of(uint64_t high) const { return (high >> 1) >> (63 - depth); }
    Segment* segment_of(uint64_t high) const { return segments[index_of(high)].load(); }
    // So many neighbours are the same segment.
    size_t span_of(const Segment& segment) const { return size_t{1} << (depth - segment.depth()); }

    uint32_t depth;
    std::vector<io::SharedPointer<Segment>> segments;
};

class Locator::State {
public:
    explicit State(io::Turns& turns) : turns_(turns), arena_(std::make_shared<SlotArena>()) {
        start_with(0, 1);
    }
    ~State() {
        for_each_segment([this](Segment& segment) { destroy(*arena_, &segment); });
        delete directory_.load();
    }

    const Directory& directory() const { return *directory_.load(); }
    Segment& segment_of(const Digest128& digest) const {
        return *directory().segment_of(digest.high);
    }
    template <typename F>
    void for_each_segment(F visit) const {
        const Directory& all = directory();
        for (size_t index = 0; index < all.segments.size();) {
            Segment& segment = *all.segments[index].load();
            index += all.span_of(segment);
            visit(segment);
        }
    }
    // Makes room in the segment that this digest belongs to.
    void grow(const Digest128& digest);
    void shrink(const Digest128& digest);
    void reserve(uint64_t count);
    uint64_t memory_bytes() const;

    uint64_t count = 0;

private:
    static void destroy(SlotArena& arena, Segment* segment) {
        segment->release_pages(arena);
        delete segment;
    }
    Segment* make_segment(uint32_t pages, uint32_t depth) {
        ++segment_count_;
        return new Segment(*arena_, pages, depth);
    }
    void start_with(uint32_t depth, uint32_t pages);
    void replace(Segment& old, uint64_t high, uint32_t pages);
    void split(Segment& old, uint64_t high);
    void deepen();
    void install(Segment* segment, uint64_t high);
    void retire(Segment* segment);

    io::Turns& turns_;
    std::shared_ptr<SlotArena> arena_;  // what was retired may outlive us
    io::SharedPointer<Directory> directory_;
    uint64_t segment_count_ = 0;
};

void Locator::State::start_with(uint32_t depth, uint32_t pages) {
    auto* directory = new Directory(depth);
    for (auto& segment : directory->segments) segment.store(make_segment(pages, depth));
    directory_.store(directory);
}

void Locator::State::install(Segment* segment, uint64_t high) {
    Directory& all = *directory_.load();
    const size_t span = all.span_of(*segment);
    const size_t first = all.index_of(high) / span * span;
    for (size_t index = first; index < first + span; ++index) all.segments[index].store(segment);
}

void Locator::State::retire(Segment* segment) {
    --segment_count_;
    turns_.retire([arena = arena_, segment] { destroy(*arena, segment); });
}

void Locator::State::grow(const Digest128& digest) {
    turns_.reclaim();
    Segment& segment = segment_of(digest);
    if (segment.page_count() < segment_pages_max) {
        // In small tables memory does not matter; then it goes up by small steps.
        const uint32_t pages = segment.page_count();
        replace(segment, digest.high, pages < 8 ? pages * 2 : pages + 1);
    } else {
        split(segment, digest.high);
    }
}

void Locator::State::shrink(const Digest128& digest) {
    Segment& segment = segment_of(digest);
    if (segment.page_count() == 1 || segment.count() > count_max_of(segment.page_count()) / 3)
        return;
    turns_.reclaim();
    replace(segment, digest.high, segment.page_count() / 2);
}

void Locator::State::replace(Segment& old, uint64_t high, uint32_t pages) {
    Segment* segment = nullptr;
    for (bool fits = false; !fits; ++pages) {
        ASSERT(pages <= pages_max);
        segment = make_segment(pages, old.depth());
        fits = true;
        old.for_each_slot([&](const Slot& slot) { fits = fits && segment->append(slot); });
        if (fits) break;
        --segment_count_;
        destroy(*arena_, segment);
    }
    install(segment, high);
    retire(&old);
}

void Locator::State::split(Segment& old, uint64_t high) {
    ASSERT(old.depth() < depth_max);
    if (old.depth() == directory().depth) deepen();
    const uint32_t depth = old.depth() + 1;
    Segment* halves[2] = {make_segment(split_pages, depth), make_segment(split_pages, depth)};
    bool fits = true;
    old.for_each_slot([&](const Slot& slot) {
        fits = fits && halves[old.is_over_half(slot) ? 1 : 0]->append(slot);
    });
    if (!fits) {
        // Less even than any digests in practice: give each half ample room.
        for (Segment*& half : halves) {
            --segment_count_;
            destroy(*arena_, half);
            half = make_segment(segment_pages_max * 2, depth);
        }
        old.for_each_slot([&](const Slot& slot) {
            ASSERT(halves[old.is_over_half(slot) ? 1 : 0]->append(slot));
        });
    }
    const uint64_t upper_bit = uint64_t{1} << (63 - old.depth());
    install(halves[0], high & ~upper_bit);
    install(halves[1], high | upper_bit);
    retire(&old);
}

void Locator::State::deepen() {
    Directory* old = directory_.load();
    auto* deeper = new Directory(old->depth + 1);
    for (size_t index = 0; index < deeper->segments.size(); ++index) {
        deeper->segments[index].store(old->segments[index / 2].load());
    }
    directory_.store(deeper);
    turns_.retire([old] { delete old; });
}

void Locator::State::reserve(uint64_t object_count) {
    if (count != 0 || object_count <= count_max_of(segment_pages_max)) return;
    // Digests spread evenly, but not perfectly: 4 parts in 100 are many standard deviations.
    const uint64_t wanted = object_count + object_count / 25;
    uint32_t depth = 1;
    while (wanted >> depth > count_max_of(segment_pages_max)) ++depth;
    uint32_t pages = split_pages;
    while (wanted >> depth > count_max_of(pages)) ++pages;

    Directory* old = directory_.load();
    std::vector<Segment*> segments;
    for_each_segment([&](Segment& segment) { segments.push_back(&segment); });
    start_with(depth, pages);
    for (Segment* segment : segments) retire(segment);
    turns_.retire([old] { delete old; });
}

uint64_t Locator::State::memory_bytes() const {
    return arena_->memory_bytes() + segment_count_ * sizeof(Segment) +
           directory().segments.size() * sizeof(directory().segments[0]);
}

Locator::Locator(io::Turns& turns) : state_(std::make_unique<State>(turns)) {}

Locator::~Locator() = default;

std::optional<Place> Locator::find(const Digest128& digest) const {
    return state_->segment_of(digest).find(digest);
}

void Locator::prefetch(const Digest128& digest) const {
    state_->segment_of(digest).prefetch(digest.high);
}

void Locator::publish(const Digest128& digest, const Place& place) {
    ASSERT(place.segment != 0);
    while (true) {
        Segment& segment = state_->segment_of(digest);
        const uint32_t count_before = segment.count();
        if (segment.publish(digest, place)) {
            state_->count += segment.count() - count_before;
            return;
        }
        state_->grow(digest);
    }
}

void Locator::remove(const Digest128& digest) {
    if (!state_->segment_of(digest).remove(digest)) return;
    --state_->count;
    state_->shrink(digest);
}

void Locator::reserve(uint64_t count) {
    state_->reserve(count);
}

uint64_t Locator::count() const {
    return state_->count;
}

uint64_t Locator::memory_bytes() const {
    return state_->memory_bytes();
}

void Locator::for_each(const std::function<void(const Digest128&, const Place&)>& visit) const {
    state_->for_each_segment([&](const Segment& segment) {
        segment.for_each_slot([&](const Slot& slot) {
            visit({slot.low.load_own(), ~slot.inverse.load_own()},
                  place_from_words(slot.where.load_own(), slot.extent.load_own()));
        });
    });
}

}  // namespace penstock::node
