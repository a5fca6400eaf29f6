// A pool whose channels have logged in before anybody gets them.
#pragma once

#include <memory>
#include <string>

#include "io/channel.h"

namespace penstock::client::internal {

// `token` empty: `pool` itself. take() then fails with `denied`, too, for a token that the node
// does not know.
std::unique_ptr<io::ChannelPool> make_login_pool(std::unique_ptr<io::ChannelPool> pool,
                                                 std::string token);

}  // namespace penstock::client::internal
