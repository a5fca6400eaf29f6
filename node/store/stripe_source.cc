#include "node/store/stripe_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "node/store/together.h"

namespace penstock::node {
namespace {

// What one column of the stripes gives: its parts, one after the other, a chunk ahead. Lives until
// its last read is done, also when the source is gone.
struct Lane {
    Lane(io::Reactor& reactor, uint32_t first) : part(first), done(reactor) {}
    uint32_t part;                       // whose bytes come next
    std::unique_ptr<io::Source> source;  // of that part; null: to be opened
    uint64_t left = 0;                   // in it
    io::Chunk chunk;                     // what was read and not given yet
    io::Event done;                      // of the read ahead
    bool is_reading = false;
    Result<io::Chunk> ahead = io::Chunk();
};

// The stretch of a part that lies in the range.
struct Stretch {
    uint64_t offset = 0;
    uint64_t size = 0;
};

Stretch stretch_of(const StripeReads& reads, uint32_t part) {
    const uint64_t begin = reads.layout->bytes_before(part, reads.offset);
    return {begin, reads.layout->bytes_before(part, reads.offset + reads.size) - begin};
}

bool has_stretch(const StripeReads& reads, uint32_t part) {
    return part < reads.layout->numbers.size() && stretch_of(reads, part).size > 0;
}

io::Task<Status> open_part(const StripeReads& reads, Lane& lane) {
    const Stretch stretch = stretch_of(reads, lane.part);
    ASSERT(stretch.size > 0);
    CO_TRY(io::Body body, co_await reads.open(lane.part, stretch.offset, stretch.size));
    lane.source = body.into_source(reads.reactor, reads.buffers);
    lane.left = stretch.size;
    co_return Status();
}

io::Task<Result<io::Chunk>> next_of(const StripeReads& reads, Lane& lane) {
    if (lane.source == nullptr) {
        const Status opened = co_await open_part(reads, lane);
        // The first part was there when the reading began, and a pin kept the others.
        if (!opened && opened.error().code == Errc::not_found) {
            co_return fail(Errc::corrupt, "a part of the object is missing");
        }
        CO_TRY_STATUS(opened);
    }
    CO_TRY(io::Chunk chunk, co_await lane.source->next());
    if (chunk.is_empty() || chunk.size > lane.left) {
        co_return fail(Errc::corrupt, "a part of the object has another size");
    }
    lane.left -= chunk.size;
    if (lane.left == 0) {
        lane.source.reset();
        lane.part += reads.layout->width;
    }
    co_return chunk;
}

class StripeSource final : public io::Source {
public:
    StripeSource(std::shared_ptr<StripeReads> reads, std::vector<std::shared_ptr<Lane>> lanes)
        : reads_(std::move(reads)),
          lanes_(std::move(lanes)),
          at_(reads_->offset),
          left_(reads_->size) {
        for (const auto& lane : lanes_) start_read(lane);
    }

    io::Task<Result<io::Chunk>> next() override {
        if (left_ == 0) co_return io::Chunk();
        const uint32_t unit_bytes = reads_->layout->unit_bytes;
        const std::shared_ptr<Lane> lane = lanes_[at_ / unit_bytes % lanes_.size()];
        if (lane->chunk.is_empty()) {
            if (!lane->is_reading) start_read(lane);
            co_await lane->done.wait();
            lane->is_reading = false;
            CO_TRY(lane->chunk, std::move(lane->ahead));
            start_read(lane);
        }
        const uint64_t wanted = std::min(unit_bytes - at_ % unit_bytes, left_);
        io::Chunk given = take(lane->chunk, wanted);
        at_ += given.size;
        left_ -= given.size;
        co_return given;
    }
    std::optional<uint64_t> remaining_bytes() const override { return left_; }

private:
    // The front of a chunk; all of it as it is.
    io::Chunk take(io::Chunk& from, uint64_t size_max) {
        if (from.size <= size_max) return std::exchange(from, io::Chunk());
        const auto size = static_cast<uint32_t>(size_max);
        io::Chunk front{reads_->buffers.take(size), 0, size};
        std::memcpy(front.buffer.data(), from.bytes().data(), size);
        from.begin += size;
        from.size -= size;
        return front;
    }

    void start_read(const std::shared_ptr<Lane>& lane) {
        if (lane->left == 0 && !has_stretch(*reads_, lane->part)) return;
        lane->done.reset();
        lane->is_reading = true;
        io::start_detached(read(reads_, lane));
    }

    static io::Task<void> read(std::shared_ptr<StripeReads> reads, std::shared_ptr<Lane> lane) {
        Result<io::Gate::Pass> pass = reads->gate.enter();
        if (pass) {
            lane->ahead = co_await next_of(*reads, *lane);
        } else {
            lane->ahead = std::unexpected(pass.error());
        }
        lane->done.set();
    }

    std::shared_ptr<StripeReads> reads_;
    std::vector<std::shared_ptr<Lane>> lanes_;
    uint64_t at_;
    uint64_t left_;
};

// The layout whose bytes come next, opened while those before it are taken. Lives until that is
// done, also when the source is gone.
struct NextLayout {
    explicit NextLayout(io::Reactor& reactor) : done(reactor) {}
    uint64_t size = 0;  // of the range in it
    io::Event done;
    Result<std::unique_ptr<io::Source>> source = nullptr;
};

class LayoutSource final : public io::Source {
public:
    // `layout` the first that the range meets, and `at` where in it.
    LayoutSource(std::shared_ptr<LayoutReads> reads, size_t layout, uint64_t at)
        : reads_(std::move(reads)), next_layout_(layout), at_(at), left_(reads_->size) {}

