// What a job's owner was told stays when a mountpath fails, hangs, goes or comes, and wherever the
// power goes in the middle of it. In virtual time.
#include "node/jobs/journals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>

#include "io/base/units.h"
#include "io/fault_disk.h"
#include "io/memory_disk.h"
#include "io/sim_kernel.h"
#include "tests/node/jobs/job_records.h"

namespace penstock::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr size_t disk_count = 4;
using Storages = std::array<io::MemoryStorage, disk_count>;
using Numbers = std::vector<size_t>;  // of disks

// Its jobs wait until they are let go.
class StallingPool final : public io::Pool {
public:
    void submit(Job& job) override {
        if (hangs_) {
            waiting_.push_back(&job);
        } else {
            inner_->submit(job);
        }
    }
    void hang() { hangs_ = true; }
    void let_go() {
        hangs_ = false;
        for (Job* job : std::exchange(waiting_, {})) inner_->submit(*job);
    }

private:
    std::unique_ptr<io::Pool> inner_ = io::make_inline_pool();
    std::vector<Job*> waiting_;
    bool hangs_ = false;
};

struct Loop {
    io::SimWorld world{1};
    io::Reactor reactor{io::make_sim_kernel(world), {}};
    std::array<StallingPool, disk_count> pools;

    template <typename T>
    T run(io::Task<T> task) {
        return reactor.run_until_done(std::move(task));
    }
    io::Task<int32_t> sleep(uint64_t ns) {
        co_return co_await reactor.sleep(reactor.within_ns(ns));
    }
};

// A node, as far as it writes jobs down: it knows them all, as the registry does.
class Node {
public:
    Node(Loop& loop, const Storages& storages, const Numbers& on,
         std::map<size_t, io::FaultPlan*> faults = {})
        : loop_(loop), journals_(loop.reactor, log_) {
        for (size_t number = 0; number < disk_count; ++number) {
            real_.push_back(storages[number].make_blocking_disk());
            io::BlockingDisk* disk = real_.back().get();
            if (faults.contains(number)) {
                faulty_.push_back(io::make_fault_blocking_disk(*disk, *faults[number]));
                disk = faulty_.back().get();
            }
            disks_.push_back(disk);
        }
        open(on);
    }
    ~Node() {
        for (StallingPool& pool : loop_.pools) pool.let_go();
        loop_.run(journals_.stop());
    }

    bool is_open() const { return error_.context.empty(); }
    const Error& error() const { return error_; }
    // Those that go on.
    Ids unfinished() const {
        Ids ids;
        for (const auto& [id, end] : jobs_) {
            if (!end) ids.push_back(id);
        }
        return ids;
    }

    Status begin(const std::string& id, bool syncs = true) {
        jobs_.emplace(id, std::nullopt);
        return write(begun(id), syncs);
    }
    Status end(const std::string& id) {
        jobs_[id] = ended(id);
        Status written = write(ended(id), true);
        // The past is forgotten at once: what is begun anew is shorter than what there was.
        if (written) jobs_.erase(id);
        return written;
    }
    Status keep_on(const Numbers& on) { return timed(journals_.keep_on(homes(on), all())); }
    uint64_t took_ns() const { return took_ns_; }

private:
    void open(const Numbers& on) {
        auto found = loop_.run(journals_.open(homes(on)));
        if (!found) {
            error_ = found.error();
            return;
        }
        for (JournaledJob& job : *found) jobs_.emplace(job.begun.id, std::move(job.ended));
        if (journals_.is_uneven()) (void)keep_on(on);
    }
    std::vector<MetadataHome> homes(const Numbers& on) {
        std::vector<MetadataHome> homes;
        for (const size_t number : on) homes.push_back({disks_[number], &loop_.pools[number]});
        return homes;
    }
    std::vector<std::byte> all() const {
        std::vector<JobRecord> records;
        for (const auto& [id, end] : jobs_) {
            records.emplace_back(begun(id));
            if (end) records.emplace_back(*end);
        }
        return bytes_of(records);
    }
    Status write(const JobRecord& record, bool syncs) {
        if (journals_.needs_rewrite()) return timed(journals_.rewrite(all()));
        return timed(journals_.append(bytes_of({record}), syncs));
    }
    Status timed(io::Task<Status> task) {
        const uint64_t begin_ns = loop_.reactor.now_ns();
        const Status status = loop_.run(std::move(task));
        took_ns_ = loop_.reactor.now_ns() - begin_ns;
        return status;
    }

    Loop& loop_;
    Log log_ = Log::quiet();
    std::vector<std::unique_ptr<io::BlockingDisk>> real_;
    std::vector<std::unique_ptr<io::BlockingDisk>> faulty_;
    std::vector<io::BlockingDisk*> disks_;
    JobJournals journals_;
    std::map<std::string, std::optional<JobEnded>> jobs_;
    Error error_{};
    uint64_t took_ns_ = 0;
};

