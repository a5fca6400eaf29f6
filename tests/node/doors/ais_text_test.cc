#include "node/doors/ais/text.h"

#include <gtest/gtest.h>

#include "node/doors/ais/list_request.h"

namespace penstock::node::ais {
namespace {

constexpr uint64_t moment_ns = 1'795'467'822'051'046'033;  // 2026-11-23 21:03:42.051046033 UTC

std::string escaped(std::string_view text) {
    std::string to;
    append_json_string(to, text);
    return to;
}

TEST(AisTextTest, StringsAreEscapedAndAlwaysUtf8) {
    EXPECT_EQ(escaped("a\"b\\c\n\t\x01"), "\"a\\\"b\\\\c\\n\\t\\u0001\"");
    EXPECT_EQ(escaped("\u4f60\U0001F600"), "\"\u4f60\U0001F600\"");
    EXPECT_EQ(escaped("a\xFF\xC3"), "\"a\uFFFD\uFFFD\"");
    EXPECT_EQ(escaped("\xED\xA0\x80"), "\"\uFFFD\uFFFD\uFFFD\"") << "a surrogate";
    EXPECT_EQ(escaped("\xC0\x80\xF5\x80\x80\x80").size(), 2 + 6 * 3);
}

TEST(AisTextTest, DatesGoBothWays) {
    EXPECT_EQ(http_date(moment_ns), "Mon, 23 Nov 2026 21:03:42 GMT");
    EXPECT_EQ(seconds_from_http_date("Mon, 23 Nov 2026 21:03:42 GMT"), moment_ns / 1'000'000'000);
    EXPECT_EQ(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    for (const char* text : {"", "Mon, 31 Feb 2026 21:03:42 GMT", "Mon, 23 Nov 2026 25:03:42 GMT",
                             "Mon, 23 Xyz 2026 21:03:42 GMT", "Mon, 23 Nov 2026 21:03:42 UTC",
                             "Monday, 23-Nov-26 21:03:42 GMT"}) {
        EXPECT_FALSE(seconds_from_http_date(text).has_value()) << text;
    }
}

TEST(AisTextTest, GoLayoutsAreFollowed) {
    EXPECT_EQ(go_time(moment_ns, rfc822_layout), "23 Nov 26 21:03 UTC");
    EXPECT_EQ(rfc3339(moment_ns), "2026-11-23T21:03:42.051046033Z");
    EXPECT_EQ(go_time(moment_ns, "Mon Jan _2 15:04:05 2006"), "Mon Nov 23 21:03:42 2026");
    EXPECT_EQ(go_time(moment_ns, "3:04PM 1/2 .000"), "9:03PM 11/23 .051");
    EXPECT_EQ(go_time(moment_ns, ""), "");
}

TEST(AisTextTest, NumbersAndBooleansAreStrict) {
    EXPECT_EQ(number_from("18446744073709551615"), UINT64_MAX);
    for (const char* text : {"", "-1", "1x", " 1", "18446744073709551616"}) {
        EXPECT_FALSE(number_from(text).has_value()) << text;
    }
    EXPECT_EQ(boolean_from("True"), true);
    EXPECT_EQ(boolean_from("off"), false);
    EXPECT_EQ(boolean_from(""), false);
    EXPECT_FALSE(boolean_from("maybe").has_value());
}

TEST(AisTextTest, TokensSurviveWhateverTheNameIs) {
    for (const std::string name : {"plain", "dir/\u4f60", "\xFF\xFE", "a\x80"}) {
        EXPECT_EQ(name_from_token(token_from_name(name)), name);
    }
    EXPECT_EQ(token_from_name("d/sub/3"), "d/sub/3");
    EXPECT_EQ(name_from_token(std::string("\0zz", 3)), "");
}

}  // namespace
}  // namespace penstock::node::ais
