// Random: handed to whatever draws, so that a simulation is repeatable from its seed.
// xoshiro256** by Blackman and Vigna (public domain), seeded through SplitMix64.
#pragma once

#include <cstdint>

#include "io/base/bytes.h"

namespace penstock {

class Random {
public:
    explicit Random(uint64_t seed);
    // Seeded by the operating system.
    static Random from_system();

    uint64_t next();
    // Uniform in [0, bound); bound >= 1.
    uint64_t below(uint64_t bound);
    // True with probability numerator / denominator.
    bool chance(uint64_t numerator, uint64_t denominator);
    // `length` of [0-9A-Za-z], as AIStore's node and job ids are written.
    std::string alphanumeric(size_t length);

private:
    uint64_t state_[4];
};

}  // namespace penstock
