// Disk: every byte that this node reads from or writes to a device goes through here, or through
// the waiting form of the same calls (io/blocking_disk.h).
//
// There is one interface so that the calls we make on the kernel are few and can be listed, and so
// that a test can put its own disk underneath: kernel_disk.cc is the real one, memory_disk.h the
// one that loses power, fault_disk.h the one whose operations fail on request.
//
// A disk and its files belong to the reactor they were made on and are called from no other core.
// Paths are relative to the disk's root.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/blocking_disk.h"
#include "io/pool.h"
#include "io/reactor.h"
#include "io/task.h"

namespace penstock::io {

// An open file. Destroying it closes it; no task on it may be unfinished then.
class File {
public:
    virtual ~File() = default;

    // Whether reads that go to the device may bring in what follows. At first they may.
    virtual void read_ahead(bool is_wanted) = 0;
    // Brings these bytes into memory in pieces as large as the system has: whoever sends them from
    // there pays for each piece. Waits for the device; a hint, so that nothing can fail.
    virtual Task<void> bring_in(uint64_t offset, uint64_t size) = 0;
    // Fills the beginning of `buffer` with what is resident, without waiting; gives how many bytes.
    // The device may begin to bring in the rest.
    virtual size_t try_read(MutableBytes buffer, uint64_t offset) = 0;
    // Fills all of `buffer`, or fails: with `corrupt` if the file ends first. Where the bytes may
    // be resident, try_read() comes first: this one waits a turn for them, too.
    // The caller keeps `buffer` alive until the task is done.
    virtual Task<Status> read_exactly(MutableBytes buffer, uint64_t offset) = 0;
    // All of the bytes, or an error; after an error any part of them may have been written.
    virtual Task<Status> write_exactly(Bytes bytes, uint64_t offset) = 0;
    // Once done, the bytes written before it survive a power cut, and the size that reaches them.
    // A failure is final: the file must not be synced again, its unsynced bytes are lost.
    virtual Task<Status> sync() = 0;
    virtual Task<Result<uint64_t>> size_bytes() = 0;
    virtual Task<Status> truncate(uint64_t size_bytes) = 0;
    virtual Task<Status> allocate(uint64_t size_bytes) = 0;
    // The system's descriptor, or -1: the file is not one of the system's.
    virtual int descriptor() const = 0;
};

class Disk {
public:
    virtual ~Disk() = default;

    virtual Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) = 0;
    virtual Task<Status> remove(std::string path) = 0;
    virtual Task<Status> rename(std::string from, std::string to) = 0;
    virtual Task<Status> make_directory(std::string path) = 0;
    virtual Task<Status> sync_directory(std::string path) = 0;
    virtual Task<Result<std::vector<DirectoryEntry>>> list(std::string path) = 0;
    virtual Task<Result<DiskSpace>> space() = 0;

    // The waiting form of the same disk, for jobs on the pool.
    virtual BlockingDisk& blocking() = 0;
    virtual Pool& pool() = 0;
    virtual Reactor& reactor() = 0;
};

// The real one: reads, writes and syncs on the reactor's kernel, everything else as jobs of `pool`
// on `blocking`. All three must outlive the disk.
std::unique_ptr<Disk> make_kernel_disk(Reactor& reactor, Pool& pool, BlockingDisk& blocking);

}  // namespace penstock::io
