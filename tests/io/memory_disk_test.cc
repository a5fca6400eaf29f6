// The model of a power cut: what may be lost is lost in some state, what may not is lost in none.
#include "io/memory_disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "io/base/clock.h"
#include "io/base/units.h"
#include "tests/temporary_directory.h"

namespace penstock::io {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr const char* missing = "<missing>";

class MemoryDiskTest : public testing::Test {
protected:
    std::unique_ptr<BlockingFile> create(const std::string& path, std::string_view text = "") {
        auto file = disk_->open(path, OpenMode::create);
        EXPECT_TRUE(file);
        EXPECT_TRUE((*file)->write_exactly(as_bytes(text), 0));
        return std::move(*file);
    }
    // There, with its bytes and its name durable.
    std::unique_ptr<BlockingFile> create_durable(const std::string& path, std::string_view text) {
        auto file = create(path, text);
        EXPECT_TRUE(file->sync());
        EXPECT_TRUE(disk_->sync_directory(""));
        return file;
    }
    static std::string text_of(const MemoryStorage& storage, const std::string& path) {
        const auto bytes = storage.read_file(path);
        return bytes ? std::string(as_text(*bytes)) : missing;
    }
    // What a file may hold after a power cut now.
    std::set<std::string> outcomes(const std::string& path, const CrashMode& mode = {},
                                   uint64_t states_max = 5000) {
        std::set<std::string> texts;
        storage_.for_each_crash(states_max, random_, mode, [&](const MemoryStorage& left) {
            texts.insert(text_of(left, path));
        });
        return texts;
    }

    MemoryStorage storage_;
    std::unique_ptr<BlockingDisk> disk_ = storage_.make_blocking_disk();
    Random random_{7};
};

TEST_F(MemoryDiskTest, WithoutAnySyncAFileMayBeMissingEmptyOrThere) {
    create("a", "x");
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre(missing, "", std::string(1, '\0'), "x"));
}

TEST_F(MemoryDiskTest, SyncedBytesUnderASyncedNameAreThereInEveryState) {
    create_durable("a", "x");
    EXPECT_FALSE(storage_.has_pending());
    EXPECT_THAT(outcomes("a"), ElementsAre("x"));
}

TEST_F(MemoryDiskTest, SyncingAFileDoesNotMakeItsNameDurable) {
    ASSERT_TRUE(create("a", "x")->sync());
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre(missing, "x"));
}

TEST_F(MemoryDiskTest, SyncingTheFileSystemMakesNamesAndBytesDurable) {
    ASSERT_TRUE(disk_->make_directory("d"));
    create("a", "x");
    ASSERT_TRUE(disk_->link("a", "d/b"));
    EXPECT_THAT(outcomes("d/b"), UnorderedElementsAre(missing, "", std::string(1, '\0'), "x"));
    ASSERT_TRUE(disk_->sync_file_system());
    EXPECT_THAT(outcomes("d/b"), UnorderedElementsAre("x"));
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre("x"));
    ASSERT_TRUE(disk_->remove("a"));
    EXPECT_THAT(outcomes("d/b"), UnorderedElementsAre("x"));
}

TEST_F(MemoryDiskTest, SyncingADirectoryDoesNotMakeBytesDurable) {
    create("a", "x");
    ASSERT_TRUE(disk_->sync_directory(""));
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre("", std::string(1, '\0'), "x"));
}

TEST_F(MemoryDiskTest, AWriteIsTornAtSectorsInAnyPattern) {
    const std::string old_text(3 * sector_bytes, 'o');
    auto file = create_durable("a", old_text);
    ASSERT_TRUE(file->write_exactly(as_bytes(std::string(3 * sector_bytes, 'n')), 0));

    std::set<std::string> expected;
    for (const char* pattern : {"ooo", "oon", "ono", "onn", "noo", "non", "nno", "nnn"}) {
        std::string text;
        for (size_t index = 0; index < 3; ++index)
            text += std::string(sector_bytes, pattern[index]);
        expected.insert(text);
    }
    EXPECT_EQ(storage_.crash_count_max(), 8U);
    EXPECT_EQ(outcomes("a"), expected);
    EXPECT_EQ(outcomes("a", {.tearing = CrashMode::Tearing::whole_writes}).size(), 2U);
    ASSERT_TRUE(file->sync());
    EXPECT_EQ(outcomes("a").size(), 1U);
}

