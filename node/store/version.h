// Version and Lsn: the order of things.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::node {

// The order of an object's versions: (cluster map version, sequence), compared as a pair, given by
// the one core that orders changes to the object. A single node counts with map version 1.
struct Version {
    uint64_t map_version = 0;
    uint64_t sequence = 0;
    auto operator<=>(const Version&) const = default;
    bool is_absent() const { return map_version == 0; }
};

// The ETag: "<map version>-<sequence>" in hexadecimal, with its quotes. The dash tells tools that
// this is no MD5.
std::string etag_from_version(Version version);
// nullopt if `etag` (with or without quotes, not weak) is none of ours.
std::optional<Version> version_from_etag(std::string_view etag);

// Log sequence number: the position of a record in one mountpath's log, from 1.
using Lsn = uint64_t;

}  // namespace penstock::node
