// What the cluster and its nodes look like to AIStore's clients: cluster map, bucket metadata, node
// status, capacity (contract, sections 2.1, 2.2 and 4).
#pragma once

#include "node/doors/ais/json.h"

namespace penstock::node::ais {

enum class Role : uint8_t { gateway, target };

OrderedJson cluster_map_json(const Call& call);
OrderedJson node_json(const Call& call, Role role);  // Snode
OrderedJson bucket_metadata_json(const Call& call);  // BMD
OrderedJson node_state_json(const Call& call);
OrderedJson node_status_json(const Call& call, Role role);
OrderedJson node_stats_json(const Call& call, Role role);
OrderedJson system_json(const Call& call, Role role);
OrderedJson disk_json(const Call& call);
OrderedJson cluster_config_json(const Call& call);
OrderedJson node_config_json(const Call& call, Role role);

// "5.0.penstock-0.1.0": begins with the AIStore release whose API is spoken.
std::string software_version(const NodeIdentity& node);
uint64_t uptime_ns(const Call& call);
// "http://127.0.0.1:51080": where this client reaches this node.
std::string direct_url(const Call& call);

}  // namespace penstock::node::ais
