#include "node/jobs/run.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "io/base/units.h"
#include "node/jobs/running.h"

namespace penstock::node {
namespace {

// Requests are counted over so long a time at least, and so many a second are others at work: a
// client that asks how far the job is makes fewer.
constexpr uint64_t look_ns = 5'000'000;
constexpr uint64_t busy_requests_per_s = 1000;

// What is wrong with one object and says nothing of the others.
bool is_about_one(Errc code) {
    switch (code) {
        case Errc::not_found:
        case Errc::exists:
        case Errc::invalid:
        case Errc::denied:
        case Errc::corrupt:
        case Errc::too_large:
        case Errc::condition_failed:
            return true;
        default:
            return false;
    }
}

}  // namespace

JobRun::JobRun(Jobs& jobs, Jobs::Job& job)
    : jobs_(jobs), job_(job), settled_ns_(jobs.home().now_ns()), looked_ns_(settled_ns_) {
    if (jobs_.request_count_) requests_seen_ = jobs_.request_count_();
}

const JobSpec& JobRun::spec() const {
    return job_.spec;
}
bool JobRun::is_resumed() const {
    return job_.is_resumed;
}
uint64_t JobRun::started_ns() const {
    return job_.started_ns;
}
const std::string& JobRun::position() const {
    return job_.position;
}

Status JobRun::may_go_on() const {
    if (job_.is_stop_asked) return fail(Errc::closed, "it was asked to stop");
    if (jobs_.is_stopping_) return fail(Errc::closed, "the node is stopping");
    return {};
}

// Buckets go by their number: one that is renamed meanwhile stays the job's, and one that was made
// anew under the name is not.
Result<BucketName> JobRun::current(BucketId id, BucketName& name) {
    const auto by_name = service().find_bucket(core, name);
    if (by_name != nullptr && by_name->id == id) return name;
    for (const auto& bucket : service().buckets(core)) {
        if (bucket->id != id) continue;
        name = bucket->name;
        return name;
    }
    return fail(Errc::not_found,
                "bucket \"" + name.provider + "://" + name.name + "\" does not exist");
}

Result<BucketName> JobRun::bucket() {
    return current(job_.bucket, job_.spec.bucket);
}

Result<BucketName> JobRun::destination() {
    return current(job_.to, job_.spec.copy.to);
}

bool JobRun::is_destination_there() {
    const auto found = service().find_bucket(core, job_.spec.copy.to);
    return found != nullptr && found->id == job_.bucket;
}

io::Task<ResilverProgress> JobRun::resilver_progress() {
    if (!jobs_.parts_.resilver) co_return ResilverProgress();
    co_return co_await jobs_.parts_.resilver();
}

void JobRun::done(uint64_t objects, uint64_t bytes) {
    job_.progress.objects += objects;
    job_.progress.bytes += bytes;
}

Status JobRun::failed(std::string object, const Error& error) {
    if (!is_about_one(error.code)) return fail(error);
    ++job_.progress.error_count;
    if (job_.progress.errors.size() < job_errors_max) {
        std::string text = error.code == Errc::not_found ? "does not exist" : error.context;
        job_.progress.errors.push_back({std::move(object), std::move(text)});
    }
    return {};
}

// Not synced: a power cut may take it, and then more is done twice.
io::Task<void> JobRun::settle(std::string position) {
    job_.position = std::move(position);
    job_.at_position = job_.progress;
    const uint64_t now_ns = reactor().now_ns();
    if (!job_.is_journaled || now_ns - settled_ns_ < options().checkpoint_ns) co_return;
    settled_ns_ = now_ns;
    // A failure shows at the job's end, which is written, too.
    (void)co_await jobs_.write(JobMoved{job_.id, job_.position, job_.at_position}, false);
}

uint32_t JobRun::window() {
    const uint64_t now_ns = reactor().now_ns();
    const uint64_t elapsed_ns = now_ns - looked_ns_;
    if (jobs_.request_count_ && elapsed_ns >= look_ns) {
        const uint64_t requests = jobs_.request_count_();
        is_busy_ = (requests - requests_seen_) * ns_per_s / elapsed_ns >= busy_requests_per_s;
        requests_seen_ = requests;
        looked_ns_ = now_ns;
    }
    return is_busy_ ? options().in_flight_busy_max : options().in_flight_max;
}

// -------------------------------------------------------------------------------------------------
// Pages

namespace {

// A page under way.
struct Flight {
    Flight(io::Reactor& reactor, std::string at) : position(std::move(at)), landed(reactor) {}
    std::string position;
    Status status;
    io::Event landed;
};

io::Task<void> fly(PageAction& action, std::vector<WalkedName> page, Flight& flight) {
    flight.status = co_await action.act(std::move(page));
    flight.landed.set();
}

// The oldest page under way; what it ends with.
io::Task<Status> land(JobRun& run, std::deque<std::unique_ptr<Flight>>& flights, bool may_settle) {
    co_await flights.front()->landed.wait();
    const std::unique_ptr<Flight> flight = std::move(flights.front());
    flights.pop_front();
    if (flight->status && may_settle) co_await run.settle(std::move(flight->position));
    co_return flight->status;
}

}  // namespace

// Two pages are under way, so that the log has the next ones to write while it makes the first
// durable, and one is fetched meanwhile.
io::Task<Status> run_pages(JobRun& run, PageAction& action) {
    constexpr size_t flights_max = 2;
    CurrentBucket bucket = [&run] { return run.bucket(); };
    CO_TRY(const std::unique_ptr<Walker> walker,
           make_walker(run.service(), run.reactor(), run.spec().selection, std::move(bucket),
                       run.position()));
    std::deque<std::unique_ptr<Flight>> flights;
    Status status;
    while (status) {
        status = run.may_go_on();
        if (!status) break;
        const uint32_t limit = std::max<uint32_t>(run.window() / flights_max, 1);
        Result<std::vector<WalkedName>> page = co_await walker->next(limit);
        if (!page) status = fail(page.error());
        if (!status || page->empty()) break;
        if (flights.size() == flights_max) status = co_await land(run, flights, true);
        if (!status) break;
        flights.push_back(std::make_unique<Flight>(run.reactor(), walker->position()));
        io::start_detached(fly(action, std::move(*page), *flights.back()));
    }
    while (!flights.empty()) {
        // Behind a page that failed nothing is settled.
        const Status landed = co_await land(run, flights, status.has_value());
        if (status) status = landed;
    }
    co_await walker->stop();
    co_return status;
}

}  // namespace penstock::node
