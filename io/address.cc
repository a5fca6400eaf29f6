#include <arpa/inet.h>
#include <sys/un.h>

#include <charconv>

#include "io/kernel.h"

namespace penstock::io {
namespace {

constexpr std::string_view unix_prefix = "unix:";

std::string_view host_of(std::string_view text) {
    const std::string_view host = text.substr(0, text.rfind(':'));
    return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

bool is_numeric_host(const std::string& host, bool is_bracketed) {
    in6_addr address{};
    return inet_pton(is_bracketed ? AF_INET6 : AF_INET, host.c_str(), &address) == 1;
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
    if (text.starts_with(unix_prefix)) {
        const std::string_view path = text.substr(unix_prefix.size());
        if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
            return fail(Errc::invalid, "'" + std::string(text) + "': a socket's path has 1 to " +
                                           std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                                           " bytes");
        }
        return Address{std::string(text)};
    }
    const size_t colon = text.rfind(':');
    const auto refuse = [&] {
        return fail(Errc::invalid, "'" + std::string(text) +
                                       "' is no ADDR:PORT such as 127.0.0.1:51080 or [::1]:51080");
    };
    if (colon == std::string_view::npos || colon == 0) return refuse();
    uint16_t port = 0;
    const std::string_view digits = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size()) return refuse();
    const bool is_bracketed = text.front() == '[';
    if (is_bracketed && text[colon - 1] != ']') return refuse();
    std::string host(host_of(text));
    if (host == "localhost") host = "127.0.0.1";
    if (!is_numeric_host(host, is_bracketed)) return refuse();
    return Address{(is_bracketed ? "[" + host + "]" : host) + ":" + std::to_string(port)};
}

bool Address::is_loopback() const {
    if (is_unix()) return true;
    const std::string_view host = host_of(text);
    return host == "::1" || host.starts_with("127.");
}

uint16_t Address::port() const {
    if (is_unix()) return 0;
    uint16_t port = 0;
    const char* digits = text.data() + text.rfind(':') + 1;
    std::from_chars(digits, text.data() + text.size(), port);
    return port;
}

Address Address::with_port(uint16_t port) const {
    ASSERT(!is_unix());
    return Address{text.substr(0, text.rfind(':') + 1) + std::to_string(port)};
}

}  // namespace penstock::io
