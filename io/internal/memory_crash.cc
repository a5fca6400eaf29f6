#include "io/internal/memory_crash.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

namespace penstock::io::internal {
namespace {

// Answers "which of so many?", over and over, on the way to one state.
class Chooser {
public:
    virtual ~Chooser() = default;
    virtual uint64_t choose(uint64_t options) = 0;
    // How the next file, or the names of the next directory, are chosen.
    enum class Style : uint8_t { loses_all, keeps_all, prefix, whole_writes, free };
    virtual Style next_style() = 0;
};

class FixedChooser final : public Chooser {
public:
    explicit FixedChooser(Extreme extreme) : extreme_(extreme) {}
    uint64_t choose(uint64_t options) override {
        return extreme_ == Extreme::loses_all ? 0 : options - 1;
    }
    Style next_style() override {
        return extreme_ == Extreme::loses_all ? Style::loses_all : Style::keeps_all;
    }

private:
    Extreme extreme_;
};

// A fair coin for each sector alone would never show a write that is there whole, nor one that is
// lost whole: half of the files and directories are drawn coarser.
class RandomChooser final : public Chooser {
public:
    RandomChooser(Random& random, CrashMode::Tearing tearing)
        : random_(random), tearing_(tearing) {}
    uint64_t choose(uint64_t options) override { return random_.below(options); }
    Style next_style() override {
        constexpr Style styles[] = {Style::loses_all,    Style::keeps_all, Style::prefix,
                                    Style::whole_writes, Style::free,      Style::prefix,
                                    Style::whole_writes, Style::free};
        const Style style = styles[random_.below(std::size(styles))];
        const bool is_torn = style == Style::free || style == Style::prefix;
        const bool may_tear = tearing_ == CrashMode::Tearing::sectors;
        return is_torn && !may_tear ? Style::whole_writes : style;
    }

private:
    Random& random_;
    CrashMode::Tearing tearing_;
};

// Goes through all answers like the digits of a number, whose lengths show on the way.
class OrderedChooser final : public Chooser {
public:
    explicit OrderedChooser(CrashMode::Tearing tearing) : tearing_(tearing) {}
    uint64_t choose(uint64_t options) override {
        if (options <= 1) return 0;
        if (at_ == digits_.size()) digits_.push_back({0, options});
        ASSERT(digits_[at_].options == options);
        return digits_[at_++].value;
    }
    Style next_style() override {
        return tearing_ == CrashMode::Tearing::sectors ? Style::free : Style::whole_writes;
    }
    // False: that was the last one.
    bool advance() {
        at_ = 0;
        while (!digits_.empty() && digits_.back().value + 1 == digits_.back().options) {
            digits_.pop_back();
        }
        if (digits_.empty()) return false;
        ++digits_.back().value;
        return true;
    }

private:
    struct Digit {
        uint64_t value;
        uint64_t options;
    };
    CrashMode::Tearing tearing_;
    std::vector<Digit> digits_;
    size_t at_ = 0;
};

// A time is how many of the file's pending changes have happened, from 0 to all.
using Time = size_t;

// How far a file's size got: truncations that cut happen in order, and a size that writes grew may
// be any that it had between two of those.
struct SizeOption {
    Time since = 0;        // the file had this size right after so many changes
    Time cuts_before = 0;  // cuts among the changes before this time happened, later ones did not
    uint64_t size = 0;
};

bool is_cut(const Change& change, uint64_t size_before) {
    return change.is_truncate && change.offset < size_before;
}

std::vector<SizeOption> size_options(const Node& file) {
    uint64_t size = file.durable.size_bytes();
    std::vector<SizeOption> options{{0, 0, size}};
    for (Time time = 0; time < file.pending.size(); ++time) {
        const Change& change = file.pending[time];
        const bool cuts = is_cut(change, size);
        const uint64_t after = change.is_truncate ? change.offset : std::max(size, change.end());
        if (cuts) options.push_back({time + 1, time + 1, after});
        if (!cuts && after != size) {
            options.push_back({time + 1, options.back().cuts_before, after});
        }
        size = after;
    }
    return options;
}

// For each sector that a pending write changes, the times right after those writes.
using SectorTimes = std::map<uint64_t, std::vector<Time>>;

SectorTimes sector_times(const Node& file) {
    SectorTimes times;
    for (Time time = 0; time < file.pending.size(); ++time) {
        const Change& change = file.pending[time];
        if (change.is_truncate) continue;
        // Zeros over a hole change nothing: a segment that is being born has only those.
        const bool is_nothing = !change.bytes && file.durable.is_hole(change.offset, change.size);
        if (is_nothing && times.empty()) continue;
        const uint64_t end = round_up(change.end(), sector_bytes) / sector_bytes;
        for (uint64_t sector = change.offset / sector_bytes; sector < end; ++sector) {
            if (is_nothing && !times.contains(sector)) continue;
            times[sector].push_back(time + 1);
        }
    }
    return times;
}

// The bytes of a file after a power cut, choice by choice.
class FileCrash {
public:
    FileCrash(const Node& file, Chooser& chooser)
        : file_(file), chooser_(chooser), style_(chooser.next_style()) {}

