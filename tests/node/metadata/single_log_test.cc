// The log on real cores: what one submits, all see, and it is there after a restart.
#include "node/metadata/single_log.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "io/cores.h"
#include "io/memory_disk.h"

namespace penstock::node {
namespace {

class SingleLogTest : public testing::Test {
protected:
    static constexpr uint32_t core_count = 2;

    void SetUp() override {
        cores_ = *io::Cores::start({.count = core_count, .is_pinned = false}, log_);
        open();
    }
    void TearDown() override {
        close();
        cores_->stop();
    }

    void open() { open_on({disk_.get()}); }
    void open_on(const std::vector<io::BlockingDisk*>& disks) {
        SingleLogParts parts{{}, homes(disks)};
        for (uint32_t core = 0; core < core_count; ++core) {
            parts.reactors.push_back(&cores_->reactor(core));
        }
        auto opened =
            cores_->run_on(0, [&] { return open_single_log(parts, JournalOptions{}, log_); });
        ASSERT_TRUE(opened) << opened.error().context;
        metadata_ = std::move(*opened);
    }
    std::vector<MetadataHome> homes(const std::vector<io::BlockingDisk*>& disks) {
        std::vector<MetadataHome> homes;
        for (io::BlockingDisk* disk : disks) homes.push_back({disk, &cores_->pool()});
        return homes;
    }
    // Each on a storage of its own.
    std::vector<io::BlockingDisk*> make_disks(size_t count) {
        std::vector<io::BlockingDisk*> disks;
        while (disks.size() < count) {
            io::MemoryStorage& storage =
                *others_.emplace_back(std::make_unique<io::MemoryStorage>());
            disks.push_back(other_disks_.emplace_back(storage.make_blocking_disk()).get());
        }
        return disks;
    }
    void close() {
        if (metadata_ == nullptr) return;
        cores_->run_on(0, [this] { return metadata_->stop(); });
        metadata_.reset();
    }
    Result<Committed> create(uint32_t core, const std::string& name) {
        return cores_->run_on(core, [&] {
            return metadata_->submit(core, CreateBucket{{"ais", "", "", name}, {}, 1});
        });
    }
    static io::Task<bool> find(const MetadataLog& log, uint32_t core, std::string name) {
        co_return log.state(core)->find({"ais", "", "", std::move(name)}) != nullptr;
    }
    bool sees(uint32_t core, const std::string& name) {
        return cores_->run_on(core, [&] { return find(*metadata_, core, name); });
    }

