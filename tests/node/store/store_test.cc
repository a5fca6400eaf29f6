#include "node/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

using ::testing::ElementsAre;

class StoreTest : public ::testing::Test {
protected:
    void SetUp() override { reopen(); }
    void reopen() {
        harness_.reset();
        harness_ = std::make_unique<StoreHarness>(loop_, storage_);
        harness_->options() = options_of(*harness_);
        const Status opened = harness_->open();
        ASSERT_TRUE(opened) << opened.error().context;
    }
    virtual StoreOptions options_of(StoreHarness& harness) { return harness.options(); }

    StoreHarness& store() { return *harness_; }
    std::string get(std::string_view name, ReadRange range = {}) {
        auto content = store().get(name, range);
        return content ? *content : std::string("error: ") + errc_name(content.error().code);
    }

    TestLoop loop_;
    io::MemoryStorage storage_;
    std::unique_ptr<StoreHarness> harness_;
};

TEST_F(StoreTest, WhatWasPutIsGotAlsoAfterARestart) {
    const std::string small = content_of(1, 4096);
    const std::string large = content_of(2, 1'000'000);
    ASSERT_TRUE(store().put("small", small));
    ASSERT_TRUE(store().put("empty", ""));
    ASSERT_TRUE(store().put("large", large));
    for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(get("small"), small);
        EXPECT_EQ(get("empty"), "");
        EXPECT_EQ(get("large"), large);
        EXPECT_EQ(get("missing"), "error: not_found");
        reopen();
    }
}

