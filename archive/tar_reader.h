// TarReader: walks a TAR from its front to its end, entry by entry, with the content of each. For
// what comes in as a stream (an import); shards are read by their index instead.
//
// The bytes are foreign: it reads ustar, GNU long names and base-256 sizes, and PAX headers, holds
// at most 1 MiB of an extension, and says `corrupt` with the offset where the bytes stop making
// sense or end before the end mark. Waits for `read`; used by one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "archive/tar_header.h"
#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock::archive {

struct TarItem {
    std::string name;
    std::string comment;  // of a PAX header; "" if there is none
    uint64_t size = 0;    // of the content that follows
    uint64_t modified_s = 0;
    bool is_file = false;  // else a directory, a link, a device
    bool is_directory = false;
    bool is_sparse = false;  // its content is packed: not the file's bytes
};

class TarReader {
public:
    // Fills what it can of the span and says how much, 0 at the end.
    using Read = std::function<Result<size_t>(MutableBytes)>;
    explicit TarReader(Read read);

    // The next entry; nullopt: the end mark. What is left of the last one's content is passed over.
    Result<std::optional<TarItem>> next();
    // Of the entry's content, in order; 0 at its end. `corrupt` if the stream ends first.
    Result<size_t> read(MutableBytes to);
    // Where the next entry's header begins, once the content was read or passed over.
    uint64_t entry_end() const { return content_end_; }

private:
    Result<Bytes> take(size_t count);
    Status fill(size_t count);
    Status skip_to(uint64_t offset);
    Status take_extension(const TarHeader& header, TarItem& item, bool& has_size);
    std::unexpected<Error> damaged(const char* what) const;

    Read read_;
    std::vector<std::byte> buffer_;
    size_t begin_ = 0;  // what was read and not taken yet: [begin_, end_) of the buffer
    size_t end_ = 0;
    bool is_at_end_ = false;
    uint64_t offset_ = 0;  // in the stream, of begin_
    uint64_t content_left_ = 0;
    uint64_t content_end_ = 0;  // with its padding
};

}  // namespace penstock::archive
