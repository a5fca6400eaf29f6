// Request and response heads of HTTP/1.1 (RFC 9112), parsed and written.
//
// parse_request_head() applies our own strict rules (io/http/head_rules.h) while it splits the raw
// bytes: folded headers, unknown codings and doubled lengths are the raw material of request
// smuggling. Boost.Beast's parser is the fuzzer's second opinion (tests/fuzz/http_head_fuzz.cc).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock::io::http {

enum class Method : uint8_t { get, head, put, post, del, patch, options, other };

struct Header {
    std::string_view name;   // as sent
    std::string_view value;  // without surrounding blanks
};

// How the body's end is found.
enum class BodyKind : uint8_t { none, length, chunked };

// Views into the bytes it was parsed from; valid as long as those stay in place.
struct RequestHead {
    Method method = Method::other;
    std::string_view method_text;
    std::string_view target;  // as sent: path and query, escapes untouched
    std::string_view path;    // before the '?'
    std::string_view query;   // behind it; empty if there is none
    bool is_http_1_0 = false;
    bool keeps_alive = true;
    bool expects_continue = false;
    BodyKind body_kind = BodyKind::none;
    uint64_t content_length = 0;  // where body_kind is `length`
    std::vector<Header> headers;

    // The first header of this name (any case), or empty; use has() to tell absent from empty.
    std::string_view find(std::string_view name) const;
    bool has(std::string_view name) const;
};

struct HeadLimits {
    uint32_t request_line_bytes_max = 8 << 10;
    uint32_t headers_bytes_max = 64 << 10;
    uint32_t headers_count_max = 256;
};

// What is wrong with a head: the status to answer, after which the connection closes.
struct HeadError {
    uint16_t status;     // 400, 405, 408, 414, 417, 431, 501, 505
    std::string reason;  // one sentence for the client
};

// The size of the complete head at the front of `bytes`, its empty line included; nullopt: more
// bytes are needed. Looks at `bytes` from `scanned` on only, so that a slow head costs linear time.
// A head that is over a limit, complete or not, is an error.
std::expected<std::optional<uint32_t>, HeadError> find_head_end(Bytes bytes, uint32_t scanned,
                                                                const HeadLimits& limits);

// `head` is exactly one head as measured by find_head_end(). Reuses `into`'s memory.
std::expected<void, HeadError> parse_request_head(Bytes head, const HeadLimits& limits,
                                                  RequestHead& into);

// A response head in the making. Headers are appended as text; nothing is checked twice, so names
// are literals of ours and values come through add(), which drops CR, LF and NUL.
class ResponseHead {
public:
    explicit ResponseHead(uint16_t status = 200) : status_(status) {}

    uint16_t status() const { return status_; }
    void set_status(uint16_t status) { status_ = status; }
    void add(std::string_view name, std::string_view value);
    void add(std::string_view name, uint64_t value);
    const std::string& text() const { return text_; }

private:
    uint16_t status_;
    std::string text_;  // "Name: value\r\n" for each
};

// "Not Found" and the like.
std::string_view reason_phrase(uint16_t status);

}  // namespace penstock::io::http
