// The path of a Unix socket outlives the process that listened there. Blocking calls, for a start
// and a stop; any thread.
#pragma once

#include <string>

#include "io/base/result.h"

namespace penstock::io {

// Afterwards nothing lies at `path`, and a socket can be bound there: a socket that nobody listens
// at any more is removed. `exists` if somebody listens there, or it is something else.
Status make_socket_path_free(const std::string& path);

// Removes the socket at `path`, and nothing else than a socket.
void remove_socket_path(const std::string& path);

}  // namespace penstock::io