TEST_F(StoreTest, AnOverwriteReplacesAndARemovalRemoves) {
    ASSERT_TRUE(store().put("a", "one"));
    ASSERT_TRUE(store().put("a", content_of(1, 300'000)));
    ASSERT_TRUE(store().put("a", "three"));
    EXPECT_EQ(store().stat("a")->display_version, 3U);
    ASSERT_TRUE(store().put("b", "gone"));
    ASSERT_TRUE(store().remove("b"));
    EXPECT_EQ(store().remove("b").error().code, Errc::not_found);
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(get("a"), "three");
        EXPECT_EQ(get("b"), "error: not_found");
        reopen();
    }
    ASSERT_TRUE(store().put("b", "again"));
    EXPECT_EQ(store().stat("b")->display_version, 1U);
}

TEST_F(StoreTest, RangesOfSmallAndLargeObjects) {
    for (const size_t size : {1000UZ, 200'000UZ, 3'000'000UZ}) {
        const std::string content = content_of(size, size);
        ASSERT_TRUE(store().put("a", content));
        Random random(size);
        for (int round = 0; round < 50; ++round) {
            const size_t offset = random.below(size);
            const size_t length = 1 + random.below(round % 2 == 0 ? 2000 : size);
            EXPECT_EQ(get("a", {offset, length}), content.substr(offset, length));
        }
        EXPECT_EQ(get("a", {size, 10}), "");
        EXPECT_EQ(get("a", {size - 1, 10}), content.substr(size - 1));
    }
}

TEST_F(StoreTest, ContentOfUnknownLengthIsTakenWhateverItsSize) {
    for (const size_t size : {0UZ, 10UZ, 131'072UZ, 131'073UZ, 2'500'000UZ}) {
        const std::string content = content_of(size, size);
        auto source = std::make_unique<PiecewiseSource>(loop_.buffers, content, false);
        ASSERT_TRUE(store().run(
            store().store().put(0, StoreHarness::name("a"), io::Body(std::move(source)), {})));
        EXPECT_EQ(get("a"), content);
    }
}

TEST_F(StoreTest, ContentThatBreaksOffIsNoObject) {
    ASSERT_TRUE(store().put("a", "old"));
    for (const size_t size : {100'000UZ, 2'000'000UZ}) {
        for (const bool says_size : {false, true}) {
            auto source = std::make_unique<PiecewiseSource>(loop_.buffers, content_of(1, size),
                                                            says_size, 50'000, 50'000);
            const auto put = store().run(
                store().store().put(0, StoreHarness::name("a"), io::Body(std::move(source)), {}));
            ASSERT_FALSE(put);
            EXPECT_EQ(put.error().code, Errc::closed);
            EXPECT_EQ(get("a"), "old");
        }
    }
    reopen();
    EXPECT_EQ(get("a"), "old");
    EXPECT_TRUE(storage_.make_blocking_disk()->list("objects")->empty());
}

TEST_F(StoreTest, ConditionsAreDecidedByWhatIsThere) {
    PutOptions absent;
    absent.condition = {Condition::Kind::absent, {}};
    const auto first = store().put("a", "one", std::move(absent));
    ASSERT_TRUE(first);
    PutOptions absent_again;
    absent_again.condition = {Condition::Kind::absent, {}};
    EXPECT_EQ(store().put("a", "two", std::move(absent_again)).error().code,
              Errc::condition_failed);

    PutOptions exact;
    exact.condition = {Condition::Kind::exactly, first->version};
    const auto second = store().put("a", "two", std::move(exact));
    ASSERT_TRUE(second);
    EXPECT_GT(second->version, first->version);
    PutOptions outdated;
    outdated.condition = {Condition::Kind::exactly, first->version};
    EXPECT_EQ(store().put("a", "three", std::move(outdated)).error().code, Errc::condition_failed);
    EXPECT_EQ(store().remove("a", {Condition::Kind::exactly, first->version}).error().code,
              Errc::condition_failed);
    EXPECT_EQ(get("a"), "two");
    EXPECT_TRUE(store().remove("a", {Condition::Kind::exactly, second->version}));
}

TEST_F(StoreTest, CustomMetadataIsMergedOrReplacedAndMovesTheVersion) {
    for (const size_t size : {100UZ, 500'000UZ}) {
        const std::string content = content_of(size, size);
        PutOptions options;
        options.custom = {{"color", "red"}};
        const auto put = store().put("a", content, std::move(options));
        ASSERT_TRUE(put);
        const auto merged = store().set_custom("a", {{"size", "big"}, {"color", "blue"}});
        ASSERT_TRUE(merged);
        EXPECT_GT(merged->version, put->version);
        EXPECT_EQ(merged->display_version, put->display_version);
        const CustomMetadata expected{{"color", "blue"}, {"size", "big"}};
        EXPECT_EQ(store().stat("a")->custom, expected);
        EXPECT_EQ(get("a"), content);
        ASSERT_TRUE(store().set_custom("a", {{"only", ""}}, true));
        reopen();
        EXPECT_EQ(store().stat("a")->custom, (CustomMetadata{{"only", ""}}));
        EXPECT_EQ(get("a"), content);
    }
}

TEST_F(StoreTest, TheChecksumIsKeptAndAWrongOneRefused) {
    const std::string content = "123456789";
    const std::map<ChecksumType, std::string> known{
        {ChecksumType::xxhash, "8cb841db40e6ae83"},
        {ChecksumType::crc32c, "e3069283"},
        {ChecksumType::md5, "25f9e794323b453885f5181f1b624d0b"},
    };
    for (const auto& [type, hex] : known) {
        PutOptions options;
        options.checksum = type;
        ASSERT_TRUE(store().put("a", content, std::move(options)));
        EXPECT_EQ(hex_from_bytes(store().stat("a")->checksum.bytes()), hex);
    }
    PutOptions wrong;
    wrong.expected = ContentChecksum{ChecksumType::md5, 16, {}};
    EXPECT_EQ(store().put("a", "other", std::move(wrong)).error().code, Errc::invalid);
    EXPECT_EQ(get("a"), content);
}

class EchoObserver final : public ContentObserver {
public:
    explicit EchoObserver(size_t keeps) : keeps_(keeps) {}
    void observe(Bytes bytes) override { seen_ += bytes.size(); }
    std::vector<std::byte> finish() override {
        std::vector<std::byte> kept(keeps_, static_cast<std::byte>(seen_ % 251));
        return kept;
    }

private:
    size_t keeps_;
    size_t seen_ = 0;
};

TEST_F(StoreTest, AnAttachmentBelongsToItsVersion) {
    for (const size_t size : {1000UZ, 400'000UZ}) {
        for (const size_t keeps : {100UZ, 100'000UZ}) {
            PutOptions options;
            options.observer = std::make_unique<EchoObserver>(keeps);
            const auto put = store().put("a", content_of(1, size), std::move(options));
            ASSERT_TRUE(put);
            EXPECT_TRUE(put->has_attachment);
            reopen();
            const auto kept =
                store().run(store().store().attachment(0, StoreHarness::name("a"), put->version));
            ASSERT_TRUE(kept);
            EXPECT_EQ(*kept, std::vector<std::byte>(keeps, static_cast<std::byte>(size % 251)));
            EXPECT_EQ(get("a"), content_of(1, size));
            const auto custom = store().set_custom("a", {{"k", "v"}});
            ASSERT_TRUE(custom);
            EXPECT_EQ(store()
                          .run(store().store().attachment(0, StoreHarness::name("a"), put->version))
                          .error()
                          .code,
                      Errc::not_found);
            EXPECT_TRUE(store().run(
                store().store().attachment(0, StoreHarness::name("a"), custom->version)));
        }
    }
}

TEST_F(StoreTest, ListingIsInOrderAndSeesWhatWasAcknowledged) {
    ASSERT_TRUE(store().put("b/2", "x"));
    ASSERT_TRUE(store().put("a", "x"));
    ASSERT_TRUE(store().put("b/1", content_of(1, 200'000)));
    EXPECT_THAT(*store().list(), ElementsAre("a", "b/1", "b/2"));
    ASSERT_TRUE(store().remove("a"));
    EXPECT_THAT(*store().list(), ElementsAre("b/1", "b/2"));
    PutOptions none;
    none.durability = Durability::none;
    ASSERT_TRUE(store().put("c", "x", std::move(none)));
    EXPECT_THAT(*store().list(), ElementsAre("b/1", "b/2", "c"));
    reopen();
    EXPECT_THAT(*store().list(), ElementsAre("b/1", "b/2", "c"));
    EXPECT_THAT(*store().list({.prefix = "b/"}), ElementsAre("b/1", "b/2"));
}

TEST_F(StoreTest, AwkwardNamesAreStored) {
    std::string slashes;
    while (slashes.size() < 4000) slashes += "z/";
    const std::vector<std::string> names{
        std::string(1024, 'y'), slashes + "end",           "a..b/%2e%2e",
        "\xFF\xFE\x80raw",      std::string(4096, '\xFE'), "new\nline"};
    for (const std::string& name : names) ASSERT_TRUE(store().put(name, name));
    reopen();
    for (const std::string& name : names) EXPECT_EQ(get(name), name);
    EXPECT_EQ(store().list()->size(), names.size());
    EXPECT_EQ(store().put("a/../b", "x").error().code, Errc::invalid);
    EXPECT_EQ(store().put(std::string(4097, 'x'), "x").error().code, Errc::invalid);
}

TEST_F(StoreTest, ADestroyedBucketsNamesVanish) {
    const ObjectName other{{2}, "other", "name"};
    for (int index = 0; index < 50; ++index) {
        ASSERT_TRUE(store().put("a" + std::to_string(index), content_of(1, 10)));
    }
    ASSERT_TRUE(store().put("large", content_of(1, 300'000)));
    ASSERT_TRUE(store().run(store().store().put(0, other, store().body("kept"), {})));
    store().store().forget_bucket({1});
    while (store().store().usage().objects > 1) loop_.reactor->turn(1'000'000);
    EXPECT_EQ(get("a1"), "error: not_found");
    EXPECT_TRUE(store().list()->empty());
    EXPECT_TRUE(store().run(store().store().stat(0, other)));
}

TEST_F(StoreTest, ASlowReaderGetsTheOldBytes) {
    const std::string small = content_of(1, 100'000);
    const std::string large = content_of(2, 5'000'000);
    ASSERT_TRUE(store().put("small", small));
    ASSERT_TRUE(store().put("large", large));
    auto small_opened = store().run(store().store().get(0, StoreHarness::name("small"), {}));
    auto large_opened = store().run(store().store().get(0, StoreHarness::name("large"), {}));
    ASSERT_TRUE(store().put("small", "new"));
    ASSERT_TRUE(store().put("large", "new"));
    ASSERT_TRUE(store().remove("large"));
    EXPECT_EQ(*store().read(std::move(small_opened->body)), small);
    EXPECT_EQ(*store().read(std::move(large_opened->body)), large);
}

TEST_F(StoreTest, ManyRemovalsAtOnceSayOfEachHowItWent) {
    std::vector<std::string> names;
    for (int index = 0; index < 3000; ++index) names.push_back("n" + std::to_string(index));
    for (size_t index = 0; index < 3000; index += 2) ASSERT_TRUE(store().put(names[index], "x"));
    ASSERT_TRUE(store().put("large", content_of(1, 300'000)));
    std::vector<std::string_view> views(names.begin(), names.end());
    views.emplace_back("large");
    views.emplace_back("n0");  // twice in one call
    const auto removed =
        store().run(store().store().remove_many(0, {1}, "bucket", views, Durability::group));
    ASSERT_TRUE(removed);
    ASSERT_EQ(removed->size(), views.size());
    for (size_t index = 0; index < names.size(); ++index) {
        const Status& outcome = (*removed)[index];
        if (index % 2 == 0) {
            EXPECT_TRUE(outcome);
        } else {
            EXPECT_EQ(outcome.error().code, Errc::not_found);
        }
    }
    EXPECT_TRUE((*removed)[3000]);
    EXPECT_EQ((*removed)[3001].error().code, Errc::not_found);
    for (int round = 0; round < 2; ++round) {
        EXPECT_TRUE(store().list()->empty());
        reopen();
    }
    EXPECT_TRUE(
        store().run(store().store().remove_many(0, {1}, "", {}, Durability::group))->empty());
}

TEST_F(StoreTest, ReplacedObjectFilesAreRemoved) {
    ASSERT_TRUE(store().put("a", content_of(1, 300'000)));
    ASSERT_TRUE(store().put("a", content_of(2, 300'000)));
    ASSERT_TRUE(store().set_custom("a", {{"k", "v"}}));
    ASSERT_TRUE(store().put("b", content_of(3, 300'000)));
    ASSERT_TRUE(store().remove("b"));
    reopen();
    const auto disk = storage_.make_blocking_disk();
    EXPECT_EQ(disk->list("objects")->size(), 1U);
    EXPECT_EQ(get("a"), content_of(2, 300'000));
}

TEST_F(StoreTest, ManySegmentsAreWrittenAndReadBack) {
    std::map<std::string, std::string> expected;
    for (uint64_t index = 0; index < 200; ++index) {
        const std::string name = "n" + std::to_string(index % 60);
        expected[name] = content_of(index, 1000 + index * 97);
        ASSERT_TRUE(store().put(name, expected[name]));
    }
    EXPECT_GT(storage_.make_blocking_disk()->list("log")->size(), 5U);
    for (int round = 0; round < 3; ++round) {
        for (const auto& [name, content] : expected) ASSERT_EQ(get(name), content) << name;
        reopen();
    }
}

class StoreCatalogueTest : public StoreTest {
protected:
    StoreOptions options_of(StoreHarness& harness) override {
        StoreOptions options = harness.options();
        options.catalogue_cache_bytes = 1 << 20;
        return options;
    }
};

TEST_F(StoreCatalogueTest, OrderlyRestartsGoOnInTheSameSegment) {
    ASSERT_TRUE(store().put("a", "first"));
    reopen();
    const size_t segments = storage_.make_blocking_disk()->list("log")->size();
    for (int round = 0; round < 6; ++round) {
        ASSERT_TRUE(store().put("b" + std::to_string(round), "more"));
        reopen();
    }
    EXPECT_LE(storage_.make_blocking_disk()->list("log")->size(), segments + 1);
    EXPECT_EQ(get("a"), "first");
    EXPECT_EQ(get("b0"), "more");
    EXPECT_EQ(store().list()->size(), 7U);
}

TEST_F(StoreTest, AFullDiskRefusesWritesTakesDeletionsAndRecovers) {
    harness_.reset();
    storage_ = io::MemoryStorage({.bytes_max = 2 << 20});
    reopen();
    std::vector<std::string> names;
    Status refused;
    for (int index = 0; index < 1000 && refused; ++index) {
        const std::string name = "n" + std::to_string(index);
        const auto put = store().put(name, content_of(1, index % 3 == 0 ? 150'000 : 20'000));
        if (put) names.push_back(name);
        if (!put) refused = fail(put.error());
    }
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::full);
    EXPECT_EQ(get(names.back()), content_of(1, names.size() % 3 == 1 ? 150'000 : 20'000));
    for (const std::string& name : names) ASSERT_TRUE(store().remove(name)) << name;
    Status again = fail(Errc::full, "");
    for (int turn = 0; turn < 1000 && !again; ++turn) {
        const auto put = store().put("again", content_of(1, 150'000));
        again = put ? Status() : Status(fail(put.error()));
    }
    EXPECT_TRUE(again);
}

TEST_F(StoreTest, ASecondStoreIsRefusedAndToldWhoHasTheDirectory) {
    StoreHarness second(loop_, storage_);
    const Status opened = second.open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::unavailable);
    EXPECT_THAT(opened.error().context, ::testing::HasSubstr("process"));
}

TEST_F(StoreTest, ManyWritersShareCommits) {
    std::vector<Result<ObjectAttributes>> results(64, fail(Errc::closed, ""));
    const std::string content = content_of(1, 4096);
    std::vector<std::string> names;
    for (size_t index = 0; index < results.size(); ++index) {
        names.push_back("n" + std::to_string(index));
    }
    size_t done = 0;
    for (size_t index = 0; index < results.size(); ++index) {
        io::start_detached([](StoreHarness& harness, std::string_view name, io::Body body,
                              Result<ObjectAttributes>& result, size_t& count) -> io::Task<void> {
            result = co_await harness.store().put(0, StoreHarness::name(name), std::move(body), {});
            ++count;
        }(store(), names[index], store().body(content), results[index], done));
    }
    while (done < results.size()) loop_.reactor->turn(1'000'000);
    for (size_t index = 0; index < results.size(); ++index) {
        EXPECT_TRUE(results[index]);
        EXPECT_EQ(get(names[index]), content);
    }
    uint64_t syncs = 0;
    for (const io::DiskCall& call : storage_.calls()) {
        syncs += call.kind == io::DiskCallKind::sync && call.path.starts_with("log/");
    }
    EXPECT_LT(syncs, 20U);
}

}  // namespace
}  // namespace penstock::node
