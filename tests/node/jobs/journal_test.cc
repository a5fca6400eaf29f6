// What a job's owner was told stays, whichever call fails and wherever the power goes.
#include "node/jobs/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "io/fault_disk.h"
#include "io/memory_disk.h"
#include "tests/node/jobs/job_records.h"

namespace penstock::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The journal as the registry uses it: it knows all records, and begins anew when it must.
class Writer {
public:
    explicit Writer(io::BlockingDisk& disk) : opened_(JobJournal::open(disk, log_)) {}
    bool is_open() const { return opened_.has_value(); }
    const Error& error() const { return opened_.error(); }
    JobJournal& journal() { return **opened_; }
    Status write(const JobRecord& record, bool syncs = true) {
        all_.push_back(record);
        if (journal().needs_rewrite()) return journal().rewrite(bytes_of(all_), ++generation_);
        return journal().append(bytes_of({record}), syncs);
    }
    // Those that go on.
    Ids unfinished() {
        Ids ids;
        for (const JournaledJob& job : journal().take_found()) {
            if (!job.ended) ids.push_back(job.begun.id);
        }
        return ids;
    }
    void adopt() {
        for (const JournaledJob& job : journal().take_found()) {
            all_.emplace_back(job.begun);
            if (job.ended) all_.emplace_back(*job.ended);
        }
    }

private:
    Log log_ = Log::quiet();
    Result<std::unique_ptr<JobJournal>> opened_;
    std::vector<JobRecord> all_;
    uint64_t generation_ = 0;
};

Ids unfinished_after_restart(const io::MemoryStorage& storage) {
    const auto disk = storage.make_blocking_disk();
    Writer writer(*disk);
    EXPECT_TRUE(writer.is_open()) << writer.error().context;
    return writer.is_open() ? writer.unfinished() : Ids{"<refused>"};
}

class JobJournalTest : public testing::Test {
protected:
    io::MemoryStorage storage_;
    std::unique_ptr<io::BlockingDisk> disk_ = storage_.make_blocking_disk();
};

TEST_F(JobJournalTest, GivesBackWhatItWasTold) {
    const JobProgress progress{5, 600, 2, {{"x", "does not exist"}}};
    {
        Writer writer(*disk_);
        ASSERT_TRUE(writer.write(begun("one")));
        ASSERT_TRUE(writer.write(begun("two")));
        ASSERT_TRUE(writer.write(JobMoved{"one", "17", progress}));
        ASSERT_TRUE(writer.write(JobEnded{"two", JobState::stopped, 99, "user abort", progress}));
    }
    Writer writer(*disk_);
    const std::vector<JournaledJob> found = writer.journal().take_found();
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].begun, begun("one"));
    EXPECT_EQ(found[0].position, "17");
    EXPECT_EQ(found[0].progress, progress);
    EXPECT_FALSE(found[0].ended);
    ASSERT_TRUE(found[1].ended);
    EXPECT_EQ(found[1].ended->state, JobState::stopped);
    EXPECT_EQ(found[1].ended->reason, "user abort");
    EXPECT_FALSE(writer.journal().needs_rewrite());
}

// A rewrite has a job that waits to be written down, and then it is written.
TEST_F(JobJournalTest, AJobThatIsWrittenTwiceIsOne) {
    Writer writer(*disk_);
    const JobMoved moved{"one", "17", {}};
    ASSERT_TRUE(writer.journal().rewrite(bytes_of({begun("one"), moved}), 2));
    ASSERT_TRUE(writer.journal().append(bytes_of({begun("one")}), true));
    Writer middle(*disk_);
    const std::vector<JournaledJob> found = middle.journal().take_found();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].position, "17");
    ASSERT_TRUE(writer.write(ended("one")));
    EXPECT_THAT(unfinished_after_restart(storage_), IsEmpty());
}

TEST_F(JobJournalTest, ARechunksRuleIsWrittenToo) {
    JobBegun job = begun("one");
    job.spec.kind = JobKind::rechunk;
    job.spec.rechunk = {64 << 20, 1 << 20};
    std::vector<std::byte> bytes;
    append_job_record(bytes, job);
    const auto parsed = parse_job_record(bytes);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(std::get<JobBegun>(parsed->record), job);
    EXPECT_EQ(parsed->bytes, bytes.size());
}

TEST_F(JobJournalTest, MakesNothingUntilItIsToldSomething) {
    Writer writer(*disk_);
    EXPECT_TRUE(writer.journal().needs_rewrite());
    EXPECT_THAT(*disk_->list(""), IsEmpty());
}

