// Rechunk: objects that are larger than the job's rule says are written anew in parts over the
// mountpaths, those that are not and lie in parts in one piece. Only the form changes: content,
// metadata, times and the version that clients see stay.
#include <utility>

#include "node/jobs/run.h"

namespace penstock::node {
namespace {

class Rechunking final : public PageAction {
public:
    explicit Rechunking(JobRun& run) : run_(run) {}

    // One at a time: each is large, and goes through in pieces.
    io::Task<Status> act(std::vector<WalkedName> page) override {
        CO_TRY(const BucketName bucket, run_.bucket());
        for (const WalkedName& walked : page) {
            CO_TRY_STATUS(run_.may_go_on());
            const ObjectAddress address{bucket, walked.name};
            const Result<uint64_t> written = co_await rewrite(address);
            if (written) {
                if (*written > 0) run_.done(1, *written);
            } else if (!is_of_no_concern(written.error().code)) {
                CO_TRY_STATUS(run_.failed(walked.name, written.error()));
            }
        }
        co_return Status();
    }

private:
    // Gone, or another object, since it was listed: that one has the form that the bucket asks for.
    static bool is_of_no_concern(Errc code) {
        return code == Errc::not_found || code == Errc::condition_failed;
    }

    bool is_to_be_in_parts(const ObjectAttributes& object) const {
        const StripeRule& rule = run_.spec().rechunk;
        return rule.above_bytes != 0 && object.size_bytes > rule.above_bytes;
    }

    // How many bytes were written; none: the object is as it is to be.
    io::Task<Result<uint64_t>> rewrite(const ObjectAddress& address) {
        CO_TRY(const ObjectAttributes found, co_await run_.service().stat(JobRun::core, address));
        const bool wants_parts = is_to_be_in_parts(found);
        if (!wants_parts && found.part_count == 0) co_return 0;
        if (wants_parts && !can_be_in_parts_) co_return 0;
        CO_TRY(OpenedObject opened, co_await run_.service().get(JobRun::core, address, {}));
        PutRequest request{.condition = {Condition::Kind::exactly, opened.attributes.version},
                           .custom = std::move(opened.attributes.custom),
                           .modified_ns = opened.attributes.modified_ns,
                           .display_version = opened.attributes.display_version,
                           .stripes = run_.spec().rechunk};
        CO_TRY(const ObjectAttributes written,
               co_await run_.service().put(JobRun::core, address, std::move(opened.body),
                                           std::move(request)));
        // With one mountpath nothing is in parts: the others need not be tried.
        if (wants_parts && written.part_count == 0) can_be_in_parts_ = false;
        co_return written.size_bytes;
    }

    JobRun& run_;
    bool can_be_in_parts_ = true;
};

}  // namespace

io::Task<Status> rechunk(JobRun& run) {
    Rechunking rechunking(run);
    co_return co_await run_pages(run, rechunking);
}

}  // namespace penstock::node
