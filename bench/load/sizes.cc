#include "bench/load/sizes.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "io/base/random.h"

namespace penstock::bench {
namespace {

constexpr uint64_t size_max = uint64_t{1} << 40;

double number_between_0_and_1(Random& random) {
    return static_cast<double>(random.next() >> 11) * 0x1p-53;
}

Result<double> parse_number(const std::string& text) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || !(number >= 0)) {
        return fail(Errc::invalid, "'" + text + "' is no number");
    }
    return number;
}

std::vector<std::string> split(const std::string& text, char at) {
    std::vector<std::string> parts;
    for (size_t begin = 0;;) {
        const size_t end = text.find(at, begin);
        parts.push_back(text.substr(begin, end - begin));
        if (end == std::string::npos) return parts;
        begin = end + 1;
    }
}

}  // namespace

Result<uint64_t> parse_size(const std::string& text) {
    static constexpr struct {
        const char* name;
        double factor;
    } units[] = {{"", 1},         {"B", 1},      {"KiB", 0x1p10}, {"MiB", 0x1p20},
                 {"GiB", 0x1p30}, {"K", 0x1p10}, {"M", 0x1p20},   {"G", 0x1p30},
                 {"KB", 1e3},     {"MB", 1e6},   {"GB", 1e9}};
    const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    TRY(const double number, parse_number(text.substr(0, digits)));
    for (const auto& unit : units) {
        if (text.substr(digits) != unit.name) continue;
        const double size = std::round(number * unit.factor);
        if (size < static_cast<double>(size_max)) return static_cast<uint64_t>(size);
    }
    return fail(Errc::invalid, "'" + text + "' is no size: write 1024, 1KiB or 10MB");
}

Result<Sizes> Sizes::parse(const std::string& text) {
    Sizes sizes;
    const std::vector<std::string> words = split(text, ':');
    if (words[0] == "uniform" && words.size() == 2) {
        const std::vector<std::string> ends = split(words[1], '-');
        if (ends.size() != 2) return fail(Errc::invalid, "write uniform:1KiB-64KiB");
        sizes.kind_ = Kind::uniform;
        TRY(sizes.min_, parse_size(ends[0]));
        TRY(sizes.max_, parse_size(ends[1]));
        if (sizes.min_ > sizes.max_) return fail(Errc::invalid, "the smaller size comes first");
    } else if (words[0] == "lognormal" && words.size() == 3) {
        constexpr double medians_max = 64;
        sizes.kind_ = Kind::lognormal;
        TRY(const uint64_t median, parse_size(words[1]));
        TRY(sizes.sigma_, parse_number(words[2]));
        sizes.median_ = static_cast<double>(median);
        sizes.max_ = static_cast<uint64_t>(sizes.median_ * medians_max);
    } else if (words.size() == 1 && text.find('=') != std::string::npos) {
        sizes.kind_ = Kind::shares;
        double sum = 0;
        sizes.max_ = 0;
        for (const std::string& part : split(text, ',')) {
            const std::vector<std::string> sides = split(part, '=');
            if (sides.size() != 2) return fail(Errc::invalid, "write 4KiB=90,1MiB=10");
            TRY(const uint64_t size, parse_size(sides[0]));
            TRY(const double weight, parse_number(sides[1]));
            sum += weight;
            sizes.shares_.push_back({size, sum});
            sizes.max_ = std::max(sizes.max_, size);
        }
        if (sum <= 0) return fail(Errc::invalid, "the weights of the sizes are all zero");
        for (Share& share : sizes.shares_) share.below /= sum;
    } else if (words.size() == 1) {
        TRY(sizes.max_, parse_size(text));
        sizes.min_ = sizes.max_;
    } else {
        return fail(Errc::invalid, "'" + text + "' is no distribution of sizes");
    }
    return sizes;
}

uint64_t Sizes::of(uint64_t object) const {
    if (kind_ == Kind::fixed) return max_;
    Random random(object);
    switch (kind_) {
        case Kind::uniform:
            return min_ + random.below(max_ - min_ + 1);
        case Kind::lognormal: {
            // Box and Muller 1958.
            const double radius = std::sqrt(-2 * std::log(1 - number_between_0_and_1(random)));
            const double normal =
                radius * std::cos(2 * std::numbers::pi * number_between_0_and_1(random));
            const double size = median_ * std::exp(sigma_ * normal);
            return static_cast<uint64_t>(std::min(size, static_cast<double>(max_)));
        }
        default: {
            const double drawn = number_between_0_and_1(random);
            for (const Share& share : shares_) {
                if (drawn < share.below) return share.size;
            }
            return shares_.back().size;
        }
    }
}

}  // namespace penstock::bench