    MemoryContent build() {
        if (file_.pending.empty() || style_ == Chooser::Style::loses_all) return file_.durable;
        options_ = size_options(file_);
        const SectorTimes times = sector_times(file_);
        choose_size();
        choose_writes();
        std::map<uint64_t, Time> chosen;
        for (const auto& [sector, after] : times) {
            if (sector * sector_bytes >= size_.size) continue;  // cut off at the end in any case
            chosen[sector] = choose_time(sector, after);
        }
        return apply(chosen);
    }

private:
    // A prefix has the size that its last change left, or any other: the size is written apart.
    void choose_size() {
        if (style_ == Chooser::Style::keeps_all) {
            limit_ = file_.pending.size();
            size_ = options_.back();
            return;
        }
        if (style_ == Chooser::Style::prefix) {
            limit_ = chooser_.choose(file_.pending.size() + 1);
            is_last_torn_ = limit_ > 0 && chooser_.choose(2) == 1;
        }
        size_ = options_[chooser_.choose(options_.size())];
        if (style_ == Chooser::Style::prefix && chooser_.choose(2) == 1) {
            const auto later = std::ranges::find_if(
                options_, [&](const SizeOption& option) { return option.since > limit_; });
            size_ = *std::prev(later);
        }
    }

    void choose_writes() {
        if (style_ != Chooser::Style::whole_writes) return;
        for (size_t index = 0; index < file_.pending.size(); ++index) {
            const bool is_write = !file_.pending[index].is_truncate;
            is_there_.push_back(is_write && chooser_.choose(2) == 1);
        }
    }

    // The times that the sector may have: right after a cut that happened and that cut it, or after
    // a later write, up to the first cut that did not happen.
    std::vector<Time> possible_times(uint64_t sector, const std::vector<Time>& after) const {
        Time first = 0;
        Time last = file_.pending.size();
        uint64_t size = file_.durable.size_bytes();
        for (Time time = 0; time < file_.pending.size(); ++time) {
            const Change& change = file_.pending[time];
            const bool cuts_sector =
                is_cut(change, size) && change.offset < (sector + 1) * sector_bytes;
            size = change.is_truncate ? change.offset : std::max(size, change.end());
            if (!cuts_sector) continue;
            if (time < size_.cuts_before) {
                first = time + 1;
            } else {
                last = time;
                break;
            }
        }
        std::vector<Time> times{first};
        std::ranges::copy_if(after, std::back_inserter(times),
                             [&](Time time) { return time > first && time <= last; });
        return times;
    }

