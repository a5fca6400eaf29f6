// What Linux says about this machine and process, from /proc; zeros where it says nothing.
#pragma once

#include <cstdint>

namespace penstock::node::ais {

struct SystemFigures {
    uint64_t memory_total = 0, memory_free = 0, memory_available = 0, memory_cached = 0;
    uint64_t swap_total = 0, swap_free = 0;
    uint64_t process_size = 0, process_resident = 0, process_shared = 0;
    uint64_t user_ms = 0, system_ms = 0;  // processor time of this process
    double load_1 = 0, load_5 = 0, load_15 = 0;
};

// Reads a few small files of /proc, which never wait for a device.
SystemFigures read_system_figures();

}  // namespace penstock::node::ais
