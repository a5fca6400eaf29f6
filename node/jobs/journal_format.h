// The bytes of the jobs' journal: built here, and read without trust.
//
// Little-endian; a text is u32 bytes and the bytes; a bucket's name as in node/metadata/commands.h.
//
//     header, 24 bytes:  u64 magic, u32 format = 2, u64 generation, u32 CRC32C of these
//                        (format 1, of releases that kept one copy: the generation is 0)
//     records:           u32 magic, u32 payload bytes, u8 kind, u8 zero, u16 zero,
//                        u32 CRC32C of this header before it and of the payload, payload
//       1  begun:     text id, u64 started_ns, u64 bucket id, u64 destination's id, spec
//       2  progress:  text id, text position, progress
//       3  ended:     text id, u8 state, u64 ended_ns, text reason, progress
//     spec:      u8 kind, text owner, name bucket, u8 selection's kind, text,
//                u8 is_recursive, u32 n, n texts,
//                name to, text prepend, u32 n, n times (text, text),
//                u8 mode of the copy: 1 for a dry run, 2 if it synchronizes, 3 both,
//                text source, text name, u8 is_recursive, u8 overwrites, u8 deletes_source,
//                u32 worker count, of a rechunk alone u64 above bytes, u64 part bytes
//     progress:  u64 objects, u64 bytes, u64 errors, u32 n, n times (text object, text error)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"
#include "node/jobs/job.h"

namespace penstock::node {

constexpr size_t job_header_bytes = 24;
// Above every job that check_spec() lets through.
constexpr size_t job_payload_bytes_max = 16 << 20;
constexpr size_t selection_bytes_max = 8 << 20;
constexpr size_t job_text_bytes_max = 8192;

struct JobBegun {
    std::string id;
    uint64_t started_ns = 0;
    BucketId bucket;
    BucketId to;
    JobSpec spec;
    bool operator==(const JobBegun&) const = default;
};
struct JobMoved {
    std::string id;
    std::string position;
    JobProgress progress;
    bool operator==(const JobMoved&) const = default;
};
struct JobEnded {
    std::string id;
    JobState state = JobState::finished;
    uint64_t ended_ns = 0;
    std::string reason;
    JobProgress progress;
    bool operator==(const JobEnded&) const = default;
};
using JobRecord = std::variant<JobBegun, JobMoved, JobEnded>;

// `too_large` or `invalid`, unless the spec may be written down.
Status check_spec(const JobSpec& spec);

void append_job_header(std::vector<std::byte>& to, uint64_t generation);
void append_job_record(std::vector<std::byte>& to, const JobRecord& record);

// The generation. `invalid` if a newer release wrote it, `corrupt` if it is no journal.
Result<uint64_t> parse_job_header(Bytes file);
struct ParsedJobRecord {
    JobRecord record;
    size_t bytes = 0;  // of the whole record
};
// The record at the front of `rest`; nullopt if it is not whole and good.
std::optional<ParsedJobRecord> parse_job_record(Bytes rest);

}  // namespace penstock::node
