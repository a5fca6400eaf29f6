#include "io/http/reply_head.h"

#include <utility>

#include "io/http/head_rules.h"

namespace penstock::io::http {
namespace {

std::unexpected<Error> refuse(const char* what) {
    return fail(Errc::corrupt, std::string("the answer is no HTTP/1.1: ") + what);
}

// "HTTP/1.1 200 OK"; the phrase may be missing.
Status parse_status_line(std::string_view line, ReplyHead& head) {
    constexpr std::string_view version = "HTTP/1.1 ";
    constexpr size_t digits = 3;
    if (!line.starts_with(version)) return refuse("its first line");
    line.remove_prefix(version.size());
    const auto status = decimal_from(line.substr(0, digits));
    if (!status || *status < 100 || *status > 599) return refuse("its status");
    if (line.size() < digits || (line.size() > digits && line[digits] != ' ')) {
        return refuse("its first line");
    }
    if (!is_field_value(line)) return refuse("its first line");
    head.status = static_cast<uint16_t>(*status);
    return {};
}

// What a header says about where the body ends, and about the connection.
Status note_header(const Header& header, ReplyHead& head) {
    if (equals_ignoring_case(header.name, "connection")) {
        if (list_has(header.value, "close")) head.keeps_alive = false;
        return {};
    }
    const bool is_length = equals_ignoring_case(header.name, "content-length");
    const bool is_coding = equals_ignoring_case(header.name, "transfer-encoding");
    if (!is_length && !is_coding) return {};
    if (head.body_kind != BodyKind::none) return refuse("its length is given twice");
    if (is_coding) {
        if (!equals_ignoring_case(header.value, "chunked")) return refuse("its coding");
        head.body_kind = BodyKind::chunked;
        return {};
    }
    const auto length = decimal_from(header.value);
    if (!length) return refuse("its Content-Length");
    head.body_kind = BodyKind::length;
    head.content_length = *length;
    return {};
}

}  // namespace

std::string_view ReplyHead::find(std::string_view lower_name) const {
    for (const Header& header : headers) {
        if (equals_ignoring_case(header.name, lower_name)) return header.value;
    }
    return {};
}

Status parse_reply_head(Bytes bytes, const HeadLimits& limits, ReplyHead& into) {
    std::vector<Header> headers = std::move(into.headers);
    headers.clear();
    into = ReplyHead();
    into.headers = std::move(headers);

    std::string_view text = as_text(bytes);
    for (bool is_first = true;; is_first = false) {
        const size_t end = text.find("\r\n");
        if (end == std::string_view::npos) return refuse("a line without an end");
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end + 2);
        if (is_first) {
            TRY_STATUS(parse_status_line(line, into));
            continue;
        }
        if (line.empty()) break;
        const size_t colon = line.find(':');
        if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
            return refuse("a header");
        }
        const Header header{line.substr(0, colon), trim(line.substr(colon + 1))};
        if (!is_field_value(header.value)) return refuse("a header's value");
        if (into.headers.size() == limits.headers_count_max) return refuse("too many headers");
        TRY_STATUS(note_header(header, into));
        into.headers.push_back(header);
    }
    return text.empty() ? Status() : refuse("its head has a second end");
}

}  // namespace penstock::io::http
