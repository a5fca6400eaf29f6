#include "node/store/mountpath_set.h"

#include <algorithm>
#include <unordered_set>

#include "node/store/store_impl.h"
#include "node/store/together.h"

namespace penstock::node {
namespace {

std::shared_ptr<const std::string> text(std::string value) {
    return std::make_shared<const std::string>(std::move(value));
}

}  // namespace

io::Task<Result<std::unique_ptr<MountpathSet>>> MountpathSet::open(
    std::vector<MountpathCore> cores, MountpathPlan plan, std::vector<MountpathDisks*> disks,
    MountpathHost& host, MountpathSetOptions options, const Log& log) {
    ASSERT(!cores.empty() && cores[0].reactor->is_current_thread());
    std::unique_ptr<MountpathSet> set(
        new MountpathSet(std::move(cores), host, std::move(options), log));
    const Status started = co_await set->start(std::move(plan), std::move(disks));
    if (!started) {
        co_await set->stop();
        co_return std::unexpected(started.error());
    }
    co_return set;
}

MountpathSet::MountpathSet(std::vector<MountpathCore> cores, MountpathHost& host,
                           MountpathSetOptions options, const Log& log)
    : host_(host),
      options_(std::move(options)),
      log_(log),
      changing_(*cores[0].reactor, 1),
      showing_(*cores[0].reactor, 1),
      background_(*cores[0].reactor),
      move_round_done_(*cores[0].reactor),
      cleaning_(*cores[0].reactor, 1) {
    for (const MountpathCore& core : cores) cores_.push_back(std::make_unique<Core>(core));
}

MountpathSet::~MountpathSet() {
    ASSERT(is_stopped_);
}

io::Task<Status> MountpathSet::start(MountpathPlan plan, std::vector<MountpathDisks*> disks) {
    registry_ = std::move(plan.registry);
    for (const MountpathPlan::Member& planned : plan.members) {
        auto member = std::make_unique<Member>();
        member->id = planned.id;
        if (planned.found) member->disks = disks[*planned.found];
        if (!planned.found) {
            const RegisteredMountpath& entry = *registry_->find(planned.id);
            member->out = text("mountpath " + entry.path + " is missing");
            log_.error("a mountpath is missing: its objects answer errors",
                       {{"path", std::string_view(entry.path)}});
        }
        members_.push_back(std::move(member));
    }
    if (registry_) registry_->generation += 2;  // of what the stores write from now on
    CO_TRY_STATUS(co_await open_all());
    if (registry_) {
        registry_->generation -= 2;
        for (auto& member : members_) {
            const RegisteredMountpath& entry = *registry_->find(member->id);
            if (entry.is_disabled && member->out == nullptr) {
                member->out = text("mountpath " + entry.path + " is disabled");
            }
        }
        CO_TRY_STATUS(co_await check_unchanged());
        CO_TRY_STATUS(co_await write_registries());
    }
    place_members();
    co_await show();
    is_open_ = true;
    if (registry_ && registry_->is_moving()) start_moving();
    start_watching();
    start_cleaning();
    co_return Status();
}

// All at once: a start takes as long as the slowest.
io::Task<Status> MountpathSet::open_all() {
    std::vector<Status> outcomes(members_.size());
    Together together(home());
    for (uint32_t index = 0; index < members_.size(); ++index) {
        if (members_[index]->disks == nullptr) continue;
        together.start(open_into(*members_[index], index, outcomes[index]));
    }
    co_await together.wait();
    bool has_one = false;
    for (uint32_t index = 0; index < members_.size(); ++index) {
        Member& member = *members_[index];
        if (member.store != nullptr) has_one = true;
        if (outcomes[index]) continue;
        Error error = outcomes[index].error();
        if (members_.size() > 1) error.context = member.disks->path + ": " + error.context;
        if (!options_.allows_missing || error.code == Errc::unavailable || !registry_) {
            co_return fail(std::move(error));
        }
        log_.error("a mountpath cannot be opened: its objects answer errors",
                   {{"reason", std::string_view(error.context)}});
        member.out = text("mountpath " + error.context);
    }
    if (!has_one) co_return fail(Errc::condition_failed, "none of the mountpaths is there");
    co_return Status();
}

io::Task<void> MountpathSet::open_into(Member& member, uint32_t index, Status& status) {
    status = co_await open_store(member, index % static_cast<uint32_t>(cores_.size()), false);
}

StoreOptions MountpathSet::store_options(bool is_new) const {
    StoreOptions options = options_.store;
    if (registry_) options.map_version = registry_->generation;
    if (is_new) {
        options.is_live_bucket = [](BucketId) { return false; };
    } else if (is_open_) {
        auto live = std::make_shared<std::unordered_set<uint64_t>>();
        for (const BucketId bucket : host_.buckets()) live->insert(bucket.value);
        options.is_live_bucket = [live](BucketId bucket) { return live->contains(bucket.value); };
    }
    return options;
}

io::Task<Status> MountpathSet::open_store(Member& member, uint32_t home_core, bool is_new) {
    member.home = home_core;
    member.core_count = static_cast<uint32_t>(cores_.size());
    std::vector<StoreCore> cores;
    for (uint32_t index = 0; index < cores_.size(); ++index) {
        const uint32_t number = (home_core + index) % member.core_count;
        Core& core = *cores_[number];
        cores.push_back({&core.reactor, &core.buffers, member.disks->cores[number], this, number});
    }
    const StoreOptions options = store_options(is_new);
    auto opened = co_await io::on_core(home(), *cores.front().reactor,
                                       [&] { return Store::open(cores, options, log_); });
    if (!opened) co_return fail(opened.error());
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast): what Store::open() makes.
    member.store.reset(static_cast<StoreImpl*>(opened->release()));
    co_return Status();
}

