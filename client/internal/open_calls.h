// OpenCalls: what both forms of the client hold: the calls of one address on their pool.
#pragma once

#include <memory>

#include "client/internal/calls.h"
#include "client/internal/login_pool.h"
#include "io/http/head_rules.h"
#include "io/tls_channel.h"

namespace penstock::client::internal {

struct OpenCalls {
    std::unique_ptr<io::ChannelPool> pool;
    std::unique_ptr<Calls> calls;

    // `plain` is the endpoint's. Over MessagePack-RPC each channel shows the token, over HTTP each
    // request does. `invalid` for a token that no header can carry, and for a ca_file that is none.
    Status open(std::unique_ptr<io::ChannelPool> plain, const Endpoint& endpoint,
                const Options& options) {
        const bool is_http = endpoint.protocol == Endpoint::Protocol::http;
        pool = std::move(plain);
        if (endpoint.is_tls) {
            TRY(std::shared_ptr<const io::TlsTrust> trust, io::TlsTrust::load(options.ca_file));
            pool =
                io::make_tls_pool(std::move(pool), std::move(trust), endpoint.host_name, is_http);
        }
        if (is_http) {
            if (!io::http::is_field_value(options.token)) {
                return fail(Errc::invalid, "the token has characters that no token has");
            }
            calls = make_http_calls(*pool, options, endpoint);
            return {};
        }
        pool = make_login_pool(std::move(pool), options.token);
        calls = make_rpc_calls(*pool, options, endpoint.address.is_unix());
        return {};
    }
};

}  // namespace penstock::client::internal
