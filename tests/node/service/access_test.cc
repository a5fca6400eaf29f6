#include "node/service/access.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/base/bytes.h"

namespace penstock::node {
namespace {

using ::testing::HasSubstr;

std::string hash_text(std::string_view token) {
    return hex_from_bytes(hash_of_token(token));
}

class AccessTest : public ::testing::Test {
protected:
    void use(const std::string& text) {
        auto list = AccessList::parse(text);
        ASSERT_TRUE(list) << list.error();
        access_.set(0, std::make_shared<const AccessList>(std::move(*list)));
    }
    Decision decide(std::string_view token, uint64_t wanted, const std::string& bucket = "") {
        Principal who;
        if (!token.empty()) who.token = hash_of_token(token);
        const BucketName name{.name = bucket};
        return access_.decide(0, who, wanted, bucket.empty() ? nullptr : &name);
    }
    static std::string line(const std::string& role, const std::string& buckets,
                            std::string_view token) {
        return fmt::format("{} {} {} {}\n", token, role, buckets, hash_text(token));
    }

    Access access_{1};
};

TEST_F(AccessTest, WithoutAListNobodyNeedsAToken) {
    EXPECT_FALSE(access_.is_required(0));
    EXPECT_EQ(decide("", access::admin), Decision::allowed);
}

TEST_F(AccessTest, RolesAllowWhatTheirNamesSay) {
    use("# who may do what\n\n" + line("read", "*", "r") + line("read-write", "*", "w") +
        line("admin", "*", "a"));
    EXPECT_EQ(decide("", access::get, "b"), Decision::unauthenticated);
    EXPECT_EQ(decide("other", access::get, "b"), Decision::unauthenticated);
    EXPECT_EQ(decide("", access::anyone), Decision::allowed);
    EXPECT_EQ(decide("", access::any_role), Decision::unauthenticated);
    EXPECT_EQ(decide("r", access::any_role), Decision::allowed);

    for (const uint64_t bit : {access::get, access::head_object, access::list_objects}) {
        EXPECT_EQ(decide("r", bit, "b"), Decision::allowed) << bit;
        EXPECT_EQ(decide("w", bit, "b"), Decision::allowed) << bit;
    }
    for (const uint64_t bit : {access::put, access::append, access::delete_object,
                               access::move_object, access::update_object}) {
        EXPECT_EQ(decide("r", bit, "b"), Decision::forbidden) << bit;
        EXPECT_EQ(decide("w", bit, "b"), Decision::allowed) << bit;
    }
    for (const uint64_t bit : {access::create_bucket, access::destroy_bucket, access::patch_bucket,
                               access::promote, access::move_bucket, access::admin}) {
        EXPECT_EQ(decide("r", bit, "b"), Decision::forbidden) << bit;
        EXPECT_EQ(decide("w", bit, "b"), Decision::forbidden) << bit;
        EXPECT_EQ(decide("a", bit, "b"), Decision::allowed) << bit;
    }
    EXPECT_EQ(decide("r", access::get | access::put, "b"), Decision::forbidden);
}

TEST_F(AccessTest, ATokenForSomeBucketsIsNoneForOthersAndSeesTheCluster) {
    use(line("admin", "one,@#team/two", "a"));
    EXPECT_EQ(decide("a", access::destroy_bucket, "one"), Decision::allowed);
    EXPECT_EQ(decide("a", access::get, "two"), Decision::forbidden);
    EXPECT_EQ(decide("a", access::get, "on"), Decision::forbidden);
    EXPECT_EQ(decide("a", access::show_cluster), Decision::allowed);
    EXPECT_EQ(decide("a", access::admin), Decision::forbidden);
    const Principal who{hash_of_token("a"), false};
    const BucketName in_space{.namespace_name = "team", .name = "two"};
    EXPECT_EQ(access_.decide(0, who, access::get, &in_space), Decision::allowed);
    const BucketName elsewhere{.provider = "aws", .name = "one"};
    EXPECT_EQ(access_.decide(0, who, access::get, &elsewhere), Decision::forbidden);
}

TEST_F(AccessTest, ANewListCountsAtOnceAndTheOwnerNeedsNoToken) {
    use(line("read", "*", "r"));
    EXPECT_EQ(decide("r", access::get, "b"), Decision::allowed);
    use("");
    EXPECT_EQ(decide("r", access::get, "b"), Decision::unauthenticated);
    EXPECT_EQ(access_.decide(0, {{}, true}, access::admin, nullptr), Decision::allowed);
}

TEST(AccessListTest, WhatIsWrongIsNamedWithItsLine) {
    const std::string good = "a read * " + hash_text("a");
    for (const auto& [text, what] : std::vector<std::pair<std::string, std::string>>{
             {"a read *", "1: expected NAME ROLE BUCKETS HASH"},
             {good + "\na read * " + hash_text("b") + " more", "2: expected"},
             {"a writer * " + hash_text("a"), "none of read, read-write, admin"},
             {"a read b,,c " + hash_text("a"), "no name of a bucket"},
             {"a read ../x " + hash_text("a"), "no name of a bucket"},
             {"a read * 1234", "no SHA-256"},
             {"a read * " + std::string(64, 'g'), "no SHA-256"},
             {std::string(65, 'n') + " read * " + hash_text("a"), "a name has"},
             {good + "\n" + "b" + good.substr(1), "are the same token"},
         }) {
        const auto list = AccessList::parse(text);
        ASSERT_FALSE(list) << text;
        EXPECT_THAT(list.error(), HasSubstr(what)) << text;
    }
    EXPECT_TRUE(AccessList::parse(good));
}

TEST(AccessListTest, ALineIsReadBackAsItWasWritten) {
    AccessToken token{"ann", AccessRole::read_write, false, {"a", "b"}, hash_of_token("t")};
    const auto list = AccessList::parse(line_of(token) + "\r\n");
    ASSERT_TRUE(list) << list.error();
    const AccessToken* found = list->find(hash_of_token("t"));
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(line_of(*found), line_of(token));
    EXPECT_EQ(found->role, AccessRole::read_write);
}

}  // namespace
}  // namespace penstock::node
