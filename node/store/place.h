// Place: where the current record of an object lies in the log of its mountpath.
#pragma once

#include <cstdint>

#include "node/store/version.h"

namespace penstock::node {

// Records begin at multiples of 512 bytes (TAR blocks), and a segment has at most 256 MiB.
struct Place {
    uint32_t segment = 0;        // the segment's number, from 1; 0: no place
    uint32_t offset_blocks = 0;  // of the record's first header, in blocks of 512 bytes
    uint32_t record_blocks = 0;  // headers, content and padding
    uint32_t display_version =
        0;  // AIStore's counter, saturating: an overwrite needs no read for it

    // Set in record_blocks if the content lies in files of its own and the record only says where:
    // who replaces such an object has files to remove.
    static constexpr uint32_t in_files_bit = 1U << 31;

    // Set, too, if those files are other objects' (stripe.h), which count for themselves.
    static constexpr uint32_t is_striped_bit = 1U << 30;

    uint64_t offset_bytes() const { return uint64_t{offset_blocks} * 512; }
    uint64_t record_bytes() const {
        return uint64_t{record_blocks & ~(in_files_bit | is_striped_bit)} * 512;
    }
    bool is_in_files() const { return (record_blocks & in_files_bit) != 0; }
    bool is_striped() const { return (record_blocks & is_striped_bit) != 0; }
    bool operator==(const Place&) const = default;
};
static_assert(sizeof(Place) == 16);

}  // namespace penstock::node
