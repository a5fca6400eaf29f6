// Which names can be stored, and the digest that stands for them.
#include "node/store/object_name.h"

#include <gtest/gtest.h>

#include <set>

namespace penstock::node {
namespace {

using namespace std::string_view_literals;

TEST(ObjectName, AllowsAnyBytesThatStayInTheirBucket) {
    for (const std::string_view name :
         {"a"sv, "a/b"sv, "/a"sv, "a//b"sv, "..."sv, ".a"sv, "a.."sv, "~a"sv, "a/~/b"sv, "%2e%2e"sv,
          "\xff\xfe\n\t "sv, "..a/b"sv}) {
        EXPECT_TRUE(check_object_name(name)) << name;
    }
    EXPECT_TRUE(check_object_name(std::string(4096, 'x')));
}

TEST(ObjectName, RefusesWhatCannotBeStored) {
    for (const std::string_view name : {""sv, "a\0b"sv, "a/"sv, "/"sv, "."sv, ".."sv, "../a"sv,
                                        "a/../b"sv, "a/.."sv, "a/./b"sv, "./a"sv, "~/a"sv}) {
        const Status status = check_object_name(name);
        ASSERT_FALSE(status) << name;
        EXPECT_EQ(status.error().code, Errc::invalid);
        EXPECT_FALSE(status.error().context.empty());
    }
    EXPECT_FALSE(check_object_name(std::string(4097, 'x')));
}

TEST(BucketName, KeepsToItsAlphabetAndLength) {
    for (const std::string_view name : {"a"sv, "A-b_c.d"sv, "0"sv, "a."sv}) {
        EXPECT_TRUE(check_bucket_name(name)) << name;
    }
    EXPECT_TRUE(check_bucket_name(std::string(64, 'b')));
    for (const std::string_view name :
         {""sv, "a/b"sv, "a b"sv, "."sv, ".a"sv, "a..b"sv, "\xc3\xa4"sv, "a\0b"sv, "a%"sv}) {
        const Status status = check_bucket_name(name);
        ASSERT_FALSE(status) << name;
        EXPECT_EQ(status.error().code, Errc::invalid);
    }
    EXPECT_FALSE(check_bucket_name(std::string(65, 'b')));
}

TEST(Digest, DiffersWithBucketNameAndKey) {
    std::set<std::pair<uint64_t, uint64_t>> seen;
    for (const uint64_t key : {0u, 1u}) {
        for (const uint64_t bucket : {1u, 2u, 256u}) {
            for (const std::string_view name : {"a"sv, "b"sv, "a/b"sv, "\0a"sv, ""sv}) {
                const Digest128 digest = digest_of(BucketId{bucket}, name, key);
                EXPECT_TRUE(seen.emplace(digest.high, digest.low).second);
                EXPECT_EQ(digest, digest_of(BucketId{bucket}, name, key));
            }
        }
    }
}

TEST(Digest, IsTheOneThatDataDirectoriesHold) {
    // Records carry digests: the same name must give the same one in every release.
    const Digest128 digest = digest_of(BucketId{7}, "shards/000001.tar", 42);
    EXPECT_EQ(digest.high, 18312815833478140878u);
    EXPECT_EQ(digest.low, 5594790141002428279u);
    // Longer than any name that can be stored: still a digest, found nowhere.
    EXPECT_NE(digest_of(BucketId{7}, std::string(5000, 'a'), 42), Digest128{});
}

}  // namespace
}  // namespace penstock::node
