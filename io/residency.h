// Residency: whether a stretch of a file lies in the page cache, so that sending it straight from
// there neither waits for the device nor brings in bytes that nobody has verified.
#pragma once

#include <cstdint>

namespace penstock::io {

// Never waits. What is resident now may be reclaimed at any later time. Any thread.
bool is_resident(int descriptor, uint64_t offset, uint64_t size);

}  // namespace penstock::io
