#include "io/base/recent_log.h"

#include <utility>

namespace penstock {

void RecentLog::add(LogLevel level, std::string_view line) {
    const std::lock_guard lock(mutex_);
    for (size_t which = 0; which < logs_.size(); ++which) {
        const bool is_warnings = static_cast<Which>(which) == Which::warnings;
        if (is_warnings && level < LogLevel::warning) continue;
        Parts& log = logs_[which];
        line = line.substr(0, bytes_max[which]);
        if (log.now.size() + line.size() > bytes_max[which]) {
            log.before = std::exchange(log.now, {});
        }
        log.now += line;
    }
}

void RecentLog::rotate() {
    const std::lock_guard lock(mutex_);
    for (Parts& log : logs_) log.before = std::exchange(log.now, {});
}

RecentLog::Parts RecentLog::parts(Which which) const {
    const std::lock_guard lock(mutex_);
    return logs_[static_cast<size_t>(which)];
}

}  // namespace penstock
