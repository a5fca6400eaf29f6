// The locator against a map, and under readers on other cores while it changes and grows (the
// latter is for ThreadSanitizer as much as for its own checks).
#include "node/store/locator.h"

#include <gtest/gtest.h>

#include <unordered_map>

#include "io/base/random.h"
#include "io/cores.h"
#include "io/shared_words.h"
#include "node/store/object_name.h"

namespace penstock::node {
namespace {

Digest128 digest_for(uint64_t number) {
    return xxh3_128({reinterpret_cast<const std::byte*>(&number), sizeof number}, 99);
}

Place place_for(uint64_t number, uint32_t generation = 0) {
    const auto low = static_cast<uint32_t>(number);
    return {low % (1U << 31) + 1, generation, low ^ generation, ~low};
}

class LocatorTest : public testing::Test {
protected:
    void fill(uint64_t from, uint64_t to) {
        for (uint64_t number = from; number < to; ++number) {
            locator_.publish(digest_for(number), place_for(number));
        }
    }

    io::Turns turns_{{}};  // no readers
    Locator locator_{turns_};
};

TEST_F(LocatorTest, FindsWhatWasPublishedLast) {
    const Digest128 digest = digest_for(1);
    EXPECT_EQ(locator_.find(digest), std::nullopt);
    locator_.publish(digest, place_for(1));
    EXPECT_EQ(locator_.find(digest), place_for(1));
    locator_.publish(digest, place_for(1, 7));
    EXPECT_EQ(locator_.find(digest), place_for(1, 7));
    EXPECT_EQ(locator_.count(), 1u);
    locator_.remove(digest);
    EXPECT_EQ(locator_.find(digest), std::nullopt);
    locator_.remove(digest);
    EXPECT_EQ(locator_.count(), 0u);
}

TEST_F(LocatorTest, TellsDigestsApartThatDifferInOneHalf) {
    // The ends of the order, where an empty slot and a digest look alike but for the place.
    for (const uint64_t high : {uint64_t{0}, UINT64_MAX, UINT64_MAX - 1, uint64_t{1} << 63}) {
        for (const uint64_t low : {uint64_t{0}, uint64_t{1}, UINT64_MAX}) {
            const Digest128 digest{low, high};
            EXPECT_EQ(locator_.find(digest), std::nullopt);
            locator_.publish(digest, place_for(high ^ low));
            EXPECT_EQ(locator_.find(digest), place_for(high ^ low));
        }
    }
    EXPECT_EQ(locator_.count(), 12u);
    locator_.remove({1, UINT64_MAX});
    EXPECT_EQ(locator_.find({1, UINT64_MAX}), std::nullopt);
    EXPECT_EQ(locator_.find({0, UINT64_MAX}), place_for(UINT64_MAX));
    EXPECT_EQ(locator_.find({UINT64_MAX, UINT64_MAX}), place_for(0));
}

TEST_F(LocatorTest, AgreesWithAMapUnderRandomChanges) {
    Random random(11);
    std::unordered_map<uint64_t, Place> model;
    const auto check_all = [&] {
        uint64_t visited = 0;
        locator_.for_each([&](const Digest128&, const Place& place) {
            const auto found = model.find(place.segment - 1);
            ASSERT_NE(found, model.end());
            ASSERT_EQ(found->second, place);
            ++visited;
        });
        EXPECT_EQ(visited, model.size());
        EXPECT_EQ(locator_.count(), model.size());
    };
    // Grows to splits of splits, shrinks to nothing, grows again.
    for (const uint64_t target : {60'000u, 100u, 30'000u, 0u, 5'000u}) {
        while (model.size() != target) {
            uint64_t number = random.below(100'000);
            const bool is_growing = model.size() < target;
            if (random.below(8) < (is_growing ? 7u : 1u)) {
                const auto generation = static_cast<uint32_t>(random.next());
                locator_.publish(digest_for(number), place_for(number, generation));
                model[number] = place_for(number, generation);
            } else {
                // Of a number that is there, as a rule: the way down has to end.
                if (!is_growing && !model.empty()) number = model.begin()->first;
                locator_.remove(digest_for(number));
                model.erase(number);
            }
            const uint64_t asked = random.below(100'000);
            const auto found = model.find(asked);
            ASSERT_EQ(locator_.find(digest_for(asked)),
                      found == model.end() ? std::nullopt : std::optional(found->second));
        }
        check_all();
    }
}

TEST_F(LocatorTest, KeepsManyDigestsThatLieSideBySide) {
    // No keyed digest does this; it takes the paths of long runs and uneven halves.
    for (uint64_t low = 0; low < 3000; ++low) {
        locator_.publish({low, uint64_t{5} << 32}, place_for(low));
    }
    for (uint64_t low = 0; low < 3000; ++low) {
        ASSERT_EQ(locator_.find({low, uint64_t{5} << 32}), place_for(low));
    }
    for (uint64_t low = 0; low < 3000; low += 2) locator_.remove({low, uint64_t{5} << 32});
    for (uint64_t low = 0; low < 3000; ++low) {
        ASSERT_EQ(locator_.find({low, uint64_t{5} << 32}).has_value(), low % 2 == 1);
    }
}

TEST_F(LocatorTest, TakesUnderFiftyBytesAnObjectAtEverySize) {
    fill(0, 100'000);
    for (uint64_t count = 100'000; count < 1'000'000; count += 50'000) {
        fill(count, count + 50'000);
        turns_.reclaim();
        EXPECT_LT(locator_.memory_bytes(), 50 * locator_.count()) << locator_.count();
    }
    EXPECT_EQ(locator_.count(), 1'000'000u);
    for (uint64_t number = 0; number < 1'000'000; number += 997) {
        ASSERT_EQ(locator_.find(digest_for(number)), place_for(number));
    }
}

TEST_F(LocatorTest, GivesMemoryBackWhenObjectsGo) {
    fill(0, 300'000);
    const uint64_t full_bytes = locator_.memory_bytes();
    for (uint64_t number = 0; number < 300'000; ++number) locator_.remove(digest_for(number));
    turns_.reclaim();
    EXPECT_EQ(locator_.count(), 0u);
    EXPECT_LT(locator_.memory_bytes(), full_bytes / 2);
}

TEST_F(LocatorTest, ReservedRoomIsEnough) {
    locator_.publish(digest_for(0), place_for(0));
    locator_.reserve(1'000'000);  // not empty: nothing happens
    EXPECT_EQ(locator_.find(digest_for(0)), place_for(0));
    locator_.remove(digest_for(0));

    locator_.reserve(500'000);
    const uint64_t reserved_bytes = locator_.memory_bytes();
    EXPECT_LT(reserved_bytes, 50u * 500'000);
    fill(0, 500'000);
    EXPECT_EQ(locator_.memory_bytes(), reserved_bytes);
    for (uint64_t number = 0; number < 500'000; number += 101) {
        ASSERT_EQ(locator_.find(digest_for(number)), place_for(number));
    }
}

// Readers run on cores of their own, in turns, as requests do.
struct Race {
    static constexpr uint64_t numbers = 40'000;

    // A place that belongs to `number` and is no mix of two.
    static bool is_possible(uint64_t number, const Place& place) {
        return place == place_for(number, place.offset_blocks);
    }

    // Looks until the writer is done; returns how many look-ups gave what cannot be.
    static io::Task<uint64_t> read(io::Reactor& reactor, const Locator& locator, uint64_t seed,
                                   const io::SharedWord<uint32_t>& is_done) {
        Random random(seed);
        uint64_t wrong = 0;
        while (is_done.load() == 0) {
            for (uint32_t look = 0; look < 64; ++look) {
                const uint64_t number = random.below(numbers);
                const std::optional<Place> place = locator.find(digest_for(number));
                if (place && !is_possible(number, *place)) ++wrong;
                // Multiples of 16 are never removed.
                if (!place && number % 16 == 0) ++wrong;
            }
            co_await reactor.yield();
        }
        co_return wrong;
    }

    static io::Task<void> write(io::Reactor& reactor, Locator& locator, uint32_t rounds,
                                io::SharedWord<uint32_t>& is_done) {
        Random random(5);
        for (uint32_t round = 1; round <= rounds; ++round) {
            // Up through all sizes of segments and two depths, and down again.
            for (uint64_t number = 0; number < numbers; ++number) {
                if (random.below(4) == 0) continue;
                locator.publish(digest_for(number), place_for(number, round));
                if (number % 256 == 0) co_await reactor.yield();
            }
            for (uint64_t number = 0; number < numbers; ++number) {
                if (number % 16 != 0) locator.remove(digest_for(number));
                if (number % 256 == 0) co_await reactor.yield();
            }
        }
        is_done.store(1);
    }
};

TEST(LocatorRace, ReadersSeeWholePlacesWhileItChangesAndGrows) {
    const Log log = Log::quiet();
    auto started = io::Cores::start({.count = 4, .pool_threads = 1, .is_pinned = false}, log);
    ASSERT_TRUE(started) << started.error().context;
    io::Cores& cores = **started;
    io::Turns turns({&cores.reactor(0), &cores.reactor(1), &cores.reactor(2), &cores.reactor(3)});
    Locator locator(turns);
    io::SharedWord<uint32_t> is_done;
    for (uint64_t number = 0; number < Race::numbers; number += 16) {
        locator.publish(digest_for(number), place_for(number));
    }

    std::vector<std::thread> callers;
    std::vector<uint64_t> wrong(4);
    for (uint32_t core = 1; core < 4; ++core) {
        callers.emplace_back([&, core] {
            wrong[core] = cores.run_on(
                core, [&] { return Race::read(cores.reactor(core), locator, core, is_done); });
        });
    }
    cores.run_on(0, [&] { return Race::write(cores.reactor(0), locator, 6, is_done); });
    for (std::thread& caller : callers) caller.join();
    cores.stop();
    EXPECT_EQ(wrong, std::vector<uint64_t>(4, 0));
}

}  // namespace
}  // namespace penstock::node
