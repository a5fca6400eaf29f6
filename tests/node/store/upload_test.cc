// Uploads in parts: hidden until they are complete, one record then, and nothing left behind.
#include <gtest/gtest.h>

#include "tests/node/store/upload_language.h"

namespace penstock::node {
namespace {

class UploadTest : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_TRUE(open()); }

    Status open() {
        harness_.emplace(loop_, storage_);
        harness_->options().small_object_bytes_max = 8 << 10;
        if (segment_bytes_ != 0) harness_->options().segment_bytes = segment_bytes_;
        if (lifetime_ns_) harness_->options().upload_lifetime_ns = *lifetime_ns_;
        return harness_->open();
    }
    void restart() {
        harness_.reset();
        const Status opened = open();
        ASSERT_TRUE(opened) << opened.error().context;
    }
    StoreHarness& store() { return *harness_; }

    static CompletionOptions exactly(std::vector<uint32_t> parts) {
        return {.parts = std::move(parts), .names_all = true};
    }
    std::string refusal(const std::string& upload, std::vector<uint32_t> parts) {
        const auto completed = complete(store(), "o", upload, exactly(std::move(parts)));
        EXPECT_FALSE(completed);
        if (completed) return "";
        EXPECT_EQ(completed.error().code, Errc::invalid);
        return completed.error().context;
    }

    TestLoop loop_;
    io::MemoryStorage storage_;
    uint64_t segment_bytes_ = 0;
    std::optional<uint64_t> lifetime_ns_;
    std::optional<StoreHarness> harness_;
};

