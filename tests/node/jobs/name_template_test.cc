#include "node/jobs/name_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::node {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names(std::string_view text) {
    const Result<NameTemplate> parsed = NameTemplate::parse(text);
    if (!parsed) return {"<" + parsed.error().context + ">"};
    std::vector<std::string> all;
    for (uint64_t index = 0; index < parsed->count(); ++index) {
        all.push_back(parsed->name_at(index));
    }
    return all;
}

std::string fault(std::string_view text) {
    const Result<NameTemplate> parsed = NameTemplate::parse(text);
    return parsed ? "" : parsed.error().context;
}

TEST(NameTemplate, CountsBothEndsAndPadsToTheShorterLiteral) {
    EXPECT_THAT(names("o-{08..11}.tar"),
                ElementsAre("o-08.tar", "o-09.tar", "o-10.tar", "o-11.tar"));
    EXPECT_THAT(names("o-{8..11}"), ElementsAre("o-8", "o-9", "o-10", "o-11"));
    EXPECT_THAT(names("{0001..0010..4}"), ElementsAre("0001", "0005", "0009"));
    EXPECT_THAT(names("a{3..3}b"), ElementsAre("a3b"));
}

TEST(NameTemplate, CrossesSeveralRangesLastOneFastest) {
    EXPECT_THAT(names("{0..1}/x{5..6}y"), ElementsAre("0/x5y", "0/x6y", "1/x5y", "1/x6y"));
}

TEST(NameTemplate, AtCountsFromZeroAsWideAsItIsWritten) {
    EXPECT_THAT(names("s@02.tar"), ElementsAre("s00.tar", "s01.tar", "s02.tar"));
    EXPECT_THAT(names("@1-@1"), ElementsAre("0-0", "0-1", "1-0", "1-1"));
}

TEST(NameTemplate, PercentIsAFilterWithoutAnEnd) {
    const auto padded = NameTemplate::parse("part-%03d.bin");
    ASSERT_TRUE(padded);
    EXPECT_EQ(padded->form(), NameTemplate::Form::open);
    EXPECT_EQ(padded->prefix(), "part-");
    for (const char* name : {"part-000.bin", "part-123.bin", "part-1234.bin"}) {
        EXPECT_TRUE(padded->matches(name)) << name;
    }
    for (const char* name : {"part-12.bin", "part-0123.bin", "part-12a.bin", "part-.bin",
                             "part-123", "x-123.bin", "part-123.bin2"}) {
        EXPECT_FALSE(padded->matches(name)) << name;
    }
    const auto plain = NameTemplate::parse("o-%d");
    ASSERT_TRUE(plain);
    EXPECT_TRUE(plain->matches("o-0"));
    EXPECT_TRUE(plain->matches("o-10"));
    EXPECT_FALSE(plain->matches("o-01"));
}

TEST(NameTemplate, AnythingElseIsAPrefix) {
    for (const char* text : {"", "*", "dir/a", "a*b"}) {
        const auto parsed = NameTemplate::parse(text);
        ASSERT_TRUE(parsed) << text;
        EXPECT_EQ(parsed->form(), NameTemplate::Form::prefix);
        EXPECT_EQ(parsed->prefix(), std::string_view(text) == "*" ? "" : text);
    }
    EXPECT_EQ(NameTemplate::of_prefix("{1..2}").prefix(), "{1..2}");
}

TEST(NameTemplate, RefusesWhatCannotBe) {
    EXPECT_EQ(fault("o-{5..2}"),
              "invalid 'bash' template \"o-{5..2}\": 'start' cannot be greater than 'end'");
    for (const char* text : {"{1..2", "1..2}", "{1.2}", "{1..2..0}", "{a..b}", "{}", "{1..2..3..4}",
                             "{-1..2}", "a@", "a@b", "a%", "a%5d", "a%s", "a%d%d", "%099d",
                             "{0..9999999999999999999}", "{0..10000000}", "{0..9999}{0..9999}"}) {
        EXPECT_NE(fault(text), "") << text;
    }
    EXPECT_THAT(fault("{0..10000000}"), HasSubstr("more than 10000000 names"));
    EXPECT_EQ(fault("{0..9999999}"), "");
}

}  // namespace
}  // namespace penstock::node
