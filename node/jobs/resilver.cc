// Resilver: objects move between mountpaths because one came or goes. The set of mountpaths does
// that by itself, and goes on after a crash without being asked; the job shows how far it is, and
// who waits for the job waits for the moves. Stopping the job does not stop them.
#include "node/jobs/run.h"

namespace penstock::node {

io::Task<Status> resilver(JobRun& run) {
    constexpr uint64_t look_ns = 20'000'000;
    uint64_t seen = 0;
    for (;;) {
        const ResilverProgress progress = co_await run.resilver_progress();
        // Counted anew when the next change of the set begins its own.
        run.done(progress.objects >= seen ? progress.objects - seen : progress.objects, 0);
        seen = progress.objects;
        if (!progress.is_moving) co_return progress.outcome;
        CO_TRY_STATUS(run.may_go_on());
        (void)co_await run.reactor().sleep(run.reactor().within_ns(look_ns));
    }
}

}  // namespace penstock::node
