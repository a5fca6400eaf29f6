// Several copies, in virtual time: who fails or hangs while another one has it is behind, and who
// hangs is not waited for.
#include "node/metadata/copies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "io/base/units.h"
#include "io/memory_disk.h"
#include "io/sim_kernel.h"

namespace penstock::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Numbers = Copies<int>;

class CopiesTest : public testing::Test {
protected:
    void SetUp() override {
        for (const auto& disk : disks_) homes_.push_back({disk.get(), nullptr});
        copies_.use(copies_.on(homes_));
        for (const Numbers::Pointer& copy : copies_.all()) copy->kept = std::make_unique<int>(0);
    }
    void TearDown() override {
        go_on_.set();
        reactor_.run_until_done(copies_.stop());
    }

    // Adds one to each good copy; `fails` and `hangs` name those whose device does.
    static io::Task<Status> add(Numbers::Pointer copy, bool fails, io::Event* answer) {
        if (answer != nullptr) co_await answer->wait();
        if (fails) co_return fail(Errc::io_error, "broken");
        *copy->kept += 1;
        co_return Status();
    }
    Status write(std::set<size_t> fails, std::set<size_t> hangs = {}) {
        const uint64_t begin_ns = reactor_.now_ns();
        const std::vector<Numbers::Pointer> all = copies_.all();
        const Status written = reactor_.run_until_done(
            copies_.write(copies_.good(), [this, all, fails, hangs](Numbers::Pointer copy) {
                const auto at = static_cast<size_t>(std::ranges::find(all, copy) - all.begin());
                return add(copy, fails.contains(at), hangs.contains(at) ? &go_on_ : nullptr);
            }));
        took_ns_ = reactor_.now_ns() - begin_ns;
        return written;
    }
    // Whoever hangs has answered.
    void let_go() {
        go_on_.set();
        (void)reactor_.run_until_done(pass_time());
    }
    io::Task<int32_t> pass_time() { co_return co_await reactor_.sleep(reactor_.within_ns(1'000)); }
    std::vector<int> numbers() const {
        std::vector<int> all;
        for (const Numbers::Pointer& copy : copies_.all()) all.push_back(*copy->kept);
        return all;
    }
    std::vector<bool> good() const {
        std::vector<bool> all;
        for (const Numbers::Pointer& copy : copies_.all()) all.push_back(copy->is_good());
        return all;
    }

    Log log_ = Log::quiet();
    io::SimWorld world_{1};
    io::Reactor reactor_{io::make_sim_kernel(world_), {}};
    io::MemoryStorage storage_;
    std::array<std::unique_ptr<io::BlockingDisk>, 3> disks_{storage_.make_blocking_disk(),
                                                            storage_.make_blocking_disk(),
                                                            storage_.make_blocking_disk()};
    std::vector<MetadataHome> homes_;
    io::Event go_on_{reactor_};
    Numbers copies_{reactor_, "numbers", log_};
    uint64_t took_ns_ = 0;
};

TEST_F(CopiesTest, AllAreWrittenAtOnce) {
    ASSERT_TRUE(write({}));
    EXPECT_THAT(numbers(), ElementsAre(1, 1, 1));
    EXPECT_LT(took_ns_, ns_per_ms);
}

TEST_F(CopiesTest, OneThatFailsIsBehindAndIsWrittenNoMore) {
    ASSERT_TRUE(write({1}));
    EXPECT_THAT(good(), ElementsAre(true, false, true));
    ASSERT_TRUE(write({}));
    EXPECT_THAT(numbers(), ElementsAre(2, 0, 2));
    // Its owner makes it anew.
    ASSERT_TRUE(reactor_.run_until_done(copies_.write(
        {copies_.all()[1]}, [](Numbers::Pointer copy) { return add(copy, false, nullptr); },
        true)));
    EXPECT_THAT(good(), ElementsAre(true, true, true));
}

TEST_F(CopiesTest, WhatNobodyHasIsAnErrorAndChangesNothing) {
    const Status written = write({0, 1, 2});
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().context, "broken");
    EXPECT_THAT(good(), ElementsAre(true, true, true));
}

TEST_F(CopiesTest, OneThatDoesNotAnswerIsNotWaitedFor) {
    ASSERT_TRUE(write({}, {0}));
    EXPECT_GE(took_ns_, 3 * ns_per_s);
    EXPECT_LT(took_ns_, 4 * ns_per_s);
    EXPECT_THAT(good(), ElementsAre(false, true, true));
    ASSERT_TRUE(write({2}));
    EXPECT_LT(took_ns_, ns_per_ms);
    EXPECT_THAT(numbers(), ElementsAre(0, 2, 1));
    // What comes late does not make it good: it lacks what came meanwhile.
    EXPECT_TRUE(copies_.all()[0]->is_busy);
    let_go();
    ASSERT_TRUE(write({}));
    EXPECT_FALSE(copies_.all()[0]->is_busy);
    EXPECT_THAT(good(), ElementsAre(false, true, false));
}

TEST_F(CopiesTest, TheLastThatMayHaveItIsWaitedFor) {
    world_.at(reactor_.now_ns() + 60 * ns_per_s, [this] { go_on_.set(); });
    ASSERT_TRUE(write({0, 1}, {2}));
    EXPECT_GE(took_ns_, 50 * ns_per_s);
    EXPECT_THAT(good(), ElementsAre(false, false, true));
}

TEST_F(CopiesTest, OneThatIsLeftWhileItHangsIsNotMadeTwice) {
    ASSERT_TRUE(write({}, {0}));
    const Numbers::Pointer hanging = copies_.all()[0];
    copies_.use(copies_.on({homes_[1], homes_[2]}));
    EXPECT_EQ(copies_.on(homes_)[0], hanging);
    let_go();
    copies_.use(copies_.all());
    EXPECT_NE(copies_.on(homes_)[0], hanging);
    EXPECT_THAT(copies_.on({}), IsEmpty());
}

}  // namespace
}  // namespace penstock::node
