// Both catalogues keep the same promises: one suite runs over the one in memory and the one of
// LevelDB.
#include "node/store/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>

#include "io/base/random.h"
#include "io/memory_disk.h"

namespace penstock::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr BucketId bucket_one{1};
constexpr BucketId bucket_two{2};

CatalogueChange put_change(BucketId bucket, std::string name, uint32_t number = 1) {
    CatalogueChange change;
    change.bucket = bucket;
    change.name = std::move(name);
    change.place = {number, number * 2, number * 3, number + 1};
    change.version = {1, number};
    change.size_bytes = uint64_t{number} << 20;
    change.has_attachment = number % 2 != 0;
    return change;
}

CatalogueChange removal(BucketId bucket, std::string name) {
    CatalogueChange change;
    change.bucket = bucket;
    change.name = std::move(name);
    change.is_removal = true;
    return change;
}

struct MemoryFactory {
    std::unique_ptr<Catalogue> open() { return make_memory_catalogue(); }
};

struct LevelFactory {
    std::unique_ptr<Catalogue> open() {
        auto catalogue = open_level_catalogue(*disk, "catalogue", 1 << 20);
        EXPECT_TRUE(catalogue);
        return std::move(*catalogue);
    }
    io::MemoryStorage storage;
    std::unique_ptr<io::BlockingDisk> disk = storage.make_blocking_disk();
};

template <typename Factory>
class CatalogueTest : public testing::Test {
protected:
    void SetUp() override { catalogue_ = factory_.open(); }

    void put(BucketId bucket, const std::vector<std::string>& names) {
        std::vector<CatalogueChange> changes;
        for (const std::string& name : names) changes.push_back(put_change(bucket, name));
        apply(changes);
    }
    void apply(const std::vector<CatalogueChange>& changes) {
        for (const CatalogueChange& change : changes) count_ += change.is_removal ? -1 : 1;
        ASSERT_TRUE(catalogue_->apply(changes, ++position_, static_cast<uint64_t>(count_), false));
    }
    ListPage page(BucketId bucket, const ListOptions& options) {
        places_.clear();
        Result<ListPage> page = catalogue_->list(bucket, options, places_);
        EXPECT_TRUE(page);
        if (!page) return {};
        EXPECT_EQ(places_.size(), page->entries.size());
        return std::move(*page);
    }
    std::vector<std::string> list(BucketId bucket, const ListOptions& options = {}) {
        return names_of(page(bucket, options));
    }
    // All pages, each of `limit` names, joined.
    std::vector<std::string> list_in_pages(BucketId bucket, ListOptions options) {
        std::vector<std::string> all;
        while (true) {
            const ListPage next = page(bucket, options);
            const std::vector<std::string> names = names_of(next);
            all.insert(all.end(), names.begin(), names.end());
            if (next.is_last) return all;
            EXPECT_EQ(names.size(), options.limit);
            if (names.empty()) return all;
            options.after = names.back();
        }
    }
    static std::vector<std::string> names_of(const ListPage& page) {
        std::vector<std::string> names;
        for (const ListPage::Entry& entry : page.entries) names.emplace_back(page.name(entry));
        return names;
    }
    std::vector<std::string> scan() {
        std::vector<std::string> names;
        EXPECT_TRUE(catalogue_->scan([&](const Catalogue::Entry& entry) {
            names.push_back(std::to_string(entry.bucket.value) + ":" + std::string(entry.name));
        }));
        return names;
    }

    Factory factory_;
    std::unique_ptr<Catalogue> catalogue_;
    std::vector<Place> places_;
    Lsn position_ = 0;
    int64_t count_ = 0;
};

using Factories = testing::Types<MemoryFactory, LevelFactory>;
TYPED_TEST_SUITE(CatalogueTest, Factories);

