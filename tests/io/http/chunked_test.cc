#include "io/http/chunked.h"

#include <gtest/gtest.h>

namespace penstock::io::http {
namespace {

// The content, or "error" / "more": decoded with the input cut into pieces of `piece` bytes.
std::string decode(std::string_view coded, size_t piece) {
    ChunkedDecoder decoder;
    std::string content;
    Bytes rest = as_bytes(coded);
    while (!rest.empty() && !decoder.is_ended()) {
        Bytes input = rest.first(std::min(piece, rest.size()));
        rest = rest.subspan(input.size());
        while (!input.empty() && !decoder.is_ended()) {
            const Result<Bytes> found = decoder.next(input);
            if (!found) return "error";
            content.append(as_text(*found));
        }
    }
    return decoder.is_ended() ? content : "more";
}

TEST(Chunked, IsUndoneHoweverItIsCut) {
    const std::string_view coded =
        "5\r\nhello\r\n1;ext=\"x\"\r\n \r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    for (size_t piece = 1; piece <= coded.size(); ++piece) {
        EXPECT_EQ(decode(coded, piece), "hello 0123456789") << piece;
    }
}

TEST(Chunked, WhatIsBrokenIsAnError) {
    for (const char* coded :
         {"\r\n", "x\r\n", "-1\r\n", " 1\r\n", "1 \r\na\r\n", "1\na\r\n", "1\r\nab\r\n", "1\r\na\n",
          "1\r\na\rb", "0x1\r\na\r\n", "1\r\r\n", "FFFFFFFFFFFFFFFF\r\n", "1;a\nb", ";\r\n",
          "0\r\n\n", "0\r\nX: y\n\r\n"}) {
        EXPECT_EQ(decode(coded, 1000), "error") << coded;
        EXPECT_EQ(decode(coded, 1), "error") << coded;
    }
}

TEST(Chunked, WhatIsCutOffIsNotWhole) {
    const std::string_view coded = "5\r\nhello\r\n0\r\n\r\n";
    for (size_t cut = 0; cut < coded.size(); ++cut) {
        EXPECT_EQ(decode(coded.substr(0, cut), 3), "more") << cut;
    }
}

TEST(Chunked, ExtensionsAndTrailersAreBounded) {
    EXPECT_EQ(decode("1;" + std::string(1000, 'x') + "\r\na\r\n0\r\n\r\n", 100), "error");
    EXPECT_EQ(decode("0\r\n" + std::string(100'000, 'x'), 100), "error");
}

}  // namespace
}  // namespace penstock::io::http
