// MountpathRegistry: which mountpaths a node has. Each of several mountpaths holds a copy, so that
// a start knows whether all are there, and whether what it was given belongs together.
//
//     mountpaths   text, checksummed:
//                  "penstock-mountpaths 1"
//                  "node HEX32"         of the set, made when there was a second mountpath
//                  "generation N"       grows by one with each start and each change of the set
//                  "mountpath HEX32 STATE SEEN PATH", one line each, in the order they came
//                  "crc HEX8"           CRC32C of the lines before
//
// A directory without the file is the only mountpath of its node, or empty. SEEN is the generation
// that the mountpath's own copy had when this one was written: one whose copy has neither that, nor
// the next, nor this generation, is an old copy of that disk, and is refused. Each change is
// written twice, so that the generation that counts as SEEN is one that no disk had for longer than
// that took. PATH is where it was last: for sentences only, a mountpath is known by its id.
//
// Functions wait for the disk and are called by jobs on the pool, or before there are cores.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/checksum.h"
#include "io/blocking_disk.h"

namespace penstock::node {

// Of a node; each has threads and memory of its own.
constexpr size_t mountpaths_max = 64;

enum class MountpathState : uint8_t {
    active,
    joining,  // names belong to it already; some objects are where they were before
    leaving,  // no name belongs to it any more; some objects are still there
};

struct RegisteredMountpath {
    Digest128 id;
    MountpathState state = MountpathState::active;
    bool is_disabled = false;  // an operator took it out of service
    uint64_t seen = 0;
    std::string path;
};

struct MountpathRegistry {
    Digest128 node;
    uint64_t generation = 0;
    std::vector<RegisteredMountpath> mountpaths;

    RegisteredMountpath* find(const Digest128& id);
    const RegisteredMountpath* find(const Digest128& id) const;
    // Objects may lie where they belonged before the last change.
    bool is_moving() const;
    // Whether a disk whose own copy has this generation is the one that was in use last. It may
    // have got the second write of a change (below), or a change that was cut off.
    bool may_be_copy_of(const RegisteredMountpath& member, uint64_t own) const;
};

std::string encode_registry(const MountpathRegistry& registry);
// nullopt: damaged, or of a newer release.
std::optional<MountpathRegistry> parse_registry(std::string_view text);

// nullopt if the directory has none; `corrupt` if it cannot be read.
Result<std::optional<MountpathRegistry>> read_registry(io::BlockingDisk& disk);
// In one rename, durable when done.
Status write_registry(io::BlockingDisk& disk, const MountpathRegistry& registry);

// A directory that a start was given, as it was found.
struct FoundMountpath {
    std::string path;
    Digest128 id;
    bool is_blank = false;    // holds nothing yet
    bool is_damaged = false;  // its copy of the registry cannot be read
    std::optional<MountpathRegistry> registry;
};
// Makes the directory's identity if it has none.
Result<FoundMountpath> find_mountpath(io::BlockingDisk& disk, std::string path);

// What a start makes of the directories.
struct MountpathPlan {
    // To be written before anything else is changed; nullopt: one mountpath on its own.
    std::optional<MountpathRegistry> registry;
    struct Member {
        Digest128 id;
        std::optional<size_t> found;  // its number among the directories; nullopt: missing
        bool is_new = false;          // nothing that it holds counts
    };
    std::vector<Member> members;  // as in the registry
};
// `condition_failed` with a sentence that says what is wrong and what to do: a mountpath is missing
// (unless that is allowed), one is another node's, an old copy, or there twice.
Result<MountpathPlan> plan_mountpaths(const std::vector<FoundMountpath>& found,
                                      bool allows_missing);
// Whether the directory may become a mountpath of the node: it is blank, or was detached in order.
// `condition_failed` with a sentence otherwise.
Status check_newcomer(const FoundMountpath& found, const MountpathRegistry& registry);

std::string text_of(const Digest128& id);  // 32 hexadecimal digits

}  // namespace penstock::node
