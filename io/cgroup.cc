#include "io/cgroup.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>

namespace penstock::io {
namespace {

// "No limit" in version 1 is the largest multiple of a page; nobody has an exabyte.
constexpr uint64_t memory_bytes_max = 1ULL << 60;

std::string read_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// The number at the front of `text`, taken off; nullopt for "max", "-1" and what is none.
std::optional<uint64_t> take_number(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return number;
}

std::optional<uint64_t> number_in(const std::string& path) {
    const std::string line = read_line(path);
    std::string_view text = line;
    return take_number(text);
}

void bound_processors(std::optional<uint64_t> quota, std::optional<uint64_t> period,
                      CgroupLimits& limits) {
    if (!quota || !period || *quota == 0 || *period == 0) return;
    const uint64_t whole = std::clamp<uint64_t>(*quota / *period, 1, UINT16_MAX);
    const auto count = static_cast<uint32_t>(whole);
    limits.processor_count =
        limits.processor_count == 0 ? count : std::min(limits.processor_count, count);
}

void bound_memory(std::optional<uint64_t> bytes, CgroupLimits& limits) {
    if (!bytes || *bytes == 0 || *bytes > memory_bytes_max) return;
    limits.memory_bytes = limits.memory_bytes == 0 ? *bytes : std::min(limits.memory_bytes, *bytes);
}

// Calls `look` with the directory of `group` below `mount` and of each above it.
template <typename F>
void for_each_above(const std::string& mount, std::string group, F look) {
    while (!group.empty() && group != "/") {
        look(mount + group);
        group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
    }
    look(mount);
}

void look_at_version_2(const std::string& directory, CgroupLimits& limits) {
    const std::string line = read_line(directory + "/cpu.max");
    std::string_view text = line;
    const std::optional<uint64_t> quota = take_number(text);
    bound_processors(quota, take_number(text), limits);
    bound_memory(number_in(directory + "/memory.max"), limits);
    bound_memory(number_in(directory + "/memory.high"), limits);
}

// "cpu,cpuacct" holds "cpu".
bool has_controller(std::string_view list, std::string_view name) {
    while (!list.empty()) {
        const size_t comma = std::min(list.find(','), list.size());
        if (list.substr(0, comma) == name) return true;
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return false;
}

}  // namespace

CgroupLimits read_cgroup_limits(const std::string& root) {
    CgroupLimits limits;
    const std::string mount = root + "/sys/fs/cgroup";
    std::ifstream groups(root + "/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        // NUMBER:CONTROLLERS:GROUP, without controllers in version 2.
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string group = line.substr(second + 1);
        if (controllers.empty()) {
            for_each_above(mount, group, [&](const std::string& directory) {
                look_at_version_2(directory, limits);
            });
        }
        if (has_controller(controllers, "cpu")) {
            for_each_above(mount + "/cpu", group, [&](const std::string& directory) {
                bound_processors(number_in(directory + "/cpu.cfs_quota_us"),
                                 number_in(directory + "/cpu.cfs_period_us"), limits);
            });
        }
        if (has_controller(controllers, "memory")) {
            for_each_above(mount + "/memory", group, [&](const std::string& directory) {
                bound_memory(number_in(directory + "/memory.limit_in_bytes"), limits);
            });
        }
    }
    return limits;
}

uint32_t usable_core_count() {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    const auto processor_count = static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
    const uint32_t allowed = read_cgroup_limits().processor_count;
    return allowed == 0 ? processor_count : std::min(processor_count, allowed);
}

uint64_t usable_memory_bytes() {
    const uint64_t all = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                         static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    const uint64_t allowed = read_cgroup_limits().memory_bytes;
    return allowed == 0 ? all : std::min(all, allowed);
}

}  // namespace penstock::io
