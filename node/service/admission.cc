#include "node/service/admission.h"

#include <algorithm>

#include "io/base/units.h"

namespace penstock::node {

// Bodies get a quarter: the locator, open files and the page cache need the rest. Caches get a
// sixteenth of small memory, and of large as much as helps. A write holds up to 256 KiB (a piece of
// its body), and so does a read; a listing several pages.
MemoryPlan plan_memory(uint64_t memory_bytes, uint32_t core_count) {
    const uint64_t share = memory_bytes / std::max(core_count, 1U);
    MemoryPlan plan{};
    AdmissionLimits& limits = plan.admission;
    limits.buffer_bytes_max = std::clamp<uint64_t>(share / 4, 16_MiB, 1_GiB);
    const auto in_flight =
        static_cast<uint32_t>(std::clamp<uint64_t>(limits.buffer_bytes_max / 256_KiB, 64, 1024));
    limits.in_flight_max = {in_flight, in_flight, std::max(in_flight / 16, 4U)};
    plan.kept_buffer_bytes_max = std::min<uint64_t>(share / 16, 16_MiB);
    plan.index_cache_bytes = std::min<uint64_t>(share / 16, 64_MiB);
    plan.catalogue_cache_bytes = std::clamp<uint64_t>(memory_bytes / 64, 1_MiB, 8_MiB);
    return plan;
}

Admission::Ticket Admission::admit(WorkClass work, uint64_t buffer_bytes) {
    if (work == WorkClass::free) return Ticket(nullptr);
    const auto index = static_cast<size_t>(work);
    if (in_flight_[index] >= limits_.in_flight_max[index] ||
        buffer_bytes >= limits_.buffer_bytes_max) {
        ++refused_[index];
        return {};
    }
    return Ticket(&++in_flight_[index]);
}

}  // namespace penstock::node
