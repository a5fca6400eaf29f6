// The service over a real store on a disk in memory, on two cores.
#include "node/service/object_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "archive/tar_writer.h"
#include "io/cores.h"
#include "io/memory_disk.h"
#include "node/metadata/single_log.h"
#include "node/service/service.h"

namespace penstock::node {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string tar_of(const std::vector<std::pair<std::string, std::string>>& members) {
    std::string tar;
    for (const auto& [name, content] : members) {
        const archive::TarEntry entry{name, content.size(), 0};
        std::vector<std::byte> header(archive::tar_header_bytes(entry));
        archive::put_tar_header(header, entry);
        tar += as_text(header);
        tar += content;
        tar += std::string(archive::tar_padding_bytes(content.size()), '\0');
    }
    return tar + std::string(archive::tar_end_bytes, '\0');
}

// Gives a text in pieces, of unknown length, on whatever core it is read.
class TextSource final : public io::Source {
public:
    TextSource(io::BufferPool& buffers, std::string text)
        : buffers_(buffers), text_(std::move(text)) {}
    io::Task<Result<io::Chunk>> next() override {
        io::Chunk chunk{buffers_.take(4096), 0, 0};
        chunk.size = static_cast<uint32_t>(std::min<size_t>(text_.size() - given_, 1000));
        std::copy_n(text_.data() + given_, chunk.size,
                    reinterpret_cast<char*>(chunk.buffer.data()));
        given_ += chunk.size;
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return std::nullopt; }

private:
    io::BufferPool& buffers_;
    std::string text_;
    size_t given_ = 0;
};

io::Task<Result<std::string>> read(io::Reactor& reactor, io::BufferPool& buffers,
                                   io::Task<Result<OpenedObject>> task) {
    CO_TRY(OpenedObject opened, co_await std::move(task));
    const std::unique_ptr<io::Source> source = opened.body.into_source(reactor, buffers);
    std::string text;
    while (true) {
        CO_TRY(const io::Chunk chunk, co_await source->next());
        if (chunk.is_empty()) break;
        text += as_text(chunk.bytes());
    }
    EXPECT_EQ(text.size(), opened.range.size);
    co_return text;
}

class ObjectServiceTest : public testing::Test {
protected:
    static constexpr uint32_t core_count = 2;

    void SetUp() override {
        cores_ = *io::Cores::start({.count = core_count, .is_pinned = false}, log_);
        std::vector<StoreCore> store_cores;
        SingleLogParts parts{{}, {{directory_.get(), &cores_->pool()}}};
        ServiceParts service_parts;
        disks_.resize(core_count);
        for (uint32_t core = 0; core < core_count; ++core) {
            cores_->run_on(core, [&] { return make_disk(core); });
            parts.reactors.push_back(&cores_->reactor(core));
            store_cores.push_back(
                {&cores_->reactor(core), &cores_->buffers(core), disks_[core].get()});
            service_parts.cores.push_back({&cores_->reactor(core), &cores_->buffers(core)});
        }
        metadata_ =
            *cores_->run_on(0, [&] { return open_single_log(parts, JournalOptions{}, log_); });
        StoreOptions options;
        options.segment_bytes = 4 << 20;
        store_ = *cores_->run_on(0, [&] { return Store::open(store_cores, options, log_); });
        service_parts.metadata = metadata_.get();
        service_parts.store = store_.get();
        service_parts.clock = &clock_;
        service_parts.node_id = "node";
        service_ = make_object_service(service_parts, {});
        ASSERT_TRUE(create());
    }
    void TearDown() override {
        cores_->run_on(0, [this] { return store_->stop(); });
        cores_->run_on(0, [this] { return metadata_->stop(); });
        service_.reset();
        store_.reset();
        metadata_.reset();
        for (uint32_t core = 0; core < core_count; ++core) {
            cores_->run_on(core, [&] { return drop_disk(core); });
        }
        cores_->stop();
    }

    io::Task<void> make_disk(uint32_t core) {
        disks_[core] = storage_.make_disk(cores_->reactor(core), cores_->pool());
        co_return;
    }
    io::Task<void> drop_disk(uint32_t core) {
        disks_[core].reset();
        co_return;
    }

