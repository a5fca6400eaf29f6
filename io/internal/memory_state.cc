#include "io/internal/memory_state.h"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace penstock::io::internal {
namespace {

constexpr uint64_t unit_bytes = 4096;  // space is given out in these, as by most file systems

uint64_t footprint_bytes(const Node& node) {
    return round_up(std::max(node.live.size_bytes(), node.allocated_bytes), unit_bytes);
}

std::unexpected<Error> failure(int error_number, DiskCallKind kind, const std::string& path) {
    return fail(disk_error(error_number, kind, path));
}

bool is_among(const std::vector<uint64_t>& sequences, const Change& change) {
    return std::ranges::binary_search(sequences, change.sequence);
}

}  // namespace

void Change::apply_part(MemoryContent& content, uint64_t from, uint64_t count) const {
    ASSERT(!is_truncate && from >= offset && from + count <= end());
    if (!bytes) return content.write_zeros(from, count);
    content.write(Bytes(*bytes).subspan(from - offset, count), from);
}

void Change::apply(MemoryContent& content) const {
    if (is_truncate) return content.resize(offset);
    apply_part(content, offset, size);
}

bool NameChange::touches(NodeId directory) const {
    return std::ranges::any_of(slots,
                               [&](const NameSlot& slot) { return slot.directory == directory; });
}

MemoryState::MemoryState(const MemoryLimits& limits_of_disk) : limits(limits_of_disk) {
    Node root;
    root.is_directory = true;
    root.reference_count = 1;  // the disk's own
    nodes_.emplace(root_id, std::move(root));
}

// Names.

NodeId MemoryState::lookup(NodeId directory, const std::string& name) const {
    const auto& names = node(directory).live_names;
    const auto found = names.find(name);
    return found == names.end() ? 0 : found->second;
}

Result<NodeId> MemoryState::find(const std::string& path, DiskCallKind kind) const {
    TRY_STATUS(check_path(path, true));
    NodeId id = root_id;
    for (std::string_view rest = path; !rest.empty();) {
        const std::string name(rest.substr(0, rest.find('/')));
        rest.remove_prefix(std::min(rest.size(), name.size() + 1));
        if (!node(id).is_directory) return failure(ENOTDIR, kind, path);
        id = lookup(id, name);
        if (id == 0) return failure(ENOENT, kind, path);
    }
    return id;
}

Result<NodeId> MemoryState::find_directory(const std::string& path, DiskCallKind kind) const {
    TRY(const NodeId id, find(path, kind));
    if (!node(id).is_directory) return failure(ENOTDIR, kind, path);
    return id;
}

Result<MemoryState::Parent> MemoryState::find_parent(const std::string& path,
                                                     DiskCallKind kind) const {
    TRY_STATUS(check_path(path));
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return Parent{root_id, path};
    TRY(const NodeId directory, find_directory(path.substr(0, slash), kind));
    return Parent{directory, path.substr(slash + 1)};
}

Result<NodeId> MemoryState::create(const std::string& path, bool is_directory) {
    const DiskCallKind kind = is_directory ? DiskCallKind::make_directory : DiskCallKind::create;
    TRY(const Parent parent, find_parent(path, kind));
    if (lookup(parent.directory, parent.name) != 0) return failure(EEXIST, kind, path);
    if (used_files_ >= limits.files_max) return failure(ENOSPC, kind, path);

    const NodeId id = next_id_++;
    Node made;
    made.is_directory = is_directory;
    nodes_.emplace(id, std::move(made));
    change_names({{parent.directory, parent.name, id}});
    return id;
}

Status MemoryState::remove(const std::string& path) {
    TRY(const Parent parent, find_parent(path, DiskCallKind::remove));
    const NodeId id = lookup(parent.directory, parent.name);
    if (id == 0) return failure(ENOENT, DiskCallKind::remove, path);
    if (!node(id).live_names.empty()) return failure(ENOTEMPTY, DiskCallKind::remove, path);
    change_names({{parent.directory, parent.name, 0}});
    return {};
}

bool MemoryState::is_below(NodeId id, NodeId directory) const {
    if (id == directory) return true;
    return std::ranges::any_of(node(directory).live_names, [&](const auto& entry) {
        return node(entry.second).is_directory && is_below(id, entry.second);
    });
}