TEST_F(MemoryDiskTest, ALaterWriteMayBeThereWithoutAnEarlierOne) {
    auto file = create_durable("a", std::string(2 * sector_bytes, 'o'));
    ASSERT_TRUE(file->write_exactly(as_bytes("1"), 0));
    ASSERT_TRUE(file->write_exactly(as_bytes("2"), sector_bytes));
    std::set<std::string> marks;
    for (const std::string& text : outcomes("a")) {
        marks.insert({text[0], text[sector_bytes]});
    }
    EXPECT_THAT(marks, UnorderedElementsAre("oo", "1o", "o2", "12"));
}

TEST_F(MemoryDiskTest, TwoWritesToOneSectorArriveInOrder) {
    auto file = create_durable("a", "..");
    ASSERT_TRUE(file->write_exactly(as_bytes("1"), 0));
    ASSERT_TRUE(file->write_exactly(as_bytes("2"), 1));
    // The page cache writes the sector: with the second write in it, it has the first one too.
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre("..", "1.", "12"));
}

TEST_F(MemoryDiskTest, AGrownFileMayShowZerosOrTheOldSize) {
    auto file = create_durable("a", "ab");
    ASSERT_TRUE(file->write_exactly(as_bytes("cd"), 2));
    const std::string zeros = std::string("ab") + std::string(2, '\0');
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre("ab", zeros, "abcd"));
}

TEST_F(MemoryDiskTest, ATruncationMayNotHaveHappened) {
    auto file = create_durable("a", std::string(1000, 'x'));
    ASSERT_TRUE(file->truncate(10));
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre(std::string(1000, 'x'), std::string(10, 'x')));
    ASSERT_TRUE(file->sync());
    EXPECT_THAT(outcomes("a"), ElementsAre(std::string(10, 'x')));
}

TEST_F(MemoryDiskTest, BytesThatWereCutOffDoNotComeBackBelowALaterWrite) {
    auto file = create_durable("a", "old");
    ASSERT_TRUE(file->truncate(0));
    ASSERT_TRUE(file->write_exactly(as_bytes("new"), 0));
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre("old", "", std::string(3, '\0'), "new"));
}

TEST_F(MemoryDiskTest, ARenameWithoutASyncOfTheDirectoryMayBeLost) {
    create_durable("a", "old");
    auto file = create("a.new", "new");
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(disk_->rename("a.new", "a"));
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre("old", "new"));
    ASSERT_TRUE(disk_->sync_directory(""));
    EXPECT_THAT(outcomes("a"), ElementsAre("new"));
    EXPECT_THAT(outcomes("a.new"), ElementsAre(missing));
}

// The order that AIStore's default has; the control shows that the model catches it.
TEST_F(MemoryDiskTest, ARenameWithoutASyncOfTheFileMayLeaveItEmpty) {
    create_durable("a", "old");
    create("a.new", "new");
    ASSERT_TRUE(disk_->rename("a.new", "a"));
    ASSERT_TRUE(disk_->sync_directory(""));
    EXPECT_THAT(outcomes("a"), AllOf(Contains(""), Contains("new"), Not(Contains("old"))));
}

TEST_F(MemoryDiskTest, NamesOfADirectoryArriveInOrderUnlessTheModeIsHarsher) {
    for (const char* name : {"1", "2", "3"}) create(name);
    const auto names = [&](const CrashMode& mode) {
        std::set<std::string> all;
        storage_.for_each_crash(100, random_, mode, [&](const MemoryStorage& left) {
            std::string joined;
            const auto entries = left.make_blocking_disk()->list("");
            for (const DirectoryEntry& entry : *entries) joined += entry.name;
            all.insert(joined);
        });
        return all;
    };
    EXPECT_THAT(names({}), UnorderedElementsAre("", "1", "12", "123"));
    EXPECT_THAT(names({.names = CrashMode::Names::any_subset}),
                UnorderedElementsAre("", "1", "2", "3", "12", "13", "23", "123"));
}

TEST_F(MemoryDiskTest, ARemovalMayBeUndone) {
    create_durable("a", "x");
    ASSERT_TRUE(disk_->remove("a"));
    EXPECT_EQ(text_of(storage_, "a"), missing);
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre("x", missing));
    ASSERT_TRUE(disk_->sync_directory(""));
    EXPECT_THAT(outcomes("a"), ElementsAre(missing));
}

