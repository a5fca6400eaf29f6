// ListRequest: what a client asks of a listing (contract, section 6).
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "node/doors/ais/json.h"

namespace penstock::node::ais {

// Bits of `flags` (contract, section 19.6) that mean something here.
enum ListFlag : uint64_t {
    flag_cached = 1,
    flag_archive_dir = 8,
    flag_name_only = 16,
    flag_name_size = 32,
    flag_not_cached = 512,
    flag_no_recursion = 2048,
    flag_inventory = 32768,
};

// Columns of an entry.
struct ListColumns {
    bool has_size = false;
    bool has_checksum = false;
    bool has_atime = false;
    bool has_version = false;
    bool has_custom = false;
    bool has_location = false;
    bool has_copies = false;
    bool has_chunked = false;  // no column: a flag of the entry
    bool operator==(const ListColumns&) const = default;

    // Whether an entry cannot be made from the catalogue alone.
    bool needs_attributes() const {
        return has_checksum || has_atime || has_version || has_custom || has_chunked;
    }
};

struct ListRequest {
    static constexpr uint32_t page_entries_max = 10'000;

    std::string prefix;
    std::string uuid;   // "" on the first page
    std::string after;  // exclusive lower bound
    uint32_t limit = page_entries_max;
    uint64_t flags = 0;
    ListColumns columns;
    std::string time_format;
};

std::expected<ListRequest, ApiError> list_request_from(const Json& value);

// A token is the last name of the page, which clients may also make themselves. A name that is no
// UTF-8 would not survive JSON: it travels as NUL and its bytes in hexadecimal (no name has a NUL).
std::string token_from_name(std::string_view name);
std::string name_from_token(std::string_view token);

}  // namespace penstock::node::ais
