// Renaming a bucket: objects go by its number, so it is one command of the metadata.
#include "node/jobs/run.h"

namespace penstock::node {

io::Task<Status> rename_bucket(JobRun& run) {
    // Before a crash.
    if (run.is_destination_there()) co_return Status();
    CO_TRY(const BucketName from, run.bucket());
    co_return co_await run.service().rename_bucket(JobRun::core, from, run.spec().copy.to);
}

}  // namespace penstock::node
