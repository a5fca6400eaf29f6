// What changes a set: mountpaths that come, go, are switched off and on. On core 0, one change at a
// time.
//
// A change of the map has four steps. Changes of objects wait (reads go on). Every store admits
// only names that are its own before and after, and waits for what began earlier. Then it admits
// what is its own by the new map, and versions count under the new generation: so whatever a name's
// new owner writes is newer than all that its old one wrote. Then everybody gets the new map.
#include <algorithm>

#include "io/base/random.h"
#include "node/store/mountpath_set.h"
#include "node/store/store_impl.h"
#include "node/store/together.h"

namespace penstock::node {
namespace {

std::unexpected<Error> refuse(std::string why) {
    return fail(Errc::condition_failed, std::move(why));
}

// Releases on every way out.
class Turn {
public:
    explicit Turn(io::Semaphore& semaphore) : semaphore_(semaphore) {}
    Turn(const Turn&) = delete;
    ~Turn() { semaphore_.release(); }

private:
    io::Semaphore& semaphore_;
};

}  // namespace

io::Task<Status> MountpathSet::attach(uint32_t core, std::string path) {
    co_return co_await io::on_core(cores_[core]->reactor, home(),
                                   [this, &path] { return attach_here(path); });
}

io::Task<Status> MountpathSet::detach(uint32_t core, std::string path, bool force) {
    co_return co_await io::on_core(cores_[core]->reactor, home(),
                                   [this, &path, force] { return detach_here(path, force); });
}

io::Task<Result<bool>> MountpathSet::disable(uint32_t core, std::string path) {
    co_return co_await io::on_core(cores_[core]->reactor, home(),
                                   [this, &path] { return set_disabled(path, true); });
}

io::Task<Result<bool>> MountpathSet::enable(uint32_t core, std::string path) {
    co_return co_await io::on_core(cores_[core]->reactor, home(),
                                   [this, &path] { return set_disabled(path, false); });
}

io::Task<Status> MountpathSet::settle(uint32_t core) {
    co_return co_await io::on_core(cores_[core]->reactor, home(), [this] { return settle_here(); });
}

io::Task<std::vector<MountpathFigures>> MountpathSet::figures(uint32_t core) {
    co_return co_await io::on_core(cores_[core]->reactor, home(),
                                   [this] { return figures_here(); });
}

// -------------------------------------------------------------------------------------------------
// One comes

io::Task<Status> MountpathSet::attach_here(std::string path) {
    CO_TRY(const io::Gate::Pass pass, background_.enter());
    co_await changing_.acquire();
    const Turn turn(changing_);
    CO_TRY(MountpathDisks* const disks, co_await host_.open(path));
    Member* const known = member_at(disks->path);
    if (known != nullptr && known->store != nullptr) {
        co_return fail(Errc::exists, disks->path + " is a mountpath already");
    }
    CO_TRY(const FoundMountpath found, co_await disks->pool->run(home(), [disks] {
        return find_mountpath(*disks->blocking, disks->path);
    }));
    for (const auto& member : members_) {
        if (member->is_gone || member->id != found.id) continue;
        if (member->store == nullptr) co_return co_await bring_back(*member, *disks, found);
        co_return refuse(disks->path + " is a copy of " + member->disks->path +
                         ": a mountpath can be there once");
    }
    co_return co_await join(*disks, found);
}

// It was missing: nobody has written under its names since.
io::Task<Status> MountpathSet::bring_back(Member& member, MountpathDisks& disks,
                                          const FoundMountpath& found) {
    RegisteredMountpath& entry = entry_of(member);
    const uint64_t own = found.registry ? found.registry->generation : 0;
    if (!found.is_damaged && !registry_->may_be_copy_of(entry, own)) {
        co_return refuse(disks.path +
                         " is an old copy of that mountpath; give the disk that was "
                         "in use last");
    }
    member.disks = &disks;
    const uint32_t home_core = static_cast<uint32_t>(&entry - registry_->mountpaths.data()) %
                               static_cast<uint32_t>(cores_.size());
    CO_TRY_STATUS(co_await open_store(member, home_core, false));
    entry.path = disks.path;
    entry.is_disabled = false;
    member.out = nullptr;
    CO_TRY_STATUS(co_await write_registries());
    co_await switch_map();
    if (registry_->is_moving()) start_moving();
    start_watching();
    start_cleaning();
    co_return co_await place_metadata();
}

io::Task<Status> MountpathSet::join(MountpathDisks& disks, const FoundMountpath& found) {
    CO_TRY_STATUS(check_all_in());
    const bool is_first = !registry_.has_value();
    if (is_first) {
        Random random = Random::from_system();
        registry_.emplace();
        registry_->node = {random.next(), random.next()};
        registry_->generation = options_.store.map_version;
        registry_->mountpaths.push_back({members_.front()->id, MountpathState::active, false, 0,
                                         members_.front()->disks->path});
    }
    Status joined = check_newcomer(found, *registry_);
    if (joined && registry_->mountpaths.size() >= mountpaths_max) {
        joined = refuse("this node has as many mountpaths as it can have");
    }
    if (joined && !found.is_blank) joined = co_await host_.forget_metadata(disks);
    auto member = std::make_unique<Member>();
    member->id = found.id;
    member->disks = &disks;
    member->is_now = member->was = false;
    const auto home_core = static_cast<uint32_t>(registry_->mountpaths.size() % cores_.size());
    if (joined) joined = co_await open_store(*member, home_core, true);
    if (joined) joined = co_await take_in(std::move(member), disks.path);
    if (!joined && is_first && registry_->generation == options_.store.map_version) {
        registry_.reset();
    }
    CO_TRY_STATUS(joined);
    co_await switch_map();
    start_moving();
    start_watching();
    co_return co_await place_metadata();
}

// The registry has it on every mountpath, or on none.
io::Task<Status> MountpathSet::take_in(std::unique_ptr<Member> joined, const std::string& path) {
    const Digest128 id = joined->id;
    Member& member = *joined;
    members_.push_back(std::move(joined));
    registry_->mountpaths.push_back({id, MountpathState::joining, false, 0, path});
    const Status written = co_await write_registries();
    if (written) co_return Status();
    member.is_gone = true;
    std::erase_if(registry_->mountpaths,
                  [&](const RegisteredMountpath& entry) { return entry.id == id; });
    // If this fails, too, the next start asks for the directory, which then is a mountpath.
    (void)co_await write_registries();
    Result<io::Gate::Pass> pass = background_.enter();
    if (pass) io::start_detached(retire(std::move(*pass), member));
    co_return written;
}

// -------------------------------------------------------------------------------------------------
// One goes

io::Task<Status> MountpathSet::detach_here(std::string path, bool force) {
    CO_TRY(const io::Gate::Pass pass, background_.enter());
    Member* member = nullptr;
    CO_TRY_STATUS(co_await begin_leaving(std::move(path), force, member));
    if (member->is_gone) co_return Status();
    // A round that began before this one was asked for may end first.
    while (!member->is_gone) CO_TRY_STATUS(co_await await_moves());
    co_return Status();
}

io::Task<Status> MountpathSet::begin_leaving(std::string path, bool force, Member*& left) {
    co_await changing_.acquire();
    const Turn turn(changing_);
    Member* const member = member_at(path);
    if (member == nullptr) co_return fail(Errc::not_found, path + " is no mountpath of this node");
    left = member;
    const bool has_other = std::ranges::any_of(members_, [member](const auto& other) {
        return other.get() != member && !other->is_gone && other->is_now;
    });
    if (!registry_ || !has_other) co_return refuse(path + " is the only mountpath of this node");
    if (force) co_return co_await give_up(*member);
    RegisteredMountpath& entry = entry_of(*member);
    if (entry.state != MountpathState::leaving) {
        CO_TRY_STATUS(check_all_in());
        entry.state = MountpathState::leaving;
        const Status written = co_await write_registries();
        if (!written) {
            entry_of(*member).state = MountpathState::active;
            (void)co_await write_registries();
            co_return written;
        }
        co_await switch_map();
    }
    start_moving();
    co_return Status();
}

// What it holds is lost to this node. Its own copy of the registry stays as it is, so that it is
// refused should it come back.
io::Task<Status> MountpathSet::give_up(Member& member) {
    const Digest128 id = member.id;
    const RegisteredMountpath given_up = entry_of(member);
    member.is_gone = true;
    std::erase_if(registry_->mountpaths,
                  [&](const RegisteredMountpath& entry) { return entry.id == id; });
    const Status written = co_await write_registries();
    if (!written) {
        member.is_gone = false;
        registry_->mountpaths.push_back(given_up);
        (void)co_await write_registries();
        co_return written;
    }
    log_.warning("a mountpath was given up with all that it holds",
                 {{"path", std::string_view(given_up.path)}});
    co_await switch_map();
    if (registry_->is_moving()) start_moving();
    Result<io::Gate::Pass> pass = background_.enter();
    if (pass && member.store != nullptr) io::start_detached(retire(std::move(*pass), member));
    co_return co_await place_metadata();
}

// Lets go of its directory. Who reads an object of it goes on: the store itself stays.
io::Task<void> MountpathSet::retire(io::Gate::Pass, Member& member) {
    co_await io::on_core(home(), cores_[member.home]->reactor,
                         [&member] { return member.store->stop(); });
}

// -------------------------------------------------------------------------------------------------
// Off and on

io::Task<Result<bool>> MountpathSet::set_disabled(std::string path, bool is_disabled) {
    CO_TRY(const io::Gate::Pass pass, background_.enter());
    co_await changing_.acquire();
    const Turn turn(changing_);
    Member* const member = member_at(path);
    if (member == nullptr) co_return fail(Errc::not_found, path + " is no mountpath of this node");
    if (!is_disabled) co_return co_await enable_here(*member);
    const bool is_last = std::ranges::none_of(members_, [member](const auto& other) {
        return other.get() != member && !other->is_gone && other->out == nullptr;
    });
    if (!registry_ || is_last) co_return refuse(path + " is the only mountpath in service");
    RegisteredMountpath& entry = entry_of(*member);
    if (entry.is_disabled) co_return false;
    entry.is_disabled = true;
    const Status written = co_await write_registries();
    if (!written) {
        entry_of(*member).is_disabled = false;
        co_return std::unexpected(written.error());
    }
    member->out = std::make_shared<const std::string>("mountpath " + path + " is disabled");
    co_await show();
    (void)co_await place_metadata();
    co_return true;
}

io::Task<Result<bool>> MountpathSet::enable_here(Member& member) {
    if (member.out == nullptr) co_return false;
    if (member.store == nullptr) {
        CO_TRY(MountpathDisks* const disks, co_await host_.open(entry_of(member).path));
        CO_TRY(const FoundMountpath found, co_await disks->pool->run(home(), [disks] {
            return find_mountpath(*disks->blocking, disks->path);
        }));
        if (found.id != member.id) {
            co_return refuse(disks->path + " does not hold this mountpath: attach it where it is");
        }
        CO_TRY_STATUS(co_await bring_back(member, *disks, found));
        co_return true;
    }
    CO_TRY_STATUS(co_await probe_now(member));
    entry_of(member).is_disabled = false;
    member.has_failed = false;
    co_await put_in(member);
    co_return true;
}

// -------------------------------------------------------------------------------------------------
// All

io::Task<Status> MountpathSet::settle_here() {
    CO_TRY(const io::Gate::Pass pass, background_.enter());
    while (is_moving_) CO_TRY_STATUS(co_await await_moves());
    co_return Status();
}

// Until the moves' round that is under way has ended; what it ended with.
io::Task<Status> MountpathSet::await_moves() {
    if (cancel_.is_cancelled()) co_return fail(Errc::unavailable, "stopping");
    if (!is_moving_) co_return move_outcome_;
    co_await move_round_done_.wait();
    co_return move_outcome_;
}

io::Task<MoveFigures> MountpathSet::moves(uint32_t core) {
    co_return co_await io::on_core(cores_[core]->reactor, home(), [this] { return moves_here(); });
}

io::Task<MoveFigures> MountpathSet::moves_here() {
    co_return MoveFigures{is_moving_, moved_objects_, move_outcome_};
}

io::Task<std::vector<MountpathFigures>> MountpathSet::figures_here() {
    std::vector<MountpathFigures> all;
    for (const auto& member : members_) {
        if (member->is_gone) continue;
        MountpathFigures& figures = all.emplace_back();
        figures.id = text_of(member->id);
        if (member->disks != nullptr) figures.path = member->disks->path;
        if (registry_) {
            const RegisteredMountpath& entry = entry_of(*member);
            if (member->disks == nullptr) figures.path = entry.path;
            figures.state = entry.state;
            figures.is_disabled = entry.is_disabled;
        }
        if (member->out != nullptr) figures.out = *member->out;
        if (member->store != nullptr) figures.usage = member->store->usage();
    }
    co_return all;
}

MountpathSet::Member* MountpathSet::member_at(const std::string& path) {
    for (const auto& member : members_) {
        if (member->is_gone) continue;
        if (member->disks != nullptr && member->disks->path == path) return member.get();
        if (registry_ && entry_of(*member).path == path) return member.get();
    }
    return nullptr;
}

RegisteredMountpath& MountpathSet::entry_of(const Member& member) {
    RegisteredMountpath* const entry = registry_->find(member.id);
    ASSERT(entry != nullptr);
    return *entry;
}

Status MountpathSet::check_all_in() const {
    if (registry_ && registry_->is_moving()) {
        return refuse("objects are being moved between the mountpaths: wait until that is done");
    }
    for (const auto& member : members_) {
        if (!member->is_gone && member->out != nullptr) {
            return refuse("all mountpaths must be in service for this: " + *member->out);
        }
    }
    return {};
}

io::Task<void> MountpathSet::switch_map() {
    is_switching_ = true;
    co_await show();
    const auto before = std::make_shared<const MountpathMap>(make_map());
    place_members();
    const auto after = std::make_shared<const MountpathMap>(make_map());
    co_await admit_by(before, after);
    co_await admit_by(after, after);
    is_switching_ = false;
    co_await show();
}

io::Task<void> MountpathSet::admit_by(std::shared_ptr<const MountpathMap> map,
                                      std::shared_ptr<const MountpathMap> also) {
    Together together(home());
    for (uint32_t slot = 0; slot < members_.size(); ++slot) {
        Member& member = *members_[slot];
        if (member.store == nullptr || member.is_gone) continue;
        together.start(member.store->admit_only(
            member.local(0),
            [map, also, slot](const ObjectName& name) {
                return map->owners_of(name).now == slot &&
                       (map == also || also->owners_of(name).now == slot);
            },
            registry_->generation));
    }
    co_await together.wait();
}

io::Task<Status> MountpathSet::place_metadata() {
    std::vector<MountpathDisks*> on;
    for (const RegisteredMountpath& entry : registry_->mountpaths) {
        for (const auto& member : members_) {
            const bool is_fit = !member->is_gone && member->id == entry.id &&
                                member->out == nullptr && entry.state != MountpathState::leaving;
            if (is_fit) on.push_back(member->disks);
        }
    }
    if (on.empty()) co_return Status();
    co_return co_await host_.keep_metadata(std::move(on));
}

}  // namespace penstock::node
