// StripeSource: the parts of a striped object as one Source, in order. The next unit of every part
// is on its way while the taker is busy: so the rate is that of all their mountpaths together.
//
// Where there are several layouts, one behind the other, the next one's first units are on their
// way before the one before has no more to read.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "io/reactor.h"
#include "io/stream.h"
#include "node/store/stripe.h"

namespace penstock::node {

// Opens a range of the part with this index.
using OpenPart =
    std::function<io::Task<Result<io::Body>>(uint32_t index, uint64_t offset, uint64_t size)>;

struct StripeReads {
    io::Reactor& reactor;
    io::BufferPool& buffers;
    io::Gate& gate;  // held by reads that nobody waits for
    std::shared_ptr<const StripeLayout> layout;
    uint64_t offset = 0;
    uint64_t size = 0;
    OpenPart open;
    std::shared_ptr<void> pin;  // keeps the parts from being removed
};

// Opens what the range needs first, all at once; fails as they do. What `reads` refers to must
// outlive the body.
io::Task<Result<io::Body>> open_stripe_body(StripeReads reads);

// Opens a range of the layout with this index.
using OpenLayout =
    std::function<io::Task<Result<io::Body>>(size_t index, uint64_t offset, uint64_t size)>;

struct LayoutReads {
    io::Reactor& reactor;
    io::BufferPool& buffers;
    io::Gate& gate;  // held by openings that nobody waits for
    std::shared_ptr<const StripeLayouts> layouts;
    uint64_t offset = 0;
    uint64_t size = 0;  // at least 1, and all of it is there
    OpenLayout open;
    std::shared_ptr<void> pin;  // keeps the parts from being removed
};

// Opens the first layout that the range meets, and fails as that does.
io::Task<Result<io::Body>> open_layout_bodies(LayoutReads reads);

}  // namespace penstock::node