    Log log_ = Log::quiet();
    io::MemoryStorage storage_;
    std::unique_ptr<io::BlockingDisk> disk_ = storage_.make_blocking_disk();
    std::vector<std::unique_ptr<io::MemoryStorage>> others_;
    std::vector<std::unique_ptr<io::BlockingDisk>> other_disks_;
    std::unique_ptr<io::Cores> cores_;
    std::unique_ptr<SingleLog> metadata_;
};

TEST_F(SingleLogTest, EveryCoreSeesACommandOnceItIsDone) {
    ASSERT_TRUE(create(0, "a"));
    ASSERT_TRUE(create(1, "b"));
    for (uint32_t core = 0; core < core_count; ++core) {
        EXPECT_TRUE(sees(core, "a"));
        EXPECT_TRUE(sees(core, "b"));
    }
    EXPECT_EQ(create(1, "a").error().code, Errc::exists);
}

TEST_F(SingleLogTest, ItIsThereAfterARestart) {
    const Result<Committed> first = create(1, "a");
    ASSERT_TRUE(first);
    close();
    open();
    EXPECT_TRUE(sees(1, "a"));
    const Result<Committed> second = create(0, "b");
    ASSERT_TRUE(second);
    EXPECT_EQ(second->version, first->version + 1);
    EXPECT_GT(second->bucket, first->bucket);
}

TEST_F(SingleLogTest, WhatOthersKeptWhileTheFirstOnesWereOutIsFound) {
    const std::vector<io::BlockingDisk*> disks = make_disks(6);
    close();
    open_on(disks);
    ASSERT_TRUE(create(0, "early"));
    const std::vector<io::BlockingDisk*> last(disks.begin() + 3, disks.end());
    ASSERT_TRUE(cores_->run_on(0, [&] { return metadata_->keep_on(homes(last)); }));
    ASSERT_TRUE(create(0, "late"));
    close();
    open_on(disks);
    EXPECT_TRUE(sees(0, "early"));
    EXPECT_TRUE(sees(0, "late"));
    close();
    // And it is on the first ones again.
    open_on({disks[0]});
    EXPECT_TRUE(sees(1, "late"));
    close();
}

TEST_F(SingleLogTest, AHomeBeyondTheFirstOnesIsLeftAlone) {
    const std::vector<io::BlockingDisk*> disks = make_disks(4);
    close();
    open_on(disks);
    EXPECT_TRUE(Journal::exists(*disks[2]));
    EXPECT_FALSE(Journal::exists(*disks[3]));
    close();
}

// Many at once from both cores: each gets a version of its own.
io::Task<void> submit_counted(MetadataLog& log, uint32_t core, std::string name, uint32_t& good,
                              io::Event& all_done, uint32_t count) {
    const auto committed = co_await log.submit(core, CreateBucket{{"ais", "", "", name}, {}, 1});
    if (committed && ++good == count) all_done.set();
}
io::Task<uint32_t> submit_many(MetadataLog& log, io::Reactor& reactor, uint32_t core,
                               uint32_t count) {
    uint32_t good = 0;
    io::Event all_done(reactor);
    for (uint32_t index = 0; index < count; ++index) {
        io::start_detached(
            submit_counted(log, core, "b" + std::to_string(index), good, all_done, count));
    }
    co_await all_done.wait();
    co_return good;
}

TEST_F(SingleLogTest, CommandsThatWaitShareACommit) {
    constexpr uint32_t count = 1000;
    const uint64_t calls_before = storage_.call_count();
    EXPECT_EQ(
        cores_->run_on(1, [&] { return submit_many(*metadata_, cores_->reactor(1), 1, count); }),
        count);
    EXPECT_LT(storage_.call_count() - calls_before, 200U);
    EXPECT_TRUE(sees(0, "b999"));
}

TEST_F(SingleLogTest, BothCoresSubmitAndReadAtOnce) {
    constexpr uint32_t count = 200;
    std::vector<std::jthread> callers;
    for (uint32_t core = 0; core < core_count; ++core) {
        callers.emplace_back([this, core] {
            for (uint32_t index = 0; index < count; ++index) {
                const std::string name = "c" + std::to_string(core) + "-" + std::to_string(index);
                EXPECT_TRUE(create(core, name));
                EXPECT_TRUE(sees(1 - core, name)) << "the other core knows when it is done";
            }
        });
    }
    callers.clear();
    EXPECT_TRUE(sees(0, "c1-199") && sees(1, "c0-199"));
}

TEST_F(SingleLogTest, AFailedCommitIsAnErrorAndTheNextOneWorks) {
    ASSERT_TRUE(create(0, "a"));
    storage_.fail_sync(4);
    uint32_t failure_count = 0;
    for (uint32_t index = 0; index < 6; ++index) {
        const auto committed = create(1, "n" + std::to_string(index));
        EXPECT_EQ(committed.has_value(), sees(0, "n" + std::to_string(index)));
        if (!committed) ++failure_count;
    }
    EXPECT_EQ(failure_count, 1U);
}

TEST_F(SingleLogTest, AfterStopCommandsAreRefused) {
    cores_->run_on(0, [this] { return metadata_->stop(); });
    EXPECT_EQ(create(1, "late").error().code, Errc::unavailable);
    metadata_.reset();
}

}  // namespace
}  // namespace penstock::node