TEST_F(MemoryDiskTest, AFileInADirectoryThatIsNotDurableIsLostWithIt) {
    ASSERT_TRUE(disk_->make_directory("d"));
    ASSERT_TRUE(create("d/a", "x")->sync());
    ASSERT_TRUE(disk_->sync_directory("d"));
    EXPECT_THAT(outcomes("d/a"), UnorderedElementsAre(missing, "x"));
    ASSERT_TRUE(disk_->sync_directory(""));
    EXPECT_THAT(outcomes("d/a"), ElementsAre("x"));
}

TEST_F(MemoryDiskTest, ARenameBetweenDirectoriesHappensWholeOrNotAtAll) {
    ASSERT_TRUE(disk_->make_directory("from"));
    ASSERT_TRUE(disk_->make_directory("to"));
    ASSERT_TRUE(disk_->sync_directory(""));
    ASSERT_TRUE(create("from/a", "x")->sync());
    ASSERT_TRUE(disk_->sync_directory("from"));
    create("to/before");
    ASSERT_TRUE(disk_->rename("from/a", "to/a"));
    create("from/after");

    uint64_t states = storage_.for_each_crash(1000, random_, {}, [&](const MemoryStorage& left) {
        const bool is_moved = text_of(left, "to/a") == "x";
        EXPECT_NE(is_moved, text_of(left, "from/a") == "x");
        if (is_moved) EXPECT_EQ(text_of(left, "to/before"), "");
        if (text_of(left, "from/after") == "") EXPECT_TRUE(is_moved);
    });
    EXPECT_GT(states, 4U);
    // Syncing the one makes what the other needs durable too.
    ASSERT_TRUE(disk_->sync_directory("from"));
    EXPECT_THAT(outcomes("to/a"), ElementsAre("x"));
    EXPECT_THAT(outcomes("to/before"), ElementsAre(""));
}

TEST_F(MemoryDiskTest, AFailedSyncLosesTheBytesAndALaterOneDoesNotBringThemBack) {
    auto file = create_durable("a", std::string(2 * sector_bytes, 'o'));
    storage_.fail_sync(1);
    ASSERT_TRUE(file->write_exactly(as_bytes("lost"), 0));
    const Status status = file->sync();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::io_error);
    EXPECT_TRUE(text_of(storage_, "a").starts_with("lost"));  // readers see them all the same

    ASSERT_TRUE(file->write_exactly(as_bytes("kept"), sector_bytes));
    ASSERT_TRUE(file->sync());
    const std::set<std::string> texts = outcomes("a");
    ASSERT_EQ(texts.size(), 1U);
    EXPECT_TRUE(texts.begin()->starts_with("oooo"));
    EXPECT_EQ(texts.begin()->substr(sector_bytes, 4), "kept");
    EXPECT_TRUE(storage_.has_pending());  // a power cut would still change what readers see
}

TEST_F(MemoryDiskTest, AFailedSyncMayBeAskedToKeepTheBytesPending) {
    auto file = create_durable("a", "old");
    storage_.fail_sync(1, FailedSync::keeps);
    ASSERT_TRUE(file->write_exactly(as_bytes("new"), 0));
    ASSERT_FALSE(file->sync());
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre("old", "new"));
}

TEST_F(MemoryDiskTest, FromThePowerCutOnEveryCallFailsWithoutEffect) {
    auto file = create_durable("a", "x");
    storage_.power_off_at(storage_.call_count() + 1);
    ASSERT_TRUE(file->write_exactly(as_bytes("y"), 0));
    EXPECT_FALSE(storage_.is_powered_off());
    const Status status = file->sync();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::io_error);
    EXPECT_TRUE(storage_.is_powered_off());
    EXPECT_FALSE(disk_->remove("a"));
    EXPECT_FALSE(disk_->list(""));
    EXPECT_FALSE(file->size_bytes());
    EXPECT_THAT(outcomes("a"), UnorderedElementsAre("x", "y"));
    // What is left has power again.
    EXPECT_TRUE(storage_.crash_losing_all().make_blocking_disk()->list(""));
}

TEST_F(MemoryDiskTest, CallsThatChangeSomethingAreRecorded) {
    create_durable("a", "x");
    ASSERT_TRUE(disk_->list(""));
    ASSERT_TRUE(disk_->rename("a", "b"));
    EXPECT_THAT(
        storage_.calls(),
        ElementsAre(DiskCall{DiskCallKind::create, "a"}, DiskCall{DiskCallKind::write, "a"},
                    DiskCall{DiskCallKind::sync, "a"}, DiskCall{DiskCallKind::sync_directory, ""},
                    DiskCall{DiskCallKind::rename, "a"}));
}

