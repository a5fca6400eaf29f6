// Appends with handles, copies by reference, renames in one step.
#include <gtest/gtest.h>

#include "tests/node/store/upload_language.h"

namespace penstock::node {
namespace {

class AppendTest : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_TRUE(open()); }

    Status open() {
        harness_.emplace(loop_, storage_);
        harness_->options().small_object_bytes_max = 8 << 10;
        return harness_->open();
    }
    void restart() {
        harness_.reset();
        const Status opened = open();
        ASSERT_TRUE(opened) << opened.error().context;
    }
    StoreHarness& store() { return *harness_; }
    // Appends it to the object and makes it seen.
    void append_at_once(const std::string& object, const std::string& content) {
        const auto handle = append(store(), object, "", content);
        ASSERT_TRUE(handle) << handle.error().context;
        const auto flushed = flush(store(), object, *handle);
        ASSERT_TRUE(flushed) << flushed.error().context;
    }

    TestLoop loop_;
    io::MemoryStorage storage_;
    std::optional<StoreHarness> harness_;
};

TEST_F(AppendTest, NothingIsSeenBeforeTheFlush) {
    const auto first = append(store(), "o", "", "one ");
    ASSERT_TRUE(first);
    const auto second = append(store(), "o", *first, content_of(1, 20'000));
    ASSERT_TRUE(second);
    EXPECT_NE(*first, *second);
    const auto absent = store().get("o");
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, Errc::not_found);
    restart();
    const auto third = append(store(), "o", *second, " three");
    ASSERT_TRUE(third);
    const auto flushed = flush(store(), "o", *third);
    ASSERT_TRUE(flushed) << flushed.error().context;
    EXPECT_EQ(*store().get("o"), "one " + content_of(1, 20'000) + " three");
    EXPECT_EQ(flushed->part_count, 0U);
    const auto again = flush(store(), "o", *third);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::not_found);
}

TEST_F(AppendTest, AnAppendGoesOnWhereTheObjectEnds) {
    PutOptions options;
    options.custom = {{"k", "v"}};
    ASSERT_TRUE(store().put("small", "small", std::move(options)));
    ASSERT_TRUE(store().put("large", content_of(1, 100'000)));
    ASSERT_TRUE(store().put("empty", ""));
    append_at_once("small", "+1");
    append_at_once("small", "+2");
    append_at_once("large", "+1");
    append_at_once("large", "+2");
    append_at_once("empty", "+1");
    restart();
    EXPECT_EQ(*store().get("small"), "small+1+2");
    EXPECT_EQ(*store().get("large"), content_of(1, 100'000) + "+1+2");
    EXPECT_EQ(*store().get("empty"), "+1");
    EXPECT_EQ(store().stat("small")->custom, (CustomMetadata{{"k", "v"}}));
    EXPECT_EQ(store().stat("small")->display_version, 3U);
    const std::string all = content_of(1, 100'000) + "+1+2";
    const uint32_t crc = crc32c(as_bytes(all));
    EXPECT_EQ(uint8_t(store().stat("large")->checksum.digest[0]), uint8_t(crc >> 24));
    EXPECT_EQ(uint8_t(store().stat("large")->checksum.digest[3]), uint8_t(crc));
    // Each file is somebody's: small 3, large 3, empty 1.
    EXPECT_EQ(settled_file_count(store(), 7), 7U);
}

TEST_F(AppendTest, AnObjectThatIsReplacedMeanwhileDoesNotMatter) {
    ASSERT_TRUE(store().put("o", content_of(1, 50'000)));
    const auto handle = append(store(), "o", "", "+1");
    ASSERT_TRUE(store().put("o", content_of(2, 60'000)));
    ASSERT_TRUE(store().remove("o"));
    ASSERT_TRUE(flush(store(), "o", *handle));
    EXPECT_EQ(*store().get("o"), content_of(1, 50'000) + "+1");
}

TEST_F(AppendTest, TheSameHandleTwiceReplaces) {
    const auto first = append(store(), "o", "", "a");
    const auto lost = append(store(), "o", *first, "b (its answer was lost)");
    const auto again = append(store(), "o", *first, "b");
    EXPECT_EQ(*lost, *again);
    ASSERT_TRUE(flush(store(), "o", *again));
    EXPECT_EQ(*store().get("o"), "ab");
    const auto one = append(store(), "p", "", "a");
    const auto two = append(store(), "p", *one, "not flushed");
    ASSERT_TRUE(two);
    ASSERT_TRUE(flush(store(), "p", *one));
    EXPECT_EQ(*store().get("p"), "a");
}

TEST_F(AppendTest, EmptyAppendsAndBadHandles) {
    const auto handle = append(store(), "o", "", "");
    ASSERT_TRUE(handle);
    ASSERT_TRUE(flush(store(), "o", *handle));
    EXPECT_EQ(*store().get("o"), "");
    for (const char* bad : {"x", "0123", "-1", "00000000000000000000000000000000-x",
                            "00000000000000000000000000000000-99999999999"}) {
        const auto refused = append(store(), "o", bad, "x");
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Errc::invalid) << bad;
    }
    const auto unknown = append(store(), "o", "00000000000000000000000000000000-1", "x");
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Errc::not_found);
    // An upload's id is no append's.
    const auto upload = begin_upload(store(), "o");
    ASSERT_TRUE(put_part(store(), "o", *upload, 1, "x"));
    EXPECT_FALSE(flush(store(), "o", *upload + "-1"));
}

// Many small appends to one object: its files do not grow without end.
TEST_F(AppendTest, ManyAppendsStayReadable) {
    std::string all;
    for (int round = 0; round < 150; ++round) {
        append_at_once("o", std::to_string(round));
        all += std::to_string(round);
    }
    EXPECT_EQ(*store().get("o"), all);
    EXPECT_LT(settled_file_count(store(), 0), 80U);
}

TEST_F(AppendTest, ACopyAndItsSourceLiveOnTheirOwn) {
    PutOptions options;
    options.custom = {{"k", "v"}};
    ASSERT_TRUE(store().put("large", content_of(1, 100'000), std::move(options)));
    ASSERT_TRUE(store().put("small", "small"));
    append_at_once("large", "+1");
    const auto copied = copy(store(), "large", "copy");
    ASSERT_TRUE(copied) << copied.error().context;
    EXPECT_EQ(copied->display_version, 1U);
    ASSERT_TRUE(copy(store(), "small", "small copy"));
    EXPECT_EQ(settled_file_count(store(), 4), 4U);
    const std::string all = content_of(1, 100'000) + "+1";
    ASSERT_TRUE(store().remove("large"));
    EXPECT_EQ(settled_file_count(store(), 2), 2U);
    EXPECT_EQ(*store().get("copy"), all);
    EXPECT_EQ(store().stat("copy")->custom, (CustomMetadata{{"k", "v"}}));
    restart();
    EXPECT_EQ(settled_file_count(store(), 2), 2U);
    EXPECT_EQ(*store().get("copy"), all);
    EXPECT_EQ(*store().get("small copy"), "small");
    ASSERT_TRUE(copy(store(), "copy", "copy"));  // onto itself
    EXPECT_EQ(*store().get("copy"), all);
    ASSERT_TRUE(copy(store(), "copy", "third"));
    ASSERT_TRUE(store().put("copy", "overwritten"));
    EXPECT_EQ(settled_file_count(store(), 2), 2U);
    EXPECT_EQ(*store().get("third"), all);
    const auto missing = copy(store(), "nothing", "x");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
}

// Gives what a shard's index would be.
class FixedObserver final : public ContentObserver {
public:
    void observe(Bytes) override {}
    std::vector<std::byte> finish() override { return std::vector<std::byte>(500, std::byte{7}); }
};

TEST_F(AppendTest, AnAttachmentGoesWithACopyAndNotWithAnAppend) {
    PutOptions options;
    options.observer = std::make_unique<FixedObserver>();
    ASSERT_TRUE(store().put("shard", content_of(1, 30'000), std::move(options)));
    ASSERT_TRUE(copy(store(), "shard", "copy"));
    ASSERT_TRUE(rename(store(), "shard", "renamed"));
    for (const char* name : {"copy", "renamed"}) {
        const auto stat = store().stat(name);
        ASSERT_TRUE(stat->has_attachment);
        const auto attachment =
            store().run(store().store().attachment(0, StoreHarness::name(name), stat->version));
        ASSERT_TRUE(attachment) << attachment.error().context;
        EXPECT_EQ(attachment->size(), 500U);
    }
    append_at_once("copy", "+1");
    EXPECT_FALSE(store().stat("copy")->has_attachment);
}

TEST_F(AppendTest, ARenameKeepsTheBytes) {
    ASSERT_TRUE(store().put("small", "small"));
    ASSERT_TRUE(store().put("large", content_of(1, 100'000)));
    ASSERT_TRUE(store().put("in the way", content_of(2, 90'000)));
    ASSERT_TRUE(rename(store(), "small", "s"));
    const auto renamed = rename(store(), "large", "in the way");
    ASSERT_TRUE(renamed) << renamed.error().context;
    EXPECT_EQ(renamed->display_version, 2U);
    EXPECT_EQ(*store().list(), (std::vector<std::string>{"in the way", "s"}));
    EXPECT_EQ(settled_file_count(store(), 1), 1U);
    restart();
    EXPECT_EQ(*store().get("s"), "small");
    EXPECT_EQ(*store().get("in the way"), content_of(1, 100'000));
    EXPECT_EQ(*store().list(), (std::vector<std::string>{"in the way", "s"}));
    EXPECT_EQ(settled_file_count(store(), 1), 1U);
    ASSERT_TRUE(rename(store(), "s", "s"));
    EXPECT_EQ(*store().get("s"), "small");
    const auto missing = rename(store(), "large", "x");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    // The old name can be used anew, and a renamed record that compaction moves does not undo that.
    ASSERT_TRUE(store().put("small", "again"));
    for (uint64_t round = 0; round < 200; ++round) {
        ASSERT_TRUE(store().put("garbage", content_of(round, 7000)));
    }
    ASSERT_TRUE(store().compact());
    restart();
    EXPECT_EQ(*store().get("small"), "again");
    EXPECT_EQ(*store().get("s"), "small");
}

}  // namespace
}  // namespace penstock::node
