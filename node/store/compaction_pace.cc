#include "node/store/compaction_pace.h"

#include <algorithm>

namespace penstock::node {

void CompactionPace::observe(const Signs& signs) {
    const uint64_t now_ns = reactor_.now_ns();
    const uint64_t logged_bytes =
        observed_ns_ == 0 ? 0
                          : signs.logged_bytes - std::min(signs_.logged_bytes, signs.logged_bytes);
    const double elapsed_s =
        observed_ns_ == 0 ? 0 : static_cast<double>(now_ns - observed_ns_) / 1e9;
    if (logged_bytes >= busy_bytes_min || signs.is_anybody_waiting)
        busy_at_ns_ = std::max<uint64_t>(now_ns, 1);
    is_busy_ = busy_at_ns_ != 0 && now_ns - busy_at_ns_ < busy_for_ns;
    observed_ns_ = std::max<uint64_t>(now_ns, 1);
    signs_ = signs;

    const auto rate = static_cast<double>(is_busy_ ? busy_bytes_per_s : idle_bytes_per_s);
    budget_bytes_ += elapsed_s * rate;
    budget_bytes_ +=
        earned_factor * static_cast<double>(logged_bytes) / std::max(signs.garbage_share, 0.01);
    budget_bytes_ = std::min(budget_bytes_, saved_bytes_max);
}

uint64_t CompactionPace::wait_ns() const {
    if (signs_.is_urgent || budget_bytes_ >= 0) return 0;
    const auto rate = static_cast<double>(is_busy_ ? busy_bytes_per_s : idle_bytes_per_s);
    const double wait = -budget_bytes_ / rate * 1e9;
    return std::clamp<uint64_t>(static_cast<uint64_t>(wait), 1, wait_ns_max);
}

}  // namespace penstock::node
