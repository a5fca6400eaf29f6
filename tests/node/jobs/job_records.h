// Records of jobs for the tests of the journal.
#pragma once

#include <string>
#include <vector>

#include "node/jobs/journal_format.h"

namespace penstock::node {

using Ids = std::vector<std::string>;

inline JobBegun begun(const std::string& id) {
    JobBegun job{id, 5, {7}, {8}, {}};
    job.spec.kind = JobKind::copy_objects;
    job.spec.owner = "test";
    job.spec.bucket.name = "from";
    job.spec.selection = {Selection::Kind::names, {"a", "b/c", std::string(700, 'n')}, "", true};
    job.spec.copy.to.name = "to";
    job.spec.copy.prepend = "p/";
    job.spec.copy.extensions = {{"jpg", "png"}};
    job.spec.copy.synchronizes = true;
    job.spec.worker_count = 3;
    return job;
}

inline JobEnded ended(const std::string& id) {
    return {id, JobState::finished, 1, "", {}};
}

inline std::vector<std::byte> bytes_of(const std::vector<JobRecord>& records) {
    std::vector<std::byte> bytes;
    for (const JobRecord& record : records) append_job_record(bytes, record);
    return bytes;
}

// The same header in another format.
inline std::vector<std::byte> header_of(uint8_t format, uint64_t generation) {
    std::vector<std::byte> header;
    append_job_header(header, generation);
    header[8] = std::byte{format};
    store_le(header.data() + job_header_bytes - 4,
             crc32c(Bytes(header).first(job_header_bytes - 4)));
    return header;
}

}  // namespace penstock::node
