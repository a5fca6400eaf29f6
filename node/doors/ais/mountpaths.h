// Mountpaths in AIStore's form (contract, section 4.8): shown, and changed while the node serves.
#pragma once

#include "node/doors/ais/call.h"
#include "node/doors/ais/json.h"

namespace penstock::node::ais {

// available, waiting_dd (objects are being moved away), disabled (also those that failed or are
// missing).
io::Task<OrderedJson> mountpaths_json(Call& call);
// attach-mp, detach-mp, enable-mp, disable-mp, rescan-mp, fshc-mp. A detach is answered when its
// objects are elsewhere; with `dntres=true` at once, and what it holds is given up.
io::Task<Reply> change_mountpaths(Call& call, const Action& action);

}  // namespace penstock::node::ais
