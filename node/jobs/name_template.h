// NameTemplate: many names in one text (contract, section 8.1):
//
//     obj-{0001..0100..2}.tar   every second of 0001 to 0100; several braces: their cross product
//     shard@0100.tar            0000 to 0100, as wide as it is written
//     part-%06d.bin             every number, six digits wide: has no end, so it is a filter
//     anything else             every name that begins with it; "*" is "" is everything
//
// A value; parsing trusts nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/result.h"

namespace penstock::node {

class NameTemplate {
public:
    static constexpr uint64_t names_max = 10'000'000;

    // `invalid` with a sentence: a range that ends before it begins, a brace without its partner, a
    // number above 10^18, more than `names_max` names.
    static Result<NameTemplate> parse(std::string_view text);

    // Every name that begins with `text`, whatever is in it.
    static NameTemplate of_prefix(std::string text);

    enum class Form : uint8_t {
        range,   // count() names, made by name_at()
        open,    // those of the names that begin with prefix() that matches() lets through
        prefix,  // all names that begin with prefix()
    };
    Form form() const { return form_; }
    uint64_t count() const { return count_; }
    // Of Form::range; `index` < count(). The last range moves fastest.
    std::string name_at(uint64_t index) const;
    const std::string& prefix() const { return prefix_; }
    bool matches(std::string_view name) const;

private:
    struct Range {
        uint64_t first = 0;
        uint64_t step = 1;
        uint64_t count = 1;
        size_t width = 0;  // zeros are put in front of what is shorter
        std::string text;  // behind it
    };

    Status parse_braces(std::string_view text);
    Status parse_at(std::string_view text);
    Status parse_percent(std::string_view text);
    Status add(uint64_t first, uint64_t last, uint64_t step, size_t width);

    Form form_ = Form::prefix;
    std::string prefix_;
    std::vector<Range> ranges_;
    uint64_t count_ = 1;
};

}  // namespace penstock::node
