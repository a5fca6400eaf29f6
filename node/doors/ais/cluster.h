// The cluster, its nodes, their health and settings: /v1/health, /v1/daemon, /v1/reverse/daemon and
// /v1/cluster (contract, section 4). One process is a gateway and a target: clients want at least
// one of each, so it stands in the cluster map twice, under two ids and with one address.
#pragma once

#include <string_view>

#include "node/doors/ais/call.h"

namespace penstock::node::ais {

// `rest` is the path behind the resource's name.
io::Task<Reply> handle_health(Call& call);
io::Task<Reply> handle_daemon(Call& call, std::string_view rest);
io::Task<Reply> handle_reverse(Call& call, std::string_view rest);
io::Task<Reply> handle_cluster(Call& call, std::string_view rest);

}  // namespace penstock::node::ais