TYPED_TEST(CatalogueTest, IsEmptyAtFirst) {
    EXPECT_EQ(this->catalogue_->position(), 0u);
    EXPECT_EQ(this->catalogue_->count(), 0u);
    EXPECT_THAT(this->list(bucket_one), IsEmpty());
    EXPECT_TRUE(this->page(bucket_one, {}).is_last);
    EXPECT_THAT(this->scan(), IsEmpty());
}

TYPED_TEST(CatalogueTest, ListsNamesInByteOrder) {
    this->put(bucket_one, {"b", "a", "\xff", "B", "a/b", "a.b", "ab", "\x01"});
    EXPECT_THAT(this->list(bucket_one),
                ElementsAre("\x01", "B", "a", "a.b", "a/b", "ab", "b", "\xff"));
}

TYPED_TEST(CatalogueTest, GivesBackWhatWasApplied) {
    constexpr uint32_t large = Place::in_files_bit | 77;
    CatalogueChange change = put_change(bucket_one, "a", 9);
    change.place = {UINT32_MAX, 524287, large, UINT32_MAX};
    change.version = {UINT64_MAX, UINT64_MAX - 1};
    change.size_bytes = UINT64_MAX;
    const CatalogueChange small = put_change(bucket_one, "b", 0);
    this->apply({change, small});

    std::vector<CatalogueChange> seen;
    ASSERT_TRUE(this->catalogue_->scan([&](const Catalogue::Entry& entry) {
        seen.push_back({entry.bucket, std::string(entry.name), false, entry.place, entry.version,
                        entry.size_bytes, entry.has_attachment});
    }));
    ASSERT_EQ(seen.size(), 2u);
    for (const auto& [got, want] : {std::pair{seen[0], change}, std::pair{seen[1], small}}) {
        EXPECT_EQ(got.name, want.name);
        EXPECT_EQ(got.place, want.place);
        EXPECT_EQ(got.version, want.version);
        EXPECT_EQ(got.size_bytes, want.size_bytes);
        EXPECT_EQ(got.has_attachment, want.has_attachment);
    }
    const ListPage page = this->page(bucket_one, {});
    ASSERT_EQ(page.entries.size(), 2u);
    EXPECT_EQ(page.entries[0].size_bytes, UINT64_MAX);
    EXPECT_EQ(page.entries[0].version, change.version);
    EXPECT_EQ(this->places_[0], change.place);
    EXPECT_EQ(this->places_[1], small.place);
}

TYPED_TEST(CatalogueTest, LastChangeOfABatchWins) {
    this->apply({put_change(bucket_one, "a", 1), removal(bucket_one, "a"),
                 put_change(bucket_one, "a", 2), put_change(bucket_one, "b", 1),
                 removal(bucket_one, "b"), removal(bucket_one, "never there")});
    EXPECT_THAT(this->list(bucket_one), ElementsAre("a"));
    EXPECT_EQ(this->places_[0].segment, 2u);
}

TYPED_TEST(CatalogueTest, RemembersPositionAndCount) {
    ASSERT_TRUE(this->catalogue_->apply({put_change(bucket_one, "a")}, 17, 1, false));
    EXPECT_EQ(this->catalogue_->position(), 17u);
    EXPECT_EQ(this->catalogue_->count(), 1u);
    ASSERT_TRUE(this->catalogue_->apply({}, UINT64_MAX, 1, true));
    EXPECT_EQ(this->catalogue_->position(), UINT64_MAX);
}

TYPED_TEST(CatalogueTest, KeepsBucketsApart) {
    this->put(bucket_one, {"a", "z"});
    this->put(bucket_two, {"b"});
    this->put(BucketId{UINT64_MAX}, {"\xff\xff\xff\xff\xff\xff\xff\xff\xff"});
    this->put(BucketId{0}, {std::string("\x01", 1)});
    EXPECT_THAT(this->list(bucket_one), ElementsAre("a", "z"));
    EXPECT_THAT(this->list(bucket_two), ElementsAre("b"));
    EXPECT_EQ(this->list(BucketId{UINT64_MAX}).size(), 1u);
    EXPECT_EQ(this->list(BucketId{0}).size(), 1u);
    EXPECT_THAT(this->scan(), ElementsAre("0:\x01", "1:a", "1:z", "2:b",
                                          "18446744073709551615:\xff\xff\xff\xff\xff\xff\xff\xff"
                                          "\xff"));
}

