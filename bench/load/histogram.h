// Histogram: how long operations took, from 1 ns to 18 minutes at 1.6 % or better, in 18 KB. Slices
// of each power of two, as HdrHistogram has them (Tene 2012): recording is two shifts and an
// addition, and histograms of several threads add up.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

namespace penstock::bench {

class Histogram {
public:
    void record(uint64_t value_ns);
    void add(const Histogram& other);

    uint64_t count() const { return count_; }
    uint64_t max_ns() const { return max_ns_; }
    // The smallest value that is not below this share, 0 to 1, of what was recorded, rounded up to
    // its slice's end; 0 if nothing was.
    uint64_t quantile_ns(double share) const;
    // Every slice that is not empty, in order: its upper end and what is in it.
    void for_each(const std::function<void(uint64_t upper_ns, uint64_t count)>& visit) const;

private:
    static constexpr uint32_t slice_bits = 6;  // slices of a power of two: 64
    static constexpr uint32_t value_bits = 40;
    static constexpr uint32_t slice_count = (value_bits - slice_bits + 1) << slice_bits;

    static uint32_t slice_of(uint64_t value_ns);
    static uint64_t upper_end_of(uint32_t slice);

    std::array<uint64_t, slice_count> counts_{};
    uint64_t count_ = 0;
    uint64_t max_ns_ = 0;
};

}  // namespace penstock::bench
