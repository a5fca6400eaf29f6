// The bytes of a catalogue: keys and values of its entries, and the value that says where it
// stands. Pure functions; parsing stays inside whatever bytes it is given.
//
// key of an entry      u64 bucket id, big-endian, so that bytes sort as numbers; then the name
// value of an entry    u32 widths, then the numbers below, little-endian, each in as few bytes as
//                      it needs: a value has about 17 bytes, because a scan at the start reads all
//                      of them. Widths: 4 bits each, from the lowest on, for segment, offset,
//                      record blocks, display version, map version, sequence, size; bit 28: has an
//                      attachment; bits 29-31 are zero
// key of the state     one zero byte: shorter than any entry's, before all of them
// value of the state   u32 format (1), u32 zero, u64 log position, u64 count
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "node/store/catalogue.h"

namespace penstock::node {

constexpr size_t catalogue_key_prefix_bytes = 8;
// A key without a name is no entry's: the lower bound of its bucket.
std::string catalogue_key(BucketId bucket, std::string_view name);

constexpr size_t catalogue_value_bytes_max = 4 + 4 * 4 + 3 * 8;
struct CatalogueValue {
    std::array<std::byte, catalogue_value_bytes_max> bytes;
    size_t size = 0;
    std::string_view text() const { return as_text(Bytes(bytes).first(size)); }
};
CatalogueValue encode_catalogue_value(const CatalogueChange& change);
// nullopt: not the key and value of an entry. The name is a view into the key.
std::optional<Catalogue::Entry> parse_catalogue_entry(std::string_view key, std::string_view value);

struct CatalogueState {
    Lsn position = 0;
    uint64_t count = 0;
};
constexpr std::string_view catalogue_state_key{"\0", 1};
std::string encode_catalogue_state(const CatalogueState& state);
std::optional<CatalogueState> parse_catalogue_state(std::string_view value);

}  // namespace penstock::node
