#include "node/service/bucket_defaults.h"

#include <gtest/gtest.h>

#include "io/base/bytes.h"

namespace penstock::node {
namespace {

BucketProperties unusual() {
    BucketProperties properties;
    properties.checksum = ChecksumType::sha512;
    properties.is_versioned = false;
    properties.durability = Durability::none;
    properties.access = 1023;
    properties.features = 7;
    properties.other_json = R"({"chunks":{"objsize_limit":"64MiB"}})";
    return properties;
}

TEST(BucketDefaultsTest, WhatIsWrittenIsRead) {
    for (const BucketProperties& properties : {BucketProperties(), unusual()}) {
        EXPECT_EQ(parse_bucket_defaults(encode_bucket_defaults(properties, 0), 0), properties);
        EXPECT_EQ(parse_bucket_defaults(encode_bucket_defaults(properties, 42), 42), properties);
    }
}

TEST(BucketDefaultsTest, AnotherStartsAreNone) {
    const std::string value = encode_bucket_defaults(unusual(), 42);
    EXPECT_EQ(parse_bucket_defaults(value, 43), std::nullopt);
    EXPECT_EQ(parse_bucket_defaults(value, 0), std::nullopt);
}

TEST(BucketDefaultsTest, ValuesThatAreNoneAreNone) {
    const std::string value = encode_bucket_defaults(unusual(), 42);
    for (size_t size = 0; size < value.size(); ++size) {
        EXPECT_EQ(parse_bucket_defaults(value.substr(0, size), 42), std::nullopt) << size;
    }
    EXPECT_EQ(parse_bucket_defaults(value + "x", 42), std::nullopt);
    std::string damaged = value;
    damaged[8] = '\x7f';  // no such checksum
    EXPECT_EQ(parse_bucket_defaults(damaged, 42), std::nullopt);
}

}  // namespace
}  // namespace penstock::node
