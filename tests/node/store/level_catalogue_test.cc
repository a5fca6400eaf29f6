// The catalogue on LevelDB where the disk fails, loses power or rots: an error or the truth, never
// a wrong page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "io/fault_disk.h"
#include "io/memory_disk.h"
#include "node/store/catalogue.h"
#include "node/store/catalogue_entry.h"

namespace penstock::node {
namespace {

constexpr BucketId bucket{1};
constexpr uint32_t names_per_batch = 50;

std::vector<CatalogueChange> batch(uint64_t number) {
    std::vector<CatalogueChange> changes;
    for (uint32_t index = 0; index < names_per_batch; ++index) {
        CatalogueChange change;
        change.bucket = bucket;
        change.name = std::to_string(number) + "/" + std::to_string(index);
        change.place = {static_cast<uint32_t>(number), index, 3, 1};
        change.version = {1, number};
        change.size_bytes = number * index;
        changes.push_back(change);
    }
    return changes;
}

Result<std::unique_ptr<Catalogue>> open(io::BlockingDisk& disk) {
    return open_level_catalogue(disk, "catalogue", 1 << 20, CatalogueWork::inline_calls);
}

Status apply(Catalogue& catalogue, uint64_t number, bool sync) {
    return catalogue.apply(batch(number), number, number * names_per_batch, sync);
}

// What the catalogue says of itself is what it holds: batches 1 to its position, whole.
testing::AssertionResult is_consistent(Catalogue& catalogue) {
    uint64_t count = 0;
    bool is_right = true;
    const Status status = catalogue.scan([&](const Catalogue::Entry& entry) {
        ++count;
        const uint64_t number = entry.version.sequence;
        is_right =
            is_right && number <= catalogue.position() && entry.place.segment == number &&
            entry.size_bytes == number * entry.place.offset_blocks &&
            entry.name == std::to_string(number) + "/" + std::to_string(entry.place.offset_blocks);
    });
    if (!status) return testing::AssertionFailure() << status.error().context;
    if (!is_right) return testing::AssertionFailure() << "an entry that no batch had";
    if (count != catalogue.count() || count != catalogue.position() * names_per_batch) {
        return testing::AssertionFailure()
               << count << " entries, position " << catalogue.position();
    }
    return testing::AssertionSuccess();
}

// Opens it anew or, where it is damaged, erases it and opens an empty one.
std::unique_ptr<Catalogue> reopen(io::BlockingDisk& disk) {
    Result<std::unique_ptr<Catalogue>> catalogue = open(disk);
    if (!catalogue) {
        EXPECT_EQ(catalogue.error().code, Errc::corrupt) << catalogue.error().context;
        EXPECT_TRUE(erase_catalogue(disk, "catalogue"));
        catalogue = open(disk);
        EXPECT_TRUE(catalogue) << catalogue.error().context;
    }
    return std::move(*catalogue);
}

TEST(LevelCatalogue, IsThereAgainAfterItWasClosed) {
    const io::MemoryStorage storage;
    const auto disk = storage.make_blocking_disk();
    for (uint64_t number = 1; number <= 20; ++number) {
        auto catalogue = open(*disk);
        ASSERT_TRUE(catalogue) << catalogue.error().context;
        EXPECT_EQ((*catalogue)->position(), number - 1);
        ASSERT_TRUE(apply(**catalogue, number, false));
        ASSERT_TRUE(is_consistent(**catalogue));
    }
}

TEST(LevelCatalogue, ErasedIsEmptyAndErasingNothingIsFine) {
    const io::MemoryStorage storage;
    const auto disk = storage.make_blocking_disk();
    EXPECT_TRUE(erase_catalogue(*disk, "catalogue"));
    ASSERT_TRUE(apply(**open(*disk), 1, true));
    EXPECT_TRUE(erase_catalogue(*disk, "catalogue"));
    const auto catalogue = open(*disk);
    ASSERT_TRUE(catalogue);
    EXPECT_EQ((*catalogue)->position(), 0u);
}

// After each changing call in turn the power goes, in several ways.
TEST(LevelCatalogue, PowerCutKeepsWhatWasSyncedAndNeverHalfABatch) {
    Random random(3);
    constexpr uint64_t calls_max = 1000;
    for (uint64_t cut = 0; cut < calls_max; ++cut) {
        SCOPED_TRACE(cut);
        io::MemoryStorage storage;
        storage.power_off_at(cut);
        uint64_t synced = 0;
        uint64_t applied = 0;
        {
            const auto disk = storage.make_blocking_disk();
            // Two openings: the second one turns the first one's log into a table.
            for (int opening = 0; opening < 2; ++opening) {
                auto catalogue = open(*disk);
                if (!catalogue) break;
                for (const uint64_t last = applied + 4; applied < last; ++applied) {
                    const bool sync = applied % 2 == 1;
                    if (!apply(**catalogue, applied + 1, sync)) break;
                    if (sync) synced = applied + 1;
                }
            }
        }
        const bool is_over = !storage.is_powered_off();
        storage.for_each_crash(12, random, {}, [&](const io::MemoryStorage& left) {
            const auto disk = left.make_blocking_disk();
            auto opened = open(*disk);
            // An unsynced tail may be damage; what was synced may then be read from the log again.
            if (opened) {
                EXPECT_GE((*opened)->position(), synced);
                EXPECT_LE((*opened)->position(), applied + 1);
                EXPECT_TRUE(is_consistent(**opened));
                EXPECT_TRUE(apply(**opened, (*opened)->position() + 1, true));
                EXPECT_TRUE(is_consistent(**opened));
            } else {
                EXPECT_EQ(opened.error().code, Errc::corrupt) << opened.error().context;
                EXPECT_EQ(reopen(*disk)->position(), 0u);
            }
        });
        if (is_over) return;
    }
    FAIL() << "more than " << calls_max << " calls";
}

// A batch that fills LevelDB's buffer starts a new log, whose name nobody else makes durable.
TEST(LevelCatalogue, PowerCutKeepsASyncedBatchInANewLog) {
    constexpr uint64_t calls_max = 800;
    // Each cut writes 10 MB; call 255 is the one where the batch was lost without our sync.
    const uint64_t stride = std::getenv("PENSTOCK_DEEP") != nullptr ? 1 : 16;
    for (uint64_t cut = 255 % stride; cut < calls_max; cut += stride) {
        SCOPED_TRACE(cut);
        io::MemoryStorage storage;
        storage.power_off_at(cut);
        uint64_t applied = 0;
        {
            const auto disk = storage.make_blocking_disk();
            auto catalogue = open(*disk);
            while (catalogue && applied < 4) {
                std::vector<CatalogueChange> changes;
                for (uint32_t index = 0; index < 700; ++index) {
                    changes.push_back(batch(applied + 1)[0]);
                    changes.back().name = std::to_string(index) + std::string(3500, 'x');
                }
                if (!(*catalogue)->apply(changes, applied + 1, 700, true)) break;
                ++applied;
            }
        }
        const io::MemoryStorage left = storage.crash_losing_all();
        const auto disk = left.make_blocking_disk();
        const auto catalogue = open(*disk);
        ASSERT_TRUE(catalogue) << catalogue.error().context;
        ASSERT_GE((*catalogue)->position(), applied);
        if (!storage.is_powered_off()) return;
    }
    FAIL() << "more than " << calls_max << " calls";
}

TEST(LevelCatalogue, FailedCallIsAnErrorOrHarmless) {
    constexpr uint64_t calls_max = 1000;
    for (const io::FaultEffect effect : {io::FaultEffect::fails, io::FaultEffect::is_short}) {
        for (uint64_t at = 0;; ++at) {
            SCOPED_TRACE(at);
            ASSERT_LT(at, calls_max);
            const io::MemoryStorage storage;
            const auto below = storage.make_blocking_disk();
            io::FaultPlan plan;
            plan.add({.effect = effect, .at = at});
            const auto disk = io::make_fault_blocking_disk(*below, plan);
            uint64_t applied = 0;
            for (int opening = 0; opening < 2; ++opening) {
                auto catalogue = open(*disk);
                if (!catalogue) break;
                while (applied < 6 && apply(**catalogue, applied + 1, true)) ++applied;
                if (plan.met_count() == 0) EXPECT_TRUE(is_consistent(**catalogue));
            }
            EXPECT_EQ(plan.repeated_sync_count(), 0u);
            const auto catalogue = reopen(*below);
            if (catalogue->position() != 0) EXPECT_GE(catalogue->position(), applied);
            EXPECT_TRUE(is_consistent(*catalogue));
            if (plan.met_count() == 0) break;
        }
    }
}

TEST(LevelCatalogue, FlippedBitIsFoundOrHarmless) {
    const io::MemoryStorage storage;
    {
        const auto disk = storage.make_blocking_disk();
        for (uint64_t number = 1; number <= 4; ++number) {
            auto catalogue = open(*disk);
            ASSERT_TRUE(catalogue);
            ASSERT_TRUE(apply(**catalogue, number, true));
        }
    }
    Random random(5);
    const auto files = storage.make_blocking_disk()->list("catalogue");
    ASSERT_TRUE(files);
    uint64_t found = 0;
    for (const io::DirectoryEntry& file : *files) {
        const std::string path = "catalogue/" + file.name;
        const auto bytes = storage.read_file(path);
        ASSERT_TRUE(bytes);
        for (int flip = 0; flip < 60 && !bytes->empty(); ++flip) {
            const uint64_t bit = random.below(bytes->size() * 8);
            SCOPED_TRACE(path + " bit " + std::to_string(bit));
            io::MemoryStorage rotten = storage.clone();
            ASSERT_TRUE(rotten.flip_bit(path, bit));
            const auto disk = rotten.make_blocking_disk();
            auto catalogue = open(*disk);
            if (!catalogue) {
                ++found;
                EXPECT_EQ(catalogue.error().code, Errc::corrupt) << catalogue.error().context;
                continue;
            }
            uint64_t count = 0;
            const Status scanned = (*catalogue)->scan([&](const Catalogue::Entry&) { ++count; });
            if (scanned) {
                EXPECT_TRUE(is_consistent(**catalogue));
            } else {
                ++found;
                EXPECT_EQ(scanned.error().code, Errc::corrupt);
            }
        }
    }
    EXPECT_GT(found, 0u);
}

TEST(CatalogueEntry, RefusesWhatIsNoEntry) {
    const CatalogueChange change = batch(7)[3];
    const std::string key = catalogue_key(change.bucket, change.name);
    const CatalogueValue value = encode_catalogue_value(change);
    const std::string text(value.text());
    ASSERT_TRUE(parse_catalogue_entry(key, text));
    EXPECT_FALSE(parse_catalogue_entry(key.substr(0, 8), text));
    EXPECT_FALSE(parse_catalogue_entry("", text));
    EXPECT_FALSE(parse_catalogue_entry(key, text + '\0'));
    for (size_t cut = 0; cut < text.size(); ++cut) {
        EXPECT_FALSE(parse_catalogue_entry(key, text.substr(0, cut))) << cut;
    }
    for (const size_t bit : {29u, 30u, 31u, 3u}) {
        std::string wrong = text;
        wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ (1 << (bit % 8)));
        EXPECT_FALSE(parse_catalogue_entry(key, wrong)) << bit;
    }
}

// Enough for tables on the disk, which say where the middle is.
TEST(LevelCatalogueTest, PartsOfAScanAreAboutEqual) {
    const io::MemoryStorage storage;
    const auto disk = storage.make_blocking_disk();
    auto catalogue = open_level_catalogue(*disk, "catalogue", 1 << 20);
    ASSERT_TRUE(catalogue);
    constexpr uint64_t count = 300'000;
    constexpr uint64_t batch_names = 10'000;
    for (uint64_t first = 0; first < count; first += batch_names) {
        std::vector<CatalogueChange> changes;
        for (uint64_t number = first; number < first + batch_names; ++number) {
            changes.push_back({BucketId{1}, "train/images/" + std::to_string(count + number), false,
                               Place{1, 1, 1, 1}, Version{1, 1}, 1, false});
        }
        ASSERT_TRUE((*catalogue)->apply(changes, first + 1, first + batch_names, false));
    }
    std::array<uint64_t, 2> seen{};
    ASSERT_TRUE((*catalogue)->scan_in_parts(2, [&](uint32_t part, const Catalogue::Entry&) {
        ++seen[part];
    }));
    EXPECT_EQ(seen[0] + seen[1], count);
    EXPECT_GT(seen[0], count / 4);
    EXPECT_GT(seen[1], count / 4);
}

}  // namespace
}  // namespace penstock::node
