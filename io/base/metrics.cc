#include "io/base/metrics.h"

#include <fmt/format.h>

#include <iterator>
#include <numeric>

namespace penstock {

void Histogram::add(const Histogram& other) {
    for (size_t index = 0; index < counts_.size(); ++index) counts_[index] += other.counts_[index];
    sum_ns_ += other.sum_ns_;
}

uint64_t Histogram::count() const {
    return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0});
}

void MetricsText::family(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                   type);
}

void MetricsText::begin_sample(std::string_view name, MetricLabels labels) {
    text_.append(name);
    char separator = '{';
    for (const auto& [label, value] : labels) {
        text_.push_back(separator);
        text_.append(label).append("=\"");
        for (const char character : value) {
            if (character == '\\' || character == '"') text_.push_back('\\');
            if (character == '\n') {
                text_.append("\\n");
            } else {
                text_.push_back(character);
            }
        }
        text_.push_back('"');
        separator = ',';
    }
    if (separator == ',') text_.push_back('}');
}

void MetricsText::sample(std::string_view name, MetricLabels labels, uint64_t value) {
    begin_sample(name, labels);
    fmt::format_to(std::back_inserter(text_), " {}\n", value);
}

void MetricsText::sample(std::string_view name, MetricLabels labels, double value) {
    begin_sample(name, labels);
    fmt::format_to(std::back_inserter(text_), " {}\n", value);
}

void MetricsText::histogram(std::string_view name, std::string_view label, std::string_view value,
                            const Histogram& histogram) {
    const std::string bucket = std::string(name) + "_bucket";
    uint64_t below = 0;
    for (size_t index = 0; index < Histogram::bounds_us.size(); ++index) {
        below += histogram.counts()[index];
        const std::string bound =
            fmt::format("{}", static_cast<double>(Histogram::bounds_us[index]) / 1e6);
        sample(bucket, {{label, value}, {"le", bound}}, below);
    }
    sample(bucket, {{label, value}, {"le", "+Inf"}}, histogram.count());
    sample(std::string(name) + "_sum", {{label, value}},
           static_cast<double>(histogram.sum_ns()) / 1e9);
    sample(std::string(name) + "_count", {{label, value}}, histogram.count());
}

}  // namespace penstock