Status MemoryState::check_rename(NodeId from_id, NodeId to_id, const Parent& to,
                                 const std::string& path) const {
    const bool is_directory = node(from_id).is_directory;
    if (is_directory && is_below(to.directory, from_id)) {
        return failure(EINVAL, DiskCallKind::rename, path);
    }
    if (to_id == 0) return {};
    if (is_directory != node(to_id).is_directory) {
        return failure(is_directory ? ENOTDIR : EISDIR, DiskCallKind::rename, path);
    }
    if (!node(to_id).live_names.empty()) return failure(ENOTEMPTY, DiskCallKind::rename, path);
    return {};
}

Status MemoryState::rename(const std::string& from, const std::string& to) {
    TRY(const Parent parent_from, find_parent(from, DiskCallKind::rename));
    TRY(const Parent parent_to, find_parent(to, DiskCallKind::rename));
    const NodeId from_id = lookup(parent_from.directory, parent_from.name);
    const NodeId to_id = lookup(parent_to.directory, parent_to.name);
    if (from_id == 0) return failure(ENOENT, DiskCallKind::rename, from);
    if (from_id == to_id) return {};
    TRY_STATUS(check_rename(from_id, to_id, parent_to, from));
    change_names({{parent_from.directory, parent_from.name, 0},
                  {parent_to.directory, parent_to.name, from_id}});
    return {};
}

Status MemoryState::link(const std::string& from, const std::string& to) {
    TRY(const NodeId id, find(from, DiskCallKind::link));
    TRY(const Parent parent, find_parent(to, DiskCallKind::link));
    if (node(id).is_directory) return failure(EISDIR, DiskCallKind::link, from);
    if (lookup(parent.directory, parent.name) != 0) return failure(EEXIST, DiskCallKind::link, to);
    change_names({{parent.directory, parent.name, id}});
    return {};
}

Result<std::vector<DirectoryEntry>> MemoryState::list(const std::string& path) const {
    TRY(const NodeId id, find_directory(path, DiskCallKind::list));
    std::vector<DirectoryEntry> entries;
    for (const auto& [name, child] : node(id).live_names) {
        entries.push_back({name, node(child).is_directory});
    }
    return entries;
}

void MemoryState::change_names(std::vector<NameSlot> slots) {
    NameChange change{next_sequence_++, std::move(slots)};
    for (const NameSlot& slot : change.slots) {
        reference(slot.directory);
        reference(slot.target);
    }
    // New names first: a node that moves must not be without one in between.
    for (const NameSlot& slot : change.slots) {
        if (slot.target != 0) set_live(slot);
    }
    for (const NameSlot& slot : change.slots) {
        if (slot.target == 0) set_live(slot);
    }
    pending_names_.push_back(std::move(change));
}

void MemoryState::set_live(const NameSlot& slot) {
    const NodeId old = lookup(slot.directory, slot.name);
    if (slot.target != 0) {
        Node& target = nodes_.at(slot.target);
        discount(target);
        ++target.live_name_count;
        count(target);
        reference(slot.target);
        nodes_.at(slot.directory).live_names[slot.name] = slot.target;
    } else {
        nodes_.at(slot.directory).live_names.erase(slot.name);
    }
    if (old == 0) return;
    Node& replaced = nodes_.at(old);
    discount(replaced);
    --replaced.live_name_count;
    count(replaced);
    dereference(old);
}

void MemoryState::set_durable(const NameSlot& slot) {
    reference(slot.target);
    auto& names = nodes_.at(slot.directory).durable_names;
    const auto found = names.find(slot.name);
    const NodeId old = found == names.end() ? 0 : found->second;
    if (slot.target != 0) {
        names[slot.name] = slot.target;
    } else if (found != names.end()) {
        names.erase(found);
    }
    dereference(old);
}