class JobJournalsTest : public testing::Test {
protected:
    Ids unfinished_on(const Storages& storages, const Numbers& on) {
        Node node(loop_, storages, on);
        EXPECT_TRUE(node.is_open()) << node.error().context;
        return node.unfinished();
    }
    // What is left, alone, of each of these disks.
    void expect_each_has(const Numbers& disks, const Ids& ids) {
        for (const size_t number : disks) {
            SCOPED_TRACE(number);
            EXPECT_EQ(unfinished_on(crash_losing_all(), {number}), ids);
        }
    }
    Storages crash_losing_all() const {
        Storages left;
        for (size_t number = 0; number < disk_count; ++number) {
            left[number] = storages_[number].crash_losing_all();
        }
        return left;
    }
    bool has_file(size_t number) const {
        return storages_[number].read_file("jobs/journal").has_value();
    }

    Loop loop_;
    Storages storages_;
};

TEST_F(JobJournalsTest, TheFirstThreeHaveAll) {
    Node node(loop_, storages_, {0, 1, 2, 3});
    for (size_t number = 0; number < disk_count; ++number) EXPECT_FALSE(has_file(number));
    ASSERT_TRUE(node.begin("a"));
    ASSERT_TRUE(node.begin("b"));
    ASSERT_TRUE(node.end("a"));
    expect_each_has({0, 1, 2}, {"b"});
    EXPECT_FALSE(has_file(3));
}

TEST_F(JobJournalsTest, AStartWithoutTheFirstFindsAllAndAnOldCopyDoesNotCount) {
    {
        Node node(loop_, storages_, {0, 1, 2, 3});
        ASSERT_TRUE(node.begin("a"));
        ASSERT_TRUE(node.begin("b"));
    }
    {
        Node node(loop_, storages_, {1, 2, 3});
        EXPECT_THAT(node.unfinished(), ElementsAre("a", "b"));
        EXPECT_TRUE(has_file(3));
        ASSERT_TRUE(node.end("a"));
        ASSERT_TRUE(node.begin("c"));
    }
    // It comes back after that, in any place.
    for (const Numbers& on : {Numbers{0, 1, 2, 3}, Numbers{3, 2, 1, 0}, Numbers{0, 3}}) {
        EXPECT_THAT(unfinished_on(crash_losing_all(), on), ElementsAre("b", "c"));
    }
    const Node node(loop_, storages_, {0, 1, 2, 3});
    expect_each_has({0, 1, 2}, {"b", "c"});
    EXPECT_FALSE(has_file(3)) << "it would be found when the others are not there";
}

TEST_F(JobJournalsTest, HomesComeAndGo) {
    Node node(loop_, storages_, {0, 1});
    ASSERT_TRUE(node.begin("a"));
    ASSERT_TRUE(node.keep_on({0, 1, 2}));
    expect_each_has({0, 1, 2}, {"a"});
    ASSERT_TRUE(node.keep_on({1, 2, 3}));
    ASSERT_TRUE(node.begin("b"));
    expect_each_has({1, 2, 3}, {"a", "b"});
    ASSERT_TRUE(node.end("a"));
    EXPECT_EQ(unfinished_on(crash_losing_all(), {0, 1, 2, 3}), Ids{"b"});
    ASSERT_TRUE(node.keep_on({0, 1, 2, 3}));
    expect_each_has({0, 1, 2}, {"b"});
    EXPECT_FALSE(has_file(3));
    ASSERT_TRUE(node.keep_on({3}));
    ASSERT_TRUE(node.begin("c"));
    expect_each_has({3}, {"b", "c"});
    EXPECT_EQ(unfinished_on(crash_losing_all(), {0, 1, 2, 3}), (Ids{"b", "c"}));
}

TEST_F(JobJournalsTest, OneThatHangsIsNotWaitedForAndGetsAWholeCopyWhenItIsBack) {
    Node node(loop_, storages_, {0, 1, 2});
    ASSERT_TRUE(node.begin("a"));
    loop_.pools[0].hang();
    ASSERT_TRUE(node.begin("b"));
    EXPECT_GE(node.took_ns(), 3 * ns_per_s);
    EXPECT_LT(node.took_ns(), 4 * ns_per_s);
    ASSERT_TRUE(node.end("a"));
    EXPECT_LT(node.took_ns(), ns_per_s);
    expect_each_has({1, 2}, {"b"});
    ASSERT_TRUE(node.keep_on({1, 2, 3}));
    EXPECT_LT(node.took_ns(), ns_per_s);
    loop_.pools[0].let_go();
    loop_.run(loop_.sleep(ns_per_s));
    ASSERT_TRUE(node.keep_on({0, 1, 2, 3}));
    expect_each_has({0, 1, 2}, {"b"});
}

