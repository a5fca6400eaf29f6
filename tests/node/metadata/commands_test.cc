#include "node/metadata/commands.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace penstock::node {
namespace {

std::vector<Command> samples() {
    BucketProperties properties;
    properties.checksum = ChecksumType::sha256;
    properties.durability = Durability::none;
    properties.is_versioned = false;
    properties.access = 7;
    properties.features = 9;
    properties.other_json = R"({"mirror":{"enabled":true}})";
    return {CreateBucket{{"ais", "", "", "b"}, properties, 12},
            DestroyBucket{{"aws", "uuid", "ns", "b.c"}},
            SetProperties{{"ais", "", "", "b"}, properties},
            SetValue{"node.id", "abc"},
            RenameBucket{{"ais", "", "ns", "b"}, {"ais", "", "", "c"}},
            SetValues{{{"a", "1"}, {"b", ""}}, 7}};
}

TEST(CommandsTest, WhatIsEncodedReadsBackTheSame) {
    for (const Command& command : samples()) {
        const Result<Command> parsed = parse_command(encode_command(command));
        ASSERT_TRUE(parsed) << parsed.error().context;
        EXPECT_EQ(*parsed, command);
    }
}

TEST(CommandsTest, EveryTruncationAndEveryExtraByteIsRefused) {
    for (const Command& command : samples()) {
        std::vector<std::byte> bytes = encode_command(command);
        for (size_t size = 0; size < bytes.size(); ++size) {
            EXPECT_FALSE(parse_command(Bytes(bytes).first(size))) << size;
        }
        bytes.push_back(std::byte{0});
        EXPECT_EQ(parse_command(bytes).error().code, Errc::corrupt);
    }
}

TEST(CommandsTest, ANewerVersionIsNotTakenForDamage) {
    std::vector<std::byte> bytes = encode_command(SetValue{"k", "v"});
    bytes[0] = std::byte{4};
    EXPECT_EQ(parse_command(bytes).error().code, Errc::invalid);
    EXPECT_EQ(encode_command(SetValues{{{"k", "v"}}})[0], std::byte{3});
    // Renaming came with version 2, which the release before refuses as a newer one's.
    EXPECT_EQ(encode_command(RenameBucket{{"ais", "", "", "b"}, {"ais", "", "", "c"}})[0],
              std::byte{2});
    bytes[0] = std::byte{2};
    EXPECT_EQ(parse_command(bytes).error().code, Errc::corrupt);
}

TEST(CommandsTest, ValuesStandInOrderAndOnce) {
    std::vector<std::byte> bytes = encode_command(SetValues{{{"a", "1"}, {"b", "2"}}});
    const auto is_a = [](std::byte byte) { return byte == std::byte{'a'}; };
    *std::ranges::find_if(bytes, is_a) = std::byte{'b'};
    EXPECT_EQ(parse_command(bytes).error().code, Errc::corrupt);
}

TEST(CommandsTest, BadNamesAndOversizedValuesAreRefused) {
    EXPECT_EQ(check_command(CreateBucket{{"ais", "", "", ".."}, {}, 0}).error().code,
              Errc::invalid);
    EXPECT_EQ(check_command(CreateBucket{{"", "", "", "b"}, {}, 0}).error().code, Errc::invalid);
    EXPECT_EQ(check_command(CreateBucket{{"ais", "a/b", "", "b"}, {}, 0}).error().code,
              Errc::invalid);
    EXPECT_EQ(check_command(SetValue{"", "v"}).error().code, Errc::invalid);
    EXPECT_EQ(check_command(SetValue{"k", std::string(value_bytes_max + 1, 'v')}).error().code,
              Errc::too_large);
    EXPECT_EQ(check_command(SetValues{}).error().code, Errc::invalid);
    EXPECT_EQ(check_command(SetValues{{{"k", "v"}, {"", "v"}}}).error().code, Errc::invalid);
    const std::string half(set_values_bytes_max / 2, 'v');
    EXPECT_EQ(check_command(SetValues{{{"k", half}, {"l", half}}}).error().code, Errc::too_large);
    BucketProperties large;
    large.other_json = std::string(other_json_bytes_max + 1, ' ');
    EXPECT_EQ(check_command(SetProperties{{"ais", "", "", "b"}, large}).error().code,
              Errc::too_large);
}

}  // namespace
}  // namespace penstock::node
