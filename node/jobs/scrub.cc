// Scrub: every byte of every object is read from the device and checked, at a paced rate, so that
// damage is known before somebody needs what is damaged. A damaged object is an error of the job,
// by name; it stays as it is.
//
// The position is BUCKET NUMBER/NAME in order of numbers, so a scrub that was interrupted goes on.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "io/base/units.h"
#include "node/jobs/run.h"

namespace penstock::node {
namespace {

constexpr uint32_t page_names = 1000;
constexpr size_t together_max = 16;  // objects that are read at once
// What an object costs at least: a seek of a disk, about.
constexpr uint64_t object_bytes_min = 16_KiB;
constexpr uint64_t nap_ns_max = 100'000'000;  // a stop is seen in between
constexpr size_t bucket_digits = 16;

class Scrub {
public:
    explicit Scrub(JobRun& run) : run_(run) {}

    io::Task<Status> run() {
        CO_TRY_STATUS(parse_position());
        std::vector<std::shared_ptr<const Bucket>> buckets = run_.service().buckets(JobRun::core);
        std::ranges::sort(buckets, {}, [](const auto& bucket) { return bucket->id; });
        const bool is_of_one = !run_.spec().bucket.name.empty();
        for (const auto& bucket : buckets) {
            if (is_of_one && bucket->name != run_.spec().bucket) continue;
            if (bucket->id < from_) continue;
            if (bucket->id != from_) after_.clear();
            CO_TRY_STATUS(co_await scrub_bucket(*bucket));
        }
        co_return Status();
    }

private:
    Status parse_position() {
        const std::string& position = run_.position();
        if (position.empty()) return {};
        const char* digits_end = position.data() + std::min(position.size(), bucket_digits);
        const auto parsed = std::from_chars(position.data(), digits_end, from_.value, 16);
        if (parsed.ec != std::errc() || parsed.ptr != digits_end ||
            position.size() <= bucket_digits) {
            return fail(Errc::invalid, "no position of a scrub");
        }
        after_ = position.substr(bucket_digits + 1);
        return {};
    }

    io::Task<Status> scrub_bucket(const Bucket& bucket) {
        ListOptions options;
        options.after = after_;
        options.limit = page_names;
        for (bool is_last = false; !is_last;) {
            CO_TRY_STATUS(run_.may_go_on());
            CO_TRY(const ListPage page,
                   co_await run_.service().list_unchecked(JobRun::core, bucket.id, options));
            is_last = page.is_last || page.entries.empty();
            for (size_t at = 0; at < page.entries.size(); at += together_max) {
                const size_t end = std::min(at + together_max, page.entries.size());
                CO_TRY_STATUS(co_await scrub_some(bucket, page, at, end));
            }
            if (!page.entries.empty()) options.after = page.name(page.entries.back());
        }
        co_return Status();
    }

    // What became of one object.
    struct Outcome {
        std::string name;
        Result<uint64_t> bytes = 0;
    };

    io::Task<Status> scrub_some(const Bucket& bucket, const ListPage& page, size_t at, size_t end) {
        std::vector<Outcome> outcomes(end - at);
        io::Event done(run_.reactor());
        size_t left = outcomes.size();
        for (size_t index = at; index < end; ++index) {
            Outcome& outcome = outcomes[index - at];
            outcome.name = page.name(page.entries[index]);
            io::start_detached(verify(bucket, outcome, left, done));
        }
        co_await done.wait();
        uint64_t cost_bytes = 0;
        for (Outcome& outcome : outcomes) {
            if (outcome.bytes) {
                run_.done(1, *outcome.bytes);
                cost_bytes += std::max(*outcome.bytes, object_bytes_min);
            } else if (outcome.bytes.error().code != Errc::not_found) {  // else: removed meanwhile
                CO_TRY_STATUS(run_.failed(std::move(outcome.name), outcome.bytes.error()));
            }
        }
        co_await run_.settle(
            fmt::format("{:016x}/{}", bucket.id.value, page.name(page.entries[end - 1])));
        co_return co_await pace(cost_bytes);
    }

    io::Task<void> verify(const Bucket& bucket, Outcome& outcome, size_t& left, io::Event& done) {
        outcome.bytes =
            co_await run_.service().verify(JobRun::core, ObjectAddress{bucket.name, outcome.name});
        if (--left == 0) done.set();
    }

    // A quarter of the rate while clients are at work.
    io::Task<Status> pace(uint64_t bytes) {
        const JobsOptions& options = run_.options();
        const bool is_busy = run_.window() == options.in_flight_busy_max;
        const uint64_t rate = std::max<uint64_t>(options.scrub_bytes_per_s / (is_busy ? 4 : 1), 1);
        const uint64_t now_ns = run_.reactor().now_ns();
        const auto cost_ns = static_cast<uint64_t>(
            static_cast<double>(bytes) / static_cast<double>(rate) * static_cast<double>(ns_per_s));
        free_at_ns_ = std::max(free_at_ns_, now_ns) + cost_ns;
        for (;;) {
            CO_TRY_STATUS(run_.may_go_on());
            const uint64_t at_ns = run_.reactor().now_ns();
            // Short waits are saved up: a timer for each would cost more than it gives.
            if (free_at_ns_ <= at_ns + 1'000'000) co_return Status();
            (void)co_await run_.reactor().sleep(
                run_.reactor().within_ns(std::min(free_at_ns_ - at_ns, nap_ns_max)));
        }
    }

    JobRun& run_;
    BucketId from_;
    std::string after_;
    uint64_t free_at_ns_ = 0;
};

}  // namespace

io::Task<Status> scrub(JobRun& run) {
    Scrub scrub(run);
    co_return co_await scrub.run();
}

}  // namespace penstock::node
