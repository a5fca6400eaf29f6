// What is acknowledged stays, whichever call fails, wherever the power goes and whichever bit
// flips.
#include "node/metadata/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "io/fault_disk.h"
#include "io/memory_disk.h"

namespace penstock::node {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

using Names = std::vector<std::string>;

constexpr const char* file_a = "metadata/00000000000000000001.a";
constexpr const char* file_b = "metadata/00000000000000000001.b";

// A node's metadata over whatever disk it is given.
class Metadata {
public:
    explicit Metadata(io::BlockingDisk& disk, const JournalOptions& options = {})
        : opened_(Journal::open(disk, options, log_)) {}

    bool is_open() const { return opened_.has_value(); }
    const Error& error() const { return opened_.error(); }
    Journal& journal() { return **opened_; }

    Status create(const std::string& name) {
        return apply(CreateBucket{{"ais", "", "", name}, {}, 1});
    }
    Status apply(const Command& command) {
        const auto applied = journal().state()->apply(command);
        EXPECT_TRUE(applied);
        return journal().append({{encode_command(command), applied->state->version()}},
                                applied->state);
    }
    Names names() {
        Names all;
        journal().state()->for_each_bucket([&all](const std::shared_ptr<const Bucket>& bucket) {
            all.push_back(bucket->name.name);
        });
        return all;
    }

private:
    Log log_ = Log::quiet();
    Result<std::unique_ptr<Journal>> opened_;
};

// What a restart on `storage` finds; asserts that there is something to find.
Names names_after_restart(const io::MemoryStorage& storage) {
    const auto disk = storage.make_blocking_disk();
    Metadata metadata(*disk);
    EXPECT_TRUE(metadata.is_open()) << metadata.error().context;
    return metadata.is_open() ? metadata.names() : Names{"<refused>"};
}

class JournalTest : public testing::Test {
protected:
    void fill(const Names& names) {
        Metadata metadata(*disk_);
        for (const std::string& name : names) ASSERT_TRUE(metadata.create(name));
    }

