// Object files: the bytes of one large object each, under a name that is never used again and that
// nothing refers to until its record is durable. Whatever goes wrong before that leaves a file that
// is swept at a later start; nothing in an existing file is ever changed.
//
//     content, zeros to 4 KiB, then where the record says so: the CRC32C of each 64 KiB block of
//     the content (u32 each), zeros to 4 KiB, the attachment, zeros to 4 KiB
//
// Used on the core that the content comes in on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/stream.h"
#include "io/wait.h"
#include "node/store/attributes.h"
#include "node/store/blocks.h"
#include "node/store/store.h"

namespace penstock::node {

constexpr const char* objects_directory = "objects";
// Up to so many checksums lie in the record; more lie behind the content (6 MiB of it).
constexpr size_t record_blocks_max = 96;

std::string object_file_path(const FileId& id);
std::optional<FileId> object_file_id(std::string_view file_name);

// Makes names in one directory, or everything on the file system, durable: one call for all who
// wait at the same time.
class SharedSync {
public:
    SharedSync(io::Disk& disk, std::string path)
        : disk_(disk), path_(std::move(path)), done_(disk.reactor()) {}
    explicit SharedSync(io::Disk& disk) : disk_(disk), done_(disk.reactor()) {}
    // What was created before the call is durable under its name; without a directory's path, what
    // was written before it, too.
    io::Task<Status> sync();

private:
    struct Round {
        bool is_done = false;
        Status status;
    };
    io::Task<Status> sync_now();

    io::Disk& disk_;
    std::optional<std::string> path_;
    io::Event done_;  // pulsed
    bool is_running_ = false;
    std::shared_ptr<Round> next_;
};

// Writes one object file: open, append in order, finish; or drop it at any time after close().
class ObjectFileWriter {
public:
    ObjectFileWriter(io::Disk& disk, io::BufferPool& buffers, FileId id)
        : disk_(disk),
          buffers_(buffers),
          id_(id),
          slots_(disk.reactor(), writes_max),
          gate_(disk.reactor()) {}

    // `content_bytes`, where it is known, is allocated at once: `full` comes early.
    io::Task<Status> open(std::optional<uint64_t> content_bytes);
    io::Task<Status> append(Bytes bytes);
    // What lies behind the content is written, all of it is on the device. Fills one extent, and
    // the attachment's place if there is one.
    io::Task<Status> finish(Bytes attachment, Attributes& attributes);
    // Waits for writes in flight. Must be called before it is destroyed.
    io::Task<void> close();

    // The block checksums lie in the file however few they are: a record that lists many files has
    // no room for them.
    void keep_table_apart() { is_table_apart_ = true; }

    const FileId& id() const { return id_; }
    uint64_t content_bytes() const { return content_bytes_; }
    // Of the whole content, combined from its blocks; after finish(), if the table is apart.
    uint32_t content_crc() const { return content_crc_; }

private:
    static constexpr uint32_t write_bytes = 1 << 20;
    static constexpr uint64_t writes_max = 3;

    io::Task<Status> append_raw(Bytes bytes);
    io::Task<Status> pad();
    io::Task<Status> write_buffer();
    io::Task<void> write_one(io::Gate::Pass pass, io::Buffer buffer, uint32_t bytes,
                             uint64_t offset);

    io::Disk& disk_;
    io::BufferPool& buffers_;
    FileId id_;
    std::unique_ptr<io::File> file_;
    BlockSummer summer_;
    io::Buffer buffer_;
    uint32_t buffered_bytes_ = 0;
    uint64_t written_bytes_ = 0;  // handed to the disk
    uint64_t content_bytes_ = 0;
    uint32_t content_crc_ = 0;
    bool is_table_apart_ = false;
    io::Semaphore slots_;
    io::Gate gate_;
    Status status_;
};

}  // namespace penstock::node
