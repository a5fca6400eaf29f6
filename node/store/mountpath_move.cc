// Objects that lie where they no longer belong, moved in the background after the set has changed.
// Nothing is written down of how far that is: what was moved is no longer listed where it was, so
// whoever begins again goes on.
#include <algorithm>

#include "node/store/mountpath_set.h"
#include "node/store/store_impl.h"
#include "node/store/together.h"

namespace penstock::node {

void MountpathSet::start_moving() {
    if (is_moving_) return;
    Result<io::Gate::Pass> pass = background_.enter();
    if (!pass) return;  // stopping: the next start goes on
    is_moving_ = true;
    moved_objects_ = 0;
    move_outcome_ = Status();
    io::start_detached(move_until_done(std::move(*pass)));
    host_.moves_began();
}

io::Task<void> MountpathSet::move_until_done(io::Gate::Pass) {
    uint64_t pause_ns = options_.move_grace_ns;
    while (co_await home().sleep(home().within_ns(pause_ns, &cancel_)) == 0) {
        uint64_t left = 0;
        move_outcome_ = co_await move_all(left);
        if (move_outcome_) move_outcome_ = co_await finish_moving();
        if (move_outcome_) break;
        if (!cancel_.is_cancelled()) {
            log_.warning(
                "objects could not be moved to their mountpath",
                {{"count", left}, {"reason", std::string_view(move_outcome_.error().context)}});
        }
        move_round_done_.set();
        move_round_done_.reset();
        pause_ns = options_.move_again_ns;
    }
    is_moving_ = false;
    if (cancel_.is_cancelled()) move_outcome_ = fail(Errc::unavailable, "stopping");
    move_round_done_.set();
    move_round_done_.reset();
}

// One round over all that may have to move.
struct MountpathSet::Moves {
    Moves(io::Reactor& reactor, std::shared_ptr<const View> seen, uint32_t count_max)
        : view(std::move(seen)), together(reactor), slots(reactor, count_max) {}
    std::shared_ptr<const View> view;
    Together together;
    io::Semaphore slots;
    uint64_t left = 0;
    Status first;  // why the first of those could not be moved
};

io::Task<Status> MountpathSet::move_all(uint64_t& left) {
    Moves moves(home(), cores_.front()->view, options_.moves_max);
    for (uint32_t slot = 0; slot < moves.view->members.size(); ++slot) {
        if (!moves.view->map.slots()[slot].was) continue;
        if (const auto& out = moves.view->map.out(slot)) {
            co_return fail(Errc::unavailable, *out);
        }
        for (const BucketId bucket : host_.buckets()) {
            CO_TRY_STATUS(co_await abort_uploads(slot, bucket));
            CO_TRY_STATUS(co_await move_bucket(moves, slot, bucket, ""));
            // Parts of striped objects belong where their own names do.
            CO_TRY_STATUS(
                co_await move_bucket(moves, slot, hidden_bucket(bucket), stripe_part_prefix));
        }
    }
    left = moves.left;
    co_return moves.first;
}

io::Task<Status> MountpathSet::move_bucket(Moves& moves, uint32_t slot, BucketId bucket,
                                           std::string_view prefix) {
    const Member& from = *moves.view->members[slot];
    ListOptions options;
    options.prefix = prefix;
    options.limit = 1000;
    for (bool is_last = false; !is_last;) {
        CO_TRY(const ListPage page, co_await from.store->list(from.local(0), bucket, options));
        for (const ListPage::Entry& entry : page.entries) {
            const ObjectName name{bucket, {}, page.name(entry)};
            const uint32_t to = moves.view->map.owners_of(name).now;
            if (to == slot) continue;
            co_await moves.slots.acquire();
            if (cancel_.is_cancelled()) {
                moves.slots.release();
                break;
            }
            moves.together.start(move_one(moves, slot, to, name));
        }
        co_await moves.together.wait();
        if (cancel_.is_cancelled()) co_return fail(Errc::unavailable, "stopping");
        is_last = page.is_last || page.entries.empty();
        if (!is_last) options.after = page.name(page.entries.back());
    }
    co_return Status();
}

io::Task<void> MountpathSet::move_one(Moves& moves, uint32_t slot, uint32_t to, ObjectName name) {
    const Member& from = *moves.view->members[slot];
    const Member& owner = *moves.view->members[to];
    Status moved;
    if (const auto& out = moves.view->map.out(to)) {
        moved = fail(Errc::unavailable, *out);
    } else {
        const Result<bool> done =
            co_await owner.store->take_over(owner.local(0), name, *from.store, from.local(0));
        if (!done) moved = fail(done.error());
        if (done && *done) moved_objects_ += 1;
    }
    moves.slots.release();
    if (moved) co_return;
    moves.left += 1;
    if (!moves.first) co_return;
    moves.first = fail(moved.error().code, std::string(name.object) + ": " + moved.error().context);
}

// An upload lives where its object belongs: what began before the change has to begin again.
io::Task<Status> MountpathSet::abort_uploads(uint32_t slot, BucketId bucket) {
    const std::shared_ptr<const View> seen = cores_.front()->view;
    const Member& from = *seen->members[slot];
    CO_TRY(const std::vector<UploadAttributes> uploads,
           co_await from.store->uploads(from.local(0), bucket));
    for (const UploadAttributes& upload : uploads) {
        const ObjectName name{bucket, {}, upload.object};
        if (seen->map.owners_of(name).now == slot) continue;
        const Status aborted = co_await from.store->abort_upload(from.local(0), name, upload.id);
        if (!aborted && aborted.error().code != Errc::not_found) co_return aborted;
    }
    co_return Status();
}

// Everything is where it belongs.
io::Task<Status> MountpathSet::finish_moving() {
    co_await changing_.acquire();
    std::vector<Member*> left;
    for (RegisteredMountpath& entry : registry_->mountpaths) {
        if (entry.state == MountpathState::joining) entry.state = MountpathState::active;
    }
    Status finished = co_await place_metadata();
    if (finished) {
        for (const auto& member : members_) {
            if (member->is_gone || entry_of(*member).state != MountpathState::leaving) continue;
            member->is_gone = true;
            left.push_back(member.get());
        }
        const std::vector<RegisteredMountpath> entries = registry_->mountpaths;
        std::erase_if(registry_->mountpaths, [](const RegisteredMountpath& entry) {
            return entry.state == MountpathState::leaving;
        });
        finished = co_await write_registries();
        if (!finished) {
            for (Member* member : left) member->is_gone = false;
            for (const RegisteredMountpath& entry : entries) {
                if (registry_->find(entry.id) == nullptr) registry_->mountpaths.push_back(entry);
            }
        }
    }
    if (finished) {
        co_await switch_map();
        for (Member* member : left) {
            // By its own word it is nobody's: it may be attached again.
            io::BlockingDisk& disk = *member->disks->blocking;
            const MountpathRegistry& registry = *registry_;
            const Status written = co_await member->disks->pool->run(
                home(), [&disk, &registry] { return write_registry(disk, registry); });
            if (!written) {
                log_.warning("a mountpath that was detached is not marked as free",
                             {{"reason", std::string_view(written.error().context)}});
            }
            Result<io::Gate::Pass> pass = background_.enter();
            if (pass) co_await retire(std::move(*pass), *member);
        }
    }
    changing_.release();
    co_return finished;
}

}  // namespace penstock::node
