// Versions as pairs, and the entity tags that stand for them.
#include "node/store/version.h"

#include <gtest/gtest.h>

namespace penstock::node {
namespace {

TEST(Version, IsOrderedAsAPair) {
    EXPECT_LT((Version{1, 9}), (Version{2, 0}));
    EXPECT_LT((Version{2, 0}), (Version{2, 1}));
    EXPECT_TRUE(Version{}.is_absent());
    EXPECT_FALSE((Version{1, 0}.is_absent()));
}

TEST(Etag, IsQuotedHexadecimalWithADash) {
    EXPECT_EQ(etag_from_version({1, 255}), "\"1-ff\"");
    EXPECT_EQ(etag_from_version({UINT64_MAX, 0}), "\"ffffffffffffffff-0\"");
}

TEST(Etag, ComesBackAsTheSameVersion) {
    for (const Version version :
         {Version{1, 1}, Version{1, UINT64_MAX}, Version{UINT64_MAX, 0}, Version{16, 4096}}) {
        const std::string etag = etag_from_version(version);
        EXPECT_EQ(version_from_etag(etag), version);
        EXPECT_EQ(version_from_etag(etag.substr(1, etag.size() - 2)), version);
    }
}

TEST(Etag, OfOthersIsNone) {
    for (const char* etag :
         {"", "\"", "\"\"", "-", "1-", "-1", "\"1-1", "1-1\"", "W/\"1-1\"", "\"1-G\"", "\"1-FF\"",
          "\"01-1\"", "\"1-10000000000000000\"", "\"1-1-1\"", "\"1 -1\"", "\"+1-1\"",
          "\"d41d8cd98f00b204e9800998ecf8427e\"", "*"}) {
        EXPECT_EQ(version_from_etag(etag), std::nullopt) << etag;
    }
}

}  // namespace
}  // namespace penstock::node