void MemoryState::finish_sync_directory(NodeId directory, uint64_t mark) {
    // A change cannot have happened without the earlier ones of its directories. Walking back from
    // the newest, the directories whose changes are needed are known when a change is looked at.
    std::unordered_set<NodeId> needed{directory};
    std::vector<NameChange> durable;
    std::vector<NameChange> rest;
    for (auto change = pending_names_.rbegin(); change != pending_names_.rend(); ++change) {
        const bool is_needed =
            change->sequence < mark &&
            std::ranges::any_of(
                change->slots,
                [&](const NameSlot& slot) { return needed.contains(slot.directory); });
        if (is_needed) {
            for (const NameSlot& slot : change->slots) needed.insert(slot.directory);
        }
        (is_needed ? durable : rest).push_back(std::move(*change));
    }
    std::ranges::reverse(rest);
    pending_names_ = std::move(rest);
    for (auto change = durable.rbegin(); change != durable.rend(); ++change) {
        for (const NameSlot& slot : change->slots) set_durable(slot);
        for (const NameSlot& slot : change->slots) {
            dereference(slot.target);
            dereference(slot.directory);
        }
    }
}

// Nodes and the space they take.

void MemoryState::reference(NodeId id) {
    if (id != 0) ++nodes_.at(id).reference_count;
}

void MemoryState::dereference(NodeId id) {
    if (id == 0) return;
    Node& gone = nodes_.at(id);
    ASSERT(gone.reference_count > 0);
    if (--gone.reference_count > 0) return;
    ASSERT(!is_counted(gone));
    const auto names = std::move(gone.durable_names);
    nodes_.erase(id);
    for (const auto& [name, child] : names) dereference(child);
}

void MemoryState::count(const Node& node) {
    if (!is_counted(node)) return;
    ++used_files_;
    used_bytes_ += footprint_bytes(node);
}

void MemoryState::discount(const Node& node) {
    if (!is_counted(node)) return;
    --used_files_;
    used_bytes_ -= footprint_bytes(node);
}

// How large this file may become.
uint64_t MemoryState::space_for(const Node& node) const {
    const uint64_t others = used_bytes_ - (is_counted(node) ? footprint_bytes(node) : 0);
    return limits.bytes_max > others ? round_down(limits.bytes_max - others, unit_bytes) : 0;
}

DiskSpace MemoryState::space() const {
    const auto rest = [](uint64_t total, uint64_t used) { return total > used ? total - used : 0; };
    return DiskSpace{.total_bytes = limits.bytes_max,
                     .available_bytes = rest(limits.bytes_max, used_bytes_),
                     .total_files = limits.files_max,
                     .available_files = rest(limits.files_max, used_files_)};
}

void MemoryState::open(NodeId id) {
    Node& opened = nodes_.at(id);
    discount(opened);
    ++opened.open_count;
    count(opened);
    reference(id);
}

void MemoryState::close(NodeId id) {
    Node& closed = nodes_.at(id);
    discount(closed);
    --closed.open_count;
    count(closed);
    dereference(id);
}

bool MemoryState::try_lock(NodeId id) {
    return !std::exchange(nodes_.at(id).is_locked, true);
}

void MemoryState::unlock(NodeId id) {
    nodes_.at(id).is_locked = false;
}

void MemoryState::close_all() {
    std::vector<NodeId> open_ids;
    for (auto& [id, opened] : nodes_) {
        opened.is_locked = false;
        open_ids.insert(open_ids.end(), opened.open_count, id);
    }
    for (const NodeId id : open_ids) close(id);
}

// Bytes.

void MemoryState::push_change(Node& node, Change change) {
    discount(node);
    change.apply(node.live);
    count(node);
    change.sequence = next_sequence_++;
    node.pending.push_back(std::move(change));
}

Written MemoryState::begin_write(NodeId id, Bytes bytes, uint64_t offset) {
    Node& written = nodes_.at(id);
    const uint64_t size_max = std::max(space_for(written), footprint_bytes(written));
    const uint64_t room = size_max > offset ? size_max - offset : 0;
    const bool is_full = bytes.size() > room;
    if (is_full) bytes = bytes.first(room);
    if (bytes.empty()) return {0, is_full};

    Change change;
    change.offset = offset;
    change.size = bytes.size();
    if (!is_all_zeros(bytes)) {
        change.bytes = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
    }
    push_change(written, std::move(change));
    return {written.pending.back().sequence, is_full};
}

