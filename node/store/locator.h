// Locator: digest of (bucket, name) -> place of the current record. In memory, the one table of our
// own: every GET looks here, and 20 to 30 million objects must fit into a GiB.
//
// One writer (the mountpath's home core), readers on every core without a lock. A reader's look-up
// is done within one turn of its loop; tables that were outgrown are freed by turns (io/turns.h).
// A reader sees an entry either as it was before a change or after it, never a mix.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "io/base/checksum.h"
#include "io/turns.h"
#include "node/store/place.h"

namespace penstock::node {

class Locator {
public:
    // `turns` frees outgrown tables and must outlive the locator.
    explicit Locator(io::Turns& turns);
    ~Locator();
    Locator(const Locator&) = delete;
    Locator& operator=(const Locator&) = delete;

    // Any core.
    std::optional<Place> find(const Digest128& digest) const;
    // Any core: starts to bring in what find() will look at, for whoever has several to find.
    void prefetch(const Digest128& digest) const;

    // The home core only.
    void publish(const Digest128& digest, const Place& place);
    // Nothing happens if it is not there.
    void remove(const Digest128& digest);
    // Room for this many, so that loading ten million does not grow step by step. Does nothing if
    // there is something in it already.
    void reserve(uint64_t count);
    uint64_t count() const;
    uint64_t memory_bytes() const;
    void for_each(const std::function<void(const Digest128&, const Place&)>& visit) const;

private:
    class Segment;
    struct Directory;
    class State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock::node
