// One suite for every blocking disk: what it promises must not depend on which one it is.
#include "io/blocking_disk.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "io/fault_disk.h"
#include "io/lock_file.h"
#include "io/memory_disk.h"
#include "tests/temporary_directory.h"

namespace penstock::io {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct PosixCase {
    TemporaryDirectory directory;
    std::unique_ptr<BlockingDisk> disk = *make_posix_disk(directory.path());
};

// As on a system without openat2.
struct PosixByPartsCase {
    TemporaryDirectory directory;
    std::unique_ptr<BlockingDisk> disk =
        *make_posix_disk(directory.path(), {.may_use_openat2 = false});
};

struct MemoryCase {
    MemoryStorage storage;
    std::unique_ptr<BlockingDisk> disk = storage.make_blocking_disk();
};

// The fault layer without faults.
struct FaultCase {
    MemoryStorage storage;
    std::unique_ptr<BlockingDisk> inner = storage.make_blocking_disk();
    FaultPlan plan;
    std::unique_ptr<BlockingDisk> disk = make_fault_blocking_disk(*inner, plan);
};

template <typename Case>
class BlockingDiskTest : public testing::Test {
protected:
    BlockingDisk& disk() { return *case_.disk; }

    Status put(const std::string& path, std::string_view text) {
        TRY(const auto file, disk().open(path, OpenMode::create));
        return file->write_exactly(as_bytes(text), 0);
    }
    std::string get(const std::string& path) {
        const auto file = disk().open(path, OpenMode::read);
        if (!file) return "<" + std::string(errc_name(file.error().code)) + ">";
        std::string text(*(*file)->size_bytes() + 10, '?');
        const auto count = (*file)->read(std::as_writable_bytes(std::span(text)), 0);
        if (!count) return "<" + std::string(errc_name(count.error().code)) + ">";
        return text.substr(0, *count);
    }
    static Errc code_of(const auto& result) {
        EXPECT_FALSE(result.has_value());
        return result ? Errc::closed : result.error().code;
    }

