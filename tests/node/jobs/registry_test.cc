// Jobs over a real store on a disk in memory: what they do, what is seen of them, and that a crash
// changes neither.
#include "node/jobs/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/node/jobs/jobs_harness.h"

namespace penstock::node {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Pair;
using testing::UnorderedElementsAre;

using Objects = std::map<std::string, std::string>;

class JobsTest : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_TRUE(harness_.open());
        ASSERT_TRUE(harness_.create("b"));
        for (const char* name : {"a.jpg", "d/1", "d/2", "d/x.jpg", "o-1", "o-2", "o-10"}) {
            ASSERT_TRUE(harness_.put("b", name, std::string("of ") + name));
        }
    }

    Objects copied_to(const std::string& to, JobSpec spec) {
        last_ = harness_.finish(std::move(spec));
        EXPECT_EQ(harness_.wait(last_).progress.error_count, 0U);
        return harness_.objects(to);
    }
    JobSnapshot last() { return harness_.wait(last_); }

    TestLoop loop_;
    io::MemoryStorage storage_;
    JobsHarness harness_{loop_, storage_};
    std::string last_;
};

TEST_F(JobsTest, DeletesAListAndSaysWhatWasMissing) {
    last_ = harness_.finish(harness_.deletion("b", harness_.listed({"d/1", "nope", "o-10"})));
    EXPECT_EQ(last().state, JobState::finished);
    EXPECT_EQ(last().progress.objects, 2U);
    EXPECT_THAT(last().progress.errors, ElementsAre(JobError{"nope", "does not exist"}));
    EXPECT_THAT(harness_.objects("b"),
                ElementsAre(Key("a.jpg"), Key("d/2"), Key("d/x.jpg"), Key("o-1"), Key("o-2")));
}

TEST_F(JobsTest, DeletesARangeWhoseHolesAreNoErrors) {
    last_ = harness_.finish(harness_.deletion("b", harness_.pattern("o-{1..9}")));
    EXPECT_EQ(last().progress.objects, 2U);
    EXPECT_EQ(last().progress.error_count, 0U);
    EXPECT_EQ(harness_.objects("b").count("o-10"), 1U);
}

TEST_F(JobsTest, DeletesWhatATemplateWithoutAnEndLetsThrough) {
    last_ = harness_.finish(harness_.deletion("b", harness_.pattern("o-%02d")));
    EXPECT_THAT(harness_.objects("b"),
                UnorderedElementsAre(Key("a.jpg"), Key("d/1"), Key("d/2"), Key("d/x.jpg"),
                                     Key("o-1"), Key("o-2")));
}

TEST_F(JobsTest, DeletesAPrefixFlatOrDeepAndEverything) {
    Selection flat = harness_.pattern("");
    flat.is_recursive = false;
    last_ = harness_.finish(harness_.deletion("b", flat));
    EXPECT_THAT(harness_.objects("b"), ElementsAre(Key("d/1"), Key("d/2"), Key("d/x.jpg")));
    last_ = harness_.finish(harness_.deletion("b", harness_.pattern("d/x")));
    EXPECT_THAT(harness_.objects("b"), ElementsAre(Key("d/1"), Key("d/2")));
    last_ = harness_.finish(harness_.deletion("b", {}));
    EXPECT_EQ(last().progress.objects, 2U);
    EXPECT_EQ(last().progress.bytes, 12U);
    EXPECT_THAT(harness_.objects("b"), IsEmpty());
}

TEST_F(JobsTest, CopiesABucketThatItMakes) {
    EXPECT_EQ(copied_to("new", harness_.copying(JobKind::copy_bucket, "b", "new")),
              harness_.objects("b"));
    EXPECT_EQ(last().progress.objects, 7U);
    EXPECT_EQ(last().state, JobState::finished);
}

