// Walker: gives the names of a job's selection, a page at a time, and says where it is, so that a
// job that was interrupted goes on from there.
//
// On core 0. A listing walks what is there in the order of names; lists and ranges give what they
// say, there or not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/reactor.h"
#include "io/wait.h"
#include "node/jobs/job.h"
#include "node/service/object_service.h"

namespace penstock::node {

struct WalkedName {
    std::string name;
    std::optional<uint64_t> size_bytes;  // known where a listing told it
};

class Walker {
public:
    virtual ~Walker() = default;
    // Up to `limit` names, in order; none: that was all.
    virtual io::Task<Result<std::vector<WalkedName>>> next(uint32_t limit) = 0;
    // Of what was given so far: make_walker() with it goes on behind.
    virtual std::string position() const = 0;
    // Before it is destroyed: waits for what it does ahead.
    virtual io::Task<void> stop() = 0;
};

// What the bucket is called now; asked before each page of a listing.
using CurrentBucket = std::function<Result<BucketName>()>;

// `invalid` for a template that cannot be, or a position that is not one. `selection` must outlive
// the walker.
Result<std::unique_ptr<Walker>> make_walker(ObjectService& service, io::Reactor& reactor,
                                            const Selection& selection, CurrentBucket bucket,
                                            std::string position);

}  // namespace penstock::node
