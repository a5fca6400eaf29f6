// TarHeader: one 512-byte TAR block, understood. It knows every dialect's fields and nothing of
// what lies between headers; tar_scanner.h strings them together. Pure functions, for any core.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/base/bytes.h"

namespace penstock::archive {

constexpr size_t tar_block_bytes = 512;

// Larger numbers are refused, so that sums of two never overflow.
constexpr uint64_t tar_number_max = (uint64_t{1} << 62) - 1;

// Octal text (blanks in front, NUL or blank behind; an empty field is 0) or GNU's base-256.
// nullopt: neither, negative, or above the largest.
std::optional<uint64_t> parse_tar_number(Bytes field);

bool is_zero_block(Bytes block);
// The sum of the block's bytes, its own field taken as blanks; some old writers added up signed
// characters, so that either sum is right.
bool has_tar_checksum(Bytes block);

// The fields that indexing needs. Views point into the block.
struct TarHeader {
    char type = '\0';
    uint64_t size = 0;
    std::string_view name;
    std::string_view prefix;  // ustar and star alone
    // GNU's old sparse files: more blocks of the map follow the header.
    bool has_sparse_blocks = false;

    // Replaces `path` by prefix, "/" and name.
    void path_into(std::string& path) const;
};
// nullopt: the checksum or a number is wrong.
std::optional<TarHeader> parse_tar_header(Bytes block);
// Of a block of an old sparse map that follows the header: does another one follow it?
bool has_next_sparse_block(Bytes block);

// What a PAX header ('x', 'g', Sun's 'X') says that indexing needs. An empty value takes back what
// a global header said, and is kept as such.
struct PaxValues {
    std::optional<std::string> path;
    std::optional<uint64_t> size;
    std::optional<std::string> comment;
    bool takes_size_back = false;
    bool is_sparse = false;  // any GNU.sparse.* record
};
// nullopt: not a sequence of "LENGTH KEYWORD=VALUE\n", or a size that is no number.
std::optional<PaxValues> parse_pax_values(Bytes content);

}  // namespace penstock::archive