TEST_F(UploadTest, PartsBecomeTheObjectInOrderOfTheirNumbers) {
    const std::string first = content_of(1, 100'000);
    const std::string second = content_of(2, 3);
    const std::string third = content_of(3, 70'000);
    ASSERT_TRUE(store().put("o", "old"));
    const auto upload = begin_upload(store(), "o", {{"k", "v"}});
    ASSERT_TRUE(upload);
    ASSERT_TRUE(put_part(store(), "o", *upload, 3, third));
    ASSERT_TRUE(put_part(store(), "o", *upload, 1, "to be replaced"));
    ASSERT_TRUE(put_part(store(), "o", *upload, 2, second));
    ASSERT_TRUE(put_part(store(), "o", *upload, 1, first));
    EXPECT_EQ(*store().get("o"), "old");
    EXPECT_EQ(*store().list(), std::vector<std::string>{"o"});

    const auto completed = complete(store(), "o", *upload, exactly({1, 2, 3}));
    ASSERT_TRUE(completed) << completed.error().context;
    const std::string all = first + second + third;
    EXPECT_EQ(*store().get("o"), all);
    EXPECT_EQ(*store().list(), std::vector<std::string>{"o"});
    const auto stat = store().stat("o");
    EXPECT_EQ(stat->size_bytes, all.size());
    EXPECT_EQ(stat->part_count, 3U);
    EXPECT_EQ(stat->part_bytes_max, 100'000U);
    EXPECT_EQ(stat->display_version, 2U);
    EXPECT_EQ(stat->custom, (CustomMetadata{{"k", "v"}}));
    ASSERT_EQ(stat->checksum.type, ChecksumType::crc32c);
    const uint32_t crc = crc32c(as_bytes(all));
    for (size_t index = 0; index < 4; ++index) {
        EXPECT_EQ(uint8_t(stat->checksum.digest[index]), uint8_t(crc >> (24 - 8 * index)));
    }
    EXPECT_EQ(settled_file_count(store(), 3), 3U);
    const auto again = complete(store(), "o", *upload, exactly({1, 2, 3}));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::not_found);

    restart();
    EXPECT_EQ(*store().get("o"), all);
    EXPECT_EQ(settled_file_count(store(), 3), 3U);
    ASSERT_TRUE(store().remove("o"));
    EXPECT_EQ(settled_file_count(store(), 0), 0U);
}

TEST_F(UploadTest, RangesCrossParts) {
    std::string all;
    const auto upload = begin_upload(store(), "o");
    for (uint32_t number = 1; number <= 90; ++number) {  // more than are opened at once
        const std::string content = content_of(number, 1 + number * 37 % 5000);
        ASSERT_TRUE(put_part(store(), "o", *upload, number, content));
        all += content;
    }
    ASSERT_TRUE(complete(store(), "o", *upload));
    EXPECT_EQ(*store().get("o"), all);
    for (uint64_t offset = 0; offset < all.size(); offset += 1777) {
        for (const uint64_t size : {1U, 600U, 9000U, 100'000U}) {
            ASSERT_EQ(*store().get("o", {offset, size}), all.substr(offset, size))
                << offset << " " << size;
        }
    }
}

// Who began to read keeps what he reads, although the files are too many to be open at once.
TEST_F(UploadTest, AReaderKeepsTheBytesOfAnObjectThatIsReplaced) {
    std::string all;
    const auto upload = begin_upload(store(), "o");
    for (uint32_t number = 1; number <= 100; ++number) {
        const std::string content = content_of(number, 9000);
        ASSERT_TRUE(put_part(store(), "o", *upload, number, content));
        all += content;
    }
    ASSERT_TRUE(complete(store(), "o", *upload));
    auto opened = store().run(store().store().get(0, StoreHarness::name("o"), {}));
    ASSERT_TRUE(opened);
    ASSERT_TRUE(store().put("o", "new"));
    const auto read = store().read(std::move(opened->body));
    ASSERT_TRUE(read) << read.error().context;
    EXPECT_TRUE(*read == all);
    EXPECT_EQ(*store().get("o"), "new");
}

TEST_F(UploadTest, WhatCannotBeCompletedStaysOpen) {
    const auto upload = begin_upload(store(), "o");
    EXPECT_NE(refusal(*upload, {1}).find("no chunks"), std::string::npos);
    ASSERT_TRUE(put_part(store(), "o", *upload, 1, "one"));
    ASSERT_TRUE(put_part(store(), "o", *upload, 2, "two"));
    EXPECT_NE(refusal(*upload, {}).find("no chunks"), std::string::npos);
    EXPECT_NE(refusal(*upload, {1}).find("partial completion"), std::string::npos);
    EXPECT_NE(refusal(*upload, {1, 1}).find("got 1 at position 1"), std::string::npos);
    EXPECT_NE(refusal(*upload, {2, 3}).find("got 2 at position 0"), std::string::npos);
    ASSERT_TRUE(put_part(store(), "o", *upload, 2, "TWO"));
    CompletionOptions absent = exactly({1, 2});
    ASSERT_TRUE(store().put("o", "there"));
    absent.condition.kind = Condition::Kind::absent;
    const auto refused = complete(store(), "o", *upload, absent);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::condition_failed);
    EXPECT_EQ(*store().get("o"), "there");
    ASSERT_TRUE(complete(store(), "o", *upload, exactly({1, 2})));
    EXPECT_EQ(*store().get("o"), "oneTWO");
}

TEST_F(UploadTest, PartsAreChecked) {
    const auto upload = begin_upload(store(), "o");
    for (const uint32_t number : {0U, parts_max + 1}) {
        const auto refused = put_part(store(), "o", *upload, number, "x");
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Errc::invalid);
    }
    const auto empty = put_part(store(), "o", *upload, 1, "");
    ASSERT_FALSE(empty);
    EXPECT_NE(empty.error().context.find("invalid size (0)"), std::string::npos);
    ContentChecksum wrong{.type = ChecksumType::crc32c, .size = 4};
    const auto differs = put_part(store(), "o", *upload, 1, "x", {.expected = wrong});
    ASSERT_FALSE(differs);
    EXPECT_EQ(differs.error().code, Errc::invalid);
    const auto with_md5 = put_part(store(), "o", *upload, 1, "abc", {.wants_md5 = true});
    ASSERT_TRUE(with_md5);
    EXPECT_EQ(with_md5->md5, "900150983cd24fb0d6963f7d28e17f72");
    EXPECT_EQ(with_md5->crc32c, crc32c(as_bytes(std::string_view("abc"))));
    for (const std::string& id : {std::string("x"), std::string(32, '0'), *upload + "/00001"}) {
        const auto unknown = put_part(store(), "o", id, 1, "x");
        ASSERT_FALSE(unknown);
        EXPECT_EQ(unknown.error().code, Errc::not_found) << id;
    }
    const auto others = put_part(store(), "another", *upload, 1, "x");
    ASSERT_FALSE(others);
    EXPECT_EQ(others.error().code, Errc::not_found);
}

TEST_F(UploadTest, AnAbortLeavesNothing) {
    ASSERT_TRUE(store().put("o", "old"));
    const auto upload = begin_upload(store(), "o");
    for (uint32_t number = 1; number <= 5; ++number) {
        ASSERT_TRUE(put_part(store(), "o", *upload, number, content_of(number, 9000)));
    }
    ASSERT_TRUE(abort_upload(store(), "o", *upload));
    EXPECT_EQ(settled_file_count(store(), 0), 0U);
    EXPECT_EQ(*store().get("o"), "old");
    const Status again = abort_upload(store(), "o", *upload);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::not_found);
    EXPECT_FALSE(put_part(store(), "o", *upload, 1, "x"));
}