    Time choose_time(uint64_t sector, const std::vector<Time>& after) {
        const std::vector<Time> times = possible_times(sector, after);
        switch (style_) {
            case Chooser::Style::loses_all:
                return times.front();
            case Chooser::Style::keeps_all:
                return times.back();
            case Chooser::Style::free:
                return times[chooser_.choose(times.size())];
            case Chooser::Style::prefix: {
                const bool is_torn = is_last_torn_ && chooser_.choose(2) == 1;
                return last_time(
                    times, [&](Time time) { return is_torn ? time < limit_ : time <= limit_; });
            }
            case Chooser::Style::whole_writes:
                return last_time(times, [&](Time time) { return is_there_[time - 1]; });
        }
        return times.front();
    }

    template <typename Predicate>
    static Time last_time(const std::vector<Time>& times, Predicate is_possible) {
        for (size_t index = times.size() - 1; index > 0; --index) {
            if (is_possible(times[index])) return times[index];
        }
        return times.front();
    }

    MemoryContent apply(const std::map<uint64_t, Time>& chosen) const {
        MemoryContent content = file_.durable;
        uint64_t size = content.size_bytes();
        for (Time time = 0; time < file_.pending.size(); ++time) {
            const Change& change = file_.pending[time];
            if (!change.is_truncate) {
                apply_write(change, time, chosen, content);
            } else if (is_cut(change, size) && time < size_.cuts_before) {
                content.resize(change.offset);
            }
            size = change.is_truncate ? change.offset : std::max(size, change.end());
        }
        content.resize(size_.size);
        return content;
    }

    // Runs of neighbouring sectors that have this change are copied at once.
    static void apply_write(const Change& change, Time time, const std::map<uint64_t, Time>& chosen,
                            MemoryContent& content) {
        uint64_t run_begin = 0;
        uint64_t run_end = 0;
        const auto flush = [&] {
            if (run_end > run_begin) change.apply_part(content, run_begin, run_end - run_begin);
        };
        const uint64_t sector_end = round_up(change.end(), sector_bytes) / sector_bytes;
        for (auto it = chosen.lower_bound(change.offset / sector_bytes);
             it != chosen.end() && it->first < sector_end; ++it) {
            if (it->second <= time) continue;
            const uint64_t begin = std::max(change.offset, it->first * sector_bytes);
            if (begin != run_end) {
                flush();
                run_begin = begin;
            }
            run_end = std::min(change.end(), (it->first + 1) * sector_bytes);
        }
        flush();
    }

