// Compaction: space comes back, and nothing else changes.
#include "node/store/compactor.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

enum class CatalogueKind : uint8_t { memory, level };

class CompactorTest : public ::testing::TestWithParam<CatalogueKind> {
protected:
    void SetUp() override { open(); }

    void open() {
        harness_ = std::make_unique<StoreHarness>(loop_, storage_);
        configure(harness_->options());
        const Status opened = harness_->open();
        ASSERT_TRUE(opened) << opened.error().context;
    }
    void configure(StoreOptions& options) const {
        options.segment_bytes = segment_bytes_;
        options.small_object_bytes_max = 8 << 10;
        options.reserve_bytes = reserve_bytes_;
        options.is_compacting = is_automatic_;
        options.direct_group_bytes_min = 64 << 10;  // where records lie is counted on
        if (GetParam() == CatalogueKind::level && !is_in_memory_) {
            options.catalogue_cache_bytes = 1 << 20;
        }
    }
    void restart() {
        harness_.reset();
        open();
    }
    void cut_power() {
        io::MemoryStorage left = storage_.crash(random_);
        harness_.reset();
        storage_ = std::move(left);
        open();
    }

    void put(const std::string& name, size_t size) {
        const std::string content = content_of(random_.next(), size);
        const auto put = harness_->put(name, content);
        ASSERT_TRUE(put) << put.error().context;
        expected_[name] = {content, put->version};
    }
    void remove(const std::string& name) {
        ASSERT_TRUE(harness_->remove(name));
        expected_.erase(name);
        removed_.push_back(name);
    }
    uint64_t compact() {
        const auto freed = harness_->compact();
        EXPECT_TRUE(freed) << freed.error().context;
        return freed.value_or(0);
    }

