// A mountpath's directory: one process holds it, its format is one that we know, and it has an id
// of its own. Calls wait for the disk and are made by jobs on the pool.
//
//     lock       locked while a process holds the directory; says which one
//     format     text, three lines: "penstock 1", "id HEX", "key HEX"
//     log/       segments (segment.h)
//     objects/   object files (object_file.h)
//     catalogue/ derived from the two above; may be deleted while nobody holds the directory
#pragma once

#include <cstdint>
#include <memory>

#include "io/base/checksum.h"
#include "io/blocking_disk.h"
#include "node/store/catalogue.h"

namespace penstock::node {

constexpr uint32_t directory_format = 1;
constexpr const char* catalogue_directory = "catalogue";

struct MountpathIdentity {
    Digest128 id;
    uint64_t key = 0;  // of the digests of names
};

// `unavailable` if another process has it; the text names that one. The lock goes with the file.
Result<std::unique_ptr<io::BlockingFile>> lock_mountpath(io::BlockingDisk& disk);
// Reads the format, or makes a new directory of an empty one. `invalid` if it is newer than ours,
// `corrupt` if it cannot be read.
Result<MountpathIdentity> open_identity(io::BlockingDisk& disk);
// The catalogue, or an empty one where the old one cannot be trusted.
Result<std::unique_ptr<Catalogue>> open_catalogue(io::BlockingDisk& disk, uint64_t cache_bytes);
// Deletes what is there and opens an empty one.
Result<std::unique_ptr<Catalogue>> remake_catalogue(io::BlockingDisk& disk, uint64_t cache_bytes);

}  // namespace penstock::node
