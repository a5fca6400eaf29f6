// Jobs::Job: one job in the registry. For the registry and its run alone.
#pragma once

#include <optional>
#include <string>

#include "io/wait.h"
#include "node/jobs/registry.h"

namespace penstock::node {

struct Jobs::Job {
    std::string id;
    JobSpec spec;
    BucketId bucket;
    BucketId to;
    JobState state = JobState::running;
    JobProgress progress;
    std::string position;     // all before it is done
    JobProgress at_position;  // what the progress was there
    std::string reason;       // why it stops, or stopped
    uint64_t started_ns = 0;
    uint64_t ended_ns = 0;
    uint64_t linger_until_ns = 0;  // monotonic
    bool is_resumed = false;
    bool is_journaled = false;  // the journal has it, or is being told
    bool is_begun = false;      // it has had its turn
    bool is_stop_asked = false;
    bool is_interrupted = false;      // the node stops: the next start goes on
    std::optional<JobEnded> outcome;  // from before it is written down
    io::Cancel ended;                 // cancelled when the work is done, well or not

    JobBegun begun() const { return {id, started_ns, bucket, to, spec}; }
};

}  // namespace penstock::node
