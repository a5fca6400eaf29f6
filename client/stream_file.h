// StreamFile: the file, or the standard stream, that a TAR goes to or comes from.
#pragma once

#include <string>

#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock::client {

class StreamFile {
public:
    StreamFile() = default;
    ~StreamFile();
    StreamFile(const StreamFile&) = delete;
    StreamFile& operator=(const StreamFile&) = delete;

    // "-" is standard input or output. `exists` for an output that is there and not empty, unless
    // `may_exist`; `not_found` for an input that is not.
    Status open_input(const std::string& path);
    Status open_output(const std::string& path, bool may_exist);

    Result<size_t> read(MutableBytes to);  // 0: the end
    Status write(Bytes bytes);
    // Of an output: everything behind is cut off (or added as zeros), and writing goes on there.
    Status go_on_at(uint64_t offset);
    // What was written survives a power cut, if it is a file.
    Status finish();

private:
    std::string path_;
    int descriptor_ = -1;
    bool is_standard_ = false;
};

}  // namespace penstock::client
