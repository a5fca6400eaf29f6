// HTTP heads: whatever the bytes are, what is found lies inside them, and what we take, Boost.Beast
// takes too, with the same method, target, headers and body length: a second reader's opinion.
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdlib>

#include "io/http/head.h"

namespace {

using penstock::Bytes;
namespace http = penstock::io::http;
namespace beast = boost::beast;

void check(bool holds) {
    if (!holds) std::abort();
}

bool lies_inside(std::string_view part, std::string_view whole) {
    const char* end = whole.data() + whole.size();
    return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= end);
}

void compare_with_beast(const http::RequestHead& head, std::string_view text) {
    if (head.method == http::Method::other) return;  // Beast knows other verbs than we do
    beast::http::request_parser<beast::http::empty_body> parser;
    parser.header_limit(1 << 20);
    parser.skip(true);
    beast::error_code error;
    parser.put(boost::asio::buffer(text.data(), text.size()), error);
    // Beast wants tokens in these two. We take any list, as Go's server does: nothing but whether
    // the connection stays open depends on them.
    if (error == beast::http::error::bad_value &&
        (head.has("Connection") || head.has("Proxy-Connection"))) {
        return;
    }
    check(!error || error == beast::http::error::need_more);
    check(parser.is_header_done());
    const auto& message = parser.get();
    check(std::string_view(message.method_string()) == head.method_text);
    check(std::string_view(message.target()) == head.target);
    check(static_cast<size_t>(std::distance(message.begin(), message.end())) ==
          head.headers.size());
    check(parser.chunked() == (head.body_kind == http::BodyKind::chunked));
    if (head.body_kind == http::BodyKind::length) {
        check(parser.content_length() && *parser.content_length() == head.content_length);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
    const http::HeadLimits limits;
    const auto end = http::find_head_end(bytes, 0, limits);
    // However the bytes are cut, the answer for all of them is the same.
    const uint32_t scanned = size == 0 ? 0 : static_cast<uint32_t>(data[0] % size);
    const auto before = http::find_head_end(bytes.first(scanned), 0, limits);
    if (before && !*before) {
        const auto again = http::find_head_end(bytes, scanned, limits);
        check(again.has_value() == end.has_value() && (!end || *again == *end));
    }
    if (!end || !*end) return 0;

    http::RequestHead head;
    const Bytes head_bytes = bytes.first(**end);
    if (!http::parse_request_head(head_bytes, limits, head)) return 0;
    const std::string_view text = penstock::as_text(head_bytes);
    check(lies_inside(head.path, text) || head.path == "/");
    check(lies_inside(head.query, text) && lies_inside(head.target, text));
    for (const http::Header& header : head.headers) {
        check(lies_inside(header.name, text) && lies_inside(header.value, text));
        check(head.has(header.name));
    }
    compare_with_beast(head, text);
    return 0;
}
