// The calls of Store on a set. With one mountpath they are its store's; with several a name's owner
// has them; and while objects are being moved an object is where it belongs, or else where it
// belonged before.
//
// A call that began under a view that is no longer the newest may have looked in the wrong place:
// what it did not find it looks for again.
#include <algorithm>

#include "node/store/mountpath_set.h"
#include "node/store/store_impl.h"
#include "node/store/together.h"

namespace penstock::node {
namespace {

constexpr int attempts_max = 8;

void add_usage(StoreUsage& sum, const StoreUsage& one) {
    constexpr uint64_t StoreUsage::* fields[] = {
        &StoreUsage::objects,          &StoreUsage::object_bytes,   &StoreUsage::disk_bytes,
        &StoreUsage::corruptions,      &StoreUsage::log_records,    &StoreUsage::log_bytes,
        &StoreUsage::log_groups,       &StoreUsage::log_syncs,      &StoreUsage::log_failures,
        &StoreUsage::live_bytes,       &StoreUsage::segment_bytes,  &StoreUsage::compacted_bytes,
        &StoreUsage::freed_bytes,      &StoreUsage::freed_segments, &StoreUsage::lost_objects,
        &StoreUsage::verified_objects, &StoreUsage::verified_bytes, &StoreUsage::hidden_objects,
    };
    for (const auto field : fields) sum.*field += one.*field;
    sum.space.total_bytes += one.space.total_bytes;
    sum.space.available_bytes += one.space.available_bytes;
    sum.space.total_files += one.space.total_files;
    sum.space.available_files += one.space.available_files;
}

std::unexpected<Error> not_there() {
    return fail(Errc::not_found, "the object does not exist");
}

bool is_not_found(const Error& error) {
    return error.code == Errc::not_found;
}

Status out_of_service(const std::string& why) {
    return fail(Errc::unavailable, "the object's mountpath is out of service: " + why);
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// Reading

template <typename F>
auto MountpathSet::read(uint32_t core, const ObjectName& name, F call) ->
    typename std::invoke_result_t<F&, StoreImpl&, uint32_t> {
    using T = typename std::invoke_result_t<F&, StoreImpl&, uint32_t>::Value::value_type;
    if (const Member* sole = view(core).sole) return call(*sole->store, sole->local(core));
    return read_anywhere<T, F>(core, name, std::move(call));
}

template <typename T, typename F>
io::Task<Result<T>> MountpathSet::read_anywhere(uint32_t core, ObjectName name, F call) {
    for (int attempt = 1;; ++attempt) {
        const uint64_t number = view(core).number;
        Result<T> result = co_await read_by<T, F>(core, name, call);
        if (result || !is_not_found(result.error()) || view(core).number == number ||
            attempt == attempts_max) {
            co_return result;
        }
    }
}

template <typename T, typename F>
io::Task<Result<T>> MountpathSet::read_by(uint32_t core, ObjectName name, F call) {
    const std::shared_ptr<const View> seen = cores_[core]->view;
    const Owners owners = seen->map.owners_of(name);
    if (!owners.may_move()) {
        if (const auto& out = seen->map.out(owners.now)) {
            co_return std::unexpected(out_of_service(*out).error());
        }
        const Member& owner = *seen->members[owners.now];
        co_return co_await call(*owner.store, owner.local(core));
    }
    // Where it belongs is asked again: it may have come there while the other one was looked at.
    for (const uint32_t slot : {owners.now, owners.before, owners.now}) {
        if (const auto& out = seen->map.out(slot)) {
            co_return std::unexpected(out_of_service(*out).error());
        }
        const Member& member = *seen->members[slot];
        if (!member.store->has(name)) continue;
        Result<T> result = co_await call(*member.store, member.local(core));
        if (result || !is_not_found(result.error())) co_return result;
    }
    co_return not_there();
}

io::Task<Result<OpenedObject>> MountpathSet::get(uint32_t core, ObjectName name, ReadRange range) {
    return read(core, name, [name, range](StoreImpl& store, uint32_t local) {
        return store.get(local, name, range);
    });
}

io::Task<Result<ObjectAttributes>> MountpathSet::stat(uint32_t core, ObjectName name) {
    return read(core, name,
                [name](StoreImpl& store, uint32_t local) { return store.stat(local, name); });
}

io::Task<Result<uint64_t>> MountpathSet::verify(uint32_t core, ObjectName name) {
    return read(core, name,
                [name](StoreImpl& store, uint32_t local) { return store.verify(local, name); });
}

io::Task<Result<std::optional<OpenedObject>>> MountpathSet::open_file(uint32_t core,
                                                                      ObjectName name) {
    return read(core, name,
                [name](StoreImpl& store, uint32_t local) { return store.open_file(local, name); });
}

io::Task<Result<std::vector<std::byte>>> MountpathSet::attachment(uint32_t core, ObjectName name,
                                                                  Version version) {
    return read(core, name, [name, version](StoreImpl& store, uint32_t local) {
        return store.attachment(local, name, version);
    });
}

uint64_t MountpathSet::read_order(uint32_t core, ObjectName name) {
    const View& seen = view(core);
    if (seen.sole != nullptr) return seen.sole->store->read_order(seen.sole->local(core), name);
    const Owners owners = seen.map.owners_of(name);
    for (const uint32_t slot : {owners.now, owners.before}) {
        const Member& member = *seen.members[slot];
        if (member.store == nullptr || !member.store->has(name)) continue;
        return member.store->read_order(member.local(core), name);
    }
    return UINT64_MAX;
}

// -------------------------------------------------------------------------------------------------
// Changes

io::Task<std::shared_ptr<const MountpathSet::View>> MountpathSet::settled_view(uint32_t core) {
    while (view(core).is_switching) co_await cores_[core]->switched.wait();
    co_return cores_[core]->view;
}

Status MountpathSet::check_in(const View& view, const Owners& owners) {
    for (const uint32_t slot : {owners.now, owners.before}) {
        if (const auto& out = view.map.out(slot)) return out_of_service(*out);
    }
    return {};
}

// The object is where it belongs, and nowhere else, if it is at all.
io::Task<Status> MountpathSet::pull(uint32_t core, const View& view, const Owners& owners,
                                    ObjectName name) {
    const Member& now = *view.members[owners.now];
    const Member& before = *view.members[owners.before];
    if (!before.store->has(name)) co_return Status();
    const Result<bool> moved =
        co_await now.store->take_over(now.local(core), name, *before.store, before.local(core));
    if (!moved) co_return std::unexpected(moved.error());
    co_return Status();
}

template <typename F>
auto MountpathSet::change(uint32_t core, const ObjectName& name, ChangeRules rules, F call) ->
    typename std::invoke_result_t<F&, StoreImpl&, uint32_t> {
    using T = typename std::invoke_result_t<F&, StoreImpl&, uint32_t>::Value::value_type;
    if (const Member* sole = view(core).sole) return call(*sole->store, sole->local(core));
    return change_by<T, F>(core, name, rules, std::move(call));
}

template <typename T, typename F>
io::Task<std::expected<T, Error>> MountpathSet::change_by(uint32_t core, ObjectName name,
                                                          ChangeRules rules, F call) {
    for (int attempt = 1;; ++attempt) {
        const std::shared_ptr<const View> seen = co_await settled_view(core);
        const Owners owners = seen->map.owners_of(name);
        CO_TRY_STATUS(check_in(*seen, owners));
        if (rules.pulls && owners.may_move()) {
            CO_TRY_STATUS(co_await pull(core, *seen, owners, name));
        }
        const Member& owner = *seen->members[owners.now];
        std::expected<T, Error> result = co_await call(*owner.store, owner.local(core));
        const bool is_stale = view(core).number != seen->number;
        const bool may_be_moved = !result && (result.error().code == Errc::not_found ||
                                              result.error().code == Errc::unavailable);
        if (!may_be_moved || !is_stale || !rules.may_repeat || attempt == attempts_max) {
            co_return result;
        }
    }
}

io::Task<Result<ObjectAttributes>> MountpathSet::put(uint32_t core, ObjectName name, io::Body body,
                                                     PutOptions options) {
    if (const Member* sole = view(core).sole) {
        return sole->store->put(sole->local(core), name, std::move(body), std::move(options));
    }
    return put_by(core, name, std::move(body), std::move(options));
}

// A body whose object's owner changes while it comes in is refused at its end with `unavailable`.
io::Task<Result<ObjectAttributes>> MountpathSet::put_by(uint32_t core, ObjectName name,
                                                        io::Body body, PutOptions options) {
    const std::shared_ptr<const View> seen = co_await settled_view(core);
    const Owners owners = seen->map.owners_of(name);
    CO_TRY_STATUS(check_in(*seen, owners));
    if (owners.may_move()) {
        CO_TRY_STATUS(co_await prepare_put(core, *seen, owners, name, options));
    }
    bool is_striped = false;
    if (options.stripes.above_bytes != 0) {
        CO_TRY(is_striped, co_await is_to_be_striped(core, *seen, options.stripes, body));
    }
    Result<ObjectAttributes> result = ObjectAttributes();
    if (is_striped) {
        result = co_await put_striped(core, seen, name, std::move(body), std::move(options));
    } else {
        const Member& owner = *seen->members[owners.now];
        result =
            co_await owner.store->put(owner.local(core), name, std::move(body), std::move(options));
    }
    if (result && owners.may_move()) co_await drop_stale(core, *seen, owners, name);
    co_return result;
}

// What will be replaced is not moved first, where the answer does not depend on it: it may be
// large.
io::Task<Status> MountpathSet::prepare_put(uint32_t core, const View& view, const Owners& owners,
                                           ObjectName name, PutOptions& options) {
    const Member& now = *view.members[owners.now];
    const Member& before = *view.members[owners.before];
    if (options.condition.kind == Condition::Kind::exactly) {
        co_return co_await pull(core, view, owners, name);
    }
    if (now.store->has(name) || !before.store->has(name)) co_return Status();
    if (options.condition.kind == Condition::Kind::absent) {
        co_return fail(Errc::condition_failed, "the object exists");
    }
    if (!options.counts_versions || options.display_version != 0) co_return Status();
    const Result<ObjectAttributes> old = co_await before.store->stat(before.local(core), name);
    if (old) options.display_version = old->display_version + 1;
    co_return Status();
}

// What was replaced where it belongs is removed where it was. If that fails it is tried again with
// the moves; until then the new one counts.
io::Task<void> MountpathSet::drop_stale(uint32_t core, const View& view, const Owners& owners,
                                        ObjectName name) {
    const Status dropped = co_await pull(core, view, owners, name);
    if (dropped || dropped.error().code == Errc::unavailable) co_return;
    log_.warning("an old version was not removed from where its object was",
                 {{"reason", std::string_view(dropped.error().context)}});
}

io::Task<Result<Version>> MountpathSet::remove(uint32_t core, ObjectName name, Condition condition,
                                               Durability durability) {
    if (const Member* sole = view(core).sole) {
        return sole->store->remove(sole->local(core), name, condition, durability);
    }
    return remove_by(core, name, condition, durability);
}

io::Task<Result<Version>> MountpathSet::remove_by(uint32_t core, ObjectName name,
                                                  Condition condition, Durability durability) {
    std::optional<Version> removed;
    for (int attempt = 1;; ++attempt) {
        const std::shared_ptr<const View> seen = co_await settled_view(core);
        const Result<Version> result =
            co_await remove_once(core, *seen, name, condition, durability);
        if (result) removed = *result;
        // Under an old view only one of two copies may have been removed.
        const bool is_stale = view(core).number != seen->number;
        if (is_stale && attempt < attempts_max && (result || is_not_found(result.error()))) {
            condition = {};
            continue;
        }
        if (removed && (result || is_not_found(result.error()))) co_return *removed;
        co_return result;
    }
}

// First where it was, then where it belongs: a move that began before is under way there by then,
// and one that begins later finds nothing.
io::Task<Result<Version>> MountpathSet::remove_once(uint32_t core, const View& view,
                                                    ObjectName name, Condition condition,
                                                    Durability durability) {
    const Owners owners = view.map.owners_of(name);
    CO_TRY_STATUS(check_in(view, owners));
    const Member& now = *view.members[owners.now];
    std::optional<Version> removed;
    if (owners.may_move() && condition.kind != Condition::Kind::none) {
        CO_TRY_STATUS(co_await pull(core, view, owners, name));
    } else if (owners.may_move()) {
        const Member& before = *view.members[owners.before];
        const Result<Version> first =
            co_await before.store->remove(before.local(core), name, {}, Durability::group);
        if (!first && !is_not_found(first.error())) co_return first;
        if (first) removed = *first;
    }
    const Result<Version> second =
        co_await now.store->remove(now.local(core), name, condition, durability);
    if (!second && is_not_found(second.error()) && removed) co_return *removed;
    co_return second;
}

io::Task<Result<std::vector<Status>>> MountpathSet::remove_many(
    uint32_t core, BucketId bucket, std::string_view bucket_label,
    const std::vector<std::string_view>& names, Durability durability) {
    if (const Member* sole = view(core).sole) {
        return sole->store->remove_many(sole->local(core), bucket, bucket_label, names, durability);
    }
    return remove_many_by(core, bucket, bucket_label, names, durability);
}

namespace {

// The names of one owner, and what became of them.
struct Share {
    std::vector<std::string_view> names;
    std::vector<size_t> positions;
    Result<std::vector<Status>> outcomes{std::vector<Status>()};
};

io::Task<void> remove_share(StoreImpl& store, uint32_t local, BucketId bucket,
                            std::string_view label, Share& share, Durability durability) {
    share.outcomes = co_await store.remove_many(local, bucket, label, share.names, durability);
}

}  // namespace

io::Task<Result<std::vector<Status>>> MountpathSet::remove_many_by(
    uint32_t core, BucketId bucket, std::string_view bucket_label,
    const std::vector<std::string_view>& names, Durability durability) {
    const std::shared_ptr<const View> seen = co_await settled_view(core);
    std::vector<Status> outcomes(names.size());
    std::vector<Share> shares(seen->members.size());
    std::vector<size_t> alone;  // that may have to be removed in two places
    for (size_t index = 0; index < names.size(); ++index) {
        const Owners owners = seen->map.owners_of({bucket, bucket_label, names[index]});
        if (owners.may_move() || seen->map.out(owners.now)) {
            alone.push_back(index);
            continue;
        }
        shares[owners.now].names.push_back(names[index]);
        shares[owners.now].positions.push_back(index);
    }
    Together together(cores_[core]->reactor);
    for (size_t slot = 0; slot < shares.size(); ++slot) {
        if (shares[slot].names.empty()) continue;
        const Member& member = *seen->members[slot];
        together.start(remove_share(*member.store, member.local(core), bucket, bucket_label,
                                    shares[slot], durability));
    }
    co_await together.wait();
    const bool is_stale = view(core).number != seen->number;
    for (Share& share : shares) {
        for (size_t index = 0; index < share.positions.size(); ++index) {
            const size_t position = share.positions[index];
            outcomes[position] =
                share.outcomes ? (*share.outcomes)[index] : fail(share.outcomes.error());
            if (is_stale) alone.push_back(position);
        }
    }
    for (const size_t index : alone) {
        const Result<Version> removed =
            co_await remove_by(core, {bucket, bucket_label, names[index]}, {}, durability);
        const bool was_removed_above = is_stale && !removed && is_not_found(removed.error());
        if (removed) {
            outcomes[index] = Status();
        } else if (!was_removed_above || !outcomes[index]) {
            outcomes[index] = fail(removed.error());
        }
    }
    co_return outcomes;
}

io::Task<Result<ObjectAttributes>> MountpathSet::adopt(uint32_t core, ObjectName name,
                                                       std::string path, PutOptions options) {
    if (const Member* sole = view(core).sole) {
        return sole->store->adopt(sole->local(core), name, std::move(path), std::move(options));
    }
    auto shared = std::make_shared<PutOptions>(std::move(options));
    return change(core, name, {.may_repeat = false},
                  [name, path = std::move(path), shared](StoreImpl& store, uint32_t local) {
                      return store.adopt(local, name, path, std::move(*shared));
                  });
}

io::Task<Result<ObjectAttributes>> MountpathSet::set_custom(uint32_t core, ObjectName name,
                                                            CustomMetadata custom, bool replaces,
                                                            Durability durability) {
    return change(
        core, name, {},
        [name, custom = std::move(custom), replaces, durability](StoreImpl& store, uint32_t local) {
            return store.set_custom(local, name, custom, replaces, durability);
        });
}

io::Task<Result<std::string>> MountpathSet::begin_upload(uint32_t core, ObjectName name,
                                                         CustomMetadata custom,
                                                         StripeRule stripes) {
    if (slots_in_service(view(core)).size() < 2) stripes = {};
    return change(core, name, {.pulls = false},
                  [name, custom = std::move(custom), stripes](StoreImpl& store, uint32_t local) {
                      return store.begin_upload(local, name, custom, stripes);
                  });
}

io::Task<Result<PartAttributes>> MountpathSet::put_part(uint32_t core, ObjectName name,
                                                        std::string_view upload, uint32_t number,
                                                        io::Body body, PartOptions options) {
    auto shared =
        std::make_shared<std::pair<io::Body, PartOptions>>(std::move(body), std::move(options));
    return change(core, name, {.pulls = false, .may_repeat = false},
                  [name, upload, number, shared](StoreImpl& store, uint32_t local) {
                      return store.put_part(local, name, upload, number, std::move(shared->first),
                                            std::move(shared->second));
                  });
}

io::Task<Result<ObjectAttributes>> MountpathSet::complete_upload(uint32_t core, ObjectName name,
                                                                 std::string_view upload,
                                                                 CompletionOptions options) {
    return change(core, name, {},
                  [name, upload, options = std::move(options)](StoreImpl& store, uint32_t local) {
                      return store.complete_upload(local, name, upload, options);
                  });
}

io::Task<Status> MountpathSet::abort_upload(uint32_t core, ObjectName name,
                                            std::string_view upload) {
    return change(core, name, {.pulls = false}, [name, upload](StoreImpl& store, uint32_t local) {
        return store.abort_upload(local, name, upload);
    });
}

io::Task<Result<std::vector<PartAttributes>>> MountpathSet::parts(uint32_t core, ObjectName name,
                                                                  std::string_view upload) {
    return change(core, name, {.pulls = false}, [name, upload](StoreImpl& store, uint32_t local) {
        return store.parts(local, name, upload);
    });
}

io::Task<Result<std::string>> MountpathSet::append(uint32_t core, ObjectName name,
                                                   std::string_view handle, io::Body body) {
    auto shared = std::make_shared<io::Body>(std::move(body));
    return change(core, name, {.pulls = handle.empty(), .may_repeat = false},
                  [name, handle, shared](StoreImpl& store, uint32_t local) {
                      return store.append(local, name, handle, std::move(*shared));
                  });
}

io::Task<Result<ObjectAttributes>> MountpathSet::flush(uint32_t core, ObjectName name,
                                                       std::string_view handle,
                                                       bool counts_versions) {
    return change(core, name, {},
                  [name, handle, counts_versions](StoreImpl& store, uint32_t local) {
                      return store.flush(local, name, handle, counts_versions);
                  });
}

// -------------------------------------------------------------------------------------------------
// Of two names

io::Task<Result<ObjectAttributes>> MountpathSet::copy(uint32_t core, ObjectName from, ObjectName to,
                                                      ObjectCopyOptions options) {
    if (const Member* sole = view(core).sole) {
        return sole->store->copy(sole->local(core), from, to, options);
    }
    return pair_by(core, from, to, options, false);
}

io::Task<Result<ObjectAttributes>> MountpathSet::rename(uint32_t core, ObjectName from,
                                                        ObjectName to, bool counts_versions) {
    if (const Member* sole = view(core).sole) {
        return sole->store->rename(sole->local(core), from, to, counts_versions);
    }
    ObjectCopyOptions options;
    options.counts_versions = counts_versions;
    return pair_by(core, from, to, options, true);
}

io::Task<Result<ObjectAttributes>> MountpathSet::pair_by(uint32_t core, ObjectName from,
                                                         ObjectName to, ObjectCopyOptions options,
                                                         bool is_rename) {
    for (int attempt = 1;; ++attempt) {
        const std::shared_ptr<const View> seen = co_await settled_view(core);
        Result<ObjectAttributes> result =
            co_await pair_once(core, *seen, from, to, options, is_rename);
        const bool may_be_moved = !result && (result.error().code == Errc::not_found ||
                                              result.error().code == Errc::unavailable);
        const bool is_stale = view(core).number != seen->number;
        if (!may_be_moved || !is_stale || attempt == attempts_max) co_return result;
    }
}

io::Task<Result<ObjectAttributes>> MountpathSet::pair_once(uint32_t core, const View& view,
                                                           ObjectName from, ObjectName to,
                                                           const ObjectCopyOptions& options,
                                                           bool is_rename) {
    const Owners from_owners = view.map.owners_of(from);
    const Owners to_owners = view.map.owners_of(to);
    for (const auto& [owners, name] : {std::pair(from_owners, from), std::pair(to_owners, to)}) {
        CO_TRY_STATUS(check_in(view, owners));
        if (owners.may_move()) CO_TRY_STATUS(co_await pull(core, view, owners, name));
    }
    const Member& source = *view.members[from_owners.now];
    const Member& owner = *view.members[to_owners.now];
    StoreImpl& store = *owner.store;
    const uint32_t local = owner.local(core);
    if (&source == &owner && is_rename) {
        co_return co_await store.rename(local, from, to, options.counts_versions);
    }
    if (&source == &owner) co_return co_await store.copy(local, from, to, options);
    if (is_rename) {
        co_return co_await store.rename_from(local, to, *source.store, source.local(core), from,
                                             options.counts_versions);
    }
    co_return co_await store.copy_from(local, to, *source.store, source.local(core), from, options);
}

// -------------------------------------------------------------------------------------------------
// Of all

io::Task<Result<ListPage>> MountpathSet::list(uint32_t core, BucketId bucket, ListOptions options) {
    if (const Member* sole = view(core).sole) {
        return sole->store->list(sole->local(core), bucket, std::move(options));
    }
    return list_all(core, bucket, std::move(options));
}

io::Task<Result<std::vector<UploadAttributes>>> MountpathSet::uploads(uint32_t core,
                                                                      BucketId bucket) {
    if (const Member* sole = view(core).sole) {
        return sole->store->uploads(sole->local(core), bucket);
    }
    return uploads_of_all(core, bucket);
}

io::Task<Result<uint64_t>> MountpathSet::compact(uint32_t core) {
    const std::shared_ptr<const View> seen = cores_[core]->view;
    uint64_t freed = 0;
    for (uint32_t slot = 0; slot < seen->members.size(); ++slot) {
        const Member* const member = seen->members[slot];
        const MountpathMap::Slot& placed = seen->map.slots()[slot];
        if (member->store == nullptr || (!placed.is_now && !placed.was)) continue;
        CO_TRY(const uint64_t bytes, co_await member->store->compact(member->local(core)));
        freed += bytes;
    }
    co_return freed;
}

uint64_t MountpathSet::live_bytes(BucketId bucket) const {
    ASSERT(members_.size() == 1);
    return members_.front()->store->live_bytes(bucket);
}

void MountpathSet::forget_bucket(BucketId bucket) {
    for (const Member* member : view_here().members) {
        if (member->store != nullptr) member->store->forget_bucket(bucket);
    }
}

StoreUsage MountpathSet::usage() const {
    const View& seen = view_here();
    if (seen.sole != nullptr) return seen.sole->store->usage();
    StoreUsage sum;
    for (size_t slot = 0; slot < seen.members.size(); ++slot) {
        const MountpathMap::Slot& placed = seen.map.slots()[slot];
        const Member& member = *seen.members[slot];
        if (member.store != nullptr && (placed.is_now || placed.was)) {
            add_usage(sum, member.store->usage());
        }
    }
    return sum;
}

}  // namespace penstock::node
