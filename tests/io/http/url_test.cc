#include "io/http/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/http/range.h"

namespace penstock::io::http {
namespace {

using testing::ElementsAre;

TEST(Url, EscapesAreUndoneOnce) {
    EXPECT_EQ(unescape_path("a%20b"), "a b");
    EXPECT_EQ(unescape_path("%2525"), "%25");
    EXPECT_EQ(unescape_path("a+b"), "a+b");
    EXPECT_EQ(unescape_query("a+b"), "a b");
    EXPECT_EQ(unescape_path("%E4%BD%a0"), "\xE4\xBD\xA0");
    EXPECT_EQ(unescape_path("%00"), std::string(1, '\0'));
}

TEST(Url, BrokenEscapesAreRefused) {
    for (const char* text : {"%", "%4", "a%", "%zz", "%4g", "%-1"}) {
        EXPECT_FALSE(unescape_path(text)) << text;
        EXPECT_FALSE(split_path(text, 1)) << text;
        EXPECT_FALSE(Query::parse(text)) << text;
    }
}

TEST(Url, NamesOfTheContractComeBackFromEscaping) {
    for (const char* name : {"%", "%25", "%3D", "yHvMJM(s\\(0hR\\3\\)", "file_#@!$%^&*()_+.mp3",
                             "track?name=lofi&v=1", "track%20space.wav", "my audio file .m4a",
                             "\xE4\xBD\xA0\xE5\xA5\xBD", "-hiddenfile.ogg", "audio/raw/file.wav"}) {
        EXPECT_EQ(unescape_path(escape_path(name)), name);
    }
}

TEST(Url, PathsAreSplitBeforeTheyAreUnescaped) {
    const auto parts = split_path("//v1/objects//b%2Fc/dir//a%20b%2Fc", 3);
    ASSERT_TRUE(parts);
    EXPECT_THAT(parts->elements, ElementsAre("v1", "objects", "b/c"));
    EXPECT_EQ(parts->rest, "dir/a b/c");
}

TEST(Url, ShortPathsHaveFewerElements) {
    EXPECT_THAT(split_path("/v1/", 3)->elements, ElementsAre("v1"));
    EXPECT_TRUE(split_path("/", 3)->elements.empty());
    EXPECT_EQ(split_path("/v1/buckets/b/", 3)->rest, "");
    EXPECT_EQ(split_path("/v1/objects/b/dir/", 3)->rest, "dir/");
}

TEST(Query, KeepsOrderAndTellsAbsentFromEmpty) {
    const auto query = Query::parse("provider=ais&archpath=&x=1&x=2&flag&&a%26b=c%3Dd");
    ASSERT_TRUE(query);
    EXPECT_EQ(query->find("provider"), "ais");
    EXPECT_EQ(query->find("archpath"), "");
    EXPECT_EQ(query->find_filled("archpath"), std::nullopt);
    EXPECT_EQ(query->find("x"), "1");
    EXPECT_EQ(query->find("flag"), "");
    EXPECT_EQ(query->find("a&b"), "c=d");
    EXPECT_EQ(query->find("absent"), std::nullopt);
}

TEST(Range, SelectsAndClips) {
    EXPECT_EQ(parse_range("bytes=0-0", 10), (ByteRange{0, 1}));
    EXPECT_EQ(parse_range("bytes=2-5", 10), (ByteRange{2, 4}));
    EXPECT_EQ(parse_range("bytes=2-99", 10), (ByteRange{2, 8}));
    EXPECT_EQ(parse_range("bytes=9-", 10), (ByteRange{9, 1}));
    EXPECT_EQ(parse_range("bytes=-3", 10), (ByteRange{7, 3}));
    EXPECT_EQ(parse_range("bytes=-99", 10), (ByteRange{0, 10}));
    EXPECT_EQ(parse_range("bytes=0-18446744073709551615", 10), (ByteRange{0, 10}));
}

TEST(Range, WhatSelectsNothingIsRefused) {
    for (const char* value :
         {"bytes=", "bytes=-", "bytes=-0", "bytes=10-", "bytes=5-4", "bytes=a-b", "bytes=1-2,4-5",
          "items=0-1", "bytes 0-1", "bytes=0x1-2", "bytes= 1-2", "bytes=+1-2", "bytes=1--2", "",
          "bytes=99999999999999999999-", "bytes=1-99999999999999999999999"}) {
        EXPECT_FALSE(parse_range(value, 10)) << value;
    }
    EXPECT_FALSE(parse_range("bytes=0-", 0));
    EXPECT_FALSE(parse_range("bytes=-1", 0));
}

}  // namespace
}  // namespace penstock::io::http
