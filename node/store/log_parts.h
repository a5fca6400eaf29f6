// What RecordLog is made of inside: writers that wait, groups of records, the segment that is
// written to. For log.cc and log_move.cc alone.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "io/base/units.h"
#include "node/store/log.h"

namespace penstock::node {

constexpr uint32_t page_bytes = segment_page_bytes;
// Kept back in each segment for the marks behind its last record: an orderly stop fills a page
// with them, so that what is written after the next start shares no page with older records.
constexpr uint32_t mark_bytes = page_bytes;

// One writer, in its own frame until its record is done.
struct RecordLog::Waiter {
    Waiter(io::Reactor& reactor, const RecordDraft& from, Durability asked, bool privileged)
        : draft(from), durability(asked), is_privileged(privileged), done(reactor) {}

    const RecordDraft& draft;
    const RecordDraft* second = nullptr;  // of two that are one change
    Durability durability;
    bool is_privileged;
    Status status;
    Prepared prepared;
    Prepared second_prepared;
    io::Event done;
};

// One record of a group.
struct RecordLog::Entry {
    uint32_t offset = 0;  // in the group's buffer
    uint32_t bytes = 0;
    Digest128 digest;
    Version version;
    Place place;
    Waiter* waiter = nullptr;  // null: told already, or nobody asked
    // Of the waiter's change.
    enum class Part : uint8_t { whole, first, second } part = Part::whole;
};

// Records that are written at once.
struct RecordLog::Group {
    // A block that must reach the device after everything else: phase 1 the first blocks of PAX
    // records, phase 2 the header of a segment that takes over another's records.
    struct HeldBack {
        uint32_t offset;
        uint32_t phase;
        std::array<std::byte, block_bytes> block;
    };

    io::Buffer buffer;
    uint32_t bytes = 0;         // of the records
    uint32_t padded_bytes = 0;  // with what follows them up to the end of a page
    uint64_t offset = 0;        // in the segment
    Lsn end = 0;
    std::vector<Entry> entries;
    std::vector<HeldBack> held_back;
    bool wants_sync = false;
    bool is_mark = false;
    bool is_direct = false;  // begins and ends with a page: written past the page cache

    // The buffer for `expected_bytes` of records at `at`.
    void begin(io::BufferPool& buffers, uint64_t at, uint32_t expected_bytes) {
        offset = at;
        buffer = buffers.take(static_cast<uint32_t>(padded_end(expected_bytes) - offset));
    }
    // The last page is written whole, with zeros that lie there anyway: a segment's pages are not
    // in memory at first, and a write of a part of one would wait until the rest was read.
    void pad() {
        padded_bytes = static_cast<uint32_t>(padded_end(bytes) - offset);
        std::ranges::fill(buffer.bytes().subspan(bytes, padded_bytes - bytes), std::byte{0});
    }
    Bytes written() const { return buffer.bytes().first(padded_bytes); }
    bool holds_back(uint32_t phase) const {
        return std::ranges::any_of(held_back,
                                   [phase](const HeldBack& held) { return held.phase == phase; });
    }

private:
    uint64_t padded_end(uint32_t size) const { return round_up(offset + size, page_bytes); }
};

// The segment that is written to.
struct RecordLog::Active {
    uint32_t number = 0;
    uint64_t bytes = 0;
    uint64_t end = 0;  // where the next group goes
    std::unique_ptr<io::File> file;
    std::unique_ptr<io::File> direct_file;  // the same one, past the page cache
    bool is_of_reserve = false;  // made for what gives space back: others may not use it up

    uint64_t room_bytes() const {
        const uint64_t kept = end + end_of_archive_bytes + mark_bytes;
        return bytes > kept ? bytes - kept : 0;
    }
    bool has_room_for(uint32_t more) const { return end + end_of_archive_bytes + more <= bytes; }
    uint32_t bytes_to_page_end() const {
        return static_cast<uint32_t>(round_up(end, page_bytes) - end);
    }
    io::File& file_for(const Group& group) const { return group.is_direct ? *direct_file : *file; }
    Lsn lsn(uint64_t at) const { return lsn_at(number, static_cast<uint32_t>(at / block_bytes)); }
};

}  // namespace penstock::node
