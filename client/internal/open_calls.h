// OpenCalls: what both forms of the client hold: the calls of one address on their pool.
#pragma once

#include <memory>

#include "client/internal/calls.h"

namespace penstock::client::internal {

struct OpenCalls {
    std::unique_ptr<io::ChannelPool> pool;
    std::unique_ptr<Calls> calls;
};

inline std::unique_ptr<Calls> make_calls(io::ChannelPool& pool, const Endpoint& endpoint,
                                         const Options& options) {
    return make_rpc_calls(pool, options, endpoint.address.is_unix());
}

}  // namespace penstock::client::internal
