// RecentLog: the lines that were logged last, for who asks the node itself for its log instead of
// the service's journal.
//
// Two logs: of all lines, and of warnings and errors alone, so that many of the one do not drive
// out the other. Each is what is written now and the part before it: when the first is full, or
// rotated, it becomes the second. Memory is bounded, and taken as lines come.
//
// Called on every core. Lines are few, so a mutex will do.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>

#include "io/base/log.h"

namespace penstock {

class RecentLog {
public:
    enum class Which : uint8_t { all, warnings };
    // Of a part of each.
    static constexpr std::array<size_t, 2> bytes_max = {256 << 10, 64 << 10};

    // A longer line than a part holds is cut.
    void add(LogLevel level, std::string_view line);
    // Both begin anew.
    void rotate();

    struct Parts {
        std::string now;
        std::string before;
    };
    Parts parts(Which which) const;

private:
    mutable std::mutex mutex_;
    std::array<Parts, 2> logs_;
};

}  // namespace penstock
