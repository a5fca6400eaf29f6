#include "client/internal/calls.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "io/base/checksum.h"
#include "io/base/checksum_stream.h"
#include "io/http/head_rules.h"

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
    return fail(Errc::invalid, "'" + std::string(text) +
                                   "' is none of unix:PATH, tcp://HOST:PORT, tls://HOST:PORT, "
                                   "http://HOST[:PORT], https://HOST[:PORT]");
}

// "HOST:PORT", whatever HOST is.
Result<io::Address> address_from(std::string_view text, std::string_view whole) {
    if (Result<io::Address> address = io::Address::parse(text)) return address;
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return refuse(whole);
    TRY(const std::string host, numeric_host(std::string(text.substr(0, colon))));
    return io::Address::parse(host + std::string(text.substr(colon)));
}

bool has_port(std::string_view host) {
    const size_t colon = host.rfind(':');
    return colon != std::string_view::npos && !host.substr(colon).contains(']');
}

std::string digest_of(DigestStream::Kind kind, Bytes content) {
    DigestStream stream(kind);
    stream.add(content);
    const DigestStream::Digest digest = stream.finish();
    return hex_from_bytes(Bytes(digest.bytes).first(digest.size));
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text) {
    Endpoint endpoint;
    if (text.starts_with("unix:")) {
        TRY(endpoint.address, io::Address::parse(text));
        return endpoint;
    }
    struct Scheme {
        std::string_view name;
        Protocol protocol;
        bool is_tls;
        std::string_view port;  // where none is given; "": one must be
    };
    constexpr Scheme schemes[] = {{"tcp://", Protocol::rpc, false, ""},
                                  {"tls://", Protocol::rpc, true, ""},
                                  {"http://", Protocol::http, false, ":80"},
                                  {"https://", Protocol::http, true, ":443"}};
    const auto* scheme = std::ranges::find_if(
        schemes, [text](const Scheme& one) { return text.starts_with(one.name); });
    if (scheme == std::end(schemes)) return refuse(text);
    endpoint.protocol = scheme->protocol;
    endpoint.is_tls = scheme->is_tls;
    std::string_view host = text.substr(scheme->name.size());
    if (endpoint.protocol == Protocol::http && host.ends_with('/')) host.remove_suffix(1);
    if (host.empty() || !io::http::is_host(host)) return refuse(text);
    endpoint.host = host;
    const std::string with_port = endpoint.host + std::string(has_port(host) ? "" : scheme->port);
    TRY(endpoint.address, address_from(with_port, text));
    endpoint.host_name = with_port.substr(0, with_port.rfind(':'));
    if (endpoint.host_name.starts_with('[')) {
        endpoint.host_name = endpoint.host_name.substr(1, endpoint.host_name.size() - 2);
    }
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

std::optional<bool> has_content(const ObjectInfo& info, Bytes content) {
    if (info.size_bytes != content.size()) return false;
    const std::string_view type = info.checksum_type;
    std::string value;
    if (type == "crc32c") {
        value = hex_from_u64(crc32c(content), 8);
    } else if (type == "xxhash" || type == "xxhash2") {
        value = hex_from_u64(xxh64(content));
    } else if (type == "md5") {
        value = digest_of(DigestStream::Kind::md5, content);
    } else if (type == "sha256") {
        value = digest_of(DigestStream::Kind::sha256, content);
    } else if (type == "sha512") {
        value = digest_of(DigestStream::Kind::sha512, content);
    } else {
        return std::nullopt;
    }
    return info.checksum_value == value;
}

bool is_content(const ObjectInfo& info, Bytes content) {
    return has_content(info, content).value_or(false);
}

}  // namespace penstock::client