TEST_F(JobsTest, CopiesUnderOtherNames) {
    JobSpec spec = harness_.copying(JobKind::copy_bucket, "b", "new");
    spec.selection = {Selection::Kind::prefix, {}, "d/"};
    spec.copy.prepend = "p/";
    spec.copy.extensions = {{"jpg", "png"}};
    EXPECT_THAT(copied_to("new", spec),
                ElementsAre(Pair("p/d/1", "1:of d/1"), Pair("p/d/2", "1:of d/2"),
                            Pair("p/d/x.png", "1:of d/x.jpg")));
}

TEST_F(JobsTest, ASynchronizingCopyTakesAwayWhatTheSourceDoesNotHave) {
    JobSpec spec = harness_.copying(JobKind::copy_bucket, "b", "new");
    spec.selection = {Selection::Kind::prefix, {}, "d/"};
    spec.copy.extensions = {{"jpg", "png"}};
    spec.copy.synchronizes = true;
    ASSERT_TRUE(harness_.create("new"));
    for (const char* name : {"d/1", "d/gone", "d/x.jpg", "d/y.png", "elsewhere"}) {
        ASSERT_TRUE(harness_.put("new", name, "old"));
    }
    // Under the prefix that is what a copy would have made, and nothing else.
    EXPECT_THAT(copied_to("new", spec),
                ElementsAre(Pair("d/1", "2:of d/1"), Pair("d/2", "1:of d/2"),
                            Pair("d/x.png", "1:of d/x.jpg"), Pair("elsewhere", "1:old")));
    EXPECT_EQ(last().progress.objects, 3U + 3U);
    EXPECT_EQ(last().progress.error_count, 0U);

    spec =
        harness_.copying(JobKind::copy_objects, "b", "new", harness_.listed({"d/1", "elsewhere"}));
    spec.copy.synchronizes = true;
    harness_.finish(spec);
    EXPECT_THAT(harness_.objects("new"),
                ElementsAre(Pair("d/1", "3:of d/1"), Pair("d/2", "1:of d/2"),
                            Pair("d/x.png", "1:of d/x.jpg")));
    spec.copy.to = harness_.bucket("b");
    EXPECT_FALSE(harness_.start(spec)) << "the copies would take the originals away";
    spec.copy.to = harness_.bucket("new");
    spec.copy.prepend = "p/";
    EXPECT_FALSE(harness_.start(spec));
    spec.copy.prepend.clear();
    spec.copy.is_dry_run = true;
    spec.selection = {};
    const auto before = harness_.objects("new");
    harness_.finish(spec);
    EXPECT_EQ(harness_.objects("new"), before);
}

