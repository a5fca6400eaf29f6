#include "node/service/placement.h"

#include <gtest/gtest.h>

#include <map>

#include "io/base/checksum.h"

namespace penstock::node {
namespace {

const BucketName bucket{"ais", "", "", "bck"};

TEST(PlacementTest, TheScoreIsAIStores) {
    // Values of the contract, section 1.15.
    EXPECT_EQ(hrw_score(0, 0), 1905207664160064169U);
    EXPECT_EQ(hrw_score(4573842, 0), 5026071747115404967U);
}

TEST(PlacementTest, NamesAreDigestedAsTheContractSpellsThem) {
    EXPECT_EQ(placement_digest(bucket, "dir/obj"),
              xxh64(as_bytes("ais/@#/bck/dir/obj"), placement_seed));
    EXPECT_EQ(placement_digest({"aws", "u", "n", "b"}, "o"),
              xxh64(as_bytes("aws/@u#n/b/o"), placement_seed));
}

TEST(PlacementTest, OneTargetOwnsEverything) {
    EXPECT_EQ(Placement({"only"}).owner_of(bucket, "x"), "only");
}

TEST(PlacementTest, TheHighestScoreOwnsWhateverTheOrderOfTargets) {
    const Placement forth({"aaaaaaaa", "bbbbbbbb", "cccccccc"});
    const Placement back({"cccccccc", "bbbbbbbb", "aaaaaaaa"});
    std::map<std::string, uint32_t> shares;
    for (uint32_t index = 0; index < 3000; ++index) {
        const std::string name = "object-" + std::to_string(index);
        EXPECT_EQ(forth.owner_of(bucket, name), back.owner_of(bucket, name));
        ++shares[forth.owner_of(bucket, name)];
    }
    for (const auto& [id, count] : shares) EXPECT_NEAR(count, 1000, 150) << id;
    EXPECT_EQ(shares.size(), 3U);
}

TEST(PlacementTest, ATargetThatLeavesMovesOnlyItsOwnNames) {
    const Placement three({"aaaaaaaa", "bbbbbbbb", "cccccccc"});
    const Placement two({"aaaaaaaa", "bbbbbbbb"});
    for (uint32_t index = 0; index < 1000; ++index) {
        const std::string name = "object-" + std::to_string(index);
        const std::string& owner = three.owner_of(bucket, name);
        if (owner != "cccccccc") EXPECT_EQ(two.owner_of(bucket, name), owner);
    }
}

}  // namespace
}  // namespace penstock::node
