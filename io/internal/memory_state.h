// MemoryState: what lies on a disk in memory, and what of it would survive a power cut.
//
// Invariants. A file has the bytes that readers see (`live`), those that survive in any case
// (`durable`), and between them the changes that may or may not have reached the device (`pending`,
// oldest first). A directory has its names twice likewise; what lies between them is one list for
// the whole disk (`pending_names`), because a rename may touch two directories. A sync moves
// changes from pending to durable and nothing else does.
//
// A plain value without a lock: memory_disk.cc guards it. Copying one copies the disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/base/result.h"
#include "io/disk_call.h"
#include "io/internal/memory_content.h"
#include "io/memory_disk.h"

namespace penstock::io::internal {

using NodeId = uint64_t;  // 0: none
constexpr NodeId root_id = 1;

// A change of a file's bytes or size that is not durable yet.
struct Change {
    uint64_t sequence = 0;
    bool is_truncate = false;
    // The write was still going on; a sync that begins now does not cover it.
    bool is_complete = false;
    uint64_t offset = 0;                                  // truncate: the new size
    uint64_t size = 0;                                    // truncate: 0
    std::shared_ptr<const std::vector<std::byte>> bytes;  // null: zeros

    uint64_t end() const { return offset + size; }
    // Of the part of the file that it covers, the bytes from `from` for `count`.
    void apply_part(MemoryContent& content, uint64_t from, uint64_t count) const;
    void apply(MemoryContent& content) const;
};

struct Node {
    bool is_directory = false;
    // References by names, live and durable, by pending name changes, and by open files.
    uint32_t reference_count = 0;
    uint32_t live_name_count = 0;
    uint32_t open_count = 0;

    MemoryContent live;
    MemoryContent durable;
    std::vector<Change> pending;
    // A sync failed and dropped changes: `live` has bytes that no later sync makes durable.
    bool is_diverged = false;
    uint64_t allocated_bytes = 0;
    bool is_locked = false;

    std::map<std::string, NodeId> live_names;
    std::map<std::string, NodeId> durable_names;
};

// One name is set, to a node or to none.
struct NameSlot {
    NodeId directory = 0;
    std::string name;
    NodeId target = 0;
};

// A creation or removal sets one name, a rename two; it happens as a whole or not at all.
struct NameChange {
    uint64_t sequence = 0;
    std::vector<NameSlot> slots;
    bool touches(NodeId directory) const;
};

struct Written {
    uint64_t sequence = 0;
    bool is_full = false;  // only the part that there was space for is written
};

class MemoryState {
public:
    explicit MemoryState(const MemoryLimits& limits);

    MemoryLimits limits;

    Result<NodeId> find(const std::string& path, DiskCallKind kind) const;
    Result<NodeId> find_directory(const std::string& path, DiskCallKind kind) const;
    Result<NodeId> create(const std::string& path, bool is_directory);
    Status remove(const std::string& path);
    Status rename(const std::string& from, const std::string& to);
    Status link(const std::string& from, const std::string& to);
    Result<std::vector<DirectoryEntry>> list(const std::string& path) const;
    DiskSpace space() const;

    const Node& node(NodeId id) const { return nodes_.at(id); }
    const std::unordered_map<NodeId, Node>& nodes() const { return nodes_; }
    const std::vector<NameChange>& pending_names() const { return pending_names_; }
    bool has_pending() const;

    void open(NodeId id);
    void close(NodeId id);
    bool try_lock(NodeId id);
    void unlock(NodeId id);
    // As if every process had ended: for a copy, which has no open files of its own.
    void close_all();

    // A write or truncation is pending and visible at once, but only what is complete when a sync
    // begins is durable when it ends.
    Written begin_write(NodeId id, Bytes bytes, uint64_t offset);
    void truncate(NodeId id, uint64_t size_bytes);
    void complete(NodeId id, uint64_t sequence);
    // False: there is not so much space.
    bool allocate(NodeId id, uint64_t size_bytes);
    std::vector<uint64_t> begin_sync(NodeId id) const;
    void finish_sync(NodeId id, const std::vector<uint64_t>& sequences);
    void drop_unsynced(NodeId id, const std::vector<uint64_t>& sequences);

    // Name changes before `mark` (of begin) are durable, if they touch the directory or if one that
    // does could not have happened without them.
    uint64_t begin_sync_directory() const { return next_sequence_; }
    void finish_sync_directory(NodeId directory, uint64_t mark);

    // Every completed write and every name: syncfs.
    void sync_all();

    // Changes a bit of the bytes, live and durable, as a device does that lies.
    Status flip_bit(NodeId id, uint64_t bit);

    // For building what a power cut leaves: a node with a name in a directory, all durable.
    void place(NodeId id, bool is_directory, MemoryContent content, const NameSlot& at);

private:
    struct Parent {
        NodeId directory;
        std::string name;
    };

    Result<Parent> find_parent(const std::string& path, DiskCallKind kind) const;
    NodeId lookup(NodeId directory, const std::string& name) const;
    Status check_rename(NodeId from_id, NodeId to_id, const Parent& to,
                        const std::string& path) const;
    bool is_below(NodeId id, NodeId directory) const;

    void change_names(std::vector<NameSlot> slots);
    void set_live(const NameSlot& slot);
    void set_durable(const NameSlot& slot);
    void reference(NodeId id);
    void dereference(NodeId id);

    bool is_counted(const Node& node) const {
        return node.live_name_count > 0 || node.open_count > 0;
    }
    void count(const Node& node);
    void discount(const Node& node);
    uint64_t space_for(const Node& node) const;
    void push_change(Node& node, Change change);

    std::unordered_map<NodeId, Node> nodes_;
    std::vector<NameChange> pending_names_;
    NodeId next_id_ = root_id + 1;
    uint64_t next_sequence_ = 1;
    uint64_t used_bytes_ = 0;
    uint64_t used_files_ = 0;
};

}  // namespace penstock::io::internal
