// gzip: bytes that we made as one gzip stream (RFC 1952), compressed in one go: for answers of a
// few hundred kilobytes. A pure function, for any core.
#pragma once

#include <vector>

#include "io/base/bytes.h"

namespace penstock::archive {

// Of at most gzip_bytes_max bytes.
constexpr size_t gzip_bytes_max = 4 << 20;
std::vector<std::byte> gzip(Bytes content);

}  // namespace penstock::archive
