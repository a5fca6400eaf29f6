#include "node/store/blocks.h"

#include <algorithm>
#include <utility>

namespace penstock::node {

uint32_t crc_of_blocks(const std::vector<uint32_t>& blocks, uint64_t content_bytes) {
    ASSERT(blocks.size() == checked_block_count(content_bytes));
    uint32_t crc = 0;
    for (const uint32_t block : blocks) {
        const uint64_t size = std::min<uint64_t>(content_bytes, checked_block_bytes);
        crc = crc32c_combine(crc, block, size);
        content_bytes -= size;
    }
    return crc;
}

void BlockSummer::add(Bytes bytes) {
    while (!bytes.empty()) {
        const size_t taken = std::min<size_t>(bytes.size(), checked_block_bytes - current_bytes_);
        current_ = crc32c(bytes.first(taken), current_);
        current_bytes_ += static_cast<uint32_t>(taken);
        bytes = bytes.subspan(taken);
        if (current_bytes_ == checked_block_bytes) {
            sums_.push_back(std::exchange(current_, 0));
            current_bytes_ = 0;
        }
    }
}

std::vector<uint32_t> BlockSummer::finish() {
    if (current_bytes_ > 0) sums_.push_back(std::exchange(current_, 0));
    current_bytes_ = 0;
    return std::move(sums_);
}

void VerifiedMarks::mark(uint64_t block) {
    const uint64_t word = block / 64;
    if (word >= words_.size()) words_.resize(word + 1);
    words_[word] |= uint64_t{1} << (block % 64);
}

void VerifiedMarks::clear(uint64_t block) {
    const uint64_t word = block / 64;
    if (word < words_.size()) words_[word] &= ~(uint64_t{1} << (block % 64));
}

void VerifiedMarks::mark_all(uint64_t offset, uint64_t size) {
    const uint64_t last = (offset + size - 1) / unit_bytes_;
    for (uint64_t block = offset / unit_bytes_; block <= last; ++block) mark(block);
}

bool VerifiedMarks::are_marked(uint64_t offset, uint64_t size) const {
    const uint64_t last = (offset + size - 1) / unit_bytes_;
    for (uint64_t block = offset / unit_bytes_; block <= last; ++block) {
        if (!is_marked(block)) return false;
    }
    return true;
}

void VerifiedMarks::clear_all(uint64_t offset, uint64_t size) {
    const uint64_t last = (offset + size - 1) / unit_bytes_;
    for (uint64_t block = offset / unit_bytes_; block <= last; ++block) clear(block);
}

bool VerifiedMarks::is_marked(uint64_t block) const {
    const uint64_t word = block / 64;
    return word < words_.size() && (words_[word] >> (block % 64) & 1) != 0;
}

}  // namespace penstock::node
