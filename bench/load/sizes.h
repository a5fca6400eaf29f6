// Sizes: how large the objects are. An object's size follows from its number, so that whoever reads
// it knows what must come back without asking.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/base/result.h"

namespace penstock::bench {

class Sizes {
public:
    // `1KiB` (all the same), `uniform:1KiB-64KiB`, `lognormal:64KiB:1.5` (the median, and sigma of
    // the logarithm; cut off at 64 times the median), `4KiB=90,1MiB=10` (shares). Units are B,
    // KiB, MiB, GiB and KB, MB, GB; none is bytes. `invalid` with what is wrong.
    static Result<Sizes> parse(const std::string& text);

    uint64_t of(uint64_t object) const;
    uint64_t max() const { return max_; }

private:
    enum class Kind : uint8_t { fixed, uniform, lognormal, shares };
    struct Share {
        uint64_t size = 0;
        double below = 0;  // the share of objects that are this one or an earlier one
    };

    Kind kind_ = Kind::fixed;
    uint64_t min_ = 1024;
    uint64_t max_ = 1024;
    double median_ = 0;
    double sigma_ = 0;
    std::vector<Share> shares_;
};

// "64KiB" -> 65,536.
Result<uint64_t> parse_size(const std::string& text);

}  // namespace penstock::bench