    io::Task<Status> start() {
        open_next();
        co_return co_await take_next();
    }

    io::Task<Result<io::Chunk>> next() override {
        if (left_ == 0) co_return io::Chunk();
        if (source_left_ == 0) CO_TRY_STATUS(co_await take_next());
        CO_TRY(io::Chunk chunk, co_await source_->next());
        if (chunk.is_empty() || chunk.size > source_left_) {
            co_return fail(Errc::corrupt, "a part of the object has another size");
        }
        source_left_ -= chunk.size;
        left_ -= chunk.size;
        if (is_near_its_end()) open_next();
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return left_; }

private:
    // What its lanes have read ahead is all that is left of it, or soon will be.
    bool is_near_its_end() const {
        constexpr uint64_t rows = 4;
        constexpr uint64_t near_bytes = rows * stripe_width_max * stripe_unit_bytes;
        return ahead_ == nullptr && left_ > source_left_ && source_left_ <= near_bytes;
    }

    io::Task<Status> take_next() {
        if (ahead_ == nullptr) open_next();
        const std::shared_ptr<NextLayout> next = std::exchange(ahead_, nullptr);
        co_await next->done.wait();
        CO_TRY(source_, std::move(next->source));
        source_left_ = next->size;
        co_return Status();
    }

    void open_next() {
        ASSERT(ahead_ == nullptr);
        const StripeLayout& layout = (*reads_->layouts)[next_layout_];
        ahead_ = std::make_shared<NextLayout>(reads_->reactor);
        ahead_->size = std::min(layout.size_bytes - at_, left_ - source_left_);
        io::start_detached(open(reads_, ahead_, next_layout_, at_));
        next_layout_ += 1;
        at_ = 0;
    }

    static io::Task<void> open(std::shared_ptr<LayoutReads> reads, std::shared_ptr<NextLayout> next,
                               size_t index, uint64_t offset) {
        Result<io::Gate::Pass> pass = reads->gate.enter();
        if (pass) {
            Result<io::Body> body = co_await reads->open(index, offset, next->size);
            if (body) {
                next->source = body->into_source(reads->reactor, reads->buffers);
            } else {
                next->source = std::unexpected(body.error());
            }
        } else {
            next->source = std::unexpected(pass.error());
        }
        next->done.set();
    }

    std::shared_ptr<LayoutReads> reads_;
    size_t next_layout_;  // that is to be opened
    uint64_t at_;         // in that
    uint64_t left_;       // of the range
    std::unique_ptr<io::Source> source_;
    uint64_t source_left_ = 0;
    std::shared_ptr<NextLayout> ahead_;
};

io::Task<void> open_first(const StripeReads& reads, Lane& lane, Status& status) {
    status = co_await open_part(reads, lane);
}

}  // namespace

io::Task<Result<io::Body>> open_stripe_body(StripeReads asked) {
    if (asked.size == 0) co_return io::Body();
    const auto reads = std::make_shared<StripeReads>(std::move(asked));
    const StripeLayout& layout = *reads->layout;
    const auto group = static_cast<uint32_t>(reads->offset / layout.group_bytes());
    std::vector<std::shared_ptr<Lane>> lanes;
    std::vector<Lane*> needed;
    for (uint32_t column = 0; column < layout.width; ++column) {
        uint32_t part = group * layout.width + column;
        // A range that begins behind what this column has of its group begins in the next one.
        if (!has_stretch(*reads, part)) part += layout.width;
        lanes.push_back(std::make_shared<Lane>(reads->reactor, part));
        if (has_stretch(*reads, part)) needed.push_back(lanes.back().get());
    }
    ASSERT(!needed.empty());
    if (needed.size() == 1) {
        const Stretch stretch = stretch_of(*reads, needed[0]->part);
        if (stretch.size == reads->size) {
            co_return co_await reads->open(needed[0]->part, stretch.offset, stretch.size);
        }
    }
    std::vector<Status> outcomes(needed.size());
    Together together(reads->reactor);
    for (size_t index = 0; index < needed.size(); ++index) {
        together.start(open_first(*reads, *needed[index], outcomes[index]));
    }
    co_await together.wait();
    for (const Status& outcome : outcomes) CO_TRY_STATUS(outcome);
    co_return io::Body(std::make_unique<StripeSource>(reads, std::move(lanes)));
}

io::Task<Result<io::Body>> open_layout_bodies(LayoutReads asked) {
    const auto reads = std::make_shared<LayoutReads>(std::move(asked));
    size_t index = 0;
    uint64_t at = reads->offset;
    for (; at >= (*reads->layouts)[index].size_bytes; ++index) {
        at -= (*reads->layouts)[index].size_bytes;
    }
    if (at + reads->size <= (*reads->layouts)[index].size_bytes) {
        co_return co_await reads->open(index, at, reads->size);
    }
    auto source = std::make_unique<LayoutSource>(reads, index, at);
    CO_TRY_STATUS(co_await source->start());
    co_return io::Body(std::move(source));
}

}  // namespace penstock::node
