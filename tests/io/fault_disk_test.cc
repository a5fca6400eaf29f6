#include "io/fault_disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "io/memory_disk.h"
#include "io/sim_kernel.h"

namespace penstock::io {
namespace {

using testing::AnyOf;
using testing::ElementsAre;

class FaultDiskTest : public testing::Test {
protected:
    Status put(const std::string& path, std::string_view text) {
        TRY(const auto file, disk_->open(path, OpenMode::create));
        TRY_STATUS(file->write_exactly(as_bytes(text), 0));
        return file->sync();
    }
    // A file replaced as it should be, or with one sync left out.
    Status replace(const std::string& path, std::string_view text) {
        const std::string work_path = path + ".new";
        TRY_STATUS(put(work_path, text));
        TRY_STATUS(disk_->rename(work_path, path));
        return disk_->sync_directory("");
    }
    static std::string text_of(const MemoryStorage& storage, const std::string& path) {
        const auto bytes = storage.read_file(path);
        return bytes ? std::string(as_text(*bytes)) : "<missing>";
    }
    std::string text(const std::string& path) { return text_of(storage_, path); }
    // Whether every power cut now leaves this.
    bool is_durable(const std::string& path, const std::string& expected) {
        bool is_always = true;
        storage_.for_each_crash(1000, random_, {}, [&](const MemoryStorage& left) {
            is_always = is_always && text_of(left, path) == expected;
        });
        return is_always;
    }

    MemoryStorage storage_;
    std::unique_ptr<BlockingDisk> inner_ = storage_.make_blocking_disk();
    FaultPlan plan_;
    std::unique_ptr<BlockingDisk> disk_ = make_fault_blocking_disk(*inner_, plan_);
    Random random_{11};
};

TEST_F(FaultDiskTest, WithoutFaultsCallsAreOnlyCounted) {
    ASSERT_TRUE(replace("a", "x"));
    EXPECT_THAT(
        plan_.calls(),
        ElementsAre(DiskCall{DiskCallKind::create, "a.new"}, DiskCall{DiskCallKind::write, "a.new"},
                    DiskCall{DiskCallKind::sync, "a.new"}, DiskCall{DiskCallKind::rename, "a.new"},
                    DiskCall{DiskCallKind::sync_directory, ""}));
    EXPECT_EQ(plan_.call_count(DiskCallKind::sync), 1U);
    EXPECT_EQ(plan_.met_count(), 0U);
    EXPECT_TRUE(is_durable("a", "x"));
}

// The loop that all fault tests are made of.
TEST_F(FaultDiskTest, EachCallFailsInTurnUntilARunMeetsNone) {
    ASSERT_TRUE(replace("a", "old"));
    uint64_t index = 0;
    for (;; ++index) {
        SCOPED_TRACE(index);
        plan_.reset();
        plan_.add({.at = index});
        const Status status = replace("a", "new");
        if (plan_.met_count() == 0) break;
        ASSERT_FALSE(status);
        EXPECT_EQ(status.error().code, Errc::io_error);
        EXPECT_THAT(text("a"), AnyOf("old", "new"));
        static_cast<void>(inner_->remove("a.new"));  // what an interrupted run may have left
    }
    EXPECT_EQ(index, 5U);
    EXPECT_TRUE(is_durable("a", "new"));
}

TEST_F(FaultDiskTest, TheErrnoDecidesWhatTheCallerSees) {
    plan_.add({.error_number = EMFILE, .kind = DiskCallKind::create});
    EXPECT_EQ(put("a", "x").error().code, Errc::unavailable);
    plan_.reset();
    plan_.add({.error_number = ENOSPC, .kind = DiskCallKind::write});
    EXPECT_EQ(put("a", "x").error().code, Errc::full);
    EXPECT_EQ(text("a"), "");
}

TEST_F(FaultDiskTest, AFaultPicksItsCallsByKindPathAndNumber) {
    plan_.add({.kind = DiskCallKind::sync, .path_part = "b", .at = 1});
    EXPECT_TRUE(put("a1", "x"));
    EXPECT_TRUE(put("b1", "x"));
    EXPECT_FALSE(put("b2", "x"));
    EXPECT_TRUE(put("b3", "x"));
    EXPECT_EQ(plan_.met_count(), 1U);
}

TEST_F(FaultDiskTest, AStickyFaultGoesOn) {
    plan_.add({.kind = DiskCallKind::write, .at = 1, .is_sticky = true});
    EXPECT_TRUE(put("a", "x"));
    EXPECT_FALSE(put("b", "x"));
    EXPECT_FALSE(put("c", "x"));
    EXPECT_EQ(plan_.met_count(), 2U);
}

TEST_F(FaultDiskTest, AShortWriteLeavesItsFirstHalf) {
    plan_.add({.effect = FaultEffect::is_short, .kind = DiskCallKind::write});
    EXPECT_EQ(put("a", "0123456789").error().code, Errc::io_error);
    EXPECT_EQ(text("a"), "01234");
}

TEST_F(FaultDiskTest, AShortReadFillsHalfOfTheBuffer) {
    ASSERT_TRUE(put("a", "0123"));
    plan_.add({.effect = FaultEffect::is_short, .kind = DiskCallKind::read});
    const auto file = *disk_->open("a", OpenMode::read);
    std::array<std::byte, 4> buffer{};
    EXPECT_FALSE(file->read(buffer, 0));
    EXPECT_EQ(as_text(std::span(buffer).first(2)), "01");
    EXPECT_EQ(buffer[2], std::byte{0});
}

TEST_F(FaultDiskTest, ACallThatFailsAfterwardHasHappened) {
    ASSERT_TRUE(put("a", "x"));
    plan_.add({.effect = FaultEffect::fails_afterward, .kind = DiskCallKind::rename});
    EXPECT_FALSE(disk_->rename("a", "b"));
    EXPECT_EQ(text("b"), "x");
}

// The control: a device that says "synced" and did nothing must show up as a loss.
TEST_F(FaultDiskTest, ALostSyncIsFoundByThePowerCut) {
    for (const DiskCallKind kind : {DiskCallKind::sync, DiskCallKind::sync_directory}) {
        SCOPED_TRACE(disk_call_name(kind));
        const std::string path = disk_call_name(kind);
        plan_.reset();
        plan_.add({.effect = FaultEffect::is_lost, .kind = kind});
        ASSERT_TRUE(replace(path, "x"));
        EXPECT_EQ(plan_.met_count(), 1U);
        EXPECT_FALSE(is_durable(path, "x"));
    }
}

TEST_F(FaultDiskTest, ASecondSyncAfterAFailedOneIsNoticed) {
    plan_.add({.kind = DiskCallKind::sync});
    const auto file = *disk_->open("a", OpenMode::create);
    ASSERT_TRUE(file->write_exactly(as_bytes("x"), 0));
    EXPECT_FALSE(file->sync());
    EXPECT_EQ(plan_.repeated_sync_count(), 0U);
    EXPECT_TRUE(file->sync());
    EXPECT_EQ(plan_.repeated_sync_count(), 1U);
}

// The asynchronous form.

class FaultTaskDiskTest : public FaultDiskTest {
protected:
    template <typename T>
    T run(Task<T> task) {
        return reactor_->run_until_done(std::move(task));
    }
    static Task<Status> replace_with(Disk& disk, std::string path, std::string text) {
        CO_TRY(const auto file, co_await disk.open(path + ".new", OpenMode::create));
        CO_TRY_STATUS(co_await file->write_exactly(as_bytes(text), 0));
        CO_TRY_STATUS(co_await file->sync());
        CO_TRY_STATUS(co_await disk.rename(path + ".new", path));
        co_return co_await disk.sync_directory("");
    }

