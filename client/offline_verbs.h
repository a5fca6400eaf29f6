// The verbs that need no server: fsck, export, import of a data directory; token new.
#pragma once

#include "client/command_line.h"

namespace penstock::client {

Exit run_fsck(const CommandLine& line);
Exit run_export(const CommandLine& line);
Exit run_import(const CommandLine& line);
// The token alone on standard output, {"token"} with --json.
Exit run_token_new(const CommandLine& line);

}  // namespace penstock::client