    Status create(BucketProperties properties = {}) {
        return cores_->run_on(0, [&] { return service_->create_bucket(0, bucket_, properties); });
    }
    Status set_properties(const BucketProperties& properties) {
        return cores_->run_on(1, [&] { return service_->set_properties(1, bucket_, properties); });
    }
    Status destroy() {
        return cores_->run_on(1, [&] { return service_->destroy_bucket(1, bucket_); });
    }
    Result<ObjectAttributes> put(const std::string& name, const std::string& text,
                                 uint32_t core = 1) {
        return cores_->run_on(core, [&] {
            io::Body body(std::make_unique<TextSource>(cores_->buffers(core), text));
            return service_->put(core, {bucket_, name}, std::move(body), {});
        });
    }
    Result<std::string> get(const std::string& name, ReadRange range = {}, uint32_t core = 1) {
        return cores_->run_on(core, [&] {
            return read(cores_->reactor(core), cores_->buffers(core),
                        service_->get(core, {bucket_, name}, range));
        });
    }
    Result<std::string> member(const std::string& shard, const std::string& name,
                               ReadRange range = {}, std::string_view hint = "",
                               uint32_t core = 1) {
        return cores_->run_on(core, [&] {
            return read(cores_->reactor(core), cores_->buffers(core),
                        service_->get_member(core, {bucket_, shard}, name, hint, range));
        });
    }
    Result<MemberListing> members(const std::string& shard) {
        return cores_->run_on(1, [&] { return service_->members(1, {bucket_, shard}); });
    }
    Result<Version> remove(const std::string& name) {
        return cores_->run_on(1, [&] { return service_->remove(1, {bucket_, name}, {}); });
    }
    Result<ListPage> list() {
        return cores_->run_on(1, [&] { return service_->list(1, bucket_, {}); });
    }

