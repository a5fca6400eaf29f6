// Units that sizes and times are written in.
#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock {

constexpr uint64_t operator""_KiB(unsigned long long count) {
    return count << 10;
}
constexpr uint64_t operator""_MiB(unsigned long long count) {
    return count << 20;
}
constexpr uint64_t operator""_GiB(unsigned long long count) {
    return count << 30;
}

constexpr uint64_t ns_per_us = 1'000;
constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t ns_per_s = 1'000'000'000;

constexpr uint64_t round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}
constexpr uint64_t round_down(uint64_t value, uint64_t unit) {
    return value / unit * unit;
}

}  // namespace penstock
