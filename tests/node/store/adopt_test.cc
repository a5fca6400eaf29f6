// Files from outside as objects, and verifying what lies on the disk.
#include <gtest/gtest.h>

#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

class AdoptTest : public ::testing::Test {
protected:
    void SetUp() override {
        harness_->options().small_object_bytes_max = 8 << 10;
        ASSERT_TRUE(harness_->open());
    }

    // A file of the system: on this disk it is one at the root.
    void write_file(const std::string& name, const std::string& content) {
        const auto file = harness_->disk().blocking().open(name, io::OpenMode::create);
        ASSERT_TRUE(file) << file.error().context;
        ASSERT_TRUE((*file)->write_exactly(as_bytes(content), 0));
    }
    Result<ObjectAttributes> adopt(std::string_view object, const std::string& file,
                                   PutOptions options = {}) {
        return harness_->run(
            harness_->store().adopt(0, StoreHarness::name(object), "/" + file, std::move(options)));
    }
    Result<uint64_t> verify(std::string_view object) {
        return harness_->run(harness_->store().verify(0, StoreHarness::name(object)));
    }
    size_t object_files() { return harness_->disk().blocking().list("objects")->size(); }
    void restart(io::MemoryStorage left) {
        harness_.reset();
        storage_ = std::move(left);
        harness_ = std::make_unique<StoreHarness>(loop_, storage_);
        harness_->options().small_object_bytes_max = 8 << 10;
        ASSERT_TRUE(harness_->open());
    }

    TestLoop loop_;
    Random random_{5};
    io::MemoryStorage storage_;
    std::unique_ptr<StoreHarness> harness_ = std::make_unique<StoreHarness>(loop_, storage_);
};

TEST_F(AdoptTest, FilesOfEverySizeAreObjects) {
    for (const size_t size : {1U, 100U, 4096U, 65'536U, 65'537U, 200'000U, 7'000'000U}) {
        SCOPED_TRACE(size);
        const std::string name = "f" + std::to_string(size);
        const std::string content = content_of(size, size);
        write_file(name, content);
        const auto adopted = adopt(name, name);
        ASSERT_TRUE(adopted) << adopted.error().context;
        EXPECT_EQ(adopted->size_bytes, size);
        EXPECT_EQ(*harness_->get(name) == content, true);
        EXPECT_EQ(*harness_->get(name, {size / 2, 10}), content.substr(size / 2, 10));
        const auto put = harness_->put(name + "-copy", content);
        EXPECT_TRUE(std::ranges::equal(put->checksum.bytes(), adopted->checksum.bytes()));
        EXPECT_GE(*verify(name), size);
    }
}

TEST_F(AdoptTest, AnAcknowledgedOneSurvivesAPowerCut) {
    const std::string content = content_of(7, 100'000);
    write_file("f", content);
    ASSERT_TRUE(adopt("a", "f"));
    for (int cut = 0; cut < 20; ++cut) {
        io::MemoryStorage left = storage_.crash(random_);
        StoreHarness after(loop_, left);
        ASSERT_TRUE(after.open());
        EXPECT_EQ(*after.get("a") == content, true);
    }
}

TEST_F(AdoptTest, AnEmptyFileIsAnOrdinaryObject) {
    write_file("f", "");
    ASSERT_TRUE(adopt("a", "f"));
    EXPECT_EQ(*harness_->get("a"), "");
    EXPECT_EQ(object_files(), 0U);
}

TEST_F(AdoptTest, WhatIsWrittenToTheFileLaterIsFoundAndNotServed) {
    write_file("f", content_of(7, 100'000));
    ASSERT_TRUE(adopt("a", "f"));
    restart(storage_.clone());
    const auto file = harness_->disk().blocking().open("f", io::OpenMode::write);
    ASSERT_TRUE((*file)->write_exactly(as_bytes("changed"), 70'000));
    EXPECT_EQ(harness_->get("a").error().code, Errc::corrupt);
    EXPECT_EQ(verify("a").error().code, Errc::corrupt);
}

TEST_F(AdoptTest, RemovingTheObjectLeavesTheUsersFile) {
    write_file("f", content_of(7, 100'000));
    ASSERT_TRUE(adopt("a", "f"));
    ASSERT_TRUE(harness_->remove("a"));
    restart(storage_.clone());
    EXPECT_EQ(object_files(), 0U);
    EXPECT_TRUE(harness_->disk().blocking().open("f", io::OpenMode::read));
}

TEST_F(AdoptTest, ARefusedOneLeavesNoLink) {
    write_file("f", content_of(7, 100'000));
    ASSERT_TRUE(harness_->put("a", "there"));
    PutOptions options;
    options.condition.kind = Condition::Kind::absent;
    EXPECT_EQ(adopt("a", "f", std::move(options)).error().code, Errc::condition_failed);
    EXPECT_EQ(adopt("b", "nothing").error().code, Errc::not_found);
    EXPECT_EQ(object_files(), 0U);
}

// Keeps what it saw as an attachment.
class Recorder final : public ContentObserver {
public:
    void observe(Bytes bytes) override { seen_.insert(seen_.end(), bytes.begin(), bytes.end()); }
    std::vector<std::byte> finish() override { return std::move(seen_); }

private:
    std::vector<std::byte> seen_;
};

TEST_F(AdoptTest, AnAttachmentLiesApartFromTheFile) {
    for (const size_t size : {5000U, 100'000U}) {
        SCOPED_TRACE(size);
        const std::string name = "f" + std::to_string(size);
        const std::string content = content_of(9, size);
        write_file(name, content);
        PutOptions options;
        options.observer = std::make_unique<Recorder>();
        const auto adopted = adopt(name, name, std::move(options));
        ASSERT_TRUE(adopted && adopted->has_attachment);
        const auto kept = harness_->run(
            harness_->store().attachment(0, StoreHarness::name(name), adopted->version));
        ASSERT_TRUE(kept) << kept.error().context;
        EXPECT_EQ(as_text(*kept), content);
    }
    EXPECT_EQ(object_files(), 3U);
}

TEST_F(AdoptTest, VerifyFindsAFlippedBitInEveryPartOfAnObject) {
    const std::string small = content_of(1, 5000);
    const std::string large = content_of(2, 150'000);
    ASSERT_TRUE(harness_->put("small", small));
    ASSERT_TRUE(harness_->put("large", large));
    EXPECT_GE(*verify("small"), small.size());
    EXPECT_GE(*verify("large"), large.size());
    EXPECT_EQ(verify("nothing").error().code, Errc::not_found);
    harness_->stop();
    const io::MemoryStorage whole = storage_.clone();
    const auto disk = whole.make_blocking_disk();
    const std::string object_file = "objects/" + disk->list("objects")->front().name;
    for (int flip = 0; flip < 40; ++flip) {
        io::MemoryStorage rotten = whole.clone();
        ASSERT_TRUE(rotten.flip_bit(object_file, random_.below(large.size() * 8)));
        StoreHarness after(loop_, rotten);
        ASSERT_TRUE(after.open());
        const auto found = after.run(after.store().verify(0, StoreHarness::name("large")));
        ASSERT_FALSE(found);
        EXPECT_EQ(found.error().code, Errc::corrupt);
        EXPECT_TRUE(after.run(after.store().verify(0, StoreHarness::name("small"))));
    }
}

}  // namespace
}  // namespace penstock::node
