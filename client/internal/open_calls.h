// OpenCalls: what both forms of the client hold: the calls of one address on their pool.
#pragma once

#include <memory>

#include "client/internal/calls.h"
#include "client/internal/login_pool.h"
#include "io/http/head_rules.h"

namespace penstock::client::internal {

struct OpenCalls {
    std::unique_ptr<io::ChannelPool> pool;
    std::unique_ptr<Calls> calls;

    // `plain` is the endpoint's. Over MessagePack-RPC each channel shows the token, over HTTP each
    // request does.
    // `invalid` for a token that no header can carry.
    Status open(std::unique_ptr<io::ChannelPool> plain, const Endpoint& endpoint,
                const Options& options) {
        if (endpoint.protocol == Endpoint::Protocol::http) {
            if (!io::http::is_field_value(options.token)) {
                return fail(Errc::invalid, "the token has characters that no token has");
            }
            pool = std::move(plain);
            calls = make_http_calls(*pool, options, endpoint.host);
            return {};
        }
        pool = make_login_pool(std::move(plain), options.token);
        calls = make_rpc_calls(*pool, options, endpoint.address.is_unix());
        return {};
    }
};

}  // namespace penstock::client::internal
