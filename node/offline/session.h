// Session: a data directory that is open for one offline call, and the tally of what was done.
//
// The call's own thread opens and closes it; the work runs on its core 0, where the tally is kept.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "io/wait.h"
#include "node/offline.h"
#include "node/storage.h"

namespace penstock::node {

class Session {
public:
    static constexpr uint32_t core = 0;

    // `must_exist`: fails with `not_found` where no data directory is, rather than make one.
    static Result<std::unique_ptr<Session>> open(const OfflineOptions& options, bool must_exist);
    ~Session();

    Storage& storage() { return *storage_; }
    ObjectService& service() { return storage_->service(); }
    Store& store() { return storage_->store(); }
    io::Reactor& reactor() { return storage_->cores().reactor(core); }
    io::BufferPool& buffers() { return storage_->cores().buffers(core); }
    io::Pool& pool() { return storage_->cores().pool(); }
    uint32_t in_flight_max() const { return options_.in_flight_max; }

    // Runs `make_task` on core 0 to its end; a failure of the whole leaves the tally as it is.
    Result<OfflineSummary> run(const std::function<io::Task<Status>()>& make_task);

    OfflineSummary& summary() { return summary_; }
    void done(uint64_t bytes);
    void problem(std::string name, std::string message);

private:
    explicit Session(const OfflineOptions& options) : options_(options), log_(Log::quiet()) {}
    void progress();

    const OfflineOptions& options_;
    Log log_;
    std::unique_ptr<Storage> storage_;
    OfflineSummary summary_;
    uint64_t told_ns_ = 0;
};

// Objects that are worked on at once, up to a number and to so many bytes of content.
class Flights {
public:
    Flights(io::Reactor& reactor, uint32_t count_max, uint64_t bytes_max)
        : changed_(reactor), count_max_(count_max), bytes_max_(bytes_max) {}

    // Waits until one more of this size may begin.
    io::Task<void> take_off(uint64_t bytes);
    void land(uint64_t bytes);
    // Waits until none is under way.
    io::Task<void> settle();
    // The first error that ends it all.
    void fail_with(const Error& error) {
        if (status_) status_ = fail(error);
    }
    const Status& status() const { return status_; }

private:
    io::Event changed_;  // pulsed
    uint32_t count_max_;
    uint64_t bytes_max_;
    uint32_t count_ = 0;
    uint64_t bytes_ = 0;
    Status status_;
};

// Whether an error is about one object and says nothing of the others.
bool is_about_one(Errc code);

// All buckets, sorted, with each one's objects in pages: `visit(bucket, page)` until it fails.
using VisitPage =
    std::function<io::Task<Status>(const std::shared_ptr<const Bucket>& bucket, ListPage page)>;
struct WalkFrom {
    BucketName bucket;   // an empty name: all
    std::string object;  // in that bucket, behind this one
};
io::Task<Status> walk_objects(Session& session, WalkFrom from, VisitPage visit);

}  // namespace penstock::node
