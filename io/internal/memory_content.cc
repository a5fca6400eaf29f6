#include "io/internal/memory_content.h"

#include <algorithm>
#include <cstring>

namespace penstock::io::internal {

bool is_all_zeros(Bytes bytes) {
    if (bytes.empty()) return true;
    // The first is zero and each equals its neighbour.
    return bytes[0] == std::byte{0} &&
           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

size_t MemoryContent::read(MutableBytes buffer, uint64_t offset) const {
    if (offset >= size_bytes_) return 0;
    const size_t count = std::min<uint64_t>(buffer.size(), size_bytes_ - offset);
    for (size_t done = 0; done < count;) {
        const uint64_t position = offset + done;
        const size_t at = position % chunk_bytes;
        const size_t part = std::min<size_t>(count - done, chunk_bytes - at);
        const auto& chunk = chunks_[position / chunk_bytes];
        if (chunk) {
            std::memcpy(buffer.data() + done, chunk->data() + at, part);
        } else {
            std::memset(buffer.data() + done, 0, part);
        }
        done += part;
    }
    return count;
}

void MemoryContent::write(Bytes bytes, uint64_t offset) {
    if (bytes.empty()) return;
    grow(offset + bytes.size());
    while (!bytes.empty()) {
        const size_t at = offset % chunk_bytes;
        const size_t part = std::min<size_t>(bytes.size(), chunk_bytes - at);
        write_chunk(offset / chunk_bytes, bytes.first(part), at);
        bytes = bytes.subspan(part);
        offset += part;
    }
}

// Chunks are never changed in place: another copy of this content may share them, perhaps on
// another thread. A new one costs about a microsecond.
void MemoryContent::write_chunk(size_t index, Bytes bytes, size_t at) {
    auto& chunk = chunks_[index];
    const bool is_zeros = is_all_zeros(bytes);
    if (is_zeros && !chunk) return;
    if (is_zeros && bytes.size() == chunk_bytes) {
        chunk = nullptr;
        return;
    }
    auto changed = chunk ? std::make_shared<Chunk>(*chunk) : std::make_shared<Chunk>();
    std::memcpy(changed->data() + at, bytes.data(), bytes.size());
    chunk = std::move(changed);
}

void MemoryContent::write_zeros(uint64_t offset, uint64_t size) {
    static constexpr Chunk zeros{};
    if (size == 0) return;
    grow(offset + size);
    while (size > 0) {
        const size_t at = offset % chunk_bytes;
        const size_t part = std::min<uint64_t>(size, chunk_bytes - at);
        write_chunk(offset / chunk_bytes, Bytes(zeros).first(part), at);
        offset += part;
        size -= part;
    }
}

void MemoryContent::grow(uint64_t size_bytes) {
    if (size_bytes <= size_bytes_) return;
    size_bytes_ = size_bytes;
    chunks_.resize((size_bytes + chunk_bytes - 1) / chunk_bytes);
}

void MemoryContent::resize(uint64_t size_bytes) {
    if (size_bytes >= size_bytes_) return grow(size_bytes);
    chunks_.resize((size_bytes + chunk_bytes - 1) / chunk_bytes);
    const uint64_t old_end = std::min<uint64_t>(size_bytes_, chunks_.size() * chunk_bytes);
    size_bytes_ = old_end;
    write_zeros(size_bytes, old_end - size_bytes);
    size_bytes_ = size_bytes;
}

bool MemoryContent::is_hole(uint64_t offset, uint64_t size) const {
    const uint64_t end = std::min(offset + size, size_bytes_);
    for (uint64_t position = offset; position < end;
         position = round_down(position, chunk_bytes) + chunk_bytes) {
        if (chunks_[position / chunk_bytes]) return false;
    }
    return true;
}

}  // namespace penstock::io::internal