    const Node& file_;
    Chooser& chooser_;
    Chooser::Style style_;
    std::vector<SizeOption> options_;
    SizeOption size_;
    Time limit_ = 0;              // prefix: this many changes happened
    bool is_last_torn_ = false;   // prefix: the last of them not in all its sectors
    std::vector<bool> is_there_;  // whole_writes
};

// Which pending name changes happened.

std::map<NodeId, uint64_t> pending_name_counts(const MemoryState& state) {
    std::map<NodeId, uint64_t> counts;
    for (const NameChange& change : state.pending_names()) {
        std::set<NodeId> directories;
        for (const NameSlot& slot : change.slots) directories.insert(slot.directory);
        for (const NodeId directory : directories) ++counts[directory];
    }
    return counts;
}

uint64_t choose_prefix(uint64_t count, Chooser& chooser) {
    switch (chooser.next_style()) {
        case Chooser::Style::loses_all:
            return 0;
        case Chooser::Style::keeps_all:
            return count;
        default:
            return chooser.choose(count + 1);
    }
}

// Of each directory the first so many; a rename between two directories that only one of them
// would have ends that one's as well.
std::vector<bool> choose_names_in_order(const MemoryState& state, Chooser& chooser) {
    std::map<NodeId, uint64_t> left = pending_name_counts(state);
    for (auto& [directory, count] : left) count = choose_prefix(count, chooser);

    std::vector<bool> happened;
    for (const NameChange& change : state.pending_names()) {
        std::set<NodeId> directories;
        for (const NameSlot& slot : change.slots) directories.insert(slot.directory);
        const bool is_possible =
            std::ranges::all_of(directories, [&](NodeId id) { return left[id] > 0; });
        for (const NodeId id : directories) left[id] = is_possible ? left[id] - 1 : 0;
        happened.push_back(is_possible);
    }
    return happened;
}

std::vector<bool> choose_names_freely(const MemoryState& state, Chooser& chooser) {
    std::vector<bool> happened;
    for (size_t index = 0; index < state.pending_names().size(); ++index) {
        happened.push_back(chooser.choose(2) == 1);
    }
    return happened;
}

using Names = std::map<NodeId, std::map<std::string, NodeId>>;

// The names of every directory, reachable or not.
Names names_after(const MemoryState& state, const std::vector<bool>& happened) {
    Names names;
    for (const auto& [id, node] : state.nodes()) {
        if (node.is_directory) names[id] = node.durable_names;
    }
    for (size_t index = 0; index < happened.size(); ++index) {
        if (!happened[index]) continue;
        for (const NameSlot& slot : state.pending_names()[index].slots) {
            if (slot.target == 0) {
                names[slot.directory].erase(slot.name);
            } else {
                names[slot.directory][slot.name] = slot.target;
            }
        }
    }
    return names;
}

MemoryState build(const MemoryState& state, Chooser& chooser, const CrashMode& mode) {
    const std::vector<bool> happened = mode.names == CrashMode::Names::in_order
                                           ? choose_names_in_order(state, chooser)
                                           : choose_names_freely(state, chooser);
    const Names names = names_after(state, happened);
    MemoryState left(state.limits);
    std::set<NodeId> placed{root_id};
    std::deque<NodeId> directories{root_id};
    while (!directories.empty()) {
        const NodeId directory = directories.front();
        directories.pop_front();
        for (const auto& [name, id] : names.at(directory)) {
            const Node& node = state.node(id);
            const bool is_new = placed.insert(id).second;
            // Only a rename can give a directory two names, and it has one parent: the first.
            if (node.is_directory && !is_new) continue;
            MemoryContent content;
            if (is_new && !node.is_directory) content = FileCrash(node, chooser).build();
            left.place(id, node.is_directory, std::move(content), {directory, name, id});
            if (node.is_directory) directories.push_back(id);
        }
    }
    return left;
}

uint64_t multiply_saturating(uint64_t left, uint64_t right) {
    uint64_t product = 0;
    return __builtin_mul_overflow(left, right, &product) ? UINT64_MAX : product;
}

uint64_t file_state_count_max(const Node& file, const CrashMode& mode) {
    if (file.pending.empty()) return 1;
    uint64_t count = size_options(file).size();
    if (mode.tearing == CrashMode::Tearing::whole_writes) {
        for (const Change& change : file.pending) {
            if (!change.is_truncate) count = multiply_saturating(count, 2);
        }
        return count;
    }
    for (const auto& [sector, after] : sector_times(file)) {
        count = multiply_saturating(count, after.size() + 1);
    }
    return count;
}

}  // namespace

MemoryState crash_extreme(const MemoryState& state, Extreme extreme) {
    FixedChooser chooser(extreme);
    return build(state, chooser, {});
}

MemoryState crash_drawn(const MemoryState& state, Random& random, const CrashMode& mode) {
    RandomChooser chooser(random, mode.tearing);
    return build(state, chooser, mode);
}

void for_each_crash_state(const MemoryState& state, const CrashMode& mode,
                          const std::function<bool(MemoryState)>& visit) {
    OrderedChooser chooser(mode.tearing);
    do {
        if (!visit(build(state, chooser, mode))) return;
    } while (chooser.advance());
}

uint64_t crash_state_count_max(const MemoryState& state, const CrashMode& mode) {
    uint64_t count = 1;
    if (mode.names == CrashMode::Names::in_order) {
        for (const auto& [directory, changes] : pending_name_counts(state)) {
            count = multiply_saturating(count, changes + 1);
        }
    } else {
        for (size_t index = 0; index < state.pending_names().size(); ++index) {
            count = multiply_saturating(count, 2);
        }
    }
    for (const auto& [id, node] : state.nodes()) {
        count = multiply_saturating(count, file_state_count_max(node, mode));
    }
    return count;
}

}  // namespace penstock::io::internal
