#include "io/http/head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::io::http {
namespace {

using testing::HasSubstr;

// The status that a head is refused with; 200 if it is taken, 0 if it is not complete.
int status_of(std::string_view text, const HeadLimits& limits = {}) {
    const auto end = find_head_end(as_bytes(text), 0, limits);
    if (!end) return end.error().status;
    if (!*end) return 0;
    RequestHead head;
    const auto parsed = parse_request_head(as_bytes(text.substr(0, **end)), limits, head);
    return parsed ? 200 : parsed.error().status;
}

RequestHead parse(std::string_view text) {
    RequestHead head;
    EXPECT_TRUE(parse_request_head(as_bytes(text), {}, head));
    return head;
}

TEST(Head, AnEverydayRequestIsSplit) {
    const RequestHead head = parse(
        "PUT /v1/objects/b/a%20b?provider=ais&x= HTTP/1.1\r\nHost: 127.0.0.1:51080\r\n"
        "content-length:  7 \r\nAis-Custom-Md: k=v\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(head.method, Method::put);
    EXPECT_EQ(head.path, "/v1/objects/b/a%20b");
    EXPECT_EQ(head.query, "provider=ais&x=");
    EXPECT_EQ(head.body_kind, BodyKind::length);
    EXPECT_EQ(head.content_length, 7u);
    EXPECT_TRUE(head.expects_continue);
    EXPECT_TRUE(head.keeps_alive);
    EXPECT_EQ(head.find("ais-custom-md"), "k=v");
    EXPECT_TRUE(head.has("AIS-CUSTOM-MD"));
    EXPECT_FALSE(head.has("absent"));
    EXPECT_EQ(head.headers.size(), 4u);
}

TEST(Head, ConnectionRulesFollowTheVersion) {
    EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n").keeps_alive);
    EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n").keeps_alive);
    EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keeps_alive);
    EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n").body_kind,
              BodyKind::chunked);
    EXPECT_EQ(parse("GET http://h/p?q HTTP/1.1\r\nHost: h\r\n\r\n").path, "/p");
    EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").path, "*");
    EXPECT_EQ(parse("FROBNICATE / HTTP/1.1\r\nHost: h\r\n\r\n").method, Method::other);
}

struct Case {
    const char* what;
    std::string text;
    int status;
};

std::string with_headers(const std::string& headers) {
    return "POST / HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n";
}

