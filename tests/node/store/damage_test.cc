// A thousand damages of every kind to the files of a data directory: bits flipped, files cut short,
// blocks and whole stretches of zeros, two files swapped, a file as it was some time ago. Each is
// found as soon as what it hit is read, by whom ever; no wrong byte is served, and no name that was
// acknowledged answers "not found".
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

enum class Kind : uint8_t { flip, cut, zero, swap, roll_back };
constexpr const char* kind_names[] = {"flip", "cut", "zero", "swap", "roll back"};

class DamageTest : public ::testing::Test {
protected:
    static void configure(StoreHarness& harness) {
        harness.options().segment_bytes = 128 << 10;
        harness.options().small_object_bytes_max = 8 << 10;
        harness.options().reserve_bytes = 4096;
        harness.options().catalogue_cache_bytes = 1 << 20;
    }

    // A directory with history: `earlier_` is what it was at some time before.
    void SetUp() override {
        io::MemoryStorage storage;
        {
            StoreHarness harness(loop_, storage);
            configure(harness);
            ASSERT_TRUE(harness.open());
            change(harness, 0);
            (void)harness.list();
            earlier_ = storage.clone();
            change(harness, 1);
        }
        whole_ = storage.clone();
        // Names, for damage that must hit something: all files but the catalogue's, which is
        // derived.
        const auto disk = whole_.make_blocking_disk();
        for (const std::string& folder : {"log", "objects"}) {
            for (const auto& entry : *disk->list(folder)) {
                paths_.push_back(folder + "/" + entry.name);
            }
        }
        ASSERT_GT(paths_.size(), 5U);
    }

    void change(StoreHarness& harness, uint64_t round) {
        const auto put = [&](const std::string& name, size_t size) {
            const std::string content = content_of(random_.next(), size);
            ASSERT_TRUE(harness.put(name, content));
            expected_[name] = content;
        };
        for (uint64_t index = 0; index < 40; ++index) {
            put("n" + std::to_string(random_.below(30)), 200 + random_.below(7000));
        }
        put("large" + std::to_string(round), 120'000);
        put("overwritten", 90'000);
        put("gone", 100);
        ASSERT_TRUE(harness.remove("gone"));
        expected_.erase("gone");
    }

    std::vector<std::byte> bytes_of(const io::MemoryStorage& storage, const std::string& path) {
        return *storage.read_file(path);
    }
    static void replace(const io::MemoryStorage& storage, const std::string& path, Bytes bytes) {
        const auto disk = storage.make_blocking_disk();
        (void)disk->remove(path);
        const auto file = disk->open(path, io::OpenMode::create);
        ASSERT_TRUE(file);
        ASSERT_TRUE((*file)->write_exactly(bytes, 0));
    }

    // False: nothing changed by it.
    bool damage(io::MemoryStorage& storage, Kind kind) {
        const std::string& path = paths_[random_.below(paths_.size())];
        std::vector<std::byte> bytes = bytes_of(storage, path);
        const std::vector<std::byte> before = bytes;
        what_ = std::string(kind_names[size_t(kind)]) + " " + path;
        const size_t at = random_.below(bytes.size());
        switch (kind) {
            case Kind::flip:
                bytes[at] ^= std::byte(1U << random_.below(8));
                what_ += " at " + std::to_string(at);
                break;
            case Kind::cut:
                bytes.resize(at);
                what_ += " to " + std::to_string(at);
                break;
            case Kind::zero: {
                const size_t from = at / 512 * 512;
                const size_t size =
                    std::min<size_t>(size_t{512} << random_.below(6), bytes.size() - from);
                std::fill_n(bytes.begin() + ptrdiff_t(from), size, std::byte{0});
                what_ += " at " + std::to_string(from) + " for " + std::to_string(size);
                break;
            }
            case Kind::swap: {
                const std::string& other = paths_[random_.below(paths_.size())];
                what_ += " with " + other;
                if (other == path) return false;
                bytes = bytes_of(storage, other);
                replace(storage, other, before);
                break;
            }
            case Kind::roll_back: {
                const auto old = earlier_.read_file(path);
                if (!old) return false;
                bytes = *old;
                break;
            }
        }
        if (bytes == before) return false;
        replace(storage, path, bytes);
        return true;
    }

    // What came of it.
    struct Outcome {
        bool is_found = false;
        bool is_harmless = true;  // everything is as it was
    };
    Outcome look(io::MemoryStorage& storage) {
        Outcome outcome;
        StoreHarness harness(loop_, storage);
        configure(harness);
        const Status opened = harness.open();
        if (!opened) {
            EXPECT_EQ(opened.error().code, Errc::corrupt) << opened.error().context;
            return {true, false};
        }
        outcome.is_found = harness.store().usage().corruptions > 0;
        for (const auto& [name, content] : expected_) {
            const auto got = harness.get(name);
            const auto checked = harness.run(harness.store().verify(0, StoreHarness::name(name)));
            if (got) {
                EXPECT_TRUE(*got == content) << "wrong bytes of " << name;
            } else {
                outcome.is_harmless = false;
                outcome.is_found = true;
                EXPECT_EQ(got.error().code, Errc::corrupt) << name << ": " << got.error().context;
            }
            // A scrub finds what a reader finds.
            EXPECT_EQ(got.has_value(), checked.has_value()) << name;
        }
        EXPECT_EQ(harness.get("gone").error().code, Errc::not_found);
        const auto names = harness.list({.limit = 1000});
        EXPECT_TRUE(names) << names.error().context;
        EXPECT_TRUE(harness.put("again", "fine"));
        EXPECT_EQ(*harness.get("again"), "fine");
        return outcome;
    }

    TestLoop loop_;
    Random random_{20260};
    io::MemoryStorage earlier_;
    io::MemoryStorage whole_;
    std::vector<std::string> paths_;
    std::map<std::string, std::string> expected_;
    std::string what_;
};

TEST_F(DamageTest, AThousandDamagesAreFoundAndNoneIsServed) {
    const uint64_t wanted = std::getenv("PENSTOCK_DEEP") != nullptr ? 20'000 : 1'000;
    std::map<Kind, std::array<uint64_t, 3>> counts;  // all, found, harmless and not found
    for (uint64_t done = 0; done < wanted && !HasFailure();) {
        const auto kind = static_cast<Kind>(random_.below(5));
        io::MemoryStorage storage = whole_.clone();
        if (!damage(storage, kind)) continue;
        SCOPED_TRACE(what_);
        const Outcome outcome = look(storage);
        // What a start makes of it must not be worse than the damage: the next one finds the same.
        const Outcome again = look(storage);
        EXPECT_EQ(outcome.is_harmless, again.is_harmless);
        ++done;
        ++counts[kind][0];
        counts[kind][1] += outcome.is_found ? 1 : 0;
        counts[kind][2] += !outcome.is_found && outcome.is_harmless ? 1 : 0;
        // Not found and harmless: it hit what nobody can read any more, or bytes without a meaning.
        EXPECT_TRUE(outcome.is_found || outcome.is_harmless);
    }
    for (const auto& [kind, count] : counts) {
        printf("%s: %lu damages, %lu found, %lu of what no object needs\n",
               kind_names[size_t(kind)], static_cast<unsigned long>(count[0]),
               static_cast<unsigned long>(count[1]), static_cast<unsigned long>(count[2]));
    }
}

}  // namespace
}  // namespace penstock::node