TEST_F(JobJournalTest, BeginsAnewWhenItHasGrown) {
    Writer writer(*disk_);
    ASSERT_TRUE(writer.write(begun("one")));
    const JobMoved moved{"one", std::string(8000, 'p'), {}};
    for (uint64_t bytes = 0; bytes < 2 * JobJournal::grown_bytes_min; bytes += 8000) {
        ASSERT_TRUE(writer.write(moved, false));
        if (writer.journal().needs_rewrite()) break;
    }
    ASSERT_TRUE(writer.journal().needs_rewrite());
    ASSERT_TRUE(writer.journal().rewrite(bytes_of({begun("one"), moved}), 2));
    EXPECT_LT(writer.journal().size_bytes(), 20'000U);
    EXPECT_THAT(unfinished_after_restart(storage_.crash_losing_all()), ElementsAre("one"));
}

TEST_F(JobJournalTest, AFlippedBitLosesNothingBeforeIt) {
    {
        Writer writer(*disk_);
        for (const char* id : {"one", "two", "three"}) ASSERT_TRUE(writer.write(begun(id)));
    }
    const uint64_t bits = storage_.read_file("jobs/journal")->size() * 8;
    const Ids all{"one", "two", "three"};
    for (uint64_t bit = 0; bit < bits; bit += 3) {
        io::MemoryStorage damaged = storage_.clone();
        ASSERT_TRUE(damaged.flip_bit("jobs/journal", bit));
        const Ids found = unfinished_after_restart(damaged);
        ASSERT_LE(found.size(), 2U);
        ASSERT_TRUE(std::equal(found.begin(), found.end(), all.begin())) << bit;
    }
}

TEST_F(JobJournalTest, ANewerReleasesFileIsRefusedAndAnOlderOnesIsNot) {
    EXPECT_EQ(parse_job_header(header_of(3, 7)).error().code, Errc::invalid);
    EXPECT_EQ(parse_job_header(header_of(1, 7)).error().code, Errc::invalid);
    EXPECT_EQ(parse_job_header(header_of(2, 7)), 7U);
    EXPECT_EQ(parse_job_header(header_of(1, 0)), 0U);
    std::vector<std::byte> header = header_of(2, 7);
    header[0] = std::byte{0};
    EXPECT_EQ(parse_job_header(header).error().code, Errc::corrupt);
}

// One job begins and another ends for each call that fails, in each way; then the power goes.
TEST_F(JobJournalTest, WhatIsAcknowledgedStaysWhicheverCallFails) {
    for (const io::FaultEffect effect :
         {io::FaultEffect::fails, io::FaultEffect::fails_afterward, io::FaultEffect::is_short}) {
        uint64_t index = 0;
        for (; index < 1000; ++index) {
            SCOPED_TRACE(index);
            const io::MemoryStorage storage;
            const auto inner = storage.make_blocking_disk();
            io::FaultPlan plan;
            plan.add({.effect = effect, .at = index});
            Ids must_go_on;
            Ids may_go_on;
            Ids ended_ids;
            {
                const auto disk = io::make_fault_blocking_disk(*inner, plan);
                Writer writer(*disk);
                for (const char* id : {"a", "b", "c", "d"}) {
                    if (!writer.is_open()) break;
                    may_go_on.emplace_back(id);
                    if (writer.write(begun(id))) must_go_on.emplace_back(id);
                    if (must_go_on.empty() || ended_ids.size() > 1) continue;
                    const std::string first = must_go_on.front();
                    const bool is_ended = writer.write(ended(first)).has_value();
                    must_go_on.erase(must_go_on.begin());
                    if (is_ended) ended_ids.push_back(first);
                }
                if (writer.is_open()) EXPECT_GE(may_go_on.size(), 4U);
                EXPECT_EQ(plan.repeated_sync_count(), 0U);
            }
            const Ids found = unfinished_after_restart(storage.crash_losing_all());
            EXPECT_TRUE(std::ranges::includes(found, must_go_on));
            EXPECT_TRUE(std::ranges::includes(may_go_on, found));
            for (const std::string& id : ended_ids) {
                EXPECT_FALSE(std::ranges::binary_search(found, id)) << id << " would be done again";
            }
            if (plan.met_count() == 0) break;
        }
        EXPECT_LT(index, 1000U);
    }
}

// Every state that a power cut may leave before each call, through a restart and a torn end.
TEST_F(JobJournalTest, WhatIsAcknowledgedStaysInEveryStateOfAPowerCut) {
    Random random(7);
    uint64_t state_count = 0;
    for (const auto order : {io::CrashMode::Names::in_order, io::CrashMode::Names::any_subset}) {
        io::MemoryStorage storage;
        Ids begun_ids;
        Ids ended_ids;
        const auto check = [&](const io::MemoryStorage& left) {
            const Ids found = unfinished_after_restart(left);
            for (const std::string& id : begun_ids) {
                const bool is_ended = std::ranges::find(ended_ids, id) != ended_ids.end();
                const bool is_found = std::ranges::find(found, id) != found.end();
                ASSERT_TRUE(is_ended || is_found) << id;
                ASSERT_FALSE(is_ended && is_found) << id;
            }
        };
        storage.on_call([&](const io::DiskCall&) {
            state_count += storage.for_each_crash(300, random, {.names = order}, check);
        });
        const auto disk = storage.make_blocking_disk();
        for (uint32_t round = 0; round < 2; ++round) {
            Writer writer(*disk);
            ASSERT_TRUE(writer.is_open());
            writer.adopt();
            const std::string first = "first" + std::to_string(round);
            const std::string second = "second" + std::to_string(round);
            ASSERT_TRUE(writer.write(begun(first)));
            begun_ids.push_back(first);
            ASSERT_TRUE(writer.write(JobMoved{first, "3", {}}, false));
            ASSERT_TRUE(writer.write(begun(second)));
            begun_ids.push_back(second);
            // While it is written the job may be found or not.
            std::erase(begun_ids, first);
            ASSERT_TRUE(writer.write(ended(first)));
            begun_ids.push_back(first);
            ended_ids.push_back(first);
        }
    }
    EXPECT_GT(state_count, 100U);
    std::printf("%llu states\n", static_cast<unsigned long long>(state_count));
}

}  // namespace
}  // namespace penstock::node