    Case case_;
};

using Cases = testing::Types<PosixCase, PosixByPartsCase, MemoryCase, FaultCase>;
TYPED_TEST_SUITE(BlockingDiskTest, Cases);

TYPED_TEST(BlockingDiskTest, WhatIsWrittenIsRead) {
    ASSERT_TRUE(this->put("a", "hello"));
    EXPECT_EQ(this->get("a"), "hello");
}

TYPED_TEST(BlockingDiskTest, CreateRefusesANameThatIsTaken) {
    ASSERT_TRUE(this->put("a", "x"));
    EXPECT_EQ(this->code_of(this->put("a", "y")), Errc::exists);
    EXPECT_EQ(this->code_of(this->disk().make_directory("a")), Errc::exists);
    EXPECT_EQ(this->get("a"), "x");
}

TYPED_TEST(BlockingDiskTest, MissingNamesAreNotFound) {
    EXPECT_EQ(this->code_of(this->disk().open("a", OpenMode::read)), Errc::not_found);
    EXPECT_EQ(this->code_of(this->disk().open("a", OpenMode::write)), Errc::not_found);
    EXPECT_EQ(this->code_of(this->disk().open("a/b", OpenMode::create)), Errc::not_found);
    EXPECT_EQ(this->code_of(this->disk().remove("a")), Errc::not_found);
    EXPECT_EQ(this->code_of(this->disk().rename("a", "b")), Errc::not_found);
    EXPECT_EQ(this->code_of(this->disk().list("a")), Errc::not_found);
    EXPECT_EQ(this->code_of(this->disk().sync_directory("a")), Errc::not_found);
}

TYPED_TEST(BlockingDiskTest, PathsThatLeaveTheRootAreInvalid) {
    for (const char* path : {"..", "../a", "a/../b", "/etc/passwd", "a//b", "a/", ".", "./a", ""}) {
        SCOPED_TRACE(path);
        EXPECT_EQ(this->code_of(this->disk().open(path, OpenMode::create)), Errc::invalid);
        EXPECT_EQ(this->code_of(this->disk().remove(path)), Errc::invalid);
        EXPECT_EQ(this->code_of(this->disk().rename(path, "b")), Errc::invalid);
        EXPECT_EQ(this->code_of(this->disk().make_directory(path)), Errc::invalid);
    }
    EXPECT_EQ(this->code_of(this->disk().open(std::string("a\0b", 3), OpenMode::create)),
              Errc::invalid);
    EXPECT_EQ(this->code_of(this->disk().open(std::string(256, 'n'), OpenMode::create)),
              Errc::invalid);
    EXPECT_TRUE(this->put(std::string(255, 'n'), "longest"));
}

TYPED_TEST(BlockingDiskTest, WrongKindsOfFileAreInvalidAndNoDeviceFailure) {
    ASSERT_TRUE(this->disk().make_directory("d"));
    ASSERT_TRUE(this->put("d/f", "x"));
    EXPECT_EQ(this->code_of(this->disk().open("d", OpenMode::read)), Errc::invalid);
    EXPECT_EQ(this->code_of(this->disk().open("d/f/g", OpenMode::read)), Errc::invalid);
    EXPECT_EQ(this->code_of(this->disk().list("d/f")), Errc::invalid);
    EXPECT_EQ(this->code_of(this->disk().remove("d")), Errc::invalid);  // not empty
    EXPECT_EQ(this->code_of(this->disk().rename("d/f", "d")), Errc::invalid);
    EXPECT_EQ(this->code_of(this->disk().rename("d", "d/e")), Errc::invalid);
}

TYPED_TEST(BlockingDiskTest, ReadsEndAtTheEnd) {
    ASSERT_TRUE(this->put("a", "0123456789"));
    const auto file = *this->disk().open("a", OpenMode::read);
    std::array<std::byte, 8> buffer;
    EXPECT_EQ(*file->read(buffer, 0), 8U);
    EXPECT_EQ(*file->read(buffer, 8), 2U);
    EXPECT_EQ(*file->read(buffer, 10), 0U);
    EXPECT_EQ(*file->read(buffer, 1'000'000), 0U);
    EXPECT_EQ(*file->read({}, 0), 0U);
}

TYPED_TEST(BlockingDiskTest, WritesBehindTheEndLeaveZerosBetween) {
    const auto file = *this->disk().open("a", OpenMode::create);
    ASSERT_TRUE(file->write_exactly(as_bytes("ab"), 0));
    ASSERT_TRUE(file->write_exactly(as_bytes("yz"), 40'000));
    EXPECT_EQ(*file->size_bytes(), 40'002U);
    EXPECT_EQ(this->get("a"), "ab" + std::string(39'998, '\0') + "yz");
}

TYPED_TEST(BlockingDiskTest, TruncationCutsAndGrowsWithZeros) {
    const auto file = *this->disk().open("a", OpenMode::create);
    ASSERT_TRUE(file->write_exactly(as_bytes(std::string(50'000, 'x')), 0));
    ASSERT_TRUE(file->truncate(20'001));
    ASSERT_TRUE(file->truncate(30'000));
    EXPECT_EQ(this->get("a"), std::string(20'001, 'x') + std::string(9'999, '\0'));
    ASSERT_TRUE(file->truncate(0));
    EXPECT_EQ(this->get("a"), "");
}

TYPED_TEST(BlockingDiskTest, AllocatingLeavesTheSize) {
    const auto file = *this->disk().open("a", OpenMode::create);
    ASSERT_TRUE(file->allocate(100'000));
    EXPECT_EQ(*file->size_bytes(), 0U);
    ASSERT_TRUE(file->write_exactly(as_bytes("x"), 0));
    EXPECT_EQ(*file->size_bytes(), 1U);
    EXPECT_TRUE(file->allocate(0));
}

TYPED_TEST(BlockingDiskTest, AFileOpenedForReadingCannotBeChanged) {
    ASSERT_TRUE(this->put("a", "x"));
    const auto file = *this->disk().open("a", OpenMode::read);
    EXPECT_EQ(this->code_of(file->write_exactly(as_bytes("y"), 0)), Errc::io_error);
    EXPECT_EQ(this->code_of(file->truncate(0)), Errc::invalid);
    EXPECT_EQ(this->code_of(file->allocate(10)), Errc::io_error);
    EXPECT_EQ(this->get("a"), "x");
    EXPECT_TRUE(file->sync());
}

TYPED_TEST(BlockingDiskTest, WritingOpensChangeInPlaceAndRead) {
    ASSERT_TRUE(this->put("a", "hello"));
    const auto file = *this->disk().open("a", OpenMode::write);
    ASSERT_TRUE(file->write_exactly(as_bytes("J"), 0));
    std::array<std::byte, 5> buffer;
    ASSERT_EQ(*file->read(buffer, 0), 5U);
    EXPECT_EQ(as_text(buffer), "Jello");
    EXPECT_TRUE(file->sync());
}

TYPED_TEST(BlockingDiskTest, DirectFilesAskForAlignment) {
    const auto file = *this->disk().open("a", OpenMode::create_direct);
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(direct_alignment, 8192));
    const MutableBytes aligned(memory, 8192);
    std::ranges::fill(aligned, std::byte{'d'});
    EXPECT_TRUE(file->write_exactly(aligned, 0));
    EXPECT_EQ(this->code_of(file->write_exactly(aligned.first(100), 0)), Errc::invalid);
    EXPECT_EQ(this->code_of(file->write_exactly(aligned.first(4096), 512)), Errc::invalid);
    EXPECT_EQ(this->code_of(file->write_exactly(aligned.subspan(1, 4096), 0)), Errc::invalid);
    // The tail is written padded and cut off: then the size is no multiple.
    ASSERT_TRUE(file->truncate(5000));
    EXPECT_EQ(this->get("a"), std::string(5000, 'd'));

    const auto reading = *this->disk().open("a", OpenMode::read_direct);
    std::ranges::fill(aligned, std::byte{'?'});
    EXPECT_EQ(*reading->read(aligned, 0), 5000U);
    EXPECT_EQ(as_text(aligned.first(5000)), std::string(5000, 'd'));
    EXPECT_EQ(*reading->read(aligned, 8192), 0U);
    EXPECT_EQ(this->code_of(reading->read(aligned.first(10), 0)), Errc::invalid);
    std::free(memory);
}

TYPED_TEST(BlockingDiskTest, RenamingReplaces) {
    ASSERT_TRUE(this->put("a", "new"));
    ASSERT_TRUE(this->put("b", "old"));
    ASSERT_TRUE(this->disk().make_directory("d"));
    ASSERT_TRUE(this->disk().rename("a", "b"));
    EXPECT_EQ(this->get("b"), "new");
    EXPECT_EQ(this->get("a"), "<not_found>");
    ASSERT_TRUE(this->disk().rename("b", "d/c"));
    EXPECT_EQ(this->get("d/c"), "new");
    ASSERT_TRUE(this->disk().rename("d/c", "d/c"));
    ASSERT_TRUE(this->disk().rename("d", "e"));
    EXPECT_EQ(this->get("e/c"), "new");
}

TYPED_TEST(BlockingDiskTest, AnOpenFileOutlivesItsName) {
    ASSERT_TRUE(this->put("a", "still here"));
    const auto file = *this->disk().open("a", OpenMode::write);
    ASSERT_TRUE(this->disk().remove("a"));
    ASSERT_TRUE(this->put("a", "another"));
    std::array<std::byte, 10> buffer;
    EXPECT_EQ(*file->read(buffer, 0), 10U);
    EXPECT_EQ(as_text(buffer), "still here");
    EXPECT_TRUE(file->write_exactly(as_bytes("x"), 10));
    EXPECT_TRUE(file->sync());
    EXPECT_EQ(this->get("a"), "another");
}

TYPED_TEST(BlockingDiskTest, ListsSortedWithKinds) {
    EXPECT_THAT(*this->disk().list(""), IsEmpty());
    ASSERT_TRUE(this->disk().make_directory("m"));
    ASSERT_TRUE(this->put("z", ""));
    ASSERT_TRUE(this->put("a", ""));
    ASSERT_TRUE(this->put("m/inner", ""));
    EXPECT_THAT(*this->disk().list(""),
                ElementsAre(DirectoryEntry{"a", false}, DirectoryEntry{"m", true},
                            DirectoryEntry{"z", false}));
    EXPECT_THAT(*this->disk().list("m"), ElementsAre(DirectoryEntry{"inner", false}));
    ASSERT_TRUE(this->disk().remove("m/inner"));
    ASSERT_TRUE(this->disk().remove("m"));
    EXPECT_EQ(this->disk().list("")->size(), 2U);
}

TYPED_TEST(BlockingDiskTest, ManyNamesAreListedWhole) {
    constexpr uint32_t names = 3000;  // more than one buffer of the system call
    for (uint32_t index = 0; index < names; ++index) {
        ASSERT_TRUE(this->put("a-name-of-middling-length-" + std::to_string(index), ""));
    }
    EXPECT_EQ(this->disk().list("")->size(), names);
}

TYPED_TEST(BlockingDiskTest, ALockExcludesEveryOtherOpen) {
    ASSERT_TRUE(this->put("lock", ""));
    auto first = *this->disk().open("lock", OpenMode::write);
    const auto second = *this->disk().open("lock", OpenMode::write);
    ASSERT_TRUE(first->lock_exclusively());
    ASSERT_TRUE(first->lock_exclusively());
    EXPECT_EQ(this->code_of(second->lock_exclusively()), Errc::unavailable);
    first.reset();
    EXPECT_TRUE(second->lock_exclusively());
}

TYPED_TEST(BlockingDiskTest, ALockFileSaysWhoHasTheDirectory) {
    ASSERT_TRUE(this->put("lock", "123456789012345\n"));  // of one that is no more
    auto mine = lock_file(this->disk(), "lock");
    ASSERT_TRUE(mine);
    EXPECT_EQ(this->get("lock"), std::to_string(getpid()) + "\n");
    const auto refused = lock_file(this->disk(), "lock");
    ASSERT_EQ(this->code_of(refused), Errc::unavailable);
    EXPECT_TRUE(refused.error().context.ends_with(std::to_string(getpid())));
    mine->reset();
    EXPECT_TRUE(lock_file(this->disk(), "lock"));
    EXPECT_TRUE(lock_file(this->disk(), "other"));
}

TYPED_TEST(BlockingDiskTest, SyncsOfFilesAndDirectories) {
    ASSERT_TRUE(this->disk().make_directory("d"));
    ASSERT_TRUE(this->put("d/a", "x"));
    EXPECT_TRUE((*this->disk().open("d/a", OpenMode::write))->sync());
    EXPECT_TRUE(this->disk().sync_directory("d"));
    EXPECT_TRUE(this->disk().sync_directory(""));
}

TYPED_TEST(BlockingDiskTest, SpaceIsReported) {
    const DiskSpace space = *this->disk().space();
    EXPECT_GT(space.total_bytes, 0U);
    EXPECT_GT(space.available_bytes, 0U);
    EXPECT_LE(space.available_bytes, space.total_bytes);
    EXPECT_LE(space.available_files, space.total_files);
}

// What only the real one has.

class PosixDiskTest : public testing::Test {
protected:
    TemporaryDirectory directory_;
    std::unique_ptr<BlockingDisk> disk_ = *make_posix_disk(directory_.path());
};

class PosixLinkTest : public testing::TestWithParam<bool> {
protected:
    TemporaryDirectory directory_;
    std::unique_ptr<BlockingDisk> disk_ =
        *make_posix_disk(directory_.path(), {.may_use_openat2 = GetParam()});
};
INSTANTIATE_TEST_SUITE_P(AtOnceAndByParts, PosixLinkTest, testing::Bool());

TEST_P(PosixLinkTest, NoSymbolicLinkIsFollowed) {
    TemporaryDirectory outside;
    std::ofstream(outside.path() + "/secret") << "secret";
    std::filesystem::create_directory(outside.path() + "/d");
    std::filesystem::create_directory_symlink(outside.path(), directory_.path() + "/link");
    std::filesystem::create_symlink(outside.path() + "/secret", directory_.path() + "/file");

    EXPECT_FALSE(disk_->open("link/secret", OpenMode::read));
    EXPECT_FALSE(disk_->open("link/d/new", OpenMode::create));
    EXPECT_FALSE(disk_->open("file", OpenMode::read));
    EXPECT_FALSE(disk_->remove("link/secret"));
    EXPECT_FALSE(disk_->make_directory("link/new"));
    EXPECT_FALSE(disk_->rename("link/secret", "mine"));
    EXPECT_FALSE(disk_->list("link"));
    EXPECT_FALSE(disk_->sync_directory("link"));
    EXPECT_TRUE(std::filesystem::exists(outside.path() + "/secret"));
    EXPECT_TRUE(std::filesystem::is_empty(outside.path() + "/d"));
    // The link itself is a name like any other.
    EXPECT_TRUE(disk_->remove("file"));
}

TEST_F(PosixDiskTest, FilesAreForTheirOwnerAloneAndNotInherited) {
    const auto file = *disk_->open("a", OpenMode::create);
    ASSERT_TRUE(disk_->make_directory("d"));
    struct stat facts{};
    ASSERT_EQ(::fstat(file->descriptor(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600U);
    ASSERT_EQ(::stat((directory_.path() + "/d").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0700U);
    EXPECT_EQ(::fcntl(file->descriptor(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(PosixDiskTest, AMissingRootIsNotFound) {
    const auto disk = make_posix_disk(directory_.path() + "/missing");
    ASSERT_FALSE(disk);
    EXPECT_EQ(disk.error().code, Errc::not_found);
}

TEST_F(PosixDiskTest, DirectFilesFallBackWhereTheFileSystemHasNone) {
    if (::access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "no /dev/shm";
    const TemporaryDirectory directory("/dev/shm");
    const auto disk = *make_posix_disk(directory.path());
    EXPECT_TRUE(disk->open("a", OpenMode::create_direct));
    EXPECT_TRUE(disk->open("a", OpenMode::read_direct));
}

}  // namespace
}  // namespace penstock::io
