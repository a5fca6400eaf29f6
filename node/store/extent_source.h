// ExtentSource: a large object's bytes, verified block by block, as a Source. The next read is on
// its way while the taker is busy with the last one.
#pragma once

#include <memory>
#include <vector>

#include "io/stream.h"
#include "node/store/file_cache.h"
#include "node/store/store.h"

namespace penstock::node {

class Reader;

// A stretch of an open object file whose checksums are loaded.
struct OpenExtent {
    std::shared_ptr<OpenFile> file;
    FileId id;
    uint64_t content_bytes = 0;  // of the file
    uint64_t offset = 0;         // in the file
    uint64_t size = 0;
};

// `reader` and `core` must outlive the source; `size` is that of all extents.
io::Task<Result<std::unique_ptr<io::Source>>> make_extent_source(Reader& reader,
                                                                 const StoreCore& core,
                                                                 std::vector<OpenExtent> extents,
                                                                 uint64_t size);

}  // namespace penstock::node
