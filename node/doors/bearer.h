// Bearer tokens as HTTP carries them (RFC 6750): who calls, from a request's head.
#pragma once

#include "io/http/head.h"
#include "node/service/access.h"

namespace penstock::node {

// What a 401 says in WWW-Authenticate.
constexpr std::string_view bearer_challenge = "Bearer realm=\"penstock\"";

// The token of `Authorization: Bearer TOKEN`. Two such headers, another scheme, or more than 512
// bytes are no token that is on any list: they are shown as one that is not.
Principal bearer_principal(const io::http::RequestHead& head);

}  // namespace penstock::node
