// SummaryBoard: how many objects and bytes a bucket or a prefix of it holds. Counting a large
// bucket takes longer than a client waits for an answer, so the first request starts it and gets an
// id, and the following ones ask with that id (contract, sections 5.3 and 5.6).
//
// Lives on the node's home core; begin() and look() may be called on any.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/reactor.h"
#include "io/wait.h"
#include "node/doors/ais/call.h"
#include "node/metadata/bucket.h"

namespace penstock::node::ais {

using BucketList = std::vector<std::shared_ptr<const Bucket>>;

struct BucketSummary {
    std::shared_ptr<const Bucket> bucket;
    uint64_t objects = 0;
    uint64_t bytes = 0;
    uint64_t bytes_min = 0;
    uint64_t bytes_max = 0;
    uint64_t disk_bytes = 0;  // of their records: content in blocks of 512, and a header's 1 KiB
};

class SummaryBoard {
public:
    // Both must outlive the board.
    SummaryBoard(ObjectService& service, io::Reactor& home);

    // Starts to count; the id to ask with. `unavailable` when too many are being counted.
    io::Task<Result<std::string>> begin(Call& call, BucketList buckets, std::string prefix);

    struct Outcome {
        bool is_done = false;
        std::vector<BucketSummary> summaries;
    };
    // `not_found` if there is no such id (any more), or what went wrong while counting.
    io::Task<Result<Outcome>> look(Call& call, std::string id);

    // Refuses new work and waits for what is being counted.
    io::Task<void> stop();

private:
    // Finished ones are asked for within seconds; more than this many are not kept.
    static constexpr size_t entries_max = 256;
    static constexpr uint32_t running_max = 8;

    struct Entry {
        std::string id;
        std::string prefix;
        Outcome outcome;
        Status status;
    };

    io::Task<Result<std::string>> begin_here(std::string id, BucketList buckets,
                                             std::string prefix);
    io::Task<Result<Outcome>> look_here(std::string id);
    io::Task<void> count_all(std::shared_ptr<Entry> entry, io::Gate::Pass pass);
    io::Task<Status> count(const std::string& prefix, BucketSummary& summary);

    ObjectService& service_;
    io::Reactor& home_;
    io::Gate gate_;
    std::deque<std::shared_ptr<Entry>> entries_;  // oldest first
};

}  // namespace penstock::node::ais
