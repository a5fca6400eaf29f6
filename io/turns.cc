#include "io/turns.h"

#include <algorithm>

namespace penstock::io {

Turns::Turns(std::vector<const Reactor*> readers) : readers_(std::move(readers)) {}

Turns::~Turns() {
    for (const Retired& retired : retired_) retired.free_it();
}

void Turns::retire(std::function<void()> free_it) {
    Retired retired{{}, std::move(free_it)};
    // What was retired was put out of sight by a store that may still be on its way: no count may
    // be read before it has arrived, or a reader that counts as between turns could yet begin one
    // and see the old thing.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    retired.turns.reserve(readers_.size());
    for (const Reactor* reader : readers_) {
        retired.turns.push_back(reader->turn_count().load(std::memory_order_seq_cst));
    }
    retired_.push_back(std::move(retired));
}

size_t Turns::reclaim() {
    const auto is_unseen = [this](const Retired& retired) {
        for (size_t index = 0; index < readers_.size(); ++index) {
            const uint64_t then = retired.turns[index];
            // Even: that reader was inside its kernel call and held nothing.
            if (then % 2 == 0) continue;
            if (readers_[index]->turn_count().load(std::memory_order_seq_cst) == then) return false;
        }
        return true;
    };
    std::erase_if(retired_, [&](const Retired& retired) {
        if (!is_unseen(retired)) return false;
        retired.free_it();
        return true;
    });
    return retired_.size();
}

}  // namespace penstock::io
