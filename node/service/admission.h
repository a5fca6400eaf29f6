// Admission: how much work a core takes on at once. Above it a request is refused at once (503,
// `busy`) instead of waiting with all the others until nobody is answered in time, and memory stays
// bounded whatever comes.
//
// By class, so that one kind of load cannot shut out another: reads, writes and listings have their
// own limits; what is cheap or needed to look at a node under load (metadata, HEAD, health,
// cluster queries) is never refused. What counts is what was begun and is not answered; requests
// that wait in a connection cost nothing here, so a node whose reads come from memory refuses none.
// Bytes of bodies that lie in buffers, coming or going, are bounded together: slow clients hold
// them longest.
//
// One core's, shared by its doors; asked for on that core alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace penstock::node {

enum class WorkClass : uint8_t { read, write, listing, free };
constexpr size_t bounded_class_count = 3;
constexpr std::string_view work_class_names[bounded_class_count] = {"read", "write", "listing"};

// Of one core.
struct AdmissionLimits {
    std::array<uint32_t, bounded_class_count> in_flight_max = {1024, 1024, 64};
    uint64_t buffer_bytes_max = 256 << 20;
};

// What a node does with `memory_bytes` (the machine's, or what its control group allows).
struct MemoryPlan {
    AdmissionLimits admission;       // of each core
    uint64_t kept_buffer_bytes_max;  // of each core
    uint64_t index_cache_bytes;      // of each core
    uint64_t catalogue_cache_bytes;  // of the node
};
MemoryPlan plan_memory(uint64_t memory_bytes, uint32_t core_count);

class Admission {
public:
    explicit Admission(const AdmissionLimits& limits) : limits_(limits) {}

    // Work that was admitted; ends when this goes. Empty: it was not.
    class Ticket {
    public:
        Ticket() = default;
        Ticket(Ticket&& other) noexcept
            : count_(std::exchange(other.count_, nullptr)),
              is_admitted_(std::exchange(other.is_admitted_, false)) {}
        Ticket& operator=(Ticket&& other) noexcept {
            std::swap(count_, other.count_);
            std::swap(is_admitted_, other.is_admitted_);
            return *this;
        }
        ~Ticket() {
            if (count_ != nullptr) --*count_;
        }
        explicit operator bool() const { return is_admitted_; }

    private:
        friend class Admission;
        explicit Ticket(uint32_t* count) : count_(count), is_admitted_(true) {}
        uint32_t* count_ = nullptr;  // null: of the free class
        bool is_admitted_ = false;
    };

    // `buffer_bytes`: what the core's buffers hold now. The ticket does not outlive this.
    Ticket admit(WorkClass work, uint64_t buffer_bytes);

    uint32_t in_flight(WorkClass work) const { return in_flight_[static_cast<size_t>(work)]; }
    uint64_t refused_count(WorkClass work) const { return refused_[static_cast<size_t>(work)]; }

private:
    AdmissionLimits limits_;
    std::array<uint32_t, bounded_class_count> in_flight_{};
    std::array<uint64_t, bounded_class_count> refused_{};
};

}  // namespace penstock::node