TEST_F(JobsTest, RechunkingMakesOnePieceOfWhatWasUploadedInParts) {
    ObjectService& service = harness_.service();
    const BucketName bucket = harness_.bucket("b");
    const ObjectAddress address{bucket, "parts"};
    const auto upload = harness_.run(service.begin_upload(0, address, {{"k", "v"}}));
    ASSERT_TRUE(upload);
    for (uint32_t number = 1; number <= 3; ++number) {
        io::Body body = io::Body::copy_of(
            harness_.loop().buffers, as_bytes(std::string(5000, static_cast<char>('a' + number))));
        ASSERT_TRUE(
            harness_.run(service.put_part(0, address, *upload, number, std::move(body), {})));
    }
    ASSERT_TRUE(harness_.run(service.complete_upload(0, address, *upload, {})));
    const auto before = harness_.run(service.stat(0, address));
    ASSERT_TRUE(before);
    ASSERT_EQ(before->part_count, 3U);
    const auto contents = harness_.objects("b");

    JobSpec spec{.kind = JobKind::rechunk, .owner = "test", .bucket = bucket};
    last_ = harness_.finish(spec);
    EXPECT_EQ(last().progress.objects, 1U) << "the others are as they should be";
    EXPECT_EQ(last().progress.bytes, 15'000U);
    const auto after = harness_.run(service.stat(0, address));
    ASSERT_TRUE(after);
    EXPECT_EQ(after->part_count, 0U);
    EXPECT_EQ(after->modified_ns, before->modified_ns);
    EXPECT_EQ(after->custom, before->custom);
    EXPECT_EQ(harness_.objects("b"), contents) << "with the versions that clients see";

    last_ = harness_.finish(spec);
    EXPECT_EQ(last().progress.objects, 0U);
    spec.bucket = harness_.bucket("nope");
    EXPECT_FALSE(harness_.start(spec));
}

TEST_F(JobsTest, ADryRunCountsAndWritesNothing) {
    JobSpec spec = harness_.copying(JobKind::copy_bucket, "b", "new");
    spec.copy.is_dry_run = true;
    last_ = harness_.finish(spec);
    EXPECT_EQ(last().progress.objects, 7U);
    EXPECT_EQ(harness_.service().find_bucket(0, harness_.bucket("new")), nullptr);
}

TEST_F(JobsTest, ACopyOfAListLingersUntilItIsStopped) {
    JobSpec spec =
        harness_.copying(JobKind::copy_objects, "b", "new", harness_.listed({"o-1", "nope"}));
    last_ = harness_.finish(spec);
    EXPECT_THAT(harness_.objects("new"), ElementsAre(Key("o-1")));
    EXPECT_EQ(last().state, JobState::idle);
    EXPECT_EQ(last().ended_ns, 0U);
    EXPECT_EQ(last().progress.error_count, 1U);
    EXPECT_EQ(harness_.run(harness_.jobs().stop_jobs(0, {.id = last_}, "user abort")), 1U);
    EXPECT_EQ(last().state, JobState::stopped);
    EXPECT_EQ(last().stop_reason, "user abort");
    EXPECT_GT(last().ended_ns, 0U);
}

TEST_F(JobsTest, RefusesACopyThatWouldFindItsOwnCopies) {
    JobSpec spec = harness_.copying(JobKind::copy_objects, "b", "b", harness_.pattern("d/"));
    spec.copy.prepend = "d/copy-of-";
    EXPECT_EQ(harness_.start(spec).error().code, Errc::invalid);
    spec.copy.prepend = "e/";
    EXPECT_NE(harness_.finish(spec), "");
    EXPECT_EQ(harness_.objects("b").size(), 10U);
    EXPECT_EQ(harness_.start(harness_.copying(JobKind::copy_bucket, "b", "b")).error().code,
              Errc::invalid);
}

TEST_F(JobsTest, RenamesABucketWhoseJobsGoOn) {
    const Objects before = harness_.objects("b");
    last_ = harness_.finish(harness_.copying(JobKind::rename_bucket, "b", "c"));
    EXPECT_EQ(last().state, JobState::finished);
    EXPECT_EQ(harness_.objects("c"), before);
    EXPECT_EQ(harness_.service().find_bucket(0, harness_.bucket("b")), nullptr);
    ASSERT_TRUE(harness_.create("b"));
    EXPECT_THAT(harness_.objects("b"), IsEmpty());
    EXPECT_EQ(harness_.start(harness_.copying(JobKind::rename_bucket, "b", "c")).error().code,
              Errc::exists);
}

TEST_F(JobsTest, RefusesWhatCannotBegin) {
    EXPECT_EQ(harness_.start(harness_.deletion("nope", {})).error().code, Errc::not_found);
    EXPECT_EQ(harness_.start(harness_.deletion("b", harness_.pattern("{5..2}"))).error().code,
              Errc::invalid);
    EXPECT_EQ(harness_.start(harness_.deletion("b", harness_.listed({"../x"}))).error().code,
              Errc::invalid);
    BucketProperties read_only;
    read_only.access = 1 | 2 | 512;
    ASSERT_TRUE(
        harness_.run(harness_.service().set_properties(0, harness_.bucket("b"), read_only)));
    EXPECT_EQ(harness_.start(harness_.deletion("b", {})).error().code, Errc::denied);
    EXPECT_THAT(harness_.find(), IsEmpty());
}

TEST_F(JobsTest, AJobOverNothingTakesNoTime) {
    const uint64_t before_ns = loop_.reactor->clock().monotonic_ns();
    ASSERT_TRUE(harness_.create("empty"));
    for (const JobKind kind : {JobKind::evict_cold, JobKind::clean_up, JobKind::rebalance}) {
        EXPECT_NE(harness_.finish({.kind = kind}), "");
    }
    EXPECT_NE(harness_.finish(harness_.deletion("empty", {})), "");
    EXPECT_NE(harness_.finish(harness_.copying(JobKind::copy_bucket, "empty", "also")), "");
    EXPECT_LT(loop_.reactor->clock().monotonic_ns() - before_ns, 250'000'000U);
    EXPECT_EQ(harness_.find({.kinds = {JobKind::rebalance}}).front().id, "g1");
}

TEST_F(JobsTest, IsFoundByIdKindAndBucketNewestFirst) {
    ASSERT_TRUE(harness_.create("other"));
    const std::string first = harness_.finish(harness_.deletion("other", {}));
    const std::string copy = harness_.finish(
        harness_.copying(JobKind::copy_objects, "b", "other", harness_.listed({"o-1"})));
    const std::string last = harness_.finish(harness_.deletion("b", harness_.pattern("o-1")));
    const auto ids = [this](JobFilter filter) {
        std::vector<std::string> found;
        for (const JobSnapshot& job : harness_.find(std::move(filter))) found.push_back(job.id);
        return found;
    };
    EXPECT_THAT(ids({}), ElementsAre(last, copy, first));
    EXPECT_THAT(ids({.id = first}), ElementsAre(first));
    EXPECT_THAT(ids({.kinds = {JobKind::delete_objects}}), ElementsAre(last, first));
    EXPECT_THAT(ids({.bucket = harness_.bucket("other")}), ElementsAre(copy, first));
    EXPECT_THAT(ids({.is_alive_only = true}), ElementsAre(copy));
    EXPECT_THAT(ids({.id = "nosuchjob"}), IsEmpty());
    EXPECT_EQ(harness_.run(harness_.jobs().wait(0, "nosuchjob", 1)).error().code, Errc::not_found);
}

TEST_F(JobsTest, ThePastIsBounded) {
    harness_.close();
    harness_.options.past_max = 5;
    ASSERT_TRUE(harness_.open());
    for (int count = 0; count < 20; ++count) {
        ASSERT_NE(harness_.finish({.kind = JobKind::clean_up}), "");
    }
    EXPECT_EQ(harness_.find().size(), 5U);
}

TEST_F(JobsTest, ThePastIsThereAfterARestart) {
    last_ = harness_.finish(harness_.deletion("b", harness_.listed({"d/1", "nope"})));
    const std::string quick = harness_.finish({.kind = JobKind::clean_up});
    harness_.close();
    ASSERT_TRUE(harness_.open());
    EXPECT_EQ(last().state, JobState::finished);
    EXPECT_EQ(last().progress.objects, 1U);
    EXPECT_THAT(last().progress.errors, ElementsAre(JobError{"nope", "does not exist"}));
    EXPECT_EQ(harness_.wait(quick).state, JobState::finished);
}

TEST_F(JobsTest, PromotesFilesBelowItsRootAndNothingElse) {
    const std::string root = testing::TempDir() + "/promote-test";
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root + "/in/sub");
    const auto write = [&root](const std::string& path, const std::string& text) {
        std::ofstream(root + "/" + path) << text;
    };
    write("in/f1", "one");
    write("in/sub/f2", "two");
    write("outside", "secret");
    std::filesystem::create_symlink(root + "/outside", root + "/in/link");
    harness_.close();
    harness_.options.promote_root = root;
    ASSERT_TRUE(harness_.open());
    JobSpec spec{.kind = JobKind::promote, .bucket = harness_.bucket("b")};
    spec.promote = {"../promote-test/in", "p/", true, false, false};
    EXPECT_EQ(harness_.start(spec).error().code, Errc::invalid);
    spec.promote.source = "nope";
    EXPECT_EQ(harness_.start(spec).error().code, Errc::not_found);
    spec.promote.source = "in";
    ASSERT_TRUE(harness_.put("b", "p/f1", "there already"));
    ASSERT_NE(last_ = harness_.finish(spec), "");
    EXPECT_EQ(last().progress.error_count, 0U);
    Objects objects = harness_.objects("b");
    EXPECT_EQ(objects["p/f1"], "1:there already");
    EXPECT_EQ(objects["p/sub/f2"], "1:two");
    EXPECT_EQ(objects.count("p/link"), 0U);
    spec.promote.overwrites = spec.promote.deletes_source = true;
    ASSERT_NE(harness_.finish(spec), "");
    EXPECT_EQ(harness_.objects("b")["p/f1"], "2:one");
    EXPECT_FALSE(std::filesystem::exists(root + "/in/f1"));
    EXPECT_TRUE(std::filesystem::exists(root + "/outside"));
    std::filesystem::remove_all(root);
}

