// One writer and readers on real threads. Run under ThreadSanitizer, too, which would tell of a
// race; here, a torn value tells of a wrong order.
#include "io/shared_words.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace penstock::io {
namespace {

// Words that always hold the same number, as one.
struct Table {
    SequenceLock lock;
    std::array<SharedWord<uint64_t>, 4> words;

    void write(uint64_t value) {
        lock.begin_write();
        for (SharedWord<uint64_t>& word : words) word.store(value);
        lock.end_write();
    }
    // nullopt-like: UINT64_MAX if the words differ.
    uint64_t read() const {
        for (;;) {
            const uint64_t ticket = lock.begin_read();
            const uint64_t value = words[0].load();
            bool is_whole = true;
            for (const SharedWord<uint64_t>& word : words) {
                is_whole = is_whole && word.load() == value;
            }
            if (lock.is_unchanged(ticket)) return is_whole ? value : UINT64_MAX;
        }
    }
};

TEST(SharedWords, AReadThatAWriteCameIntoIsNotUsed) {
    SequenceLock lock;
    const uint64_t ticket = lock.begin_read();
    EXPECT_TRUE(lock.is_unchanged(ticket));
    lock.begin_write();
    EXPECT_FALSE(lock.is_unchanged(ticket));
    lock.end_write();
    EXPECT_FALSE(lock.is_unchanged(ticket));
    EXPECT_TRUE(lock.is_unchanged(lock.begin_read()));
}

TEST(SharedWords, AReadBeginsBehindTheWriteThatGoesOn) {
    SequenceLock lock;
    std::atomic<bool> has_begun = false;
    lock.begin_write();
    std::jthread reader([&] {
        (void)lock.begin_read();
        has_begun = true;
    });
    for (int look = 0; look < 1000; ++look) std::this_thread::yield();
    EXPECT_FALSE(has_begun);
    lock.end_write();
    reader.join();
    EXPECT_TRUE(has_begun);
}

TEST(SharedWords, ReadersSeeWholeValuesAndNoneTwiceBackwards) {
    constexpr uint64_t writes = 50'000;
    constexpr uint64_t reads_at_least = 1000;
    Table table;
    std::atomic<uint64_t> read_count = 0;
    std::atomic<uint64_t> wrong_count = 0;
    std::atomic<bool> is_written = false;
    std::vector<std::jthread> readers;
    for (int reader = 0; reader < 2; ++reader) {
        readers.emplace_back([&] {
            uint64_t last = 0;
            while (!is_written || read_count < reads_at_least) {
                const uint64_t value = table.read();
                if (value > writes || value < last) ++wrong_count;
                last = value;
                ++read_count;
            }
        });
    }
    for (uint64_t value = 1; value <= writes; ++value) {
        table.write(value);
        // On one processor the readers would otherwise come after all of it.
        if (value % 100 == 0) std::this_thread::yield();
    }
    is_written = true;
    readers.clear();
    EXPECT_EQ(wrong_count, 0U);
    EXPECT_EQ(table.read(), writes);
    EXPECT_EQ(table.words[0].load_own(), writes);
}

}  // namespace
}  // namespace penstock::io