TEST_F(JobJournalsTest, OneThatHangsWhileItIsMadeIsNotWaitedForEither) {
    Node node(loop_, storages_, {1, 2});
    ASSERT_TRUE(node.begin("a"));
    loop_.pools[0].hang();
    ASSERT_TRUE(node.keep_on({0, 1, 2}));
    EXPECT_LT(node.took_ns(), 4 * ns_per_s);
    ASSERT_TRUE(node.begin("b"));
    EXPECT_LT(node.took_ns(), ns_per_s);
    loop_.pools[0].let_go();
    loop_.run(loop_.sleep(31 * ns_per_s));
    ASSERT_TRUE(node.end("a"));
    expect_each_has({0, 1, 2}, {"b"});
}

TEST_F(JobJournalsTest, OneThatFailedIsMadeAnewAfterAWhile) {
    io::FaultPlan faults;
    Node node(loop_, storages_, {0, 1}, {{1, &faults}});
    ASSERT_TRUE(node.begin("a"));
    faults.add({.kind = io::DiskCallKind::sync});
    ASSERT_TRUE(node.begin("b"));
    ASSERT_TRUE(node.begin("c"));
    expect_each_has({0}, {"a", "b", "c"});
    expect_each_has({1}, {"a"});
    loop_.run(loop_.sleep(31 * ns_per_s));
    ASSERT_TRUE(node.end("a"));
    expect_each_has({0, 1}, {"b", "c"});
    EXPECT_EQ(faults.repeated_sync_count(), 0U);
}

TEST_F(JobJournalsTest, WhenAllRefuseItIsAnErrorAndTheNextOneWorks) {
    std::array<io::FaultPlan, 2> faults;
    Node node(loop_, storages_, {0, 1}, {{0, &faults[0]}, {1, &faults[1]}});
    ASSERT_TRUE(node.begin("a"));
    for (io::FaultPlan& each : faults) each.add({.kind = io::DiskCallKind::write});
    EXPECT_FALSE(node.begin("b"));
    ASSERT_TRUE(node.end("a"));
    ASSERT_TRUE(node.end("b"));
    expect_each_has({0, 1}, {});
}

TEST_F(JobJournalsTest, HomesThatCannotBeWrittenChangeNothing) {
    std::array<io::FaultPlan, 2> faults;
    Node node(loop_, storages_, {0, 1}, {{2, &faults[0]}, {3, &faults[1]}});
    ASSERT_TRUE(node.begin("a"));
    // The name is there, and nobody knows.
    for (io::FaultPlan& each : faults) {
        each.add({.effect = io::FaultEffect::fails_afterward,
                  .kind = io::DiskCallKind::sync_directory,
                  .path_part = "jobs"});
    }
    EXPECT_FALSE(node.keep_on({2, 3}));
    ASSERT_TRUE(node.end("a"));
    ASSERT_TRUE(node.begin("b"));
    expect_each_has({0, 1}, {"b"});
    EXPECT_EQ(unfinished_on(crash_losing_all(), {2, 3, 0, 1}), Ids{"b"});
}

TEST_F(JobJournalsTest, AFileOfAReleaseThatKeptOneCopyCounts) {
    const auto disk = storages_[0].make_blocking_disk();
    std::vector<std::byte> bytes = header_of(1, 0);
    const std::vector<std::byte> records = bytes_of({begun("a"), begun("b"), ended("a")});
    bytes.insert(bytes.end(), records.begin(), records.end());
    ASSERT_TRUE(disk->make_directory("jobs"));
    ASSERT_TRUE((*disk->open("jobs/journal", io::OpenMode::create))->write_exactly(bytes, 0));
    Node node(loop_, storages_, {0, 1});
    EXPECT_EQ(node.unfinished(), Ids{"b"});
    ASSERT_TRUE(node.begin("c"));
    expect_each_has({0, 1}, {"b", "c"});
}

TEST_F(JobJournalsTest, ADamagedCopyCostsNothing) {
    {
        Node node(loop_, storages_, {0, 1});
        for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(node.begin(id));
    }
    const uint64_t bits = storages_[0].read_file("jobs/journal")->size() * 8;
    for (const size_t damaged : {0U, 1U}) {
        for (uint64_t bit = 0; bit < bits; bit += 37) {
            Storages left = crash_losing_all();
            ASSERT_TRUE(left[damaged].flip_bit("jobs/journal", bit));
            ASSERT_THAT(unfinished_on(left, {0, 1}), ElementsAre("a", "b", "c")) << bit;
            ASSERT_THAT(unfinished_on(left, {damaged}), ElementsAre("a", "b", "c")) << bit;
        }
    }
}

// -------------------------------------------------------------------------------------------------
// Every call fails, and wherever the power goes

// What was acknowledged.
struct Known {
    Ids go_on;
    Ids ended;
    Ids unsure;