TEST_F(UploadTest, ARestartForgetsNoPart) {
    const auto upload = begin_upload(store(), "o", {{"k", "v"}});
    ASSERT_TRUE(put_part(store(), "o", *upload, 2, "two", {.wants_md5 = true}));
    ASSERT_TRUE(put_part(store(), "o", *upload, 1, "one"));
    restart();
    const auto uploads = store().run(store().store().uploads(0, {1}));
    ASSERT_TRUE(uploads);
    ASSERT_EQ(uploads->size(), 1U);
    EXPECT_EQ((*uploads)[0].id, *upload);
    EXPECT_EQ((*uploads)[0].object, "o");
    const auto parts = store().run(store().store().parts(0, StoreHarness::name("o"), *upload));
    ASSERT_TRUE(parts);
    ASSERT_EQ(parts->size(), 2U);
    EXPECT_EQ((*parts)[1].size_bytes, 3U);
    EXPECT_EQ((*parts)[1].md5.size(), 32U);
    ASSERT_TRUE(put_part(store(), "o", *upload, 3, "three"));
    ASSERT_TRUE(complete(store(), "o", *upload, exactly({1, 2, 3})));
    EXPECT_EQ(*store().get("o"), "onetwothree");
    EXPECT_EQ(store().stat("o")->custom, (CustomMetadata{{"k", "v"}}));
}

TEST_F(UploadTest, PartsThatWereNotChosenAreDropped) {
    const auto upload = begin_upload(store(), "o");
    for (uint32_t number = 1; number <= 4; ++number) {
        ASSERT_TRUE(put_part(store(), "o", *upload, number, std::to_string(number)));
    }
    ASSERT_TRUE(complete(store(), "o", *upload, {.parts = std::vector<uint32_t>{2, 4}}));
    EXPECT_EQ(*store().get("o"), "24");
    EXPECT_EQ(settled_file_count(store(), 2), 2U);
}

TEST_F(UploadTest, AbandonedUploadsExpire) {
    const auto upload = begin_upload(store(), "o");
    ASSERT_TRUE(put_part(store(), "o", *upload, 1, content_of(1, 9000)));
    const auto handle = append(store(), "p", "", "unflushed");
    ASSERT_TRUE(handle);
    restart();
    EXPECT_TRUE(store().run(store().store().parts(0, StoreHarness::name("o"), *upload)));
    lifetime_ns_ = 0;
    restart();  // what they were given when they began counts
    EXPECT_TRUE(store().run(store().store().parts(0, StoreHarness::name("o"), *upload)));
    const auto soon = begin_upload(store(), "q");
    ASSERT_TRUE(put_part(store(), "q", *soon, 1, content_of(1, 9000)));
    restart();
    EXPECT_EQ(settled_file_count(store(), 2), 2U);
    EXPECT_FALSE(store().run(store().store().parts(0, StoreHarness::name("q"), *soon)));
}

TEST_F(UploadTest, ABucketsUploadsGoWithIt) {
    const auto upload = begin_upload(store(), "o");
    ASSERT_TRUE(put_part(store(), "o", *upload, 1, content_of(1, 9000)));
    store().store().forget_bucket({1});
    EXPECT_EQ(settled_file_count(store(), 0), 0U);
    EXPECT_FALSE(put_part(store(), "o", *upload, 2, "x"));
}

TEST_F(UploadTest, CompactionMovesPartsAndObjectsOfParts) {
    const auto open = begin_upload(store(), "open");
    ASSERT_TRUE(put_part(store(), "open", *open, 1, content_of(1, 9000)));
    const auto done = begin_upload(store(), "done");
    ASSERT_TRUE(put_part(store(), "done", *done, 1, content_of(2, 9000)));
    ASSERT_TRUE(put_part(store(), "done", *done, 2, content_of(3, 9000)));
    ASSERT_TRUE(complete(store(), "done", *done));
    for (uint64_t round = 0; round < 200; ++round) {
        ASSERT_TRUE(store().put("garbage", content_of(round, 7000)));
    }
    const auto freed = store().compact();
    ASSERT_TRUE(freed);
    EXPECT_GT(*freed, 500'000U);
    restart();
    EXPECT_EQ(*store().get("done"), content_of(2, 9000) + content_of(3, 9000));
    ASSERT_TRUE(complete(store(), "open", *open));
    EXPECT_EQ(*store().get("open"), content_of(1, 9000));
    EXPECT_EQ(settled_file_count(store(), 3), 3U);
}

TEST_F(UploadTest, TenThousandPartsAreOneRecord) {
    segment_bytes_ = 8 << 20;
    restart();
    const auto upload = begin_upload(store(), "o");
    for (uint32_t number = 1; number <= parts_max; ++number) {
        ASSERT_TRUE(
            put_part(store(), "o", *upload, number, std::string(1, char('a' + number % 26))));
    }
    const auto completed = complete(store(), "o", *upload);
    ASSERT_TRUE(completed) << completed.error().context;
    EXPECT_EQ(completed->part_count, parts_max);
    EXPECT_EQ(store().get("o", {9'998, 10})->size(), 2U);
    EXPECT_EQ(store().get("o")->size(), parts_max);
}

}  // namespace
}  // namespace penstock::node
