// The Range header (RFC 9110, section 14) as the contract's section 7.1 wants it read.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace penstock::io::http {

struct ByteRange {
    uint64_t offset = 0;
    uint64_t size = 0;
    bool operator==(const ByteRange&) const = default;
};

// The one range that `value` ("bytes=5-9", "bytes=5-", "bytes=-9") selects of `total_bytes` bytes,
// its end clipped. A sentence for the client if it selects nothing: not in these three forms, more
// than one range, begins at or behind the end, ends before it begins, "-0". (416)
std::expected<ByteRange, std::string> parse_range(std::string_view value, uint64_t total_bytes);

}  // namespace penstock::io::http
