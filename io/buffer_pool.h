// Buffers: page-aligned memory that bodies travel in, kept by size on the core that made them.
//
// Working buffers stay at or below 1 MiB, so that a chunk is still in the second-level cache when
// it is hashed, verified or sent after it was read. A pool hands out sizes that are powers of two
// from 4 KiB; what comes back is kept up to a limit, so memory under load is taken once. A buffer
// returns to its own pool and is used on the pool's core, or handed over whole in a message whose
// receiver hands it back before the sender goes on.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/units.h"

namespace penstock::io {

class BufferPool;

// A piece of memory with one owner; empty when default-made or moved from.
class Buffer {
public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept
        : pool_(other.pool_), data_(std::exchange(other.data_, nullptr)), size_(other.size_) {
        other.size_ = 0;
    }
    Buffer& operator=(Buffer&& other) noexcept {
        if (this != &other) {
            if (data_ != nullptr) give_back();
            pool_ = other.pool_;
            data_ = std::exchange(other.data_, nullptr);
            size_ = std::exchange(other.size_, 0);
        }
        return *this;
    }
    ~Buffer() {
        if (data_ != nullptr) give_back();
    }

    std::byte* data() { return data_; }
    const std::byte* data() const { return data_; }
    uint32_t size() const { return size_; }
    explicit operator bool() const { return data_ != nullptr; }
    MutableBytes bytes() { return {data_, size_}; }
    Bytes bytes() const { return {data_, size_}; }

private:
    friend class BufferPool;
    Buffer(BufferPool* pool, std::byte* data, uint32_t size)
        : pool_(pool), data_(data), size_(size) {}
    void give_back() noexcept;

    BufferPool* pool_ = nullptr;
    std::byte* data_ = nullptr;
    uint32_t size_ = 0;
};

class BufferPool {
public:
    static constexpr uint32_t size_min = 4096;
    static constexpr uint32_t size_max = 4U << 20;
    static constexpr size_t alignment = 4096;

    // Keeps at most `kept_bytes_max` of returned memory for the next taker.
    explicit BufferPool(uint64_t kept_bytes_max);
    ~BufferPool();  // asserts that every buffer came back
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    // At least `size` bytes (at most size_max), uninitialised, aligned to 4096.
    Buffer take(uint32_t size);
    uint64_t outstanding_count() const { return outstanding_count_; }
    uint64_t outstanding_bytes() const { return outstanding_bytes_; }
    uint64_t kept_bytes() const { return kept_bytes_; }

private:
    friend class Buffer;
    void give_back(std::byte* data, uint32_t size) noexcept;

    static constexpr uint32_t class_count = 11;  // 4 KiB .. 4 MiB
    std::array<std::vector<std::byte*>, class_count> free_;
    uint64_t kept_bytes_max_;
    uint64_t kept_bytes_ = 0;
    uint64_t outstanding_count_ = 0;
    uint64_t outstanding_bytes_ = 0;
};

// A stretch of a buffer. What lies before `begin` is free for a header.
struct Chunk {
    Buffer buffer;
    uint32_t begin = 0;
    uint32_t size = 0;

    bool is_empty() const { return size == 0; }
    Bytes bytes() const { return buffer.bytes().subspan(begin, size); }
    MutableBytes mutable_bytes() { return buffer.bytes().subspan(begin, size); }
};

}  // namespace penstock::io
