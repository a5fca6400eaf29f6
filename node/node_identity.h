// NodeIdentity: who this process is, as clients are told. Made once by the node before it serves,
// never changed afterwards, so every core reads it without asking anybody.
#pragma once

#include <cstdint>
#include <string>

namespace penstock::node {

struct NodeIdentity {
    std::string node_id;       // 8 of [0-9A-Za-z], kept in the data directory
    std::string cluster_uuid;  // 9 of [0-9A-Za-z], kept in the data directory
    std::string http_address;  // "127.0.0.1:51080": the first address that is served; "" if none
    bool is_https = false;     // there
    std::string rpc_address;   // "127.0.0.1:51081"; "" if there is none
    bool is_rpc_tls = false;   // there
    std::string rpc_socket;    // an absolute path; "" if there is none
    std::string version;       // "0.1.0"
    std::string io_backend;    // "uring" or "epoll": what is in use
    std::string data_path;     // the mountpath's absolute path
    std::string host_name;
    uint64_t started_ns = 0;  // wall clock
    uint32_t pid = 0;
    uint32_t cores = 0;
};

}  // namespace penstock::node
