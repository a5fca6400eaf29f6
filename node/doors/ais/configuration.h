// The cluster's configuration as AIStore's clients read and set it (contract, section 4.6): what
// the API has as defaults, and over it what clients set, kept in the metadata, a key for each
// value.
//
// The groups that buckets have, too (checksum, versioning, chunks, write_policy, ...), are what new
// buckets begin with (node/service/bucket_defaults.h), and go back to by `reset-bprops`. The others
// are kept and given back: this node has nothing that they would govern. Where the node listens,
// whom it lets in and who it is stand in its settings file: setting them is refused.
//
// What is set `transient` holds from now until the node stops, over what is set for good; setting
// the same key for good, or resetting everything, ends it.
#pragma once

#include "node/doors/ais/json.h"

namespace penstock::node::ais {

OrderedJson configuration_json(const Call& call);

// `changes` is a part of the configuration: 400 names a key that is unknown or fixed, or a value
// that is none of its kind; then nothing is changed. 501: it switches on what is not built. The
// query may say `transient=true`.
io::Task<Reply> set_configuration(Call& call, Json changes);
// The same from the query's dotted keys: `log.level=4&space.lowwm=70`.
io::Task<Reply> set_configuration(Call& call);
// Everything as it was before anything was set.
io::Task<Reply> reset_configuration(Call& call);

}  // namespace penstock::node::ais
