// Clock: handed to whatever asks for the time, so that a simulation can hand in a virtual one.
#pragma once

#include <cstdint>

namespace penstock {

class Clock {
public:
    virtual ~Clock() = default;
    // Never goes back; the zero is arbitrary. For durations and deadlines.
    virtual uint64_t monotonic_ns() const = 0;
    // Nanoseconds since 1970-01-01 UTC; may jump. Only ever shown to people and clients: nothing
    // that must be correct depends on it.
    virtual uint64_t wall_ns() const = 0;
};

class SystemClock final : public Clock {
public:
    uint64_t monotonic_ns() const override;
    uint64_t wall_ns() const override;
};

// For tests: stands still until it is moved.
class ManualClock final : public Clock {
public:
    uint64_t monotonic_ns() const override { return monotonic_ns_; }
    uint64_t wall_ns() const override { return wall_start_ns + monotonic_ns_; }
    void advance(uint64_t ns) { monotonic_ns_ += ns; }

private:
    static constexpr uint64_t wall_start_ns = 1'767'225'600'000'000'000;  // 2026-01-01
    uint64_t monotonic_ns_ = 1;
};

}  // namespace penstock
