// BlockingDisk: the file calls that we make, in their plain, waiting form.
//
// Two users: jobs on the blocking pool (a sequence of metadata calls is one job, because each
// would cost a thread hop of its own in io_uring), and LevelDB's Env. The asynchronous io/disk.h
// stands on this one. Three implementations: POSIX, memory that loses power (io/memory_disk.h),
// and faults around either (io/fault_disk.h).
//
// Paths are relative to the disk's root, '/'-separated, without "." or "..". Calls may be made from
// any thread; one file is used by one thread at a time. A call that asks for what cannot be (a path
// that leaves the root, a directory where a file is meant) fails with `invalid`; `io_error` is the
// device's alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock::io {

enum class OpenMode : uint8_t {
    read,           // must exist
    write,          // must exist; reads too
    create,         // must not exist (`exists` otherwise); reads too
    write_direct,   // as write, past the page cache: reads and writes must be aligned
    create_direct,  // as create, but writes go past the page cache: they must be aligned
    read_direct,    // as read, past the page cache: reads must be aligned
};

constexpr bool is_direct(OpenMode mode) {
    return mode == OpenMode::write_direct || mode == OpenMode::create_direct ||
           mode == OpenMode::read_direct;
}

// What direct files ask of offsets, sizes and memory.
constexpr uint32_t direct_alignment = 4096;

struct DirectoryEntry {
    std::string name;
    bool is_directory = false;
    bool operator==(const DirectoryEntry&) const = default;
};

struct DiskSpace {
    uint64_t total_bytes = 0;
    uint64_t available_bytes = 0;  // to us: without what the file system keeps for root
    uint64_t total_files = 0;      // 0: the file system has no such limit
    uint64_t available_files = 0;
};

class BlockingFile {
public:
    virtual ~BlockingFile() = default;

    // Up to the buffer's size; fewer at the file's end, 0 behind it.
    virtual Result<size_t> read(MutableBytes buffer, uint64_t offset) = 0;
    // All of the bytes, or an error; after an error any part of them may have been written.
    virtual Status write_exactly(Bytes bytes, uint64_t offset) = 0;
    // fdatasync: the bytes written before survive a power cut, and the size that reaches them.
    // A failure is final: the file must not be synced again, its unsynced bytes are lost.
    virtual Status sync() = 0;
    virtual Result<uint64_t> size_bytes() = 0;
    virtual Status truncate(uint64_t size_bytes) = 0;
    // Space for this many bytes; the size stays as it is.
    virtual Status allocate(uint64_t size_bytes) = 0;
    // An advisory lock on the whole file, held until it is closed: `unavailable` if somebody has
    // it.
    virtual Status lock_exclusively() = 0;
    // The system's descriptor, or -1: the file is not one of the system's.
    virtual int descriptor() const = 0;
};

class BlockingDisk {
public:
    virtual ~BlockingDisk() = default;

    virtual Result<std::unique_ptr<BlockingFile>> open(const std::string& path, OpenMode mode) = 0;
    // A file, or a directory that is empty. An open file lives on until it is closed.
    virtual Status remove(const std::string& path) = 0;
    // Replaces `to` if it exists.
    virtual Status rename(const std::string& from, const std::string& to) = 0;
    // Another name for the file `from`, which may lie anywhere on the same file system: beginning
    // with '/' it is one of the system's own paths. A symbolic link is not followed. `to` must not
    // exist. `not_implemented`: the file system, or what it allows us, has no such link.
    virtual Status link(const std::string& from, const std::string& to) = 0;
    virtual Status make_directory(const std::string& path) = 0;
    // The names created, removed and renamed in `path` survive a power cut. "" is the root.
    virtual Status sync_directory(const std::string& path) = 0;
    // Everything that was written and named on this file system before the call survives a power
    // cut, whoever wrote it: one call for very many files.
    virtual Status sync_file_system() = 0;
    // Sorted by name; "" is the root.
    virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;
    virtual Result<DiskSpace> space() = 0;
};

struct PosixDiskOptions {
    // Linux 5.6 resolves a path beneath the root in one call. Without it, or where a sandbox
    // forbids that call (found out by itself), it is done part by part.
    bool may_use_openat2 = true;
};

// The system's files below `root_path`, an existing directory. Names are resolved beneath it only,
// and no symbolic link is followed.
Result<std::unique_ptr<BlockingDisk>> make_posix_disk(std::string root_path,
                                                      const PosixDiskOptions& options = {});

}  // namespace penstock::io