io::Task<void> MountpathSet::stop() {
    ASSERT(home().is_current_thread());
    if (is_stopped_) co_return;
    is_stopped_ = true;
    cancel_.cancel();
    co_await background_.close();
    for (const auto& core : cores_) {
        co_await io::on_core(home(), core->reactor, [&core] { return close_gate(*core); });
    }
    Together together(home());
    for (const auto& member : members_) {
        if (member->store == nullptr) continue;
        together.start([](MountpathSet& set, Member& stopped) -> io::Task<void> {
            co_await io::on_core(set.home(), set.cores_[stopped.home]->reactor,
                                 [&stopped] { return stopped.store->stop(); });
        }(*this, *member));
    }
    co_await together.wait();
}

io::Task<void> MountpathSet::close_gate(Core& core) {
    co_await core.gate.close();
}

// -------------------------------------------------------------------------------------------------
// Views

void MountpathSet::place_members() {
    for (const auto& member : members_) {
        const RegisteredMountpath* entry = registry_ ? registry_->find(member->id) : nullptr;
        const MountpathState state = entry != nullptr ? entry->state : MountpathState::active;
        member->is_now = !member->is_gone && state != MountpathState::leaving;
        member->was = !member->is_gone && state != MountpathState::joining;
    }
}

MountpathMap MountpathSet::make_map() const {
    std::vector<MountpathMap::Slot> slots;
    for (const auto& member : members_) {
        slots.push_back({mountpath_digest(member->id), member->is_now, member->was, member->out});
    }
    return MountpathMap(std::move(slots));
}

std::shared_ptr<const MountpathSet::View> MountpathSet::make_view() {
    std::vector<Member*> members;
    for (const auto& member : members_) members.push_back(member.get());
    MountpathMap map = make_map();
    const Member* sole = map.is_sole() && !is_switching_ ? members[map.sole()] : nullptr;
    return std::make_shared<const View>(
        View{++view_number_, is_switching_, std::move(map), std::move(members), sole});
}

io::Task<void> MountpathSet::show() {
    co_await showing_.acquire();
    const std::shared_ptr<const View> view = make_view();
    for (const auto& core : cores_) {
        co_await io::on_core(home(), core->reactor, [&] { return see(*core, view); });
    }
    showing_.release();
}

io::Task<void> MountpathSet::see(Core& core, std::shared_ptr<const View> view) {
    core.view = std::move(view);
    core.switched.set();
    core.switched.reset();
    co_return;
}

// Of the core that calls; of core 0 for a thread that is none, while nothing changes.
const MountpathSet::View& MountpathSet::view_here() const {
    for (const auto& core : cores_) {
        if (core->reactor.is_current_thread()) return *core->view;
    }
    return *cores_.front()->view;
}

// -------------------------------------------------------------------------------------------------
// The registry

// The plan was made before the directories were locked: another process may have had them then.
io::Task<Status> MountpathSet::check_unchanged() {
    for (const auto& member : members_) {
        if (member->store == nullptr) continue;
        io::BlockingDisk& disk = *member->disks->blocking;
        const auto found =
            co_await member->disks->pool->run(home(), [&disk] { return read_registry(disk); });
        if (!found && found.error().code == Errc::corrupt) continue;
        if (!found) co_return fail(found.error());
        const uint64_t generation = *found ? (*found)->generation : 0;
        if (generation == registry_->find(member->id)->seen) continue;
        co_return fail(Errc::unavailable,
                       member->disks->path + ": another process has just used it; start again");
    }
    co_return Status();
}

// Twice: what a mountpath had before the second one is no state that a disk was ever left in.
io::Task<Status> MountpathSet::write_registries() {
    CO_TRY_STATUS(co_await write_generation());
    co_return co_await write_generation();
}

io::Task<Status> MountpathSet::write_generation() {
    registry_->generation += 1;
    const MountpathRegistry written = *registry_;
    Status outcome;
    for (const auto& member : members_) {
        RegisteredMountpath* entry = registry_->find(member->id);
        const bool is_reachable =
            member->store != nullptr && !member->is_gone && !member->has_failed && entry != nullptr;
        if (!is_reachable) continue;
        io::BlockingDisk& disk = *member->disks->blocking;
        const Status status = co_await member->disks->pool->run(
            home(), [&disk, &written] { return write_registry(disk, written); });
        if (status) {
            entry->seen = written.generation;
        } else if (outcome) {
            outcome =
                fail(status.error().code, member->disks->path + ": " + status.error().context);
        }
    }
    co_return outcome;
}

}  // namespace penstock::node
