// The verbs that work on a data directory without a server: fsck, export, import.
#pragma once

#include "client/command_line.h"

namespace penstock::client {

Exit run_fsck(const CommandLine& line);
Exit run_export(const CommandLine& line);
Exit run_import(const CommandLine& line);

}  // namespace penstock::client