TEST_F(MemoryDiskTest, TheStateBeforeEachCallCanBeTakenWhileTheWorkGoesOn) {
    std::vector<std::string> texts;
    storage_.on_call([&](const DiskCall&) { texts.push_back(text_of(storage_.clone(), "a")); });
    create_durable("a", "x");
    EXPECT_THAT(texts, ElementsAre(missing, "", "x", "x"));
}

TEST_F(MemoryDiskTest, AClonesChangesAreItsOwnAndItsFilesAreClosed) {
    auto file = create("a", "x");
    ASSERT_TRUE(file->lock_exclusively());
    const MemoryStorage twin = storage_.clone();
    const auto disk = twin.make_blocking_disk();
    const auto twin_file = *disk->open("a", OpenMode::write);
    EXPECT_TRUE(twin_file->lock_exclusively());
    ASSERT_TRUE(twin_file->write_exactly(as_bytes("y"), 0));
    EXPECT_EQ(text_of(storage_, "a"), "x");
    EXPECT_EQ(text_of(twin, "a"), "y");
    EXPECT_TRUE(twin.has_pending());
}

TEST_F(MemoryDiskTest, ManyStatesAreDrawnWithBothExtremesAmongThem) {
    auto file = create_durable("a", std::string(1_MiB, 'o'));
    ASSERT_TRUE(file->write_exactly(as_bytes(std::string(1_MiB, 'n')), 0));
    EXPECT_EQ(storage_.crash_count_max(), UINT64_MAX);
    std::set<std::string> texts;
    EXPECT_EQ(
        storage_.for_each_crash(
            50, random_, {}, [&](const MemoryStorage& left) { texts.insert(text_of(left, "a")); }),
        50U);
    EXPECT_THAT(texts, AllOf(Contains(std::string(1_MiB, 'o')), Contains(std::string(1_MiB, 'n'))));
    EXPECT_GT(texts.size(), 10U);
}

