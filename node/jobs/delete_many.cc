// Deleting many objects: each is a tombstone of its own in the log, thousands to a commit.
#include "node/jobs/run.h"

namespace penstock::node {
namespace {

class Deletion final : public PageAction {
public:
    explicit Deletion(JobRun& run) : run_(run) {}

    io::Task<Status> act(std::vector<WalkedName> page) override {
        CO_TRY(const BucketName bucket, run_.bucket());
        std::vector<std::string_view> names;
        names.reserve(page.size());
        for (const WalkedName& walked : page) names.emplace_back(walked.name);
        CO_TRY(const std::vector<Status> outcomes,
               co_await run_.service().remove_many(JobRun::core, bucket, names));
        for (size_t index = 0; index < page.size(); ++index) {
            CO_TRY_STATUS(count(page[index], outcomes[index]));
        }
        co_return Status();
    }

private:
    Status count(const WalkedName& walked, const Status& outcome) {
        if (outcome) {
            run_.done(1, walked.size_bytes.value_or(0));
            return {};
        }
        // A name that a client listed and that is not there is an error; a hole in a range is none,
        // nor is a name that another took away since it was listed, or this job before a crash.
        const bool is_missing = outcome.error().code == Errc::not_found;
        const bool is_listed = run_.spec().selection.kind == Selection::Kind::names;
        if (is_missing && (!is_listed || run_.is_resumed())) return {};
        return run_.failed(walked.name, outcome.error());
    }

    JobRun& run_;
};

}  // namespace

io::Task<Status> delete_many(JobRun& run) {
    Deletion deletion(run);
    co_return co_await run_pages(run, deletion);
}

}  // namespace penstock::node