    BucketName bucket_{"ais", "", "", "b"};
    Log log_ = Log::quiet();
    SystemClock clock_;
    io::MemoryStorage storage_;
    std::unique_ptr<io::BlockingDisk> directory_ = storage_.make_blocking_disk();
    std::unique_ptr<io::Cores> cores_;
    std::vector<std::unique_ptr<io::Disk>> disks_;
    std::unique_ptr<MetadataLog> metadata_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<ObjectService> service_;
};

TEST_F(ObjectServiceTest, WhatIsPutIsReadOnEveryCore) {
    ASSERT_TRUE(put("a", "text"));
    EXPECT_EQ(get("a", {}, 0), "text");
    EXPECT_EQ(get("a", {1, 2}, 1), "ex");
}

TEST_F(ObjectServiceTest, AMissingBucketAndAMissingObjectAreNotFound) {
    EXPECT_EQ(get("a").error().code, Errc::not_found);
    bucket_.name = "other";
    EXPECT_EQ(put("a", "x").error().code, Errc::not_found);
    EXPECT_THAT(get("a").error().context, HasSubstr("ais://other"));
}

TEST_F(ObjectServiceTest, NamesThatLeaveTheBucketAreInvalid) {
    for (const char* name : {"", "..", "../x", "a/../b", "a/", "~/x"}) {
        EXPECT_EQ(put(name, "x").error().code, Errc::invalid) << name;
        EXPECT_EQ(get(name).error().code, Errc::invalid) << name;
    }
}

TEST_F(ObjectServiceTest, ADestroyedBucketsObjectsDoNotComeBackUnderANewOne) {
    ASSERT_TRUE(put("a", "old"));
    ASSERT_TRUE(destroy());
    EXPECT_EQ(get("a").error().code, Errc::not_found);
    ASSERT_TRUE(create());
    EXPECT_EQ(get("a").error().code, Errc::not_found);
    EXPECT_TRUE(list()->entries.empty());
}

TEST_F(ObjectServiceTest, ARenamedBucketHasItsObjectsUnderTheNewNameOnEveryCore) {
    ASSERT_TRUE(put("a", "kept"));
    const BucketName old = bucket_;
    bucket_.name = "renamed";
    ASSERT_TRUE(cores_->run_on(1, [&] { return service_->rename_bucket(1, old, bucket_); }));
    for (uint32_t core = 0; core < core_count; ++core) EXPECT_EQ(*get("a", {}, core), "kept");
    EXPECT_EQ(
        cores_->run_on(0, [&] { return service_->rename_bucket(0, old, bucket_); }).error().code,
        Errc::not_found);
    bucket_ = old;
    EXPECT_EQ(get("a").error().code, Errc::not_found);
    ASSERT_TRUE(create());
    EXPECT_TRUE(list()->entries.empty());
}

TEST_F(ObjectServiceTest, RenamingAnObjectMovesTheVersionThatIsThere) {
    ASSERT_TRUE(put("a", "one"));
    ASSERT_TRUE(put("b", "replaced"));
    const auto rename = [this](const std::string& from, const std::string& to) {
        return cores_->run_on(1, [&] { return service_->rename(1, {bucket_, from}, to); });
    };
    ASSERT_TRUE(rename("a", "b"));
    EXPECT_EQ(*get("b"), "one");
    EXPECT_EQ(get("a").error().code, Errc::not_found);
    EXPECT_EQ(rename("a", "c").error().code, Errc::not_found);
    ASSERT_TRUE(rename("b", "b"));
    EXPECT_EQ(*get("b"), "one");
    EXPECT_EQ(rename("b", "../c").error().code, Errc::invalid);
}

TEST_F(ObjectServiceTest, ManyAreRemovedFromAnyCore) {
    ASSERT_TRUE(put("a", "x"));
    ASSERT_TRUE(put("b", "x"));
    const std::vector<std::string_view> names{"a", "nope", "b"};
    const auto removed =
        cores_->run_on(1, [&] { return service_->remove_many(1, bucket_, names); });
    ASSERT_TRUE(removed);
    EXPECT_TRUE((*removed)[0]);
    EXPECT_EQ((*removed)[1].error().code, Errc::not_found);
    EXPECT_TRUE((*removed)[2]);
    EXPECT_TRUE(list()->entries.empty());
}

TEST_F(ObjectServiceTest, TheAccessBitsAreAskedFirst) {
    ASSERT_TRUE(put("a", "x"));
    BucketProperties read_only;
    read_only.access = 1 + 2 + 256 + 512;
    ASSERT_TRUE(set_properties(read_only));
    EXPECT_EQ(get("a"), "x");
    EXPECT_EQ(put("a", "y").error().code, Errc::denied);
    EXPECT_EQ(remove("a").error().code, Errc::denied);
    BucketProperties none;
    none.access = 0;
    ASSERT_TRUE(set_properties(none));
    EXPECT_EQ(get("a").error().code, Errc::denied);
    EXPECT_EQ(list().error().code, Errc::denied);
    ASSERT_TRUE(set_properties({}));
    EXPECT_EQ(get("a"), "x");
}

TEST_F(ObjectServiceTest, MembersAreReadByAnIndexMadeWhileTheShardIsPut) {
    const std::string tar = tar_of({{"x.jpg", "picture"}, {"x.cls", "7"}, {"empty", ""}});
    const auto attributes = put("shard.tar", tar);
    ASSERT_TRUE(attributes);
    EXPECT_TRUE(attributes->has_attachment);
    for (const uint32_t core : {0U, 1U}) {
        EXPECT_EQ(member("shard.tar", "x.jpg", {}, "", core), "picture");
        EXPECT_EQ(member("shard.tar", "x.cls", {}, "", core), "7");
        EXPECT_EQ(member("shard.tar", "empty", {}, "", core), "");
    }
    EXPECT_EQ(member("shard.tar", "x.jpg", {2, 3}), "ctu");
    EXPECT_EQ(member("shard.tar", "x.jpg", {5, 100}), "re");
    EXPECT_EQ(member("shard.tar", "nope").error().code, Errc::not_found);
    EXPECT_EQ(member("shard.tar", "../x.jpg").error().code, Errc::invalid);
    EXPECT_EQ(member("missing.tar", "x").error().code, Errc::not_found);
}

TEST_F(ObjectServiceTest, AShardWithoutAnIndexIsScannedOnce) {
    const std::string tar = tar_of({{"a", "first"}, {"b", "second"}});
    ASSERT_TRUE(put("no-extension", tar));
    EXPECT_EQ(member("no-extension", "b"), "second");
    EXPECT_EQ(member("no-extension", "a", {}, ".tar"), "first");
    EXPECT_EQ(members("no-extension")->entries.size(), 2U);
}

TEST_F(ObjectServiceTest, AnOverwrittenShardIsNeverReadByItsOldIndex) {
    ASSERT_TRUE(put("s.tar", tar_of({{"a", "old"}, {"gone", "x"}})));
    EXPECT_EQ(member("s.tar", "a"), "old");
    ASSERT_TRUE(put("s.tar", tar_of({{"first", std::string(5000, 'f')}, {"a", "new!"}})));
    EXPECT_EQ(member("s.tar", "a"), "new!");
    EXPECT_EQ(member("s.tar", "gone").error().code, Errc::not_found);
    EXPECT_EQ(member("s.tar", "first"), std::string(5000, 'f'));
}

TEST_F(ObjectServiceTest, WhatIsNoArchiveIsInvalidAndOtherFormatsAreNotImplemented) {
    ASSERT_TRUE(put("text", "just text"));
    ASSERT_TRUE(put("text.tar", "just text"));
    ASSERT_TRUE(put("a.zip", "PK"));
    EXPECT_EQ(member("text", "a").error().code, Errc::invalid);
    EXPECT_EQ(member("text.tar", "a").error().code, Errc::invalid);
    EXPECT_EQ(member("a.zip", "a").error().code, Errc::not_implemented);
    EXPECT_EQ(member("missing.zip", "a").error().code, Errc::not_found);
    EXPECT_EQ(member("text", "a", {}, "application/zip").error().code, Errc::not_implemented);
    EXPECT_EQ(member("text", "a", {}, "application/pdf").error().code, Errc::invalid);
}

TEST_F(ObjectServiceTest, OfADamagedShardMembersBeforeTheDamageAreReadAndTheRestIsCorrupt) {
    std::string tar = tar_of({{"a", "first"}, {"b", "second"}, {"c", "third"}});
    for (size_t at = 1024; at < 1536; ++at) tar[at] = 'X';  // b's header
    ASSERT_TRUE(put("s.tar", tar));
    EXPECT_EQ(member("s.tar", "a"), "first");
    const auto behind = member("s.tar", "c");
    ASSERT_FALSE(behind);
    EXPECT_EQ(behind.error().code, Errc::corrupt);
    EXPECT_THAT(behind.error().context, HasSubstr("1024"));
    EXPECT_EQ(members("s.tar")->damaged_at, 1024U);
}

TEST_F(ObjectServiceTest, MembersAreListedInOrderOfNamesOnceEach) {
    ASSERT_TRUE(put("s.tar", tar_of({{"c", "1"}, {"a", "22"}, {"c", "333"}, {"b", ""}})));
    const auto listing = members("s.tar");
    ASSERT_TRUE(listing);
    std::vector<std::string> names;
    for (const MemberListing::Entry& entry : listing->entries) names.push_back(entry.name);
    EXPECT_THAT(names, ElementsAre("a", "b", "c"));
    EXPECT_EQ(listing->entries[2].size_bytes, 3U);
    EXPECT_EQ(member("s.tar", "c"), "333");
}

TEST_F(ObjectServiceTest, FindBucketGivesTheSameUntilTheMetadataChanges) {
    const auto first = service_->find_bucket(1, bucket_);
    EXPECT_EQ(service_->find_bucket(1, bucket_), first);
    BucketProperties changed;
    changed.is_versioned = false;
    ASSERT_TRUE(set_properties(changed));
    EXPECT_FALSE(service_->find_bucket(1, bucket_)->properties.is_versioned);
    EXPECT_TRUE(first->properties.is_versioned);  // whoever holds it keeps what it was
    EXPECT_EQ(service_->find_bucket(1, {"aws", "", "", "b"}), nullptr);
}

}  // namespace
}  // namespace penstock::node
