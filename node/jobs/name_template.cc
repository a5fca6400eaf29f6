#include "node/jobs/name_template.h"

#include <algorithm>

#include "io/base/assert.h"

namespace penstock::node {
namespace {

constexpr size_t ranges_max = 16;
constexpr size_t width_max = 18;  // of a number: 10^18 fits with room to add

bool is_digit(char letter) {
    return letter >= '0' && letter <= '9';
}

std::string_view digits_at(std::string_view text, size_t at) {
    size_t end = at;
    while (end < text.size() && is_digit(text[end])) ++end;
    return text.substr(at, end - at);
}

Result<uint64_t> number_from(std::string_view digits, std::string_view whole) {
    if (digits.empty() || digits.size() > width_max || !std::ranges::all_of(digits, is_digit)) {
        return fail(Errc::invalid, "invalid template \"" + std::string(whole) +
                                       "\": expected a number of 1 to 18 digits");
    }
    uint64_t number = 0;
    for (const char digit : digits) number = number * 10 + static_cast<uint64_t>(digit - '0');
    return number;
}

std::string padded(uint64_t number, size_t width) {
    std::string digits = std::to_string(number);
    if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
    return digits;
}

}  // namespace

Result<NameTemplate> NameTemplate::parse(std::string_view text) {
    NameTemplate made;
    if (text == "*") text = "";
    if (text.contains('{') || text.contains('}')) {
        TRY_STATUS(made.parse_braces(text));
    } else if (text.contains('@')) {
        TRY_STATUS(made.parse_at(text));
    } else if (text.contains('%')) {
        TRY_STATUS(made.parse_percent(text));
    } else {
        made.prefix_ = text;
    }
    return made;
}

NameTemplate NameTemplate::of_prefix(std::string text) {
    NameTemplate made;
    made.prefix_ = std::move(text);
    return made;
}

Status NameTemplate::add(uint64_t first, uint64_t last, uint64_t step, size_t width) {
    if (first > last) return fail(Errc::invalid, "'start' cannot be greater than 'end'");
    if (step == 0) return fail(Errc::invalid, "'step' must be positive");
    const uint64_t count = (last - first) / step + 1;
    if (count > names_max || count_ > names_max / count) {
        return fail(Errc::invalid, "the template makes more than 10000000 names");
    }
    if (ranges_.size() == ranges_max) {
        return fail(Errc::invalid, "the template has more than 16 ranges");
    }
    count_ *= count;
    ranges_.push_back({first, step, count, width, {}});
    return {};
}

Status NameTemplate::parse_braces(std::string_view text) {
    const std::string whole(text);
    const auto refuse = [&whole](const std::string& why) {
        return fail(Errc::invalid, "invalid 'bash' template \"" + whole + "\": " + why);
    };
    form_ = Form::range;
    for (;;) {
        const size_t open = text.find('{');
        const std::string_view before = text.substr(0, open);
        if (before.contains('}')) return refuse("'}' without '{'");
        (ranges_.empty() ? prefix_ : ranges_.back().text) = before;
        if (open == std::string_view::npos) return {};
        const size_t close = text.find('}', open);
        if (close == std::string_view::npos) return refuse("'{' without '}'");

        std::string_view inside = text.substr(open + 1, close - open - 1);
        std::vector<std::string_view> parts;
        for (size_t dots = inside.find(".."); dots != std::string_view::npos;
             dots = inside.find("..")) {
            parts.push_back(inside.substr(0, dots));
            inside.remove_prefix(dots + 2);
        }
        parts.push_back(inside);
        if (parts.size() != 2 && parts.size() != 3) return refuse("expected {start..end[..step]}");
        TRY(const uint64_t first, number_from(parts[0], whole));
        TRY(const uint64_t last, number_from(parts[1], whole));
        uint64_t step = 1;
        if (parts.size() == 3) {
            TRY(step, number_from(parts[2], whole));
        }
        const size_t width = std::min(parts[0].size(), parts[1].size());
        const Status added = add(first, last, step, width);
        if (!added) return refuse(added.error().context);
        text.remove_prefix(close + 1);
    }
}

Status NameTemplate::parse_at(std::string_view text) {
    const std::string whole(text);
    form_ = Form::range;
    for (;;) {
        const size_t at = text.find('@');
        (ranges_.empty() ? prefix_ : ranges_.back().text) = text.substr(0, at);
        if (at == std::string_view::npos) return {};
        const std::string_view digits = digits_at(text, at + 1);
        TRY(const uint64_t last, number_from(digits, whole));
        const Status added = add(0, last, 1, digits.size());
        if (!added) {
            return fail(Errc::invalid,
                        "invalid 'at' template \"" + whole + "\": " + added.error().context);
        }
        text.remove_prefix(at + 1 + digits.size());
    }
}

Status NameTemplate::parse_percent(std::string_view text) {
    const std::string whole(text);
    const size_t percent = text.find('%');
    const std::string_view digits = digits_at(text, percent + 1);
    const size_t letter = percent + 1 + digits.size();
    const bool is_padded = digits.starts_with('0');
    uint64_t width = 0;
    if (!digits.empty()) {
        TRY(width, number_from(digits, whole));
    }
    const bool is_good = letter < text.size() && text[letter] == 'd' &&
                         (digits.empty() || is_padded) && width <= width_max &&
                         !text.substr(letter).contains('%');
    if (!is_good) {
        return fail(Errc::invalid, "invalid 'fmt' template \"" + whole +
                                       "\": expected one %d, or %0Nd with N up to 18");
    }
    form_ = Form::open;
    prefix_ = text.substr(0, percent);
    ranges_.push_back({0, 1, 1, width, std::string(text.substr(letter + 1))});
    return {};
}

std::string NameTemplate::name_at(uint64_t index) const {
    ASSERT(form_ == Form::range && index < count_);
    std::string name;
    uint64_t left = count_;
    name = prefix_;
    for (const Range& range : ranges_) {
        left /= range.count;
        name += padded(range.first + index / left * range.step, range.width) + range.text;
        index %= left;
    }
    return name;
}

bool NameTemplate::matches(std::string_view name) const {
    ASSERT(form_ == Form::open);
    const Range& range = ranges_.front();
    if (!name.starts_with(prefix_)) return false;
    name.remove_prefix(prefix_.size());
    if (name.size() < range.text.size() || !name.ends_with(range.text)) return false;
    name.remove_suffix(range.text.size());
    if (name.empty() || name.size() > width_max || !std::ranges::all_of(name, is_digit)) {
        return false;
    }
    // As it would be written: no zeros in front but those of the width.
    return name.size() == std::max<size_t>(range.width, 1) ||
           (name.size() > range.width && name.front() != '0');
}

}  // namespace penstock::node
