// Quarantine: what cannot be read any more and would be in the way of compaction: the bytes of each
// damaged record, in a file of its own, and a report of what it was. Nothing reads them again but
// people: the last copy of something is never thrown away unasked.
//
//     quarantine/SEGMENT-BLOCK.record    the damaged bytes as they lay in log/SEGMENT.tar
//     quarantine/SEGMENT.tar             a freed segment that had damage of unknown names
//     quarantine/report.jsonl            one line of JSON each: when, bucket, object, where, how
//     much
//
// Both may be moved away or deleted at any time. Belongs to the mountpath's home core.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/disk.h"
#include "node/store/object_name.h"
#include "node/store/place.h"

namespace penstock::node {

constexpr const char* quarantine_directory = "quarantine";
// So much may lie there: then damaged records stay where they are, and keep their segments.
constexpr uint64_t quarantine_bytes_max = 256 << 20;

struct QuarantineEntry {
    BucketId bucket;
    std::string object;
    Place place;
    uint64_t content_bytes = 0;
    uint64_t found_ns = 0;  // wall clock
};

class Quarantine {
public:
    explicit Quarantine(io::Disk& disk) : disk_(disk) {}

    // The bytes at `entry.place` are kept and reported, both durable. `full` at the limit.
    io::Task<Status> keep(QuarantineEntry entry);

    // A segment in which something is damaged and nobody can say what it was, and which is to be
    // freed: its file moves here. Durable once log/ is synced.
    io::Task<Status> keep_segment(uint32_t number, uint64_t file_bytes, uint64_t found_ns);

private:
    Status keep_segment_now(uint32_t number, uint64_t file_bytes, uint64_t found_ns);
    Status report(const std::string& line);
    Status keep_now(const QuarantineEntry& entry);
    Status open_directory();
    Status write_record(const QuarantineEntry& entry, const std::string& path);
    Status write_report(const QuarantineEntry& entry, const std::string& path);

    io::Disk& disk_;
    std::optional<uint64_t> kept_bytes_;  // known from the first one on
};

}  // namespace penstock::node
