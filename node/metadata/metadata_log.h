// MetadataLog: where commands become history. One node writes them down on its mountpath
// (single_log.h); a cluster will send them through Raft, behind the same call.
//
// May be called on any core; `core` is the caller's own number in every call.
#pragma once

#include <cstdint>
#include <memory>

#include "io/base/result.h"
#include "io/task.h"
#include "node/metadata/commands.h"
#include "node/metadata/state.h"

namespace penstock::node {

struct Committed {
    uint64_t version = 0;  // of the state that has the command
    BucketId bucket;       // that the command was about
};

class MetadataLog {
public:
    virtual ~MetadataLog() = default;

    // The newest state that this core knows. Stays good while the caller holds a copy; the
    // reference itself, until the core's next turn.
    virtual const std::shared_ptr<const MetadataState>& state(uint32_t core) const = 0;

    // When it is done, the command is durable and every core of this node sees it. Fails with what
    // MetadataState::apply() says, and then nothing has changed; or with `io_error`, `full` or
    // `unavailable` (stopping, a minority): then it may or may not be found after a restart.
    virtual io::Task<Result<Committed>> submit(uint32_t core, Command command) = 0;

    // What failed its check since the start, and was replaced by a good copy.
    virtual uint64_t corruption_count() const = 0;

    // On core 0. Calls after it fail.
    virtual io::Task<void> stop() = 0;
};

}  // namespace penstock::node
