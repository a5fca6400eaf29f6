#include "node/doors/ais/system_figures.h"

#include <fstream>
#include <limits>
#include <string>

namespace penstock::node::ais {
namespace {

void read_memory(SystemFigures& figures) {
    std::ifstream file("/proc/meminfo");
    std::string name;
    uint64_t kib = 0;
    while (file >> name >> kib) {
        const uint64_t bytes = kib << 10;
        if (name == "MemTotal:") figures.memory_total = bytes;
        if (name == "MemFree:") figures.memory_free = bytes;
        if (name == "MemAvailable:") figures.memory_available = bytes;
        if (name == "Cached:") figures.memory_cached = bytes;
        if (name == "SwapTotal:") figures.swap_total = bytes;
        if (name == "SwapFree:") figures.swap_free = bytes;
        file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
}

void read_process(SystemFigures& figures) {
    constexpr uint64_t page_bytes = 4096;
    std::ifstream memory("/proc/self/statm");
    uint64_t size = 0, resident = 0, shared = 0;
    if (memory >> size >> resident >> shared) {
        figures.process_size = size * page_bytes;
        figures.process_resident = resident * page_bytes;
        figures.process_shared = shared * page_bytes;
    }
    // Fields 14 and 15, counted behind the name, which may hold blanks; ticks of 10 ms.
    std::ifstream times("/proc/self/stat");
    times.ignore(std::numeric_limits<std::streamsize>::max(), ')');
    std::string skipped;
    for (int field = 3; field < 14; ++field) times >> skipped;
    uint64_t user_ticks = 0, system_ticks = 0;
    if (times >> user_ticks >> system_ticks) {
        figures.user_ms = user_ticks * 10;
        figures.system_ms = system_ticks * 10;
    }
}

}  // namespace

SystemFigures read_system_figures() {
    SystemFigures figures;
    read_memory(figures);
    read_process(figures);
    std::ifstream load("/proc/loadavg");
    load >> figures.load_1 >> figures.load_5 >> figures.load_15;
    return figures;
}

}  // namespace penstock::node::ais