// -------------------------------------------------------------------------------------------------
// Crashes

class JobsCrashTest : public testing::Test {
protected:
    static constexpr int object_count = 60;

    void fill(JobsHarness& harness) {
        ASSERT_TRUE(harness.open());
        ASSERT_TRUE(harness.create("b"));
        for (int number = 0; number < object_count; ++number) {
            ASSERT_TRUE(harness.put("b", "o" + std::to_string(number), std::to_string(number)));
        }
    }
    // A copy of the bucket that is under way.
    std::string begin_copy(JobsHarness& harness) {
        harness.options.in_flight_max = 2;
        fill(harness);
        const Result<std::string> id =
            harness.start(JobsHarness::copying(JobKind::copy_bucket, "b", "to"));
        EXPECT_TRUE(id);
        return id.value_or("");
    }
    static std::vector<JobSpec> specs() {
        JobSpec prepended = JobsHarness::copying(JobKind::copy_objects, "b", "to",
                                                 JobsHarness::pattern("o{0..70}"));
        prepended.copy.prepend = "p/";
        JobSpec synchronizing = JobsHarness::copying(JobKind::copy_bucket, "b", "to");
        synchronizing.copy.synchronizes = true;
        return {JobsHarness::deletion("b", JobsHarness::pattern("o")),
                JobsHarness::deletion("b", JobsHarness::pattern("o{10..40..3}")),
                JobsHarness::copying(JobKind::copy_bucket, "b", "to"),
                std::move(prepended),
                std::move(synchronizing),
                JobsHarness::copying(JobKind::rename_bucket, "b", "to")};
    }
    // What both buckets hold; "<error>" for one that is not there.
    static std::pair<Objects, Objects> all(JobsHarness& harness) {
        return {harness.objects("b"), harness.objects("to")};
    }
    // On a copy of what was left: the jobs of before go on, and then there is this.
    void expect_after_restart(io::MemoryStorage left, const std::pair<Objects, Objects>& expected,
                              const std::string& id) {
        JobsHarness after(loop_, left);
        ASSERT_TRUE(after.open());
        if (!id.empty()) {
            const JobSnapshot job = after.wait(id);
            EXPECT_EQ(job.id, id) << "the job is forgotten";
            EXPECT_NE(job.state, JobState::running);
            EXPECT_NE(job.state, JobState::stopped) << job.stop_reason;
            EXPECT_EQ(job.progress.error_count, 0U);
            EXPECT_EQ(all(after), expected);
        }
        for (const JobSnapshot& job : after.find()) after.wait(job.id);
    }