void MemoryState::truncate(NodeId id, uint64_t size_bytes) {
    Change change;
    change.is_truncate = true;
    change.is_complete = true;
    change.offset = size_bytes;
    Node& cut = nodes_.at(id);
    if (size_bytes < cut.live.size_bytes()) {
        discount(cut);
        cut.allocated_bytes = std::min(cut.allocated_bytes, size_bytes);
        count(cut);
    }
    push_change(cut, std::move(change));
}

void MemoryState::complete(NodeId id, uint64_t sequence) {
    // From the newest: what is completed began not long ago, and much may be pending before it.
    auto& pending = nodes_.at(id).pending;
    for (auto change = pending.rbegin(); change != pending.rend(); ++change) {
        if (change->sequence > sequence) continue;
        if (change->sequence == sequence) change->is_complete = true;
        return;
    }
}

bool MemoryState::allocate(NodeId id, uint64_t size_bytes) {
    Node& grown = nodes_.at(id);
    if (size_bytes > std::max(space_for(grown), footprint_bytes(grown))) {
        return false;
    }
    discount(grown);
    grown.allocated_bytes = std::max(grown.allocated_bytes, size_bytes);
    count(grown);
    return true;
}

std::vector<uint64_t> MemoryState::begin_sync(NodeId id) const {
    std::vector<uint64_t> sequences;
    for (const Change& change : node(id).pending) {
        if (change.is_complete) sequences.push_back(change.sequence);
    }
    return sequences;
}

void MemoryState::finish_sync(NodeId id, const std::vector<uint64_t>& sequences) {
    Node& synced = nodes_.at(id);
    const bool is_whole = std::ranges::all_of(
        synced.pending, [&](const Change& change) { return is_among(sequences, change); });
    if (is_whole && !synced.is_diverged) {
        synced.durable = synced.live;  // shares all chunks
        synced.pending.clear();
        return;
    }
    for (const Change& change : synced.pending) {
        if (is_among(sequences, change)) change.apply(synced.durable);
    }
    std::erase_if(synced.pending,
                  [&](const Change& change) { return is_among(sequences, change); });
}

void MemoryState::sync_all() {
    const uint64_t mark = begin_sync_directory();
    std::vector<NodeId> directories;
    for (const auto& [id, node] : nodes_) {
        if (node.is_directory) directories.push_back(id);
        if (!node.pending.empty()) finish_sync(id, begin_sync(id));
    }
    for (const NodeId id : directories) {
        // One whose last name just became durable elsewhere may be gone.
        if (nodes_.contains(id)) finish_sync_directory(id, mark);
    }
}

void MemoryState::drop_unsynced(NodeId id, const std::vector<uint64_t>& sequences) {
    Node& dropped = nodes_.at(id);
    const size_t count_dropped = std::erase_if(
        dropped.pending, [&](const Change& change) { return is_among(sequences, change); });
    if (count_dropped > 0) dropped.is_diverged = true;
}

bool MemoryState::has_pending() const {
    return !pending_names_.empty() || std::ranges::any_of(nodes_, [](const auto& entry) {
        return !entry.second.pending.empty() || entry.second.is_diverged;
    });
}

Status MemoryState::flip_bit(NodeId id, uint64_t bit) {
    Node& rotten = nodes_.at(id);
    const uint64_t offset = bit / 8;
    const std::byte mask{static_cast<uint8_t>(1U << (bit % 8))};
    std::byte value{};
    if (rotten.live.read({&value, 1}, offset) == 0) {
        return fail(Errc::invalid, "flip a bit behind the file's end");
    }
    for (MemoryContent* content : {&rotten.live, &rotten.durable}) {
        if (content->read({&value, 1}, offset) == 0) continue;
        value ^= mask;
        content->write({&value, 1}, offset);
    }
    return {};
}

void MemoryState::place(NodeId id, bool is_directory, MemoryContent content, const NameSlot& at) {
    const auto [entry, is_new] = nodes_.try_emplace(id);
    if (is_new) {
        entry->second.is_directory = is_directory;
        entry->second.live = content;
        entry->second.durable = std::move(content);
        next_id_ = std::max(next_id_, id + 1);
    }
    set_live(at);
    set_durable(at);
}

}  // namespace penstock::io::internal
