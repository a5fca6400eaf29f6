#include "node/store/segment_scan.h"

#include <algorithm>

namespace penstock::node {

Result<SegmentScan> scan_segment(io::BlockingDisk& disk, const SealedSegment& segment,
                                 uint32_t from_block, uint64_t step_bytes) {
    // Nobody wants what is left in it: it must not wash out of memory what others use.
    TRY(const auto file, disk.open(segment_path(segment.number), io::OpenMode::read_direct));
    TRY(const uint64_t size_bytes, file->size_bytes());
    SegmentBytes bytes(*file, segment.number, size_bytes);
    const uint64_t step_blocks = std::max<uint64_t>(step_bytes / block_bytes, 1);
    const uint64_t step_end = std::min<uint64_t>(from_block + step_blocks, segment.end_blocks);

    SegmentScan scan;
    scan.next_block = segment.end_blocks;
    bool is_cut = false;
    SegmentVisitor visitor;
    visitor.on_record = [&](const RecordHeader& header, const Place& place) -> Status {
        if (place.offset_blocks >= step_end) {
            scan.next_block = place.offset_blocks;
            is_cut = true;
            return fail(Errc::unavailable, "the step ends here");
        }
        const RecordHead& head = header.head;
        scan.records.push_back({head.kind, head.digest, head.version, place});
        return Status();
    };
    visitor.on_damage = [&](const Damage& damage) {
        scan.damaged_bytes += (damage.to - damage.from) * block_bytes;
    };
    const Status walked =
        walk_segment(bytes, lsn_at(segment.number, from_block),
                     lsn_at(segment.number, segment.end_blocks), std::nullopt, visitor);
    if (!walked && !is_cut) return std::unexpected(walked.error());
    // A file that is shorter than the log says: the rest is lost.
    const uint64_t end_bytes = uint64_t{segment.end_blocks} * block_bytes;
    if (!is_cut && size_bytes < end_bytes) scan.damaged_bytes += end_bytes - size_bytes;
    return scan;
}

}  // namespace penstock::node
