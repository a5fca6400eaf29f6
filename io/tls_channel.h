// TLS on a client's channels (io/channel.h): whom a client believes, and a pool whose channels have
// proved who they are before anybody gets them. The server's side is io/tls.h.
//
// Certificates are always verified: against the authorities, for the name or address that was
// asked for, and for their dates. TLS 1.2 and 1.3. Works with both kinds of pools; what belongs to
// whom and to which thread is as with the pool below.
#pragma once

#include <memory>
#include <string>

#include "io/channel.h"

namespace penstock::io {

// The authorities that are believed. Immutable; shared by pools and threads.
class TlsTrust {
public:
    // A PEM file with their certificates, or a server's own; "": those of the system. `invalid`
    // with a sentence that names the file.
    static Result<std::shared_ptr<const TlsTrust>> load(const std::string& ca_file);
    ~TlsTrust();
    TlsTrust(const TlsTrust&) = delete;

private:
    friend class TlsChannel;
    struct State;
    TlsTrust();
    std::unique_ptr<State> state_;
};

// `host`: the name or address that the server's certificate must be for. `speaks_http`: that is
// what it is told to speak (ALPN). take() then fails with `denied`, too, for a server that does not
// prove who it is, and with `closed` for one that speaks no TLS.
std::unique_ptr<ChannelPool> make_tls_pool(std::unique_ptr<ChannelPool> pool,
                                           std::shared_ptr<const TlsTrust> trust, std::string host,
                                           bool speaks_http);

}  // namespace penstock::io
