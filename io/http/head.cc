#include "io/http/head.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <iterator>

#include "io/base/assert.h"
#include "io/http/head_rules.h"

namespace penstock::io::http {
namespace {

std::unexpected<HeadError> refuse(uint16_t status, std::string reason) {
    return std::unexpected(HeadError{status, std::move(reason)});
}

struct MethodName {
    std::string_view text;
    Method method;
};
constexpr MethodName methods[] = {
    {"GET", Method::get},         {"HEAD", Method::head},  {"PUT", Method::put},
    {"POST", Method::post},       {"DELETE", Method::del}, {"PATCH", Method::patch},
    {"OPTIONS", Method::options},
};

Method method_from(std::string_view text) {
    for (const MethodName& name : methods) {
        if (name.text == text) return name.method;
    }
    return Method::other;
}

// The size of "http://host:port" at the front of `target`; 0 if it is no absolute form that may
// stand there: an authority with a user in it, or none at all, is refused with the rest.
size_t authority_end(std::string_view target) {
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (!equals_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
        const size_t end = std::min(target.find_first_of("/?#", scheme.size()), target.size());
        const std::string_view authority = target.substr(scheme.size(), end - scheme.size());
        return !authority.empty() && is_host(authority) ? end : 0;
    }
    return 0;
}

// Splits the target into path and query. "http://host/path" is as good as "/path".
bool split_target(RequestHead& head) {
    std::string_view target = head.target;
    if (target == "*") {
        head.path = target;
        return head.method == Method::options;
    }
    if (target.contains('#')) return false;
    if (target.front() != '/') {
        const size_t end = authority_end(target);
        if (end == 0) return false;
        target.remove_prefix(end);
        // An authority alone means the root.
        if (!target.starts_with('/')) {
            head.path = "/";
            head.query = target.empty() ? target : target.substr(1);
            return true;
        }
    }
    const size_t question = target.find('?');
    head.path = target.substr(0, question);
    head.query =
        question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
    return true;
}

std::expected<void, HeadError> parse_request_line(std::string_view line, RequestHead& head) {
    const size_t first = line.find(' ');
    const size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) {
        return refuse(400, "the request line is not METHOD TARGET HTTP/1.1");
    }
    head.method_text = line.substr(0, first);
    head.target = line.substr(first + 1, last - first - 1);
    const std::string_view version = line.substr(last + 1);
    if (head.method_text == "PRI" && version == "HTTP/2.0") {
        return refuse(505, "HTTP/2 is not spoken here");
    }
    if (!is_token(head.method_text)) return refuse(400, "the method is malformed");
    if (!is_target(head.target)) return refuse(400, "the request target is malformed");
    if (version == "HTTP/1.0") {
        head.is_http_1_0 = true;
    } else if (version != "HTTP/1.1") {
        const bool is_other_version = version.size() == 8 && version.starts_with("HTTP/");
        return refuse(is_other_version ? 505 : 400, "the version is not HTTP/1.1");
    }
    head.method = method_from(head.method_text);
    if (!split_target(head)) return refuse(400, "the request target is no absolute path");
    return {};
}

// What the headers that rule the connection say; each may occur once.
struct Framing {
    uint32_t host_count = 0;
    uint32_t length_count = 0;
    uint32_t coding_count = 0;
    bool says_close = false;
    bool says_keep_alive = false;
};

std::expected<void, HeadError> note_header(const Header& header, RequestHead& head,
                                           Framing& framing) {
    // By length first: most headers are none of these.
    switch (header.name.size()) {
        case 4:
            if (!equals_ignoring_case(header.name, "host")) break;
            ++framing.host_count;
            if (!is_host(header.value)) return refuse(400, "Host is malformed");
            break;
        case 6:
            if (!equals_ignoring_case(header.name, "expect")) break;
            if (!equals_ignoring_case(header.value, "100-continue")) {
                return refuse(417, "only Expect: 100-continue is understood");
            }
            head.expects_continue = true;
            break;
        case 10:
            if (!equals_ignoring_case(header.name, "connection")) break;
            framing.says_close = framing.says_close || list_has(header.value, "close");
            framing.says_keep_alive =
                framing.says_keep_alive || list_has(header.value, "keep-alive");
            break;
        case 14: {
            if (!equals_ignoring_case(header.name, "content-length")) break;
            ++framing.length_count;
            const std::optional<uint64_t> length = decimal_from(header.value);
            if (!length) return refuse(400, "Content-Length is not a number");
            head.content_length = *length;
            break;
        }
        case 17:
            if (!equals_ignoring_case(header.name, "transfer-encoding")) break;
            ++framing.coding_count;
            if (!equals_ignoring_case(header.value, "chunked")) {
                return refuse(400, "the only Transfer-Encoding understood is chunked");
            }
            break;
        default:
            break;
    }
    return {};
}

std::expected<void, HeadError> apply_framing(const Framing& framing, RequestHead& head) {
    if (framing.host_count > 1 || (framing.host_count == 0 && !head.is_http_1_0)) {
        return refuse(400, "there must be one Host header");
    }
    if (framing.length_count > 1 || framing.coding_count > 1 ||
        (framing.length_count == 1 && framing.coding_count == 1)) {
        return refuse(400, "the body's length is given twice");
    }
    if (framing.coding_count == 1 && head.is_http_1_0) {
        return refuse(400, "HTTP/1.0 has no Transfer-Encoding");
    }
    if (framing.coding_count == 1) {
        head.body_kind = BodyKind::chunked;
    } else if (framing.length_count == 1) {
        head.body_kind = BodyKind::length;
    }
    head.keeps_alive =
        head.is_http_1_0 ? framing.says_keep_alive && !framing.says_close : !framing.says_close;
    if (head.is_http_1_0) head.expects_continue = false;
    return {};
}

}  // namespace

