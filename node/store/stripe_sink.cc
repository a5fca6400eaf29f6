#include "node/store/stripe_sink.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

namespace penstock::node {
namespace {

constexpr uint64_t waiting_bytes_max = 4 * stripe_unit_bytes;  // for each part

}  // namespace

// What a part's body is fed from.
struct StripeSink::Lane {
    explicit Lane(io::Reactor& reactor) : has_more(reactor) {}
    std::deque<io::Chunk> waiting;
    uint64_t waiting_bytes = 0;
    bool has_ended = false;
    bool is_cut_off = false;  // its end is none
    io::Event has_more;       // pulsed
};

class StripeSink::LaneSource final : public io::Source {
public:
    LaneSource(StripeSink& sink, std::shared_ptr<Lane> lane, std::optional<uint64_t> left)
        : sink_(sink), lane_(std::move(lane)), left_(left) {}

    io::Task<Result<io::Chunk>> next() override {
        while (lane_->waiting.empty() && !lane_->has_ended) co_await lane_->has_more.wait();
        if (lane_->is_cut_off) co_return fail(Errc::closed, "the content ended early");
        if (lane_->waiting.empty()) co_return io::Chunk();
        io::Chunk chunk = std::move(lane_->waiting.front());
        lane_->waiting.pop_front();
        lane_->waiting_bytes -= chunk.size;
        if (left_) *left_ -= std::min<uint64_t>(*left_, chunk.size);
        sink_.pulse();
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return left_; }

private:
    StripeSink& sink_;
    std::shared_ptr<Lane> lane_;
    std::optional<uint64_t> left_;
};

StripeSink::StripeSink(StripeWrites writes, StripeLayout layout)
    : writes_(std::move(writes)), layout_(std::move(layout)), changed_(writes_.reactor) {
    ASSERT(layout_.width > 0 && layout_.part_bytes % layout_.unit_bytes == 0);
}

StripeSink::~StripeSink() {
    ASSERT(running_ == 0);
}

void StripeSink::pulse() {
    changed_.set();
    changed_.reset();
}

// In pieces that do not go beyond a unit.
io::Task<Status> StripeSink::write(io::Chunk chunk) {
    while (!chunk.is_empty()) {
        const uint64_t room = layout_.unit_bytes - at_ % layout_.unit_bytes;
        if (chunk.size <= room) co_return co_await write_piece(std::move(chunk));
        const auto size = static_cast<uint32_t>(room);
        io::Chunk piece{writes_.buffers.take(size), 0, size};
        std::memcpy(piece.buffer.data(), chunk.bytes().data(), size);
        chunk.begin += size;
        chunk.size -= size;
        CO_TRY_STATUS(co_await write_piece(std::move(piece)));
    }
    co_return Status();
}

io::Task<Status> StripeSink::write_piece(io::Chunk piece) {
    CO_TRY(const std::shared_ptr<Lane> lane, co_await lane_for_next());
    while (failure_ && lane->waiting_bytes >= waiting_bytes_max) co_await changed_.wait();
    CO_TRY_STATUS(failure_);
    at_ += piece.size;
    lane->waiting_bytes += piece.size;
    lane->waiting.push_back(std::move(piece));
    lane->has_more.set();
    lane->has_more.reset();
    if (at_ % layout_.group_bytes() == 0) end_lanes(true);
    co_return Status();
}

// Parts of the group before are made durable while the next ones come in, and no more than those.
io::Task<Result<std::shared_ptr<StripeSink::Lane>>> StripeSink::lane_for_next() {
    const uint64_t column = at_ / layout_.unit_bytes % layout_.width;
    if (column < lanes_.size()) co_return lanes_[column];
    ASSERT(column == lanes_.size());
    while (failure_ && running_ >= 2 * layout_.width) co_await changed_.wait();
    CO_TRY_STATUS(failure_);
    const auto index = static_cast<uint32_t>(layout_.numbers.size());
    if (index == stripe_parts_max) {
        co_return fail(Errc::too_large,
                       "the object would have too many parts: the bucket's "
                       "chunks.chunk_size is too small for it");
    }
    const uint32_t number = writes_.number_of(index);
    layout_.numbers.push_back(number);
    lanes_.push_back(std::make_shared<Lane>(writes_.reactor));
    std::optional<uint64_t> size;
    if (writes_.size_bytes) size = layout_.bytes_before(index, *writes_.size_bytes);
    running_ += 1;
    io::start_detached(run(*this, lanes_.back(), number,
                           io::Body(std::make_unique<LaneSource>(*this, lanes_.back(), size))));
    co_return lanes_.back();
}

io::Task<void> StripeSink::run(StripeSink& sink, std::shared_ptr<Lane> lane, uint32_t number,
                               io::Body body) {
    const Status put = co_await sink.writes_.put(number, std::move(body));
    // What it did not take is nobody's.
    lane->waiting.clear();
    if (!put && sink.failure_) sink.failure_ = put;
    sink.running_ -= 1;
    sink.pulse();
}

void StripeSink::end_lanes(bool is_whole) {
    for (const auto& lane : lanes_) {
        lane->has_ended = true;
        lane->is_cut_off = !is_whole;
        lane->has_more.set();
        lane->has_more.reset();
    }
    lanes_.clear();
}

io::Task<Status> StripeSink::finish() {
    end_lanes(true);
    while (running_ > 0) co_await changed_.wait();
    layout_.size_bytes = at_;
    co_return failure_;
}

io::Task<void> StripeSink::abandon() {
    end_lanes(false);
    while (running_ > 0) co_await changed_.wait();
}

}  // namespace penstock::node
