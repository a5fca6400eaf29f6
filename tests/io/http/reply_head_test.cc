#include "io/http/reply_head.h"

#include <gtest/gtest.h>

namespace penstock::io::http {
namespace {

// Keeps the bytes that the head's views point into.
struct Parsed {
    std::string text;
    ReplyHead head;
    Status status;

    explicit Parsed(std::string bytes, HeadLimits limits = {}) : text(std::move(bytes)) {
        status = parse_reply_head(as_bytes(text), limits, head);
    }
};

TEST(ReplyHead, SaysWhatTheHeadersSay) {
    const Parsed parsed(
        "HTTP/1.1 206 Partial Content\r\nCONTENT-length: 12\r\nETag: \"1-a\"\r\n"
        "Connection: keep-alive, Close\r\nEmpty:\r\n\r\n");
    ASSERT_TRUE(parsed.status) << parsed.status.error().context;
    EXPECT_EQ(parsed.head.status, 206);
    EXPECT_EQ(parsed.head.body_kind, BodyKind::length);
    EXPECT_EQ(parsed.head.content_length, 12U);
    EXPECT_FALSE(parsed.head.keeps_alive);
    EXPECT_EQ(parsed.head.find("etag"), "\"1-a\"");
    EXPECT_EQ(parsed.head.find("empty"), "");
    EXPECT_EQ(parsed.head.find("absent"), "");
    EXPECT_EQ(parsed.head.headers.size(), 4U);
}

TEST(ReplyHead, BodyFollowsByRequestAndStatus) {
    const auto of = [](const char* status) {
        return Parsed("HTTP/1.1 " + std::string(status) + "\r\nTransfer-Encoding: Chunked\r\n\r\n");
    };
    EXPECT_TRUE(of("200 OK").head.has_body(false));
    EXPECT_EQ(of("200 ").head.body_kind, BodyKind::chunked);
    EXPECT_TRUE(of("404").head.has_body(false));
    EXPECT_FALSE(of("200 OK").head.has_body(true));
    EXPECT_FALSE(of("204 No Content").head.has_body(false));
    EXPECT_FALSE(of("304 Not Modified").head.has_body(false));
    EXPECT_TRUE(of("100 Continue").head.is_interim());
    EXPECT_FALSE(of("101 Switching Protocols").head.is_interim());
}

TEST(ReplyHead, WhatCouldBeReadInTwoWaysIsRefused) {
    for (const char* text :
         {"",
          "\r\n",
          "HTTP/1.1 200 OK",
          "HTTP/1.1 200 OK\r\n",
          "HTTP/1.0 200 OK\r\n\r\n",
          "http/1.1 200 OK\r\n\r\n",
          "HTTP/1.1  200 OK\r\n\r\n",
          "HTTP/1.1 20 OK\r\n\r\n",
          "HTTP/1.1 600 OK\r\n\r\n",
          "HTTP/1.1 099 OK\r\n\r\n",
          "HTTP/1.1 200OK\r\n\r\n",
          "HTTP/1.1 200 O\x01K\r\n\r\n",
          "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
          "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
          "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
          "HTTP/1.1 200 OK\r\nA: \x7f\r\n\r\n",
          "HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
          "HTTP/1.1 200 OK\r\n\r\nmore"}) {
        const Parsed parsed{std::string(text)};
        ASSERT_FALSE(parsed.status) << text;
        EXPECT_EQ(parsed.status.error().code, Errc::corrupt) << text;
    }
    std::string many = "HTTP/1.1 200 OK\r\n";
    for (int index = 0; index < 5; ++index) many += "A: b\r\n";
    EXPECT_TRUE(Parsed(many + "\r\n").status);
    EXPECT_FALSE(Parsed(many + "\r\n", {.headers_count_max = 4}).status);
}

}  // namespace
}  // namespace penstock::io::http