    TestLoop loop_;
};

// The process dies before each call on the disk after the id was given. What the system has is kept
// (kill -9), or what was not synced is lost (a power cut).
TEST_F(JobsCrashTest, AJobThatWasPromisedEndsAsAQuietRunDoes) {
    for (const JobSpec& spec : specs()) {
        SCOPED_TRACE(static_cast<int>(spec.kind));
        std::pair<Objects, Objects> expected;
        {
            io::MemoryStorage storage;
            JobsHarness quiet(loop_, storage);
            fill(quiet);
            ASSERT_NE(quiet.finish(spec), "");
            expected = all(quiet);
        }
        io::MemoryStorage storage;
        JobsHarness harness(loop_, storage);
        fill(harness);
        std::vector<std::pair<io::MemoryStorage, std::string>> left;
        std::string id;
        uint64_t call = 0;
        storage.on_call([&](const io::DiskCall&) {
            ++call;
            left.emplace_back(storage.crash_keeping_all(), id);
            left.emplace_back(storage.crash_losing_all(), id);
        });
        const Result<std::string> started = harness.start(spec);
        ASSERT_TRUE(started);
        id = *started;
        harness.wait(id);
        storage.on_call(nullptr);
        EXPECT_GT(left.size(), 10U);
        for (auto& [image, known] : left) {
            expect_after_restart(std::move(image), expected, known);
            if (HasFailure()) return;
        }
    }
}

