// Cgroup: what the control groups of this process allow it to use of the machine. Containers and
// services are bounded by them, and a program that looks at the machine alone starts too many
// threads there, and is killed for its memory.
#pragma once

#include <cstdint>
#include <string>

namespace penstock::io {

struct CgroupLimits {
    uint32_t processor_count = 0;  // whole ones, at least 1; 0: no limit
    uint64_t memory_bytes = 0;     // the lower of its maximum and where it is throttled; 0: none
};

// Version 2, or version 1: the least of the process's group and all above it. What cannot be read
// is no limit. `root`: "" but for tests, which lay out /proc and /sys below a directory.
CgroupLimits read_cgroup_limits(const std::string& root = "");

// What this process may use: the machine's, bounded by its affinity mask and its control group.
uint32_t usable_core_count();
uint64_t usable_memory_bytes();

}  // namespace penstock::io
