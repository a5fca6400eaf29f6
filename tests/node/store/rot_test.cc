// A flipped bit anywhere in the data directory is found when it matters, never served, and never
// makes an acknowledged name "not found".
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

enum class CatalogueKind : uint8_t { memory, level };

class RotTest : public ::testing::TestWithParam<CatalogueKind> {
protected:
    void configure(StoreHarness& harness) const {
        harness.options().segment_bytes = 128 << 10;
        harness.options().small_object_bytes_max = 8 << 10;
        harness.options().reserve_bytes = 4096;
        if (GetParam() == CatalogueKind::level) harness.options().catalogue_cache_bytes = 1 << 20;
    }

    // A store with a bit of everything in it; `stops`: in order, otherwise its process dies.
    void fill(io::MemoryStorage& storage, bool stops) {
        StoreHarness harness(loop_, storage);
        configure(harness);
        ASSERT_TRUE(harness.open());
        const auto put = [&](const std::string& name, const std::string& content,
                             CustomMetadata custom = {}) {
            PutOptions options;
            options.custom = std::move(custom);
            ASSERT_TRUE(harness.put(name, content, std::move(options)));
            expected_[name] = content;
        };
        for (uint64_t index = 0; index < 30; ++index) {
            put("n" + std::to_string(index % 20), content_of(index, 300 + index * 211));
        }
        put(std::string(600, 'l'), content_of(1, 2000));
        put("custom", content_of(2, 800), {{"k", std::string(600, 'v')}});
        put("large", content_of(3, 150'000));
        put("large2", content_of(4, 80'000));
        put("gone", "x");
        ASSERT_TRUE(harness.remove("gone"));
        expected_.erase("gone");
        put("n3", content_of(99, 4000));
        if (GetParam() == CatalogueKind::level) ASSERT_TRUE(harness.list());
        put("last", content_of(5, 5000));
        // A process that dies leaves what it wrote; the power stays on.
        if (!stops) storage_ = storage.crash_keeping_all();
        if (stops) {
            harness.stop();
            storage_ = storage.clone();
        }
    }

    std::vector<std::pair<std::string, uint64_t>> files() const {
        std::vector<std::pair<std::string, uint64_t>> found;
        const auto disk = storage_.make_blocking_disk();
        for (const std::string& folder : {"log", "objects", "catalogue", ""}) {
            const auto entries = disk->list(folder);
            if (!entries) continue;
            for (const auto& entry : *entries) {
                if (entry.is_directory) continue;
                const std::string path = folder.empty() ? entry.name : folder + "/" + entry.name;
                const auto bytes = storage_.read_file(path);
                if (bytes && !bytes->empty()) found.emplace_back(path, bytes->size());
            }
        }
        return found;
    }

    // Whether anybody noticed.
    bool check(io::MemoryStorage& storage) {
        StoreHarness harness(loop_, storage);
        configure(harness);
        const Status opened = harness.open();
        if (!opened) {
            // A flipped digit may make the format a newer one.
            EXPECT_TRUE(opened.error().code == Errc::corrupt ||
                        opened.error().code == Errc::invalid)
                << opened.error().context;
            return true;
        }
        bool is_found = harness.store().usage().corruptions > 0;
        for (const auto& [name, content] : expected_) {
            const auto got = harness.get(name);
            if (got) {
                EXPECT_EQ(*got == content, true) << "wrong bytes of " << name.substr(0, 10);
                continue;
            }
            is_found = true;
            EXPECT_EQ(got.error().code, Errc::corrupt)
                << name.substr(0, 10) << ": " << got.error().context;
        }
        EXPECT_TRUE(harness.put("n1", "written over"));
        EXPECT_EQ(*harness.get("n1"), "written over");
        return is_found;
    }

    void flip_bits(uint64_t flips) {
        const auto all = files();
        std::map<std::string, std::pair<uint64_t, uint64_t>> found;  // folder: found of flips
        for (uint64_t index = 0; index < flips && !HasFailure(); ++index) {
            const auto& [path, size] = all[random_.below(all.size())];
            // Most of a segment is zeros that nobody reads: aim at what is written.
            const auto bytes = *storage_.read_file(path);
            uint64_t at = random_.below(size);
            for (int tries = 0; tries < 200 && bytes[at] == std::byte{0}; ++tries) {
                at = random_.below(size);
            }
            const uint64_t bit = at * 8 + random_.below(8);
            SCOPED_TRACE(::testing::Message() << path << " bit " << bit);
            io::MemoryStorage damaged = storage_.clone();
            ASSERT_TRUE(damaged.flip_bit(path, bit));
            auto& [noticed, all_flips] = found[path.substr(0, path.find('/'))];
            noticed += check(damaged) ? 1 : 0;
            ++all_flips;
        }
        for (const auto& [folder, counts] : found) {
            printf("%s: %lu of %lu noticed\n", folder.c_str(),
                   static_cast<unsigned long>(counts.first),
                   static_cast<unsigned long>(counts.second));
        }
    }

    uint64_t flips() const { return std::getenv("PENSTOCK_DEEP") != nullptr ? 20'000 : 600; }

    TestLoop loop_;
    Random random_{4711};
    io::MemoryStorage storage_;
    std::map<std::string, std::string> expected_;
};

TEST_P(RotTest, AfterAnOrderlyStop) {
    io::MemoryStorage storage;
    fill(storage, true);
    flip_bits(flips());
}

TEST_P(RotTest, AfterTheProcessDied) {
    io::MemoryStorage storage;
    fill(storage, false);
    flip_bits(flips());
}

TEST_P(RotTest, ABlockOfZerosIsRotToo) {
    io::MemoryStorage storage;
    fill(storage, true);
    const auto disk = storage_.make_blocking_disk();
    const auto all = files();
    for (uint64_t index = 0; index < flips() / 4 && !HasFailure(); ++index) {
        const auto& [path, size] = all[random_.below(all.size())];
        if (path.starts_with("catalogue") || path.find('/') == std::string::npos) continue;
        io::MemoryStorage damaged = storage_.clone();
        const uint64_t at = random_.below(size) / 512 * 512;
        SCOPED_TRACE(::testing::Message() << path << " at " << at);
        const std::vector<std::byte> zeros(512);
        const auto file = damaged.make_blocking_disk()->open(path, io::OpenMode::write);
        ASSERT_TRUE(file);
        ASSERT_TRUE((*file)->write_exactly(zeros, at));
        check(damaged);
    }
}

TEST_P(RotTest, ACatalogueThatIsGoneIsRebuilt) {
    io::MemoryStorage storage;
    fill(storage, true);
    const auto disk = storage_.make_blocking_disk();
    if (const auto entries = disk->list("catalogue"); entries) {
        for (const auto& entry : *entries) ASSERT_TRUE(disk->remove("catalogue/" + entry.name));
    }
    StoreHarness harness(loop_, storage_);
    configure(harness);
    ASSERT_TRUE(harness.open());
    EXPECT_EQ(harness.list()->size(), expected_.size());
    for (const auto& [name, content] : expected_) EXPECT_EQ(*harness.get(name), content);
}

INSTANTIATE_TEST_SUITE_P(Catalogues, RotTest,
                         ::testing::Values(CatalogueKind::memory, CatalogueKind::level),
                         [](const auto& instance) {
                             return instance.param == CatalogueKind::memory ? "Memory" : "Level";
                         });

}  // namespace
}  // namespace penstock::node