std::string_view RequestHead::find(std::string_view name) const {
    for (const Header& header : headers) {
        if (header.name.size() != name.size()) continue;
        const bool is_equal =
            std::equal(name.begin(), name.end(), header.name.begin(), [](char left, char right) {
                const auto lower = [](char c) {
                    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
                };
                return lower(left) == lower(right);
            });
        if (is_equal) return header.value;
    }
    return {};
}

bool RequestHead::has(std::string_view name) const {
    return find(name).data() != nullptr;
}

std::expected<std::optional<uint32_t>, HeadError> find_head_end(Bytes bytes, uint32_t scanned,
                                                                const HeadLimits& limits) {
    const std::string_view text = as_text(bytes);
    // Of what was looked at before only the last bytes matter: an end may begin in them.
    size_t from = scanned < 3 ? 0 : scanned - 3;
    for (;;) {
        const size_t at = text.find('\n', from);
        if (at == std::string_view::npos) break;
        if (at == 0 || text[at - 1] != '\r') return refuse(400, "a line ends without CR");
        if (at == 1) return refuse(400, "the request begins with an empty line");
        if (at >= 3 && text[at - 2] == '\n') {
            return std::optional(static_cast<uint32_t>(at + 1));
        }
        from = at + 1;
    }
    const size_t line_end = text.find('\n');
    if (line_end > limits.request_line_bytes_max && text.size() > limits.request_line_bytes_max) {
        return refuse(414, "the request line is longer than " +
                               std::to_string(limits.request_line_bytes_max) + " bytes");
    }
    if (text.size() > uint64_t{limits.request_line_bytes_max} + limits.headers_bytes_max) {
        return refuse(431, "the headers are longer than " +
                               std::to_string(limits.headers_bytes_max) + " bytes");
    }
    return std::nullopt;
}

std::expected<void, HeadError> parse_request_head(Bytes bytes, const HeadLimits& limits,
                                                  RequestHead& into) {
    std::vector<Header> headers = std::move(into.headers);
    headers.clear();
    into = RequestHead();
    into.headers = std::move(headers);

    std::string_view text = as_text(bytes);
    const size_t line_end = text.find("\r\n");
    if (line_end == std::string_view::npos) return refuse(400, "the request has no end");
    if (line_end > limits.request_line_bytes_max) {
        return refuse(414, "the request line is longer than " +
                               std::to_string(limits.request_line_bytes_max) + " bytes");
    }
    const auto line = parse_request_line(text.substr(0, line_end), into);
    if (!line) return line;
    text.remove_prefix(line_end + 2);
    if (text.size() > uint64_t{limits.headers_bytes_max} + 2) {
        return refuse(431, "the headers are longer than " +
                               std::to_string(limits.headers_bytes_max) + " bytes");
    }

    Framing framing;
    for (;;) {
        const size_t end = text.find("\r\n");
        if (end == std::string_view::npos) return refuse(400, "a header has no end");
        if (end == 0) break;
        const std::string_view field = text.substr(0, end);
        text.remove_prefix(end + 2);
        if (into.headers.size() == limits.headers_count_max) {
            return refuse(431, "there are more than " + std::to_string(limits.headers_count_max) +
                                   " headers");
        }
        // A folded line begins with a blank, and a blank is no token: refused here, as is a blank
        // before the colon.
        const size_t colon = field.find(':');
        if (colon == std::string_view::npos || !is_token(field.substr(0, colon))) {
            return refuse(400, "a header is malformed");
        }
        const Header header{field.substr(0, colon), trim(field.substr(colon + 1))};
        if (!is_field_value(header.value)) return refuse(400, "a header's value is malformed");
        const auto noted = note_header(header, into, framing);
        if (!noted) return noted;
        into.headers.push_back(header);
    }
    if (text.size() != 2) return refuse(400, "the head has a second end");
    return apply_framing(framing, into);
}

void ResponseHead::add(std::string_view name, std::string_view value) {
    constexpr size_t usual_bytes = 512;  // one allocation for what a response usually says
    if (text_.empty()) text_.reserve(usual_bytes);
    const auto ends_a_line = [](char character) {
        return character == '\r' || character == '\n' || character == '\0';
    };
    // Without a branch for each character: the compiler looks at 16 at once.
    bool is_clean = true;
    for (const char character : value) is_clean &= !ends_a_line(character);
    text_.append(name).append(": ");
    if (is_clean) {
        text_.append(value);
    } else {
        std::ranges::remove_copy_if(value, std::back_inserter(text_), ends_a_line);
    }
    text_.append("\r\n");
}

void ResponseHead::add(std::string_view name, uint64_t value) {
    std::array<char, 20> digits;
    const auto [end, error] = std::to_chars(digits.begin(), digits.end(), value);
    ASSERT(error == std::errc());
    add(name, std::string_view(digits.begin(), end));
}

std::string_view reason_phrase(uint16_t status) {
    struct Phrase {
        uint16_t status;
        std::string_view text;
    };
    static constexpr Phrase phrases[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (const Phrase& phrase : phrases) {
        if (phrase.status == status) return phrase.text;
    }
    return "Unknown";
}

}  // namespace penstock::io::http