// The forms that make two programs see two different requests (interface, section 4).
const Case smuggling[] = {
    {"both lengths", with_headers("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400},
    {"both, other order", with_headers("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400},
    {"two lengths", with_headers("Content-Length: 3\r\nContent-Length: 4\r\n"), 400},
    {"two equal lengths", with_headers("Content-Length: 3\r\nContent-Length: 3\r\n"), 400},
    {"a list of lengths", with_headers("Content-Length: 3, 3\r\n"), 400},
    {"a signed length", with_headers("Content-Length: +3\r\n"), 400},
    {"a negative length", with_headers("Content-Length: -3\r\n"), 400},
    {"a hexadecimal length", with_headers("Content-Length: 0x3\r\n"), 400},
    {"an empty length", with_headers("Content-Length:\r\n"), 400},
    {"a length with a blank", with_headers("Content-Length: 3 3\r\n"), 400},
    {"an overflowing length", with_headers("Content-Length: 18446744073709551616\r\n"), 400},
    {"a huge length", with_headers("Content-Length: 9223372036854775808\r\n"), 400},
    {"coding identity", with_headers("Transfer-Encoding: identity\r\n"), 400},
    {"coding gzip, chunked", with_headers("Transfer-Encoding: gzip, chunked\r\n"), 400},
    {"coding chunked twice", with_headers("Transfer-Encoding: chunked, chunked\r\n"), 400},
    {"two codings", with_headers("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
     400},
    {"coding xchunked", with_headers("Transfer-Encoding: xchunked\r\n"), 400},
    {"coding with a tab", with_headers("Transfer-Encoding: chun\tked\r\n"), 400},
    {"coding in quotes", with_headers("Transfer-Encoding: \"chunked\"\r\n"), 400},
    {"an empty coding", with_headers("Transfer-Encoding:\r\n"), 400},
    {"blank before the colon", with_headers("Transfer-Encoding : chunked\r\n"), 400},
    {"tab before the colon", with_headers("Content-Length\t: 3\r\n"), 400},
    {"a folded header", with_headers("X: a\r\n b\r\n"), 400},
    {"a folded header by tab", with_headers("X: a\r\n\tb\r\n"), 400},
    {"a folded first header", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
    {"bare LF in the headers", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
    {"bare LF behind the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
    {"bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400},
    {"bare CR in a value", with_headers("X: a\rb\r\n"), 400},
    {"CR CR LF", with_headers("X: a\r\r\n"), 400},
    {"NUL in a value", with_headers(std::string("X: a\0b\r\n", 8)), 400},
    {"NUL in a name", with_headers(std::string("X\0Y: a\r\n", 8)), 400},
    {"a control character", with_headers("X: a\x01\r\n"), 400},
    {"DEL", with_headers("X: a\x7f\r\n"), 400},
    {"no Host", "GET / HTTP/1.1\r\nX: y\r\n\r\n", 400},
    {"two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
    {"two Hosts, other case", "GET / HTTP/1.1\r\nHost: h\r\nhOST: g\r\n\r\n", 400},
    {"a Host with a path", "GET / HTTP/1.1\r\nHost: h/p\r\n\r\n", 400},
    {"a Host with a user", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400},
    {"a Host with a blank", "GET / HTTP/1.1\r\nHost: h g\r\n\r\n", 400},
    {"a header without a colon", with_headers("nonsense\r\n"), 400},
    {"a header without a name", with_headers(": value\r\n"), 400},
    {"a name that is no token", with_headers("a b: c\r\n"), 400},
    {"a name in brackets", with_headers("(a): c\r\n"), 400},
    {"a name beyond ASCII", with_headers("\xC3\xA4: c\r\n"), 400},
    {"an empty line first", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"two blanks in the request line", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"no version", "GET /\r\nHost: h\r\n\r\n", 400},
    {"no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a target without a slash", "GET path HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a target with a blank", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a target beyond ASCII", "GET /\xC3\xA4 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a target with a fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"a target with NUL", std::string("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 28), 400},
    {"an asterisk for GET", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"an authority for CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
    {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
    {"a version that is none", "GET / HTTX/1.1\r\nHost: h\r\n\r\n", 400},
    {"lower-case version", "GET / http/1.1\r\nHost: h\r\n\r\n", 400},
    {"a coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"an expectation that is none", with_headers("Expect: the-unexpected\r\n"), 417},
    {"TLS's first bytes", std::string("\x16\x03\x01\x02\x00\x01\n", 7), 400},
};

TEST(Head, SmugglersAreRefused) {
    for (const Case& one : smuggling) EXPECT_EQ(status_of(one.text), one.status) << one.what;
}

TEST(Head, LimitsAreWhatTheInterfaceSays) {
    const auto line_of = [](size_t bytes) {
        return "GET /" + std::string(bytes - 14, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n";
    };
    EXPECT_EQ(status_of(line_of(8192)), 200);
    EXPECT_EQ(status_of(line_of(8193)), 414);
    EXPECT_EQ(status_of("GET /" + std::string(9000, 'a')), 414) << "without an end";

    std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (int count = 1; count < 256; ++count) many += "X: y\r\n";
    EXPECT_EQ(status_of(many + "\r\n"), 200);
    EXPECT_EQ(status_of(many + "X: y\r\n\r\n"), 431);

    const std::string big = with_headers("X: " + std::string(65'000, 'a') + "\r\n");
    EXPECT_EQ(status_of(big), 200);
    EXPECT_EQ(status_of(with_headers("X: " + std::string(65'536, 'a') + "\r\n")), 431);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nX: " + std::string(80'000, 'a')), 431)
        << "without an end";
}

TEST(Head, TheEndIsFoundHoweverTheBytesCome) {
    const std::string text = "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /second";
    for (size_t cut = 1; cut < text.size(); ++cut) {
        uint32_t scanned = 0;
        std::optional<uint32_t> found;
        for (size_t have = cut; !found; have = std::min(have + cut, text.size())) {
            const auto end = find_head_end(as_bytes(text).first(have), scanned, {});
            ASSERT_TRUE(end) << cut;
            found = *end;
            scanned = static_cast<uint32_t>(have);
        }
        EXPECT_EQ(*found, 27u) << cut;
    }
}

TEST(Head, ValuesOfOursCannotSplitAResponse) {
    ResponseHead head(200);
    head.add("X", std::string_view("a\r\nSet-Cookie: b\0c", 18));
    EXPECT_EQ(head.text(), "X: aSet-Cookie: bc\r\n");
}

}  // namespace
}  // namespace penstock::io::http