    io::MemoryStorage storage_;
    std::unique_ptr<io::BlockingDisk> disk_ = storage_.make_blocking_disk();
};

TEST_F(JournalTest, KeepsWhatWasAppendedThroughRestarts) {
    fill({"a", "b"});
    fill({"c"});
    EXPECT_THAT(names_after_restart(storage_), ElementsAre("a", "b", "c"));
}

TEST_F(JournalTest, ASecondProcessIsRefusedAndToldWhoHasIt) {
    Metadata first(*disk_);
    Metadata second(*disk_);
    ASSERT_FALSE(second.is_open());
    EXPECT_EQ(second.error().code, Errc::unavailable);
    EXPECT_THAT(second.error().context, HasSubstr(std::to_string(getpid())));
}

TEST_F(JournalTest, BeginsANewGenerationWhenTheRecordsAreMany) {
    {
        Metadata metadata(*disk_, {.records_bytes_max = 2000});
        for (uint32_t index = 0; index < 200; ++index) {
            ASSERT_TRUE(metadata.create("b" + std::to_string(index)));
        }
        EXPECT_GT(metadata.journal().generation(), 2U);
    }
    EXPECT_EQ(names_after_restart(storage_).size(), 200U);
    EXPECT_EQ(disk_->list("metadata")->size(), 3U);  // two copies and the lock
}

TEST_F(JournalTest, AnyFlippedBitIsSurvived) {
    fill({"a", "b", "c"});
    for (const char* path : {file_a, file_b}) {
        const uint64_t bits = storage_.read_file(path)->size() * 8;
        for (uint64_t bit = 0; bit < bits; ++bit) {
            io::MemoryStorage damaged = storage_.clone();
            ASSERT_TRUE(damaged.flip_bit(path, bit));
            ASSERT_THAT(names_after_restart(damaged), ElementsAre("a", "b", "c")) << path << bit;
        }
    }
}

TEST_F(JournalTest, AFlippedBitIsReportedAndRepaired) {
    fill({"a", "b", "c"});
    ASSERT_TRUE(storage_.flip_bit(file_a, 100 * 8));
    {
        Metadata metadata(*disk_);
        EXPECT_EQ(metadata.journal().corruption_count(), 1U);
    }
    Metadata metadata(*disk_);
    EXPECT_EQ(metadata.journal().corruption_count(), 0U);
    EXPECT_EQ(metadata.names().size(), 3U);
}

TEST_F(JournalTest, DamageInBothCopiesIsRefusedRatherThanForgotten) {
    fill({"a", "b", "c"});
    for (const uint64_t bit : {10U * 8, 60U * 8, 100U * 8, 200U * 8}) {
        io::MemoryStorage damaged = storage_.clone();
        ASSERT_TRUE(damaged.flip_bit(file_a, bit));
        ASSERT_TRUE(damaged.flip_bit(file_b, bit));
        const auto disk = damaged.make_blocking_disk();
        Metadata metadata(*disk);
        ASSERT_FALSE(metadata.is_open()) << bit;
        EXPECT_EQ(metadata.error().code, Errc::corrupt);
    }
}

TEST_F(JournalTest, ALostFileCostsNothing) {
    fill({"a", "b"});
    for (const char* path : {file_a, file_b}) {
        const io::MemoryStorage damaged = storage_.clone();
        const auto disk = damaged.make_blocking_disk();
        ASSERT_TRUE(disk->remove(path));
        Metadata metadata(*disk);
        ASSERT_TRUE(metadata.is_open());
        EXPECT_THAT(metadata.names(), ElementsAre("a", "b"));
        EXPECT_EQ(metadata.journal().corruption_count(), 1U);
    }
}

TEST_F(JournalTest, MissingMetadataBesideALogIsRefused) {
    ASSERT_TRUE(disk_->make_directory("log"));
    ASSERT_TRUE(disk_->open("log/1.tar", io::OpenMode::create));
    Metadata metadata(*disk_);
    ASSERT_FALSE(metadata.is_open());
    EXPECT_EQ(metadata.error().code, Errc::corrupt);
}

TEST_F(JournalTest, CommandsWorkOnAFullDisk) {
    Metadata metadata(*disk_);
    storage_.set_limits({.bytes_max = 1});
    for (uint32_t index = 0; index < 100; ++index) {
        ASSERT_TRUE(metadata.create("b" + std::to_string(index))) << index;
    }
}

// Each call fails in turn, in each way, and the power goes after it.
TEST_F(JournalTest, WhatIsAcknowledgedStaysWhicheverCallFails) {
    for (const io::FaultEffect effect :
         {io::FaultEffect::fails, io::FaultEffect::fails_afterward, io::FaultEffect::is_short}) {
        constexpr uint64_t calls_max = 1000;
        uint64_t index = 0;
        for (; index < calls_max; ++index) {
            SCOPED_TRACE(index);
            const io::MemoryStorage storage;
            const auto inner = storage.make_blocking_disk();
            Names acknowledged;
            Names possible;
            io::FaultPlan plan;
            plan.add({.effect = effect, .at = index});
            {
                const auto disk = io::make_fault_blocking_disk(*inner, plan);
                Metadata metadata(*disk, {.records_bytes_max = 150});
                for (const char* name : {"a", "b", "c", "d", "e", "f"}) {
                    if (!metadata.is_open()) break;
                    possible.push_back(name);
                    if (metadata.create(name)) acknowledged.push_back(name);
                }
                // One fault costs one command: the next is fine.
                if (metadata.is_open()) EXPECT_GE(acknowledged.size(), 5U);
                EXPECT_EQ(plan.repeated_sync_count(), 0U);
            }
            const Names found = names_after_restart(storage.crash_losing_all());
            EXPECT_TRUE(std::ranges::includes(found, acknowledged));
            EXPECT_TRUE(std::ranges::includes(possible, found));
            if (plan.met_count() == 0) break;
        }
        EXPECT_LT(index, calls_max);
    }
}

// Every state that a power cut may leave before each call, through new generations and a restart.
TEST_F(JournalTest, WhatIsAcknowledgedStaysInEveryStateOfAPowerCut) {
    constexpr uint64_t states_max = 300;
    Random random(11);
    Names acknowledged;
    Names possible;
    uint64_t state_count = 0;
    for (const auto order : {io::CrashMode::Names::in_order, io::CrashMode::Names::any_subset}) {
        io::MemoryStorage storage;
        acknowledged.clear();
        possible.clear();
        const auto check = [&](const io::MemoryStorage& left) {
            const Names found = names_after_restart(left);
            ASSERT_TRUE(std::ranges::includes(found, acknowledged));
            ASSERT_TRUE(std::ranges::includes(possible, found));
        };
        storage.on_call([&](const io::DiskCall&) {
            state_count += storage.for_each_crash(states_max, random, {.names = order}, check);
        });
        const auto disk = storage.make_blocking_disk();
        for (uint32_t round = 0; round < 2; ++round) {
            Metadata metadata(*disk, {.records_bytes_max = 150});
            ASSERT_TRUE(metadata.is_open());
            for (uint32_t index = 0; index < 5; ++index) {
                const std::string name = "b" + std::to_string(round * 5 + index);
                possible.push_back(name);
                ASSERT_TRUE(metadata.create(name));
                acknowledged.push_back(name);
            }
        }
    }
    EXPECT_GT(state_count, 1000U);
    std::printf("%llu states\n", static_cast<unsigned long long>(state_count));
}

// The test above means something: a disk that lies about one sync is caught by the same question.
TEST_F(JournalTest, AControlThatSkipsASyncLosesWhatItAcknowledged) {
    const auto inner = storage_.make_blocking_disk();
    io::FaultPlan plan;
    plan.add({.effect = io::FaultEffect::is_lost,
              .kind = io::DiskCallKind::sync,
              .path_part = ".",
              .at = 0,
              .is_sticky = true});
    const auto disk = io::make_fault_blocking_disk(*inner, plan);
    Metadata metadata(*disk);
    ASSERT_TRUE(metadata.create("a"));
    bool is_caught = false;
    Random random(1);
    storage_.for_each_crash(2000, random, {}, [&is_caught](const io::MemoryStorage& left) {
        const auto left_disk = left.make_blocking_disk();
        Metadata after(*left_disk);
        if (!after.is_open() || after.names() != Names{"a"}) is_caught = true;
    });
    EXPECT_TRUE(is_caught);
}

}  // namespace
}  // namespace penstock::node
