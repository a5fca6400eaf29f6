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

// A stretch of an object file.
struct OpenExtent {
    std::shared_ptr<OpenFile> file;  // its checksums loaded; null: it is opened when it is read
    FileId id;
    uint64_t content_bytes = 0;  // of the file
    uint64_t offset = 0;         // in the file
    uint64_t size = 0;
    Extent extent;  // for opening it
};

// `reader` and `core` must outlive the source; `size` is that of all extents, of which the first is
// open. `pin` is kept as long as the source is there: what keeps the files from being removed.
io::Task<Result<std::unique_ptr<io::Source>>> make_extent_source(Reader& reader,
                                                                 const StoreCore& core,
                                                                 std::vector<OpenExtent> extents,
                                                                 uint64_t size,
                                                                 std::shared_ptr<void> pin);

}  // namespace penstock::node