TYPED_TEST(CatalogueTest, ScansInPartsWhatItScansInOrder) {
    std::vector<std::string> names;
    for (int number = 1000; number < 3000; ++number) names.push_back(std::to_string(number));
    this->put(bucket_one, names);
    this->put(bucket_two, {"z"});
    constexpr uint32_t parts = 3;
    std::array<std::vector<std::string>, parts> seen;
    ASSERT_TRUE(this->catalogue_->scan_in_parts(parts, [&](uint32_t part,
                                                           const Catalogue::Entry& entry) {
        seen[part].push_back(std::to_string(entry.bucket.value) + ":" + std::string(entry.name));
    }));
    std::vector<std::string> all;
    for (const auto& part : seen) all.insert(all.end(), part.begin(), part.end());
    EXPECT_EQ(all, this->scan());
}

TYPED_TEST(CatalogueTest, ListsOnlyThePrefix) {
    this->put(bucket_one, {"a", "b", "ba", "b/c", "bb", "c"});
    ListOptions options;
    options.prefix = "b";
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("b", "b/c", "ba", "bb"));
    options.prefix = "bb";
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("bb"));
    options.prefix = "bz";
    EXPECT_THAT(this->list(bucket_one, options), IsEmpty());
}

TYPED_TEST(CatalogueTest, BeginsBehindAfter) {
    this->put(bucket_one, {"a", "aa", "b"});
    ListOptions options;
    options.after = "a";
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("aa", "b"));
    options.after = "a0";  // no name of an object
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("aa", "b"));
    options.after = "b";
    EXPECT_THAT(this->list(bucket_one, options), IsEmpty());
    options.prefix = "a";
    EXPECT_THAT(this->list(bucket_one, options), IsEmpty());
    options.after = "A";
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("a", "aa"));
}

TYPED_TEST(CatalogueTest, PageOfExactlyAllNamesIsTheLast) {
    this->put(bucket_one, {"a", "b", "c"});
    this->put(bucket_two, {"a"});
    ListOptions options;
    options.limit = 3;
    EXPECT_TRUE(this->page(bucket_one, options).is_last);
    options.limit = 2;
    EXPECT_FALSE(this->page(bucket_one, options).is_last);
    options.prefix = "a";
    options.limit = 1;
    EXPECT_TRUE(this->page(bucket_one, options).is_last);
    options.limit = 0;
    EXPECT_FALSE(this->page(bucket_one, options).is_last);
}

TYPED_TEST(CatalogueTest, FoldsDirectoriesOnce) {
    this->put(bucket_one, {"a", "d!x", "d/1", "d/2", "d/e/3", "d0", "e/1", "e/2", "f//g", "/r"});
    ListOptions options;
    options.is_recursive = false;
    EXPECT_THAT(this->list(bucket_one, options),
                ElementsAre("/", "a", "d!x", "d/", "d0", "e/", "f/"));
    EXPECT_THAT(this->places_[3], Place{});

    options.prefix = "d";
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("d!x", "d/", "d0"));
    options.prefix = "d/";
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("d/1", "d/2", "d/e/"));
    options.prefix = "f/";
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("f//"));

    options = {.after = "d/", .is_recursive = false};
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("d0", "e/", "f/"));
    options.after = "d/2";
    EXPECT_THAT(this->list(bucket_one, options), ElementsAre("d0", "e/", "f/"));
    options = {.after = "d!x", .limit = 1, .is_recursive = false};
    const ListPage page = this->page(bucket_one, options);
    EXPECT_THAT(this->names_of(page), ElementsAre("d/"));
    EXPECT_TRUE(page.entries[0].is_directory);
    EXPECT_FALSE(page.is_last);
    // The last directory's page is the last although names lie behind its entry.
    options = {.after = "e/", .limit = 1, .is_recursive = false};
    EXPECT_TRUE(this->page(bucket_one, options).is_last);
}

