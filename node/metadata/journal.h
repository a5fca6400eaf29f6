// Journal: the metadata's commands in files, two copies of each, so that one flipped bit, or one
// lost file, costs nothing. Every call waits for the disk and is made by one job at a time.
//
// `metadata/GENERATION.a` and `.b` (20 digits) begin with a snapshot of the state; the commands
// since then follow as records. Little-endian:
//
//     header, 56 bytes:  u64 magic, u32 format = 1, u32 zero, u64 generation, u64 state version,
//                        u64 snapshot bytes, u32 CRC32C of the snapshot, u32 zero, u32 zero,
//                        u32 CRC32C of the header before this
//     the snapshot       (state.h)
//     records, each 40 bytes and the command's (commands.h):
//                        u32 magic, u32 command bytes, u64 generation, u64 version of the state
//                        that has the command, u64 version durable in both copies when this was
//                        written, u32 zero, u32 CRC32C of all this before, and the command
//
// The rules that recovery stands on:
//   1. A file gets its name when all its bytes are durable: a snapshot that does not read is rot.
//   2. Both copies of a record are written at the same time, and the next ones when both are
//   synced.
//      So a power cut leaves the last records in either copy, in both, torn or whole; the longer
//      copy counts. What a record names as durable in both and a copy has not is rot.
//   3. A command is acknowledged when both copies have it.
//   4. After a failed write or sync, or a rename whose outcome is unknown, nothing more is written
//      to that generation: the next one begins with a snapshot of what was acknowledged.
//   5. A generation gets its first record when both its files are durable under their names.
//   6. Blocks of 512 bytes reach the device whole or not at all, and what did not reach it is zero
//      or behind the file's end. A damaged end that does not look so is no power cut's, but rot.
// So one damaged copy never costs anything. Where acknowledged commands may be lost, opening fails
// with `corrupt` rather than go on without them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/base/log.h"
#include "io/base/result.h"
#include "io/blocking_disk.h"
#include "node/metadata/state.h"

namespace penstock::node {

struct JournalOptions {
    // A new generation begins when the records are this large and larger than the snapshot.
    uint64_t records_bytes_max = 1 << 20;
    // Space taken ahead in each copy, so that commands can be written on a full disk.
    uint64_t ahead_bytes = 1 << 20;
};

class Journal {
public:
    // Reads what is there, repairs a damaged copy from the other, and makes an empty state where
    // there is no `metadata` directory. `unavailable` if another process has it (the text names its
    // pid), `invalid` if a newer release wrote it, `corrupt` if acknowledged commands may be lost.
    static Result<std::unique_ptr<Journal>> open(io::BlockingDisk& disk,
                                                 const JournalOptions& options, const Log& log);

    // A journal that begins with `state`, whatever is there: another mountpath's says what counts.
    static Result<std::unique_ptr<Journal>> remake(io::BlockingDisk& disk,
                                                   const JournalOptions& options, const Log& log,
                                                   std::shared_ptr<const MetadataState> state);
    // Whether there was one; false where that cannot be told.
    static bool exists(io::BlockingDisk& disk);
    // As if there had never been one.
    static Status erase(io::BlockingDisk& disk);

    // All that is acknowledged.
    const std::shared_ptr<const MetadataState>& state() const { return state_; }

    struct Entry {
        std::vector<std::byte> command;  // encoded
        uint64_t version = 0;
    };
    // All of the entries are durable in both copies and lead to `after`, or none counts.
    Status append(const std::vector<Entry>& entries, std::shared_ptr<const MetadataState> after);
    // The same in steps: whoever can have two jobs at once has each of them write and sync one copy
    // between the beginning and the end, which is told how both went.
    Status begin_append(const std::vector<Entry>& entries);
    Status write_copy(size_t copy);
    Status sync_copy(size_t copy);
    Status end_append(const Status& written, std::shared_ptr<const MetadataState> after);

    static constexpr size_t copy_count = 2;

    uint64_t corruption_count() const { return corruption_count_; }
    uint64_t generation() const { return generation_; }

private:
    struct CopyState;
    struct Choice;

    Journal(io::BlockingDisk& disk, const JournalOptions& options, const Log& log)
        : disk_(disk), options_(options), log_(log) {}

    Status make_directory();
    Status lock();
    Status recover();
    Status recover_from(uint64_t generation, uint64_t older);
    Result<CopyState> read_copy(uint64_t generation, size_t copy) const;
    Result<Choice> choose(const std::array<CopyState, copy_count>& copies) const;
    Result<Choice> choose_sole(const CopyState& sole, const CopyState& other) const;
    Status open_for_append(uint64_t end);
    Status begin_generation();
    Result<uint64_t> write_work_file(size_t copy, uint64_t generation, Bytes content);
    void remove_all_but(uint64_t generation);
    Status take_space_ahead(uint64_t end);
    std::vector<std::byte> encode_records(const std::vector<Entry>& entries) const;

    io::BlockingDisk& disk_;
    JournalOptions options_;
    const Log& log_;
    std::unique_ptr<io::BlockingFile> lock_;
    std::array<std::unique_ptr<io::BlockingFile>, copy_count> files_;
    std::shared_ptr<const MetadataState> state_;
    std::vector<std::byte> records_;  // being appended
    uint64_t generation_ = 0;
    uint64_t end_ = 0;  // of the records, in both files
    uint64_t allocated_bytes_ = 0;
    uint64_t next_generation_at_ = 0;  // when end_ reaches this
    bool is_closed_ = false;           // rule 4: this generation takes no more records
    uint64_t corruption_count_ = 0;
};

}  // namespace penstock::node
