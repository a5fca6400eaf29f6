// What a power cut leaves of a MemoryState. Two ways through the states: drawn at random, in styles
// that hit the states in which bugs show, and one after the other until there are no more.
//
// A file's state is two choices: how far its size and truncations got, and for each sector that a
// pending write touches, up to which change the device has it. The sector's bytes are then those
// that the page cache held after that change; so a later write may be there without an earlier one,
// and two writes that share a sector never show the second without the first.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "io/base/random.h"
#include "io/internal/memory_state.h"

namespace penstock::io::internal {

enum class Extreme : uint8_t { loses_all, keeps_all };

MemoryState crash_extreme(const MemoryState& state, Extreme extreme);
MemoryState crash_drawn(const MemoryState& state, Random& random, const CrashMode& mode);
// All states, some of them perhaps twice, until `visit` says false.
void for_each_crash_state(const MemoryState& state, const CrashMode& mode,
                          const std::function<bool(MemoryState)>& visit);
// An upper bound of how many those are; UINT64_MAX: that many or more.
uint64_t crash_state_count_max(const MemoryState& state, const CrashMode& mode);

}  // namespace penstock::io::internal
