#include "node/doors/rpc/message.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/base/random.h"

namespace penstock::node::rpc {
namespace {

using nlohmann::json;
using State = Framer::State;

std::string packed(const json& value) {
    std::string text;
    json::to_msgpack(value, text);
    return text;
}

// Every form that a value can have on the wire, alone and inside others.
std::vector<std::string> kinds() {
    std::vector<std::string> all;
    const json values[] = {nullptr,
                           true,
                           false,
                           0,
                           127,
                           128,
                           255,
                           256,
                           65535,
                           65536,
                           uint64_t{1} << 32,
                           UINT64_MAX,
                           -1,
                           -32,
                           -33,
                           -129,
                           -32769,
                           int64_t{-1} << 33,
                           INT64_MIN,
                           0.5,
                           1e300,
                           "",
                           "short",
                           std::string(31, 'a'),
                           std::string(32, 'b'),
                           std::string(255, 'c'),
                           std::string(256, 'd'),
                           std::string(70000, 'e'),
                           json::binary({}),
                           json::binary({1, 2, 3}),
                           json::binary(std::vector<uint8_t>(300, 7)),
                           json::binary(std::vector<uint8_t>(70000, 7)),
                           json::binary({1}, 5),
                           json::binary({1, 2}, 5),
                           json::binary({1, 2, 3}, 5),
                           json::binary({1, 2, 3, 4}, 5),
                           json::binary(std::vector<uint8_t>(8, 1), 5),
                           json::binary(std::vector<uint8_t>(16, 1), 5),
                           json::binary(std::vector<uint8_t>(300, 1), 5),
                           json::array(),
                           json::array({1, "two", nullptr}),
                           json(std::vector<int>(16, 1)),
                           json(std::vector<int>(70000, 1)),
                           json::object(),
                           {{"a", 1}, {"b", json::array({json::object()})}}};
    for (const json& value : values) {
        all.push_back(packed(value));
        all.push_back(packed(json::array({0, 7, "object.get", json::array({{{"a", value}}})})));
        all.push_back(packed(json::array({2, "rpc.ping", value})));
        all.push_back(packed({{"key", value}, {"other", json::array({value, value})}}));
        all.push_back(packed(json::array({json::array({json::array({value})}), value})));
    }
    return all;
}

TEST(FramerTest, FindsTheEndOfEveryKindOfMessageHoweverItIsCut) {
    const std::vector<std::string> all = kinds();
    ASSERT_GE(all.size(), 200U);
    for (const std::string& message : all) {
        SCOPED_TRACE(message.substr(0, 40));
        const std::string bytes = message + "\xc1 what follows is another's";
        Framer framer;
        // Byte by byte, but for the middle of what is very long.
        const size_t end = message.size();
        for (size_t size = 0; size < end;
             size = size < 600 || size + 600 > end ? size + 1 : size + 97) {
            ASSERT_EQ(framer.look(as_bytes(bytes).first(size)), State::more) << size;
            ASSERT_GT(framer.bytes_min(), size);
            ASSERT_LE(framer.bytes_min(), end) << "it asks for bytes of the next message";
        }
        ASSERT_EQ(framer.look(as_bytes(bytes).first(end)), State::whole);
        ASSERT_EQ(framer.message_bytes(), end);
        ASSERT_EQ(framer.look(as_bytes(bytes)), State::whole) << "a new message begins";
        Framer fresh;
        ASSERT_EQ(fresh.look(as_bytes(bytes)), State::whole);
        ASSERT_EQ(fresh.message_bytes(), end);
    }
}

TEST(FramerTest, AgreesWithTheParserOnEveryKindAndOnNoise) {
    Random random(3);
    std::vector<std::string> all = kinds();
    const size_t good_count = all.size();
    for (size_t round = 0; round < 20'000; ++round) {
        std::string noise = all[random.next() % good_count].substr(0, 200);
        const size_t changes = 1 + random.next() % 4;
        for (size_t change = 0; change < changes; ++change) {
            noise[random.next() % noise.size()] = static_cast<char>(random.next() >> 56);
        }
        all.push_back(std::move(noise));
    }
    size_t whole_count = 0;
    for (const std::string& bytes : all) {
        Framer framer;
        if (framer.look(as_bytes(bytes)) != State::whole) continue;
        ++whole_count;
        Message message;
        ASSERT_EQ(message.parse(as_bytes(bytes).first(framer.message_bytes())),
                  Message::Parsed::good);
        ASSERT_EQ(message[0].next, message.value_count());
    }
    EXPECT_GT(whole_count, good_count);
}

TEST(FramerTest, RefusesWhatIsTooDeepBeforeTheRestArrives) {
    const auto nested = [](size_t depth) { return std::string(depth, '\x91') + "\x01"; };
    Framer framer;
    EXPECT_EQ(framer.look(as_bytes(nested(nesting_max))), State::whole);
    EXPECT_EQ(framer.look(as_bytes(nested(nesting_max + 1))), State::broken);
    Framer bomb;
    EXPECT_EQ(bomb.look(as_bytes(std::string(1 << 20, '\x91'))), State::broken);
    Framer maps;
    std::string deep;
    for (int level = 0; level < 40; ++level) deep += "\x81\x01";
    EXPECT_EQ(maps.look(as_bytes(deep)), State::broken);
    // One that holds nothing is a level, too.
    Framer empty;
    EXPECT_EQ(empty.look(as_bytes(std::string(nesting_max, '\x91') + "\x90")), State::broken);
}

TEST(FramerTest, RefusesWhatIsTooLongWithoutWaitingForIt) {
    const auto state = [](std::string_view bytes) {
        Framer framer;
        return framer.look(as_bytes(bytes));
    };
    using namespace std::string_view_literals;
    EXPECT_EQ(state("\xc6\xff\xff\xff\xff"sv), State::broken) << "bin of 4 GiB";
    EXPECT_EQ(state("\xdb\x00\x40\x00\x00"sv), State::broken) << "str of 4 MiB and a head";
    EXPECT_EQ(state("\xdb\x00\x3f\xff\xfb"sv), State::more) << "exactly 4 MiB";
    EXPECT_EQ(state("\xc9\xff\xff\xff\xff"sv), State::broken) << "ext of 4 GiB";
    EXPECT_EQ(state("\xdd\xff\xff\xff\xff"sv), State::broken) << "array of 4 billion";
    EXPECT_EQ(state("\xdf\xff\xff\xff\xff"sv), State::broken) << "map of 4 billion";
    EXPECT_EQ(state("\xdf\x80\x00\x00\x00"sv), State::broken) << "twice that overflows";
    EXPECT_EQ(state("\xc1"sv), State::broken) << "the byte that is never used";
    EXPECT_EQ(state("\x92\xc1"sv), State::broken);
    EXPECT_EQ(state(""sv), State::more);
}

TEST(MessageTest, ManyValuesAreReadPastAndSaid) {
    const std::string most = packed(json(std::vector<int>(message_values_max - 1, 1)));
    const std::string more = packed(json(std::vector<int>(message_values_max, 1)));
    Message message;
    EXPECT_EQ(message.parse(as_bytes(most)), Message::Parsed::good);
    EXPECT_EQ(message.value_count(), message_values_max);
    EXPECT_EQ(message.parse(as_bytes(more)), Message::Parsed::too_many_values);
    message.shrink();
    EXPECT_EQ(message.value_count(), 0U);
}

TEST(MessageTest, WalksOverContainers) {
    const std::string text = packed(json::array({json::array({1, json::array({2})}), "behind"}));
    Message message;
    ASSERT_EQ(message.parse(as_bytes(text)), Message::Parsed::good);
    const Value& list = message.first(message[0]);
    EXPECT_EQ(list.size, 2U);
    EXPECT_EQ(message.after(list).text(), "behind");
    EXPECT_EQ(message.after(message.first(list)).kind, Kind::array);
}

TEST(MessageTest, WhatIsNotOneWholeValueIsBad) {
    Message message;
    using namespace std::string_view_literals;
    for (const std::string_view bytes : {""sv, "\x91"sv, "\x01\x02"sv, "\xc1"sv, "\xa5half"sv}) {
        EXPECT_EQ(message.parse(as_bytes(bytes)), Message::Parsed::bad) << bytes;
    }
}

TEST(MessageTest, SignedFormsOfWhatIsNotNegativeAreNumbersLikeOthers) {
    using namespace std::string_view_literals;
    Message message;
    ASSERT_EQ(message.parse(as_bytes("\xd2\x00\x00\x00\x05"sv)), Message::Parsed::good);
    EXPECT_EQ(message[0].kind, Kind::positive);
    EXPECT_EQ(message[0].number, 5U);
    ASSERT_EQ(message.parse(as_bytes("\xd0\xff"sv)), Message::Parsed::good);
    EXPECT_EQ(message[0].kind, Kind::negative);
}

}  // namespace
}  // namespace penstock::node::rpc