TEST_F(MemoryDiskTest, OneSeedDrawsTheSameStates) {
    auto file = create("a", std::string(10'000, 'x'));
    for (uint32_t round = 0; round < 20; ++round) {
        Random first(round);
        Random second(round);
        EXPECT_EQ(text_of(storage_.crash(first), "a"), text_of(storage_.crash(second), "a"));
    }
}

TEST_F(MemoryDiskTest, ARandomStateIsOneOfTheEnumeratedOnes) {
    auto file = create_durable("a", std::string(2 * sector_bytes, 'o'));
    ASSERT_TRUE(file->write_exactly(as_bytes(std::string(sector_bytes, '1')), sector_bytes / 2));
    ASSERT_TRUE(file->truncate(sector_bytes));
    ASSERT_TRUE(file->write_exactly(as_bytes(std::string(sector_bytes, '2')), sector_bytes + 9));
    const std::set<std::string> legal = outcomes("a");
    ASSERT_LE(storage_.crash_count_max(), 5000U);
    for (uint32_t round = 0; round < 500; ++round) {
        EXPECT_THAT(legal, Contains(text_of(storage_.crash(random_), "a")));
    }
}

// Against a plain string, across chunk and sector borders: what readers see, what survives when
// everything does, and what survives when only synced bytes do.
TEST_F(MemoryDiskTest, RandomChangesMatchAPlainString) {
    for (uint32_t round = 0; round < 30; ++round) {
        const std::string path = std::to_string(round);
        auto file = create_durable(path, "");
        std::string live;
        std::string durable;
        for (uint32_t step = 0; step < 40; ++step) {
            const uint64_t offset = random_.below(70'000);
            const uint64_t choice = random_.below(10);
            if (choice < 6) {
                const char letter = random_.chance(1, 4) ? '\0' : 'x';
                const std::string text(random_.below(40'000), letter);
                ASSERT_TRUE(file->write_exactly(as_bytes(text), offset));
                if (text.empty()) continue;
                live.resize(std::max(live.size(), offset + text.size()));
                live.replace(offset, text.size(), text);
            } else if (choice < 8) {
                ASSERT_TRUE(file->truncate(offset));
                live.resize(offset);
            } else {
                ASSERT_TRUE(file->sync());
                durable = live;
            }
            ASSERT_EQ(text_of(storage_, path), live);
        }
        EXPECT_EQ(text_of(storage_.crash_keeping_all(), path), live);
        EXPECT_EQ(text_of(storage_.crash_losing_all(), path), durable);
    }
}

TEST_F(MemoryDiskTest, AFullDiskWritesWhatFitsAndSaysSo) {
    storage_.set_limits({.bytes_max = 16'384});
    auto file = create("a", std::string(4096, 'x'));
    const Status status = file->write_exactly(as_bytes(std::string(16'384, 'y')), 4096);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::full);
    EXPECT_EQ(*file->size_bytes(), 16'384U);
    EXPECT_EQ(disk_->space()->available_bytes, 0U);
    EXPECT_EQ(file->allocate(20'000).error().code, Errc::full);
    // What is removed, and closed, makes room again.
    ASSERT_TRUE(disk_->remove("a"));
    EXPECT_EQ(disk_->space()->available_bytes, 0U);
    file.reset();
    EXPECT_EQ(disk_->space()->available_bytes, 16'384U);
    EXPECT_TRUE(create("b")->allocate(16'384));
}

TEST_F(MemoryDiskTest, FilesRunOutLikeInodes) {
    storage_.set_limits({.files_max = 2});
    create("a");
    create("b");
    EXPECT_EQ(disk_->open("c", OpenMode::create).error().code, Errc::full);
    EXPECT_EQ(disk_->make_directory("d").error().code, Errc::full);
    EXPECT_EQ(disk_->space()->available_files, 0U);
    ASSERT_TRUE(disk_->remove("a"));
    create("c");
}

TEST_F(MemoryDiskTest, AFlippedBitIsSeenAndSurvives) {
    create_durable("a", "aaa");
    ASSERT_TRUE(storage_.flip_bit("a", 9));
    EXPECT_EQ(text_of(storage_, "a"), "aca");
    EXPECT_THAT(outcomes("a"), ElementsAre("aca"));
    EXPECT_EQ(storage_.flip_bit("a", 24).error().code, Errc::invalid);
}

TEST_F(MemoryDiskTest, IsWrittenOutToTheRealDisk) {
    ASSERT_TRUE(disk_->make_directory("d"));
    auto file = create("d/sparse", "head");
    ASSERT_TRUE(file->write_exactly(as_bytes("tail"), 3_MiB));
    const TemporaryDirectory directory;
    ASSERT_TRUE(storage_.write_to(directory.path()));
    std::ifstream written(directory.path() + "/d/sparse");
    const std::string text(std::istreambuf_iterator<char>(written), {});
    EXPECT_EQ(text, text_of(storage_, "d/sparse"));
}

TEST_F(MemoryDiskTest, ThreadsMayShareIt) {
    std::vector<std::thread> threads;
    for (uint32_t index = 0; index < 4; ++index) {
        threads.emplace_back([&, index] {
            const std::string path = std::to_string(index);
            const auto file = *disk_->open(path, OpenMode::create);
            for (uint32_t round = 0; round < 200; ++round) {
                EXPECT_TRUE(file->write_exactly(as_bytes(path), round));
                EXPECT_TRUE(file->sync());
                EXPECT_TRUE(disk_->sync_directory(""));
            }
        });
    }
    for (uint32_t round = 0; round < 100; ++round) storage_.crash(random_);
    for (std::thread& thread : threads) thread.join();
    for (const char* path : {"0", "1", "2", "3"}) {
        EXPECT_EQ(text_of(storage_.crash_losing_all(), path), std::string(200, path[0]));
    }
}

// What crash tests rest on: images with several segments, thousands of states.
TEST_F(MemoryDiskTest, StatesOfSeveralSegmentsAreCheap) {
    std::vector<std::unique_ptr<BlockingFile>> segments;
    for (const char* name : {"1", "2", "3", "4"}) {
        segments.push_back(create_durable(name, std::string(4_MiB, 'x')));
    }
    for (uint32_t record = 0; record < 32; ++record) {
        ASSERT_TRUE(segments[0]->write_exactly(as_bytes(std::string(4096, 'r')), record * 4096));
    }
    const SystemClock clock;
    const uint64_t start_ns = clock.monotonic_ns();
    constexpr uint64_t states = 1000;
    EXPECT_EQ(storage_.for_each_crash(states, random_, {}, [](const MemoryStorage&) {}), states);
    const uint64_t each_us = (clock.monotonic_ns() - start_ns) / states / ns_per_us;
    RecordProperty("state_us", static_cast<int>(each_us));
    EXPECT_LT(each_us, 6000U);  // 20,000 states in two minutes; 85 us when this was written
}

}  // namespace
}  // namespace penstock::io
