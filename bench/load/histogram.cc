// Slices: values below 64 have one each. From there on a power of two, [2^k, 2^(k+1)), is cut into
// 64 of the same width: slice 64 * (k - 5) + the six bits behind the leading one.
#include "bench/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace penstock::bench {

uint32_t Histogram::slice_of(uint64_t value_ns) {
    constexpr uint64_t value_max = (uint64_t{1} << value_bits) - 1;
    const uint64_t value = std::min(value_ns, value_max);
    if (value < (1U << slice_bits)) return static_cast<uint32_t>(value);
    const auto shift = static_cast<uint32_t>(std::bit_width(value)) - 1 - slice_bits;
    const auto within = static_cast<uint32_t>(value >> shift) - (1U << slice_bits);
    return ((shift + 1) << slice_bits) + within;
}

uint64_t Histogram::upper_end_of(uint32_t slice) {
    if (slice < (1U << slice_bits)) return slice;
    const uint32_t shift = (slice >> slice_bits) - 1;
    const uint64_t within = slice & ((1U << slice_bits) - 1);
    return ((within + (1U << slice_bits) + 1) << shift) - 1;
}

void Histogram::record(uint64_t value_ns) {
    ++counts_[slice_of(value_ns)];
    ++count_;
    max_ns_ = std::max(max_ns_, value_ns);
}

void Histogram::add(const Histogram& other) {
    for (uint32_t slice = 0; slice < slice_count; ++slice) counts_[slice] += other.counts_[slice];
    count_ += other.count_;
    max_ns_ = std::max(max_ns_, other.max_ns_);
}

uint64_t Histogram::quantile_ns(double share) const {
    if (count_ == 0) return 0;
    const double wanted = std::ceil(share * static_cast<double>(count_));
    uint64_t below = 0;
    for (uint32_t slice = 0; slice < slice_count; ++slice) {
        below += counts_[slice];
        if (counts_[slice] > 0 && static_cast<double>(below) >= wanted) {
            return std::min(upper_end_of(slice), max_ns_);
        }
    }
    return max_ns_;
}

void Histogram::for_each(const std::function<void(uint64_t, uint64_t)>& visit) const {
    for (uint32_t slice = 0; slice < slice_count; ++slice) {
        if (counts_[slice] > 0) visit(upper_end_of(slice), counts_[slice]);
    }
}

}  // namespace penstock::bench
