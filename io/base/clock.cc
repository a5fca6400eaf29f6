#include "io/base/clock.h"

#include <ctime>

#include "io/base/units.h"

namespace penstock {
namespace {

uint64_t read_clock(clockid_t id) {
    timespec time{};
    clock_gettime(id, &time);
    return static_cast<uint64_t>(time.tv_sec) * ns_per_s + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace

uint64_t SystemClock::monotonic_ns() const {
    return read_clock(CLOCK_MONOTONIC);
}
uint64_t SystemClock::wall_ns() const {
    return read_clock(CLOCK_REALTIME);
}

}  // namespace penstock
