#include "io/buffer_pool.h"

#include <bit>
#include <cstdlib>
#include <utility>

namespace penstock::io {
namespace {

uint32_t class_of(uint32_t size) {
    return static_cast<uint32_t>(std::countr_zero(size) - std::countr_zero(BufferPool::size_min));
}

}  // namespace

void Buffer::give_back() noexcept {
    pool_->give_back(data_, size_);
}

BufferPool::BufferPool(uint64_t kept_bytes_max) : kept_bytes_max_(kept_bytes_max) {}

BufferPool::~BufferPool() {
    ASSERT(outstanding_count_ == 0);
    for (const std::vector<std::byte*>& list : free_) {
        for (std::byte* data : list) std::free(data);
    }
}

Buffer BufferPool::take(uint32_t size) {
    ASSERT(size <= size_max);
    const uint32_t rounded = std::bit_ceil(std::max(size, size_min));
    std::vector<std::byte*>& list = free_[class_of(rounded)];
    ++outstanding_count_;
    outstanding_bytes_ += rounded;
    if (!list.empty()) {
        std::byte* data = list.back();
        list.pop_back();
        kept_bytes_ -= rounded;
        return Buffer(this, data, rounded);
    }
    auto* data = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
    ASSERT(data != nullptr);
    return Buffer(this, data, rounded);
}

void BufferPool::give_back(std::byte* data, uint32_t size) noexcept {
    ASSERT(outstanding_count_ > 0);
    --outstanding_count_;
    outstanding_bytes_ -= size;
    if (kept_bytes_ + size > kept_bytes_max_) {
        std::free(data);
        return;
    }
    kept_bytes_ += size;
    free_[class_of(size)].push_back(data);
}

}  // namespace penstock::io
