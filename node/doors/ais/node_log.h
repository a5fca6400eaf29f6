// The node's log as AIStore's clients read it (contract, section 4.5): the last lines of it as
// text, or all that is kept as a .tar.gz. The whole of it is in the service's journal, where
// standard error goes.
#pragma once

#include "node/doors/ais/call.h"

namespace penstock::node::ais {

// `severity`, `offset`, `all` in the query.
Reply log_of(const Call& call);
// What is written from now on is told apart from what was before.
void rotate_log(const Call& call);

}  // namespace penstock::node::ais