    void check() {
        for (const auto& [name, object] : expected_) {
            const auto got = harness_->get(name);
            ASSERT_TRUE(got) << name << ": " << got.error().context;
            EXPECT_EQ(*got == object.first, true) << name;
            EXPECT_EQ(harness_->stat(name)->version, object.second) << name;
        }
        for (const std::string& name : removed_) {
            if (expected_.contains(name)) continue;
            EXPECT_EQ(harness_->get(name).error().code, Errc::not_found) << name;
        }
        const auto names = harness_->list({.limit = 100'000});
        ASSERT_TRUE(names);
        EXPECT_EQ(names->size(), expected_.size());
        EXPECT_EQ(harness_->store().usage().corruptions, 0U);
    }

    std::vector<std::string> segments() {
        std::vector<std::string> names;
        for (const auto& entry : *storage_.make_blocking_disk()->list("log")) {
            names.push_back(entry.name);
        }
        std::ranges::sort(names);
        return names;
    }
    // Whether the log has an entry of this name.
    bool holds(const std::string& entry) {
        for (const std::string& segment : segments()) {
            const auto bytes = *storage_.read_file("log/" + segment);
            std::string text = entry.starts_with('.') ? entry : "bucket/" + entry;
            text += '\0';
            for (size_t at = 0; at + 512 <= bytes.size(); at += 512) {
                if (as_text(Bytes(bytes).subspan(at, text.size())) == text) return true;
            }
        }
        return false;
    }
    // Everything in the quarantine, one behind the other.
    std::string quarantined() {
        std::string all;
        for (const auto& entry : *storage_.make_blocking_disk()->list("quarantine")) {
            all += as_text(*storage_.read_file("quarantine/" + entry.name));
        }
        return all;
    }
    size_t object_files() { return storage_.make_blocking_disk()->list("objects")->size(); }

    TestLoop loop_;
    bool is_in_memory_ = false;  // the catalogue, whatever the parameter says
    Random random_{2026};
    io::MemoryStorage storage_;
    std::unique_ptr<StoreHarness> harness_;
    std::map<std::string, std::pair<std::string, Version>> expected_;
    std::vector<std::string> removed_;
    bool is_automatic_ = false;
    uint64_t segment_bytes_ = 64 << 10;
    uint64_t reserve_bytes_ = 4096;
};

// What compaction frees only the catalogue in use is told of: one that lay on the disk meanwhile,
// at a position that is still in the log, would name what is gone.
TEST_P(CompactorTest, ACatalogueThatIsNotInUseIsNotLeftBehind) {
    for (int number = 0; number < 40; ++number) put("gone" + std::to_string(number), 6000);
    put("kept", 6000);
    is_in_memory_ = true;
    restart();
    const auto left = storage_.make_blocking_disk()->list("catalogue");
    EXPECT_TRUE(!left || left->empty());
    for (int number = 0; number < 40; ++number) remove("gone" + std::to_string(number));
    for (int number = 0; number < 80; ++number) put("again", 6000);
    compact();
    is_in_memory_ = false;
    restart();
    check();
}

TEST_P(CompactorTest, OverwrittenBytesComeBack) {
    for (int round = 0; round < 8; ++round) {
        for (int index = 0; index < 20; ++index) put("n" + std::to_string(index), 4000);
    }
    const uint64_t before = harness_->store().usage().segment_bytes;
    EXPECT_GT(compact(), 400'000U);
    const StoreUsage usage = harness_->store().usage();
    EXPECT_LT(usage.segment_bytes, before - 400'000);
    // Besides what lives: the segment that is written to, the spare one, and what one segment's
    // rounding leaves.
    EXPECT_LE(usage.segment_bytes, usage.live_bytes * 13 / 10 + 3 * (64 << 10));
    check();
    restart();
    check();
    EXPECT_EQ(harness_->store().usage().live_bytes, usage.live_bytes);
    cut_power();
    check();
}

TEST_P(CompactorTest, DeletedBytesComeBackAndSoDoTombstones) {
    for (int index = 0; index < 200; ++index) put("n" + std::to_string(index), 3000);
    for (int index = 0; index < 200; ++index) remove("n" + std::to_string(index));
    put("kept", 100);
    compact();
    // A segment whose tombstones had to stay is freed once what they delete is gone.
    compact();
    EXPECT_LE(segments().size(), 4U);
    check();
    restart();
    check();
}

TEST_P(CompactorTest, ATombstoneStaysWhileAnOlderSegmentHoldsWhatItDeletes) {
    // A segment that stays because nearly all of it lives, with one record that was deleted.
    segment_bytes_ = 256 << 10;
    restart();
    put("old", 600);
    for (int index = 0; index < 70; ++index) put("cold" + std::to_string(index), 3500);
    remove("old");
    for (int index = 0; index < 100; ++index) put("hot", 4000);
    compact();
    for (int index = 0; index < 100; ++index) put("hot", 4000);
    compact();
    EXPECT_TRUE(holds("old")) << "the test needs a segment that stays";
    EXPECT_TRUE(holds(".penstock/delete/bucket/old"));
    EXPECT_EQ(segments().size(), 4U);
    check();
    // The truth is the log: without the catalogue it says the same.
    restart();
    check();
    cut_power();
    check();
    for (int index = 0; index < 70; ++index) put("cold" + std::to_string(index), 3500);
    compact();
    compact();
    EXPECT_FALSE(holds("old"));
    EXPECT_FALSE(holds(".penstock/delete/bucket/old"));
    check();
}

TEST_P(CompactorTest, LargeObjectsKeepTheirFilesWhenTheirRecordMoves) {
    put("large", 50'000);
    put("other", 30'000);
    EXPECT_EQ(object_files(), 2U);
    for (int index = 0; index < 60; ++index) put("filler", 4000);
    compact();
    EXPECT_NE(segments().front(), "0000000001.tar");
    check();
    EXPECT_EQ(object_files(), 2U);
    restart();
    check();
    put("large", 20'000);
    remove("other");
    compact();
    while (object_files() > 1) loop_.reactor->turn(1'000'000);
    check();
}

TEST_P(CompactorTest, ADamagedRecordIsGivenUpAndItsNeighboursMove) {
    for (int index = 0; index < 20; ++index) put("n" + std::to_string(index), 4000);
    // Names written over, so that the first segment has garbage.
    for (int index = 0; index < 10; ++index) put("n" + std::to_string(index), 4000);
    for (int index = 0; index < 40; ++index) put("filler", 4000);
    harness_.reset();
    // n12 lies in the first segment: a bit of its content.
    const auto bytes = *storage_.read_file("log/0000000001.tar");
    const std::string& content = expected_["n12"].first;
    const auto found =
        std::search(bytes.begin(), bytes.end(), as_bytes(content).begin(), as_bytes(content).end());
    ASSERT_NE(found, bytes.end());
    const auto at = static_cast<uint64_t>(found - bytes.begin());
    ASSERT_TRUE(storage_.flip_bit("log/0000000001.tar", at * 8 + 77));
    open();
    compact();
    EXPECT_NE(segments().front(), "0000000001.tar");
    // The damaged bytes are kept, and told of.
    const std::string kept = quarantined();
    EXPECT_NE(std::ranges::search(kept, content.substr(100)).begin(), kept.end());
    EXPECT_NE(kept.find("\"object\":\"n12\""), std::string::npos) << kept.substr(0, 300);
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(harness_->get("n12").error().code, Errc::corrupt);
        EXPECT_EQ(harness_->stat("n12").error().code, Errc::corrupt);
        EXPECT_EQ(harness_->list({.limit = 1000})->size(), expected_.size());
        for (const auto& [name, object] : expected_) {
            if (name != "n12") EXPECT_EQ(*harness_->get(name) == object.first, true) << name;
        }
        // What says so moves with compaction, too, and outlives the catalogue.
        for (int index = 0; index < 40; ++index) put("filler", 4000);
        compact();
        restart();
    }
    remove("n12");
    put("n12", 100);
    EXPECT_EQ(*harness_->get("n12") == expected_["n12"].first, true);
    restart();
    check();
}

TEST_P(CompactorTest, ADestroyedBucketsBytesComeBack) {
    for (int index = 0; index < 40; ++index) {
        const std::string name = "n" + std::to_string(index);
        put(name, 3000);
        const ObjectName other{{2}, "other", name};
        ASSERT_TRUE(harness_->run(harness_->store().put(
            0, other, harness_->body(content_of(1, index == 0 ? 50'000 : 3000)), {})));
    }
    EXPECT_GT(harness_->store().live_bytes({2}), 39U * 3000);
    EXPECT_EQ(harness_->store().live_bytes({1}) + harness_->store().live_bytes({2}),
              harness_->store().usage().live_bytes);
    EXPECT_EQ(object_files(), 1U);
    harness_->store().forget_bucket({2});
    while (harness_->store().live_bytes({2}) > 0) loop_.reactor->turn(1'000'000);
    EXPECT_GT(compact(), 80'000U);
    while (object_files() > 0) loop_.reactor->turn(1'000'000);
    check();
    restart();
    check();
}

// The garbage of a bucket that was destroyed while the store was down.
TEST_P(CompactorTest, ABucketThatIsGoneAtTheStartLeavesNothing) {
    for (int index = 0; index < 40; ++index) {
        put("n" + std::to_string(index), 3000);
        const ObjectName other{{2}, "other", "x"};
        ASSERT_TRUE(harness_->run(
            harness_->store().put(0, other, harness_->body(content_of(1, 3000)), {})));
    }
    harness_ = std::make_unique<StoreHarness>(loop_, storage_);
    configure(harness_->options());
    harness_->options().is_live_bucket = [](BucketId bucket) { return bucket.value == 1; };
    ASSERT_TRUE(harness_->open());
    EXPECT_EQ(harness_->store().live_bytes({2}), 0U);
    compact();
    const StoreUsage usage = harness_->store().usage();
    EXPECT_LE(usage.segment_bytes, usage.live_bytes * 13 / 10 + 3 * (64 << 10));
    check();
}

// Changes, reads and compaction at the same time, in every order that the random numbers give.
TEST_P(CompactorTest, ChangesMeanwhileWin) {
    const auto change = [&](StoreHarness& harness, std::string name, std::string content,
                            bool is_removal, int& running) -> io::Task<void> {
        return [](StoreHarness& in, std::string of, std::string bytes, bool removes, auto& expected,
                  auto& removed, int& count) -> io::Task<void> {
            const ObjectName object = StoreHarness::name(of);
            if (removes) {
                if (co_await in.store().remove(0, object, {}, Durability::group)) {
                    expected.erase(of);
                    removed.push_back(of);
                }
            } else {
                const auto put = co_await in.store().put(0, object, in.body(bytes), PutOptions());
                EXPECT_TRUE(put);
                if (put) expected[of] = {bytes, put->version};
            }
            --count;
        }(harness, std::move(name), std::move(content), is_removal, expected_, removed_, running);
    };
    for (int round = 0; round < 30; ++round) {
        // Each name once in a round, so that what was acknowledged last is known.
        int running = 0;
        bool is_compacted = false;
        std::vector<int> names;
        for (int index = 0; index < 24; ++index) names.push_back(index);
        for (size_t index = names.size(); index > 1; --index) {
            std::swap(names[index - 1], names[random_.below(index)]);
        }
        const size_t compacts_at = random_.below(names.size());
        for (size_t index = 0; index < names.size(); ++index) {
            if (index == compacts_at) {
                io::start_detached([](StoreHarness& in, bool& done) -> io::Task<void> {
                    const auto freed = co_await in.store().compact(0);
                    EXPECT_TRUE(freed) << freed.error().context;
                    done = true;
                }(*harness_, is_compacted));
            }
            if (random_.chance(1, 3)) loop_.reactor->turn(0);
            const std::string name = "n" + std::to_string(names[index]);
            const bool is_removal = random_.chance(1, 4) && expected_.contains(name);
            const size_t size = random_.chance(1, 6) ? 20'000 : random_.below(5000);
            ++running;
            io::start_detached(
                change(*harness_, name, content_of(random_.next(), size), is_removal, running));
        }
        while (running > 0 || !is_compacted) loop_.reactor->turn(1'000'000);
        check();
        if (HasFailure()) return;
        if (random_.chance(1, 6)) restart();
        if (random_.chance(1, 6)) cut_power();
        check();
    }
}

TEST_P(CompactorTest, InTheBackgroundTheBoundIsKept) {
    is_automatic_ = true;
    restart();
    for (int round = 0; round < 40; ++round) {
        for (int index = 0; index < 60; ++index) {
            put("n" + std::to_string(random_.below(100)), 4000);
        }
    }
    // What was written last may not be compacted yet.
    const uint64_t until_ns = loop_.reactor->now_ns() + 5'000'000'000;
    const auto is_bound = [&] {
        const StoreUsage usage = harness_->store().usage();
        return usage.segment_bytes <= usage.live_bytes * 13 / 10 + 3 * (64 << 10);
    };
    while (!is_bound() && loop_.reactor->now_ns() < until_ns) loop_.reactor->turn(1'000'000);
    EXPECT_TRUE(is_bound());
    EXPECT_GT(harness_->store().usage().compacted_bytes, 0U);
    check();
    restart();
    check();
}

// At four fifths the bound of 1.3 is beyond the disk's end: compaction begins before, and writers
// that are faster wait for it rather than being refused.
TEST_P(CompactorTest, OverwritingADiskThatIsFourFifthsFullGoesOn) {
    if (GetParam() == CatalogueKind::level) GTEST_SKIP() << "its own files would fill this disk";
    constexpr uint64_t disk_bytes = 8 << 20;
    constexpr int names = 1430;  // of 4,608 bytes
    harness_.reset();
    storage_ = io::MemoryStorage({.bytes_max = disk_bytes});
    is_automatic_ = true;
    reserve_bytes_ = 400 << 10;
    open();
    for (int index = 0; index < names; ++index) put("n" + std::to_string(index), 4000);
    EXPECT_GT(harness_->store().usage().live_bytes, disk_bytes * 3 / 4);
    for (int round = 0; round < 400 && !HasFailure(); ++round) {
        put("n" + std::to_string(random_.below(names)), 4000);
    }
    EXPECT_GT(harness_->store().usage().freed_bytes, 0U);
    check();
}

// Nothing is freed while nothing can be read, and nothing spins.
TEST_P(CompactorTest, ASegmentThatIsMissingIsReportedAndNotLostAgain) {
    for (int index = 0; index < 40; ++index) put("n" + std::to_string(index % 20), 4000);
    const auto lost = expected_;
    harness_.reset();
    ASSERT_TRUE(storage_.make_blocking_disk()->remove("log/0000000002.tar"));
    open();
    EXPECT_GT(harness_->store().usage().corruptions, 0U);
    if (GetParam() == CatalogueKind::level) {
        uint64_t missing = 0;
        for (const auto& [name, object] : expected_) {
            const auto got = harness_->get(name);
            if (got) continue;
            EXPECT_EQ(got.error().code, Errc::corrupt);
            ++missing;
        }
        EXPECT_GT(missing, 0U);
    }
}

INSTANTIATE_TEST_SUITE_P(Catalogues, CompactorTest,
                         ::testing::Values(CatalogueKind::memory, CatalogueKind::level),
                         [](const auto& instance) {
                             return instance.param == CatalogueKind::memory ? "Memory" : "Level";
                         });

}  // namespace
}  // namespace penstock::node
