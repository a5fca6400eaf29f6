#include "node/metadata/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "io/base/random.h"

namespace penstock::node {
namespace {

using testing::ElementsAre;

using StatePointer = std::shared_ptr<const MetadataState>;

BucketName name_of(const std::string& name) {
    return {"ais", "", "", name};
}

StatePointer create(const StatePointer& state, const std::string& name) {
    const auto applied = state->apply(CreateBucket{name_of(name), {}, 1});
    EXPECT_TRUE(applied);
    return applied->state;
}

std::vector<std::string> names(const StatePointer& state) {
    std::vector<std::string> all;
    state->for_each_bucket(
        [&all](const std::shared_ptr<const Bucket>& bucket) { all.push_back(bucket->name.name); });
    return all;
}

TEST(StateTest, EachCommandMakesANewStateAndLeavesTheOldOneAlone) {
    const StatePointer none = MetadataState::empty();
    const StatePointer one = create(none, "b");
    const StatePointer two = create(one, "a");
    EXPECT_EQ(none->bucket_count(), 0U);
    EXPECT_THAT(names(one), ElementsAre("b"));
    EXPECT_THAT(names(two), ElementsAre("a", "b"));
    EXPECT_EQ(two->version(), 2U);
}

TEST(StateTest, ABucketNumberIsNeverGivenTwice) {
    StatePointer state = create(MetadataState::empty(), "a");
    const BucketId first = state->find(name_of("a"))->id;
    state = state->apply(DestroyBucket{name_of("a")})->state;
    EXPECT_EQ(state->find(name_of("a")), nullptr);
    state = *MetadataState::parse(state->encode());
    state = create(state, "a");
    EXPECT_GT(state->find(name_of("a"))->id, first);
}

TEST(StateTest, ARenamedBucketKeepsItsNumberAndMovesInTheOrder) {
    StatePointer state = MetadataState::empty();
    for (const char* name : {"a", "b", "c"}) state = create(state, name);
    const BucketId id = state->find(name_of("a"))->id;
    const auto renamed = state->apply(RenameBucket{name_of("a"), name_of("bb")});
    ASSERT_TRUE(renamed);
    EXPECT_EQ(renamed->bucket, id);
    EXPECT_THAT(names(renamed->state), ElementsAre("b", "bb", "c"));
    EXPECT_EQ(renamed->state->find(name_of("bb"))->id, id);
    EXPECT_EQ(renamed->state->find(name_of("a")), nullptr);
    EXPECT_EQ(renamed->state->bucket_count(), 3U);
    EXPECT_THAT(names(state), ElementsAre("a", "b", "c"));
    const StatePointer after = *MetadataState::parse(renamed->state->encode());
    EXPECT_EQ(after->find(name_of("bb"))->id, id);
    EXPECT_EQ(state->apply(RenameBucket{name_of("a"), name_of("b")}).error().code, Errc::exists);
    EXPECT_EQ(state->apply(RenameBucket{name_of("x"), name_of("y")}).error().code, Errc::not_found);
    StatePointer alone = create(MetadataState::empty(), "z");
    alone = alone->apply(RenameBucket{name_of("z"), name_of("a")})->state;
    EXPECT_THAT(names(alone), ElementsAre("a"));
}

TEST(StateTest, WhatIsRefusedChangesNothing) {
    const StatePointer state = create(MetadataState::empty(), "a");
    EXPECT_EQ(state->apply(CreateBucket{name_of("a"), {}, 1}).error().code, Errc::exists);
    EXPECT_EQ(state->apply(DestroyBucket{name_of("b")}).error().code, Errc::not_found);
    EXPECT_EQ(state->apply(SetProperties{name_of("b"), {}}).error().code, Errc::not_found);
    EXPECT_EQ(state->apply(CreateBucket{name_of("*"), {}, 1}).error().code, Errc::invalid);
    EXPECT_EQ(state->version(), 1U);
}

TEST(StateTest, ValuesAreSetReplacedAndTakenAway) {
    StatePointer state = MetadataState::empty()->apply(SetValue{"k", "1"})->state;
    state = state->apply(SetValue{"k", "2"})->state;
    EXPECT_EQ(*state->find_value("k"), "2");
    EXPECT_EQ(state->apply(SetValue{"k", ""})->state->find_value("k"), nullptr);
}

TEST(StateTest, SeveralValuesAreSetTogetherFromTheStateThatWasSeen) {
    StatePointer state = MetadataState::empty()->apply(SetValue{"k", "1"})->state;
    const uint64_t seen = state->version();
    state = state->apply(SetValues{{{"k", ""}, {"l", "2"}}, seen})->state;
    EXPECT_EQ(state->version(), seen + 1);
    EXPECT_EQ(state->find_value("k"), nullptr);
    EXPECT_EQ(*state->find_value("l"), "2");
    EXPECT_EQ(state->apply(SetValues{{{"l", "3"}}, seen}).error().code, Errc::condition_failed);
    EXPECT_EQ(*state->apply(SetValues{{{"l", "3"}}})->state->find_value("l"), "3");
}

TEST(StateTest, AgreesWithASortedSetThroughManyRandomChangesAndItsOwnSnapshot) {
    Random random(3);
    StatePointer state = MetadataState::empty();
    std::set<std::string> model;
    for (uint32_t step = 0; step < 20'000; ++step) {
        const std::string name = "b" + std::to_string(random.below(3000));
        const bool creates = random.chance(2, 3);
        const Command command =
            creates ? Command(CreateBucket{name_of(name), {}, step}) : DestroyBucket{name_of(name)};
        const auto applied = state->apply(command);
        ASSERT_EQ(applied.has_value(), creates != model.contains(name));
        if (!applied) continue;
        state = applied->state;
        creates ? (void)model.insert(name) : (void)model.erase(name);
    }
    EXPECT_TRUE(std::ranges::equal(names(state), model));
    const auto parsed = MetadataState::parse(state->encode());
    ASSERT_TRUE(parsed) << parsed.error().context;
    EXPECT_TRUE(std::ranges::equal(names(*parsed), model));
    EXPECT_EQ((*parsed)->version(), state->version());
    EXPECT_EQ((*parsed)->encode(), state->encode());
}

TEST(StateTest, ADamagedSnapshotNeverReadsAsMoreThanItIs) {
    StatePointer state = create(create(MetadataState::empty(), "a"), "b");
    state = state->apply(SetValue{"k", "v"})->state;
    const std::vector<std::byte> bytes = state->encode();
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(MetadataState::parse(Bytes(bytes).first(size))) << size;
    }
    // Its checksum is the journal's business; here, whatever the bytes are, nothing breaks.
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::vector<std::byte> flipped = bytes;
        flipped[bit / 8] ^= std::byte{1} << (bit % 8);
        if (const auto parsed = MetadataState::parse(flipped)) {
            EXPECT_LE((*parsed)->bucket_count(), 2U);
        }
    }
}

TEST(StateTest, HoldsAHundredThousandBuckets) {
    StatePointer state = MetadataState::empty();
    for (uint32_t index = 0; index < 100'000; ++index) {
        state = create(state, "bucket-" + std::to_string(index * 7919 % 100'000));
    }
    EXPECT_EQ(state->bucket_count(), 100'000U);
    const auto parsed = MetadataState::parse(state->encode());
    ASSERT_TRUE(parsed);
    EXPECT_NE((*parsed)->find(name_of("bucket-99999")), nullptr);
}

}  // namespace
}  // namespace penstock::node
