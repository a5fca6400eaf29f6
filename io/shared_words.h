// Words that one core writes while others read: the only form of sharing without messages that we
// have, for tables that every request looks at (the locator). The memory ordering is here, so that
// nobody else has to reason about it.
//
// SequenceLock (a seqlock: Lameter 2005, Boehm 2012) makes many words change at once for readers:
//
//     writer (one)                          reader (any)
//     lock.begin_write();                   do {
//     word.store(...); word.store(...);         ticket = lock.begin_read();
//     lock.end_write();                         ... word.load() ...
//                                           } while (!lock.is_unchanged(ticket));
//
// Why no torn value passes: the lock's count is odd while words change. A reader that loads a word
// which a write stored has, by that word's release and acquire, also what came before the store:
// the odd count. Its last look at the count then differs from its first. Words are loaded with
// acquire, so the last look cannot move before them. A reader that begins behind end_write() sees
// all of the write, by the count's own release and acquire. On x86-64 all of it is plain moves.
//
// Every word is an atomic, so there is no data race for ThreadSanitizer to find.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace penstock::io {

// A word under a SequenceLock.
template <typename T>
class SharedWord {
public:
    T load() const { return word_.load(std::memory_order_acquire); }
    // By the writer: its own loads need no order.
    T load_own() const { return word_.load(std::memory_order_relaxed); }
    void store(T value) { word_.store(value, std::memory_order_release); }

private:
    static_assert(std::atomic<T>::is_always_lock_free);
    std::atomic<T> word_{};
};

// A pointer to a thing that is replaced whole, whose old one goes to Turns::retire(). Sequentially
// consistent: the store must not pass the look at the readers' turns, nor a reader's load the
// beginning of its turn; otherwise both could miss each other and the thing be freed under a
// reader.
template <typename T>
class SharedPointer {
public:
    T* load() const { return pointer_.load(std::memory_order_seq_cst); }
    void store(T* pointer) { pointer_.store(pointer, std::memory_order_seq_cst); }

private:
    std::atomic<T*> pointer_{nullptr};
};

class SequenceLock {
public:
    uint64_t begin_read() const {
        for (uint32_t looks = 0;; ++looks) {
            const uint64_t count = count_.load(std::memory_order_acquire);
            if (count % 2 == 0) return count;
            // A write takes well under a microsecond, unless the writer lost its processor.
            if (looks % looks_per_yield == looks_per_yield - 1) std::this_thread::yield();
        }
    }
    bool is_unchanged(uint64_t count) const {
        return count_.load(std::memory_order_relaxed) == count;
    }

    // By the one writer. A write never waits for a reader.
    void begin_write() {
        count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    void end_write() {
        count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }

private:
    static constexpr uint32_t looks_per_yield = 1000;

    std::atomic<uint64_t> count_{0};
};

}  // namespace penstock::io
