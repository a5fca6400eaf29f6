// Metrics: plain numbers that one core counts for itself, added up when somebody asks, and the text
// that Prometheus reads (its exposition format 0.0.4).
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace penstock {

// How long things took. One core's own, or a sum of such.
class Histogram {
public:
    // Upper bounds, in microseconds: 50 us to 10 s, about three to a decade.
    static constexpr std::array<uint64_t, 17> bounds_us = {
        50,     100,     250,     500,     1'000,     2'500,     5'000,     10'000,    25'000,
        50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};

    void record(uint64_t ns) {
        size_t index = 0;
        while (index < bounds_us.size() && ns > bounds_us[index] * 1000) ++index;
        ++counts_[index];
        sum_ns_ += ns;
    }
    void add(const Histogram& other);

    // Not cumulative; the last one is of what is above every bound.
    const std::array<uint64_t, bounds_us.size() + 1>& counts() const { return counts_; }
    uint64_t count() const;
    uint64_t sum_ns() const { return sum_ns_; }

private:
    std::array<uint64_t, bounds_us.size() + 1> counts_{};
    uint64_t sum_ns_ = 0;
};

// Names of labels and their values.
using MetricLabels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// Writes the exposition format; names are literals of ours, label values may be anything.
class MetricsText {
public:
    // Before the samples of each family. `type`: "counter", "gauge" or "histogram".
    void family(std::string_view name, std::string_view type, std::string_view help);
    void sample(std::string_view name, MetricLabels labels, uint64_t value);
    void sample(std::string_view name, MetricLabels labels, double value);
    // The samples of a histogram in seconds, with one label.
    void histogram(std::string_view name, std::string_view label, std::string_view value,
                   const Histogram& histogram);

    const std::string& text() const { return text_; }

private:
    void begin_sample(std::string_view name, MetricLabels labels);

    std::string text_;
};

}  // namespace penstock
