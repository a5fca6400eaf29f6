// Scrub: finds each damaged object and names it, touches nothing, goes on after a stop.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/node/jobs/jobs_harness.h"

namespace penstock::node {
namespace {

class ScrubTest : public testing::Test {
protected:
    void SetUp() override {
        JobsHarness harness(loop_, storage_);
        ASSERT_TRUE(harness.open());
        ASSERT_TRUE(harness.create("b") && harness.create("c"));
        for (uint64_t index = 0; index < 60; ++index) {
            ASSERT_TRUE(harness.put("b", name(index), content_of(index, 3000)));
            ASSERT_TRUE(harness.put("c", name(index), content_of(1000 + index, 400)));
        }
        ASSERT_TRUE(harness.put("b", "large", content_of(7, 300'000)));
    }
    static std::string name(uint64_t index) { return "o" + std::to_string(100 + index); }
    static JobSpec scrub(const std::string& bucket = "") {
        return {
            .kind = JobKind::scrub,
            .owner = "test",
            .bucket = bucket.empty() ? BucketName{"ais", "", "", ""} : JobsHarness::bucket(bucket)};
    }
    // A bit of this content, wherever it lies.
    void damage(const std::string& content) {
        const auto disk = storage_.make_blocking_disk();
        for (const std::string& folder : {"log", "objects"}) {
            for (const auto& entry : *disk->list(folder)) {
                const std::string path = folder + "/" + entry.name;
                const auto bytes = *storage_.read_file(path);
                const auto found = std::ranges::search(bytes, as_bytes(content));
                if (found.empty()) continue;
                const auto at = static_cast<uint64_t>(found.begin() - bytes.begin());
                ASSERT_TRUE(storage_.flip_bit(path, (at + content.size() / 2) * 8));
                return;
            }
        }
        FAIL() << "the content lies nowhere";
    }
    static std::set<std::string> names_of(const JobSnapshot& job) {
        std::set<std::string> names;
        for (const JobError& error : job.progress.errors) names.insert(error.object);
        return names;
    }

    TestLoop loop_;
    io::MemoryStorage storage_;
};

TEST_F(ScrubTest, ReadsEverythingWhereAllIsWell) {
    JobsHarness harness(loop_, storage_);
    ASSERT_TRUE(harness.open());
    const JobSnapshot job = harness.wait(harness.finish(scrub()));
    EXPECT_EQ(job.state, JobState::finished) << job.stop_reason;
    EXPECT_EQ(job.progress.objects, 121U);
    EXPECT_GT(job.progress.bytes, 300'000U + 60 * 3400);
    EXPECT_EQ(job.progress.error_count, 0U);
    EXPECT_EQ(harness.service().usage().verified_objects, 121U);
    EXPECT_EQ(harness.wait(harness.finish(scrub("c"))).progress.objects, 60U);
}

TEST_F(ScrubTest, NamesEachDamagedObjectAndNoOther) {
    damage(content_of(5, 3000));
    damage(content_of(1059, 400));
    damage(content_of(7, 300'000));
    JobsHarness harness(loop_, storage_);
    ASSERT_TRUE(harness.open());
    const auto before = harness.objects("b");
    const JobSnapshot job = harness.wait(harness.finish(scrub()));
    EXPECT_EQ(job.state, JobState::finished) << job.stop_reason;
    EXPECT_EQ(names_of(job), (std::set<std::string>{name(5), name(59), "large"}));
    EXPECT_EQ(job.progress.objects, 118U);
    EXPECT_GE(harness.service().usage().corruptions, 3U);
    EXPECT_EQ(harness.objects("b").size(), before.size());
    // A bucket that forbids reading is scrubbed, too.
    BucketProperties closed;
    closed.access = 0;
    ASSERT_TRUE(harness.run(harness.service().set_properties(0, JobsHarness::bucket("c"), closed)));
    EXPECT_EQ(names_of(harness.wait(harness.finish(scrub("c")))),
              (std::set<std::string>{name(59)}));
}

TEST_F(ScrubTest, GoesOnWhereAStopInterruptedIt) {
    uint64_t first = 0;
    std::string id;
    {
        JobsHarness harness(loop_, storage_);
        harness.options.scrub_bytes_per_s = 2 << 20;  // 2 s for all
        ASSERT_TRUE(harness.open());
        id = *harness.start(scrub());
        while (first < 32) {
            loop_.reactor->turn(1'000'000);
            first = harness.find({.id = id}).front().progress.objects;
        }
        harness.close();
    }
    ASSERT_LT(first, 121U);
    JobsHarness harness(loop_, storage_);
    ASSERT_TRUE(harness.open());
    const JobSnapshot job = harness.wait(id);
    EXPECT_EQ(job.state, JobState::finished) << job.stop_reason;
    EXPECT_TRUE(job.is_resumed);
    EXPECT_EQ(job.progress.objects, 121U);
    EXPECT_LT(harness.service().usage().verified_objects, 121U);
}

TEST_F(ScrubTest, KeepsToItsRate) {
    JobsHarness harness(loop_, storage_);
    harness.options.scrub_bytes_per_s = 16 << 20;
    ASSERT_TRUE(harness.open());
    const uint64_t begun_ns = loop_.reactor->now_ns();
    const JobSnapshot job = harness.wait(harness.finish(scrub()));
    // 120 small ones, which count 16 KiB each, and the large one: 2.2 MiB.
    EXPECT_GT(loop_.reactor->now_ns() - begun_ns, 100'000'000U);
    EXPECT_EQ(job.progress.objects, 121U);
}

}  // namespace
}  // namespace penstock::node