// What a listing must give, from all names: slow and plain.
std::vector<std::string> listing_of(const std::map<std::string, uint32_t>& names,
                                    const ListOptions& options) {
    std::vector<std::string> listed;
    for (const auto& [name, number] : names) {
        if (!name.starts_with(options.prefix)) continue;
        std::string shown = name;
        const size_t slash = name.find('/', options.prefix.size());
        if (!options.is_recursive && slash != std::string::npos) shown.resize(slash + 1);
        if (shown <= options.after) continue;
        if (listed.empty() || listed.back() != shown) listed.push_back(shown);
    }
    return listed;
}

TYPED_TEST(CatalogueTest, AgreesWithAPlainListUnderRandomChanges) {
    Random random(7);
    std::map<std::string, uint32_t> model;
    const auto random_name = [&](uint64_t length_max) {
        std::string name;
        for (uint64_t left = 1 + random.below(length_max); left > 0; --left) {
            name += "ab/0\xfe"[random.below(5)];
        }
        return name;
    };
    for (uint32_t round = 1; round <= 60; ++round) {
        std::vector<CatalogueChange> changes;
        for (uint64_t index = random.below(40); index > 0; --index) {
            const std::string name = random_name(6);
            if (random.below(3) == 0) {
                changes.push_back(removal(bucket_one, name));
                model.erase(name);
            } else {
                changes.push_back(put_change(bucket_one, name, round));
                model[name] = round;
            }
        }
        ASSERT_TRUE(this->catalogue_->apply(changes, round, model.size(), false));
        for (int query = 0; query < 10; ++query) {
            ListOptions options;
            options.is_recursive = random.below(2) == 0;
            options.limit = static_cast<uint32_t>(1 + random.below(7));
            if (random.below(2) == 0) options.prefix = random_name(3);
            if (random.below(2) == 0) options.after = random_name(4);
            ASSERT_EQ(this->list_in_pages(bucket_one, options), listing_of(model, options))
                << "prefix " << options.prefix << " after " << options.after << " recursive "
                << options.is_recursive << " limit " << options.limit;
        }
    }
}

TYPED_TEST(CatalogueTest, DropsOneBucketAndShowsWhatItDrops) {
    this->put(bucket_one, {"a", "b"});
    this->put(bucket_two, {"c", "d", "e"});
    this->put(BucketId{3}, {"f"});
    std::vector<std::string> dropped;
    ASSERT_TRUE(this->catalogue_->drop_bucket(
        bucket_two, [&](const Catalogue::Entry& entry) { dropped.emplace_back(entry.name); }));
    EXPECT_THAT(dropped, ElementsAre("c", "d", "e"));
    EXPECT_THAT(this->scan(), ElementsAre("1:a", "1:b", "3:f"));
    EXPECT_EQ(this->catalogue_->count(), 3u);
    EXPECT_EQ(this->catalogue_->position(), this->position_);
    ASSERT_TRUE(this->catalogue_->drop_bucket(bucket_two, [](const Catalogue::Entry&) { FAIL(); }));
}

TYPED_TEST(CatalogueTest, HoldsNamesOfTheLongestKind) {
    const std::string longest(object_name_bytes_max, '\xff');
    this->put(bucket_one, {longest, "a"});
    EXPECT_THAT(this->list(bucket_one), ElementsAre("a", longest));
    ListOptions options;
    options.after = longest;
    EXPECT_THAT(this->list(bucket_one, options), IsEmpty());
}

}  // namespace
}  // namespace penstock::node