    SimWorld world_{1};
    std::unique_ptr<Reactor> reactor_ =
        std::make_unique<Reactor>(make_sim_kernel(world_), ReactorOptions{});
    std::unique_ptr<Pool> pool_ = make_inline_pool();
    std::unique_ptr<Disk> memory_disk_ = storage_.make_disk(*reactor_, *pool_);
    std::unique_ptr<Disk> fault_disk_ = make_fault_disk(*memory_disk_, plan_);
};

TEST_F(FaultTaskDiskTest, EachCallFailsInTurnUntilARunMeetsNone) {
    ASSERT_TRUE(replace("a", "old"));
    for (const FaultEffect effect :
         {FaultEffect::fails, FaultEffect::fails_afterward, FaultEffect::is_short}) {
        uint64_t index = 0;
        for (;; ++index) {
            SCOPED_TRACE(index);
            plan_.reset();
            plan_.add({.effect = effect, .at = index});
            const Status status = run(replace_with(*fault_disk_, "a", "new"));
            if (plan_.met_count() == 0) break;
            EXPECT_FALSE(status);
            EXPECT_THAT(text("a"), AnyOf("old", "new"));
            static_cast<void>(inner_->remove("a.new"));
        }
        EXPECT_EQ(index, 5U);
    }
}

TEST_F(FaultTaskDiskTest, ALateCallSucceedsLater) {
    plan_.add({.effect = FaultEffect::is_late, .at = 2, .delay_ns = 3'000'000'000});
    const uint64_t start_ns = reactor_->clock().monotonic_ns();
    EXPECT_TRUE(run(replace_with(*fault_disk_, "a", "x")));
    EXPECT_GE(reactor_->clock().monotonic_ns() - start_ns, 3'000'000'000U);
    EXPECT_EQ(plan_.met_count(), 1U);
}

TEST_F(FaultTaskDiskTest, ALostSyncIsFoundByThePowerCut) {
    plan_.add({.effect = FaultEffect::is_lost, .kind = DiskCallKind::sync});
    EXPECT_TRUE(run(replace_with(*fault_disk_, "a", "x")));
    EXPECT_FALSE(is_durable("a", "x"));
}

TEST_F(FaultTaskDiskTest, AReadThatIsToFailIsNotFoundResident) {
    ASSERT_TRUE(replace("a", "0123"));
    const auto file = std::move(*run(fault_disk_->open("a", OpenMode::read)));
    std::array<std::byte, 4> buffer{};
    EXPECT_EQ(file->try_read(buffer, 0), 4U);
    plan_.add({.kind = DiskCallKind::read});
    EXPECT_EQ(file->try_read(buffer, 0), 0U);
    EXPECT_FALSE(run(file->read_exactly(buffer, 0)));
    EXPECT_EQ(file->try_read(buffer, 0), 4U);
}

TEST_F(FaultTaskDiskTest, TheWaitingFormHasTheSameFaults) {
    plan_.add({.kind = DiskCallKind::list});
    EXPECT_FALSE(fault_disk_->blocking().list(""));
    EXPECT_TRUE(run(fault_disk_->list("")));
}

}  // namespace
}  // namespace penstock::io
