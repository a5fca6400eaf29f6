// Statistics: what the node counted, as AIStore's clients read it (contract, section 19.8):
// requests on objects and listings, of every door together, since the start or since somebody reset
// them.
//
// What the cores count never goes back (/metrics has it): a reset remembers where it was. That lies
// on the home core.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

#include "io/reactor.h"
#include "node/doors/ais/json.h"
#include "node/doors/request_metrics.h"

namespace penstock::node::ais {

class Statistics {
public:
    // The sum of all cores, asked for on any.
    using Gather = std::function<io::Task<RequestMetrics>(uint32_t core)>;

    explicit Statistics(io::Reactor& home) : home_(home) {}
    void count_with(Gather gather) { gather_ = std::move(gather); }

    // Behind the two that every node has: state.flags and up.ns.time.
    io::Task<OrderedJson> tracker(const Call& call);
    io::Task<void> reset(const Call& call, bool errors_only);
    // Name -> kind, of all that a tracker can have.
    static OrderedJson kinds();

private:
    static constexpr size_t subject_count = 5;
    struct Figures {
        uint64_t count = 0;  // that succeeded
        uint64_t errors = 0;
        uint64_t bytes = 0;
        uint64_t total_ns = 0;
    };
    using All = std::array<Figures, subject_count>;
    struct Subject;
    static const Subject subjects[subject_count];

    io::Task<All> gather(const Call& call);
    io::Task<All> remembered();
    io::Task<void> remember(All all, bool errors_only);

    io::Reactor& home_;
    Gather gather_;  // none: of a door without cores
    All reset_at_{};
};

}  // namespace penstock::node::ais