// Each call on the journal fails in turn: the job is done and so it stays, or it was refused.
TEST_F(JobsCrashTest, EachCallOnTheJournalFailsInTurn) {
    for (const io::FaultEffect effect :
         {io::FaultEffect::fails, io::FaultEffect::fails_afterward, io::FaultEffect::is_short}) {
        uint64_t at = 0;
        for (; at < 200; ++at) {
            SCOPED_TRACE(at);
            io::MemoryStorage storage;
            io::FaultPlan faults;
            JobsHarness harness(loop_, storage, &faults);
            fill(harness);
            faults.reset();
            faults.add({.effect = effect, .at = at});
            const JobSpec spec = JobsHarness::copying(JobKind::copy_bucket, "b", "to");
            const Result<std::string> id = harness.start(spec);
            if (id) {
                EXPECT_EQ(harness.wait(*id).state, JobState::finished);
                EXPECT_EQ(harness.objects("to").size(), size_t{object_count});
                const auto now = all(harness);
                expect_after_restart(storage.crash_losing_all(), now, "");
                // A change after the job's end is not undone by doing it again.
                ASSERT_TRUE(harness.put("to", "o1", "newer"));
                const auto changed = all(harness);
                expect_after_restart(storage.crash_losing_all(), changed, "");
            } else {
                EXPECT_TRUE(harness.find({.is_alive_only = true}).empty());
            }
            EXPECT_EQ(faults.repeated_sync_count(), 0U);
            if (faults.met_count() == 0) break;
        }
        EXPECT_LT(at, 200U);
    }
}

// An orderly stop in the middle of it is no end either.
TEST_F(JobsCrashTest, GoesOnAfterAnOrderlyStop) {
    io::MemoryStorage storage;
    JobsHarness harness(loop_, storage);
    const std::string id = begin_copy(harness);
    harness.close();
    ASSERT_TRUE(harness.open());
    EXPECT_EQ(harness.wait(id).state, JobState::finished);
    EXPECT_EQ(harness.objects("to"), harness.objects("b"));
}

// The mountpath with the journal goes while a job runs, and later it is back with its old file.
TEST_F(JobsCrashTest, GoesOnWhileItsJournalMovesToAnotherMountpath) {
    io::MemoryStorage storage;
    const io::MemoryStorage other;
    const auto disk = other.make_blocking_disk();
    JobsHarness harness(loop_, storage);
    const std::string id = begin_copy(harness);
    const std::vector<MetadataHome> moved{{disk.get(), loop_.pool.get()}};
    ASSERT_TRUE(harness.run(harness.jobs().keep_on(moved)));
    harness.close();
    harness.journal_homes = moved;
    ASSERT_TRUE(harness.open());
    const JobSnapshot job = harness.wait(id);
    EXPECT_EQ(job.state, JobState::finished);
    EXPECT_EQ(harness.objects("to"), harness.objects("b"));
    harness.close();
    harness.journal_homes = {harness.own_home().front(), moved.front()};
    ASSERT_TRUE(harness.open());
    EXPECT_FALSE(harness.wait(id).is_resumed) << "the old file would do it again";
    EXPECT_EQ(harness.wait(id).state, JobState::finished);
}

}  // namespace
}  // namespace penstock::node
