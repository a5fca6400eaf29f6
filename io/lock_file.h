// lock_file: a file that says that a directory is in use, and by whom.
#pragma once

#include <memory>
#include <string>

#include "io/base/result.h"
#include "io/blocking_disk.h"

namespace penstock::io {

// Makes the file if it is missing and writes this process's number into it. The directory is ours
// while the file is open, whatever becomes of the process. `unavailable` if another one has it: the
// text names its number.
Result<std::unique_ptr<BlockingFile>> lock_file(BlockingDisk& disk, const std::string& path);

}  // namespace penstock::io
