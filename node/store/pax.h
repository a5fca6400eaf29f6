// PAX records (POSIX.1-2001): "LENGTH KEYWORD=VALUE\n", where LENGTH counts the whole record in
// decimal, itself too. Values may hold any byte. Only what the log's own records need.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "io/base/bytes.h"

namespace penstock::node {

size_t pax_record_bytes(std::string_view keyword, size_t value_bytes);
// Writes one record at the front of `to` and returns what is left of it.
MutableBytes put_pax_record(MutableBytes to, std::string_view keyword, Bytes value);

// Views into the data; empty where there is none.
struct PaxFields {
    std::string_view path;
    Bytes comment;
};
// Records up to the first NUL or the end; nullopt if they are malformed. Other keywords are passed
// over.
std::optional<PaxFields> parse_pax(Bytes data);

bool is_ascii(std::string_view text);
// Well-formed UTF-8: shortest forms, no surrogates, up to U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace penstock::node
