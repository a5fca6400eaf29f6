#include "client/internal/calls.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "io/base/checksum.h"

namespace penstock::client {
namespace {

constexpr uint64_t backoff_ms_max = 1000;

Result<std::string> numeric_host(const std::string& host) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int failure = ::getaddrinfo(host.c_str(), nullptr, &wanted, &found); failure != 0) {
        return fail(Errc::unavailable, "'" + host + "': " + ::gai_strerror(failure));
    }
    char text[NI_MAXHOST] = "";
    ::getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    const bool is_ipv6 = found->ai_family == AF_INET6;
    ::freeaddrinfo(found);
    return is_ipv6 ? "[" + std::string(text) + "]" : std::string(text);
}

std::unexpected<Error> refuse(std::string_view text) {
    return fail(Errc::invalid,
                "'" + std::string(text) + "' is neither unix:PATH nor tcp://HOST:PORT");
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text) {
    Endpoint endpoint;
    if (text.starts_with("unix:")) {
        TRY(endpoint.address, io::Address::parse(text));
        return endpoint;
    }
    if (text.starts_with("http://")) {
        return fail(Errc::not_implemented, "HTTP is not built yet in this client: use tcp://");
    }
    if (!text.starts_with("tcp://")) return refuse(text);
    const std::string_view rest = text.substr(6);
    if (Result<io::Address> address = io::Address::parse(rest)) {
        endpoint.address = std::move(*address);
        return endpoint;
    }
    const size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return refuse(text);
    TRY(const std::string host, numeric_host(std::string(rest.substr(0, colon))));
    TRY(endpoint.address, io::Address::parse(host + std::string(rest.substr(colon))));
    return endpoint;
}

io::Task<bool> Attempts::wait_for_next() {
    if (++made_ >= std::max(options_.attempts_max, 1U)) co_return false;
    const uint64_t doubled_ms =
        std::min(options_.backoff_ms << std::min(made_ - 1, 10U), backoff_ms_max);
    const uint64_t now = pool_.now_ns();
    // Between one and two halves of it, so that clients that failed together do not come back so.
    const uint64_t wait_ns = doubled_ms * 500'000 + now % (doubled_ms * 500'000 + 1);
    if (now + wait_ns >= deadline_ns_) co_return false;
    co_await pool_.sleep_until(now + wait_ns);
    co_return true;
}

bool is_passing(Errc code) {
    return code == Errc::closed || code == Errc::unavailable || code == Errc::corrupt ||
           code == Errc::io_error;
}

bool is_content(const ObjectInfo& info, Bytes content) {
    if (info.size_bytes != content.size()) return false;
    if (info.checksum_type == "crc32c") {
        return info.checksum_value == hex_from_u64(crc32c(content), 8);
    }
    if (info.checksum_type == "xxhash" || info.checksum_type == "xxhash2") {
        return info.checksum_value == hex_from_u64(xxh64(content));
    }
    return false;
}

}  // namespace penstock::client
