// Turns: when may memory that other cores read be freed?
//
// One writer replaces a thing that readers on every core look at without a lock (the locator's
// tables, a map). A reader holds its reference within one turn of its loop and never across a
// wait, so once every reactor has begun a new turn since the thing was taken out of sight, nobody
// can still see it. (Epoch-based reclamation, Fraser 2004, with the loop's turn as the epoch.)
//
// The thing stands in a SharedPointer (io/shared_words.h), and its order matters: a plain acquire
// load could be done before the store that begins the reader's turn is seen. The writer would take
// the reader for one between turns and free what it is looking at.
//
// A reactor that sleeps counts as between turns. The writer calls retire() and, now and then,
// reclaim(); both on its own core.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "io/reactor.h"

namespace penstock::io {

class Turns {
public:
    // `readers`: every reactor that may hold a reference, the writer's own too. All outlive this.
    explicit Turns(std::vector<const Reactor*> readers);
    ~Turns();  // frees everything: by then no reactor runs

    // After the SharedPointer was stored. `free_it` is called by a later reclaim(), when no reader
    // can hold a reference any more.
    void retire(std::function<void()> free_it);
    // Frees what is free by now; returns how much still waits.
    size_t reclaim();

private:
    struct Retired {
        std::vector<uint64_t> turns;  // each reader's turn count when it was retired
        std::function<void()> free_it;
    };

    std::vector<const Reactor*> readers_;
    std::vector<Retired> retired_;
};

}  // namespace penstock::io