    void begin(Node& node, const std::string& id) {
        unsure.push_back(id);
        if (!node.begin(id)) return;
        std::erase(unsure, id);
        go_on.push_back(id);
    }
    void end(Node& node, const std::string& id) {
        std::erase(go_on, id);
        unsure.push_back(id);
        if (!node.end(id)) return;
        std::erase(unsure, id);
        ended.push_back(id);
    }
    void check(const Ids& found) const {
        for (const std::string& id : go_on) {
            EXPECT_TRUE(std::ranges::binary_search(found, id)) << id << " is forgotten";
        }
        for (const std::string& id : ended) {
            EXPECT_FALSE(std::ranges::binary_search(found, id)) << id << " would be done again";
        }
    }
};

// Jobs begin and end while homes come and go; `keepers` are those that must have everything.
void live(Node& node, Known& known, Numbers& keepers) {
    const auto move_to = [&](const Numbers& on, const Numbers& both) {
        keepers = both;
        if (node.keep_on(on)) keepers = on;
    };
    known.begin(node, "a");
    known.begin(node, "b");
    known.end(node, "a");
    move_to({0, 1, 2}, {0, 1});
    known.begin(node, "c");
    known.end(node, "b");
    move_to({1, 2}, {1, 2});
    known.begin(node, "d");
    known.end(node, "c");
    move_to({0, 1, 2}, {1, 2});
    known.begin(node, "e");
    known.end(node, "d");
}

TEST_F(JobJournalsTest, WhatIsAcknowledgedStaysWhicheverCallOfOneDiskFails) {
    for (const io::FaultEffect effect :
         {io::FaultEffect::fails, io::FaultEffect::fails_afterward, io::FaultEffect::is_short}) {
        for (const bool is_sticky : {false, true}) {
            for (size_t failing = 0; failing < 3; ++failing) {
                uint64_t at = 0;
                for (; at < 1000; ++at) {
                    SCOPED_TRACE(testing::Message() << failing << " " << at << " " << is_sticky);
                    storages_ = Storages();
                    io::FaultPlan plan;
                    plan.add({.effect = effect, .at = at, .is_sticky = is_sticky});
                    Known known;
                    Numbers keepers{0, 1};
                    {
                        Node node(loop_, storages_, {0, 1}, {{failing, &plan}});
                        ASSERT_TRUE(node.is_open()) << node.error().context;
                        live(node, known, keepers);
                    }
                    EXPECT_THAT(known.unsure, IsEmpty()) << "the others have it";
                    EXPECT_EQ(plan.repeated_sync_count(), 0U);
                    std::erase(keepers, failing);
                    known.check(unfinished_on(crash_losing_all(), {0, 1, 2}));
                    for (const size_t keeper : keepers) {
                        known.check(unfinished_on(crash_losing_all(), {keeper}));
                    }
                    if (HasFailure()) return;
                    if (plan.met_count() == 0) break;
                }
                EXPECT_LT(at, 1000U);
            }
        }
    }
}

TEST_F(JobJournalsTest, WhatIsAcknowledgedStaysInEveryStateOfAPowerCut) {
    Random random(7);
    uint64_t state_count = 0;
    Known known;
    Numbers keepers{0, 1};
    for (const auto names : {io::CrashMode::Names::in_order, io::CrashMode::Names::any_subset}) {
        storages_ = Storages();
        known = {};
        keepers = {0, 1};
        const auto check = [&](const io::DiskCall&) {
            for (uint32_t draw = 0; draw < 12; ++draw) {
                Storages left;
                for (size_t number = 0; number < disk_count; ++number) {
                    const io::MemoryStorage& disk = storages_[number];
                    // The extremes of each in all combinations, and then what comes.
                    const bool keeps = (draw >> number & 1) != 0;
                    left[number] = draw >= 8 ? disk.crash(random, {.names = names})
                                   : keeps   ? disk.crash_keeping_all()
                                             : disk.crash_losing_all();
                }
                ++state_count;
                Loop after;
                for (const size_t keeper : keepers) {
                    Storages one;
                    one[keeper] = left[keeper].clone();
                    const Node alone(after, one, {keeper});
                    known.check(alone.unfinished());
                }
                const Node all(after, left, {0, 1, 2});
                known.check(all.unfinished());
                ASSERT_FALSE(HasFailure());
            }
        };
        for (io::MemoryStorage& disk : storages_) disk.on_call(check);
        Node node(loop_, storages_, {0, 1});
        live(node, known, keepers);
        for (io::MemoryStorage& disk : storages_) disk.on_call(nullptr);
        EXPECT_THAT(known.unsure, IsEmpty());
    }
    EXPECT_GT(state_count, 1000U);
    std::printf("%llu states\n", static_cast<unsigned long long>(state_count));
}

}  // namespace
}  // namespace penstock::node
