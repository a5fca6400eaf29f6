// StripeSink: takes an object's bytes in order and hands them round to its parts, which are written
// side by side. At most a few units wait for each part, so a slow mountpath holds up the others
// rather than fill memory.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "io/reactor.h"
#include "io/stream.h"
#include "node/store/stripe.h"

namespace penstock::node {

struct StripeWrites {
    io::Reactor& reactor;
    io::BufferPool& buffers;
    std::optional<uint64_t> size_bytes;  // of the object, where it is known
    // The number of the next part, which decides where it lies.
    std::function<uint32_t(uint32_t index)> number_of;
    // Puts that part; it is durable when this is done.
    std::function<io::Task<Status>(uint32_t number, io::Body body)> put;
};

class StripeSink {
public:
    // `layout` says id, part_bytes, unit_bytes and width; the rest is filled in. What `writes`
    // refers to must outlive the sink, which must have finished or been abandoned.
    StripeSink(StripeWrites writes, StripeLayout layout);
    ~StripeSink();
    StripeSink(const StripeSink&) = delete;

    // Waits while too much is on its way. Fails as the part that failed first.
    io::Task<Status> write(io::Chunk chunk);
    // Every part is durable, and layout() is whole.
    io::Task<Status> finish();
    // No more bytes come: parts that are under way fail. Done when none is any more.
    io::Task<void> abandon();

    const StripeLayout& layout() const { return layout_; }

private:
    struct Lane;
    class LaneSource;

    io::Task<Status> write_piece(io::Chunk piece);
    io::Task<Result<std::shared_ptr<Lane>>> lane_for_next();
    static io::Task<void> run(StripeSink& sink, std::shared_ptr<Lane> lane, uint32_t number,
                              io::Body body);
    void end_lanes(bool is_whole);
    void pulse();

    StripeWrites writes_;
    StripeLayout layout_;
    std::vector<std::shared_ptr<Lane>> lanes_;  // of the group that comes in
    uint64_t at_ = 0;
    uint32_t running_ = 0;  // parts
    Status failure_;
    io::Event changed_;  // pulsed: room in a lane, or a part has ended
};

}  // namespace penstock::node
