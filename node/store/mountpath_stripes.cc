// Striped objects over the mountpaths of a set: reading their parts side by side, removing them,
// and cleaning away what a crash left.
//
// A part belongs to the object that it names, as long as that object's current record has the
// stripes that the part is of; in an upload that is open, to the upload's part whose record has
// them. Whatever was interrupted, this one question decides, so nothing else is written down: a put
// writes its parts before the record, a removal removes the record first, a move of either keeps
// both names, a completion is one change.
//
// Who reads pins the stripes on its core, then looks for the first part; who removes them removes
// the first part, then waits until no core has a pin.
#include <algorithm>

#include "node/store/mountpath_set.h"
#include "node/store/store_impl.h"
#include "node/store/stripe_source.h"

namespace penstock::node {
namespace {

constexpr int attempts_max = 8;
constexpr std::string_view tombstone_label = "stripes";

std::pair<uint64_t, uint64_t> key_of(const Digest128& id) {
    return {id.high, id.low};
}

bool is_not_found(const Error& error) {
    return error.code == Errc::not_found;
}

std::unexpected<Error> part_is_missing() {
    return fail(Errc::corrupt, "a part of the object is missing");
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// Reading

std::shared_ptr<void> MountpathSet::pin(uint32_t core, const Digest128& id) {
    std::map<std::pair<uint64_t, uint64_t>, uint32_t>& pins = cores_[core]->pins;
    const auto key = key_of(id);
    pins[key] += 1;
    return {&pins, [key](auto* from) {
                const auto found = from->find(key);
                if (--found->second == 0) from->erase(found);
            }};
}

io::Task<Result<io::Body>> MountpathSet::open_stripes(uint32_t core, BucketId bucket,
                                                      std::shared_ptr<const StripeLayouts> layouts,
                                                      uint64_t offset, uint64_t size) {
    if (size == 0) co_return io::Body();
    Core& own = *cores_[core];
    const StripeLayout& front = layouts->front();
    const std::shared_ptr<void> pinned = pin(core, front.id);
    const std::string first = stripe_part_name(front.id, front.numbers.front());
    CO_TRY_STATUS(co_await stat(core, {hidden_bucket(bucket), {}, first}));
    co_return co_await open_layout_bodies(
        {own.reactor, own.buffers, own.gate, layouts, offset, size,
         [this, core, bucket, layouts, pinned](size_t index, uint64_t from, uint64_t bytes) {
             const std::shared_ptr<const StripeLayout> layout(layouts, &(*layouts)[index]);
             return open_layout(core, bucket, layout, {from, bytes}, pinned);
         },
         pinned});
}

io::Task<Result<io::Body>> MountpathSet::open_layout(uint32_t core, BucketId bucket,
                                                     std::shared_ptr<const StripeLayout> layout,
                                                     ReadRange range,
                                                     std::shared_ptr<void> pinned) {
    Core& own = *cores_[core];
    StripeReads reads{own.reactor,
                      own.buffers,
                      own.gate,
                      layout,
                      range.offset,
                      range.size,
                      [this, core, bucket, layout](uint32_t index, uint64_t from, uint64_t bytes) {
                          return open_part(core, bucket, layout, index, {from, bytes});
                      },
                      std::move(pinned)};
    Result<io::Body> body = co_await open_stripe_body(std::move(reads));
    if (!body && is_not_found(body.error())) co_return part_is_missing();
    co_return body;
}

io::Task<Result<io::Body>> MountpathSet::open_part(uint32_t core, BucketId bucket,
                                                   std::shared_ptr<const StripeLayout> layout,
                                                   uint32_t index, ReadRange range) {
    const std::string part = stripe_part_name(layout->id, layout->numbers[index]);
    CO_TRY(OpenedObject opened, co_await get(core, {hidden_bucket(bucket), {}, part}, range));
    if (opened.range.size != range.size) {
        co_return fail(Errc::corrupt, "a part of the object has another size");
    }
    co_return std::move(opened.body);
}

io::Task<Result<uint64_t>> MountpathSet::verify_stripes(
    uint32_t core, BucketId bucket, std::shared_ptr<const StripeLayouts> layouts) {
    const std::shared_ptr<void> pinned = pin(core, layouts->front().id);
    uint64_t total = 0;
    bool is_first = true;
    for (const StripeLayout& layout : *layouts) {
        for (const uint32_t number : layout.numbers) {
            const std::string part = stripe_part_name(layout.id, number);
            const Result<uint64_t> bytes = co_await verify(core, {hidden_bucket(bucket), {}, part});
            if (!bytes && is_not_found(bytes.error()) && !is_first) co_return part_is_missing();
            CO_TRY_STATUS(bytes);
            total += *bytes;
            is_first = false;
        }
    }
    co_return total;
}

// -------------------------------------------------------------------------------------------------
// Removing

io::Task<void> MountpathSet::drop_stripes(uint32_t core, ObjectName object,
                                          std::shared_ptr<const StripeLayouts> layouts) {
    bool is_kept = false;
    if (visible_bucket(object.bucket) == object.bucket) {
        const StripeOwner owner{object, {}};
        Known known;
        is_kept =
            co_await io::on_core(cores_[core]->reactor, home(), [this, &owner, &layouts, &known] {
                return has_stripes(owner, layouts->front().id, known);
            });
    }
    if (!is_kept) co_await remove_parts(core, object.bucket, *layouts);
}

// Whether the owner has these stripes now; true if that cannot be told. On core 0.
io::Task<bool> MountpathSet::has_stripes(const StripeOwner& owner, Digest128 id, Known& known) {
    for (int attempt = 1; attempt < attempts_max; ++attempt) {
        const std::shared_ptr<const View> seen = co_await settled_view(0);
        const Owners owners = seen->map.owners_of(owner.object);
        for (const uint32_t slot : {owners.now, owners.before, owners.now}) {
            const Member& member = *seen->members[slot];
            if (seen->map.out(slot) || member.store == nullptr) co_return true;
            // In this order: what the upload has no more the object has had since before.
            if (co_await is_in_upload(member, owner, id)) co_return true;
            if (co_await is_in_record(member, owner.object, id, known)) co_return true;
        }
        if (view(0).number == seen->number) co_return false;
    }
    co_return true;
}

io::Task<bool> MountpathSet::is_in_upload(const Member& member, const StripeOwner& owner,
                                          Digest128 id) {
    if (owner.upload_part.empty()) co_return false;
    const BucketId hidden = hidden_bucket(owner.object.bucket);
    const std::string_view part = owner.upload_part;
    // One that has ended has nothing any more, whatever is still to be removed.
    if (!member.store->has({hidden, {}, part.substr(0, part.find('/'))})) co_return false;
    Known known;
    co_return co_await is_in_record(member, {hidden, {}, part}, id, known);
}

io::Task<bool> MountpathSet::is_in_record(const Member& member, ObjectName name, Digest128 id,
                                          Known& known) {
    if (!member.store->has(name)) co_return false;
    const auto stripes = co_await member.store->stripes_of(member.local(0), name);
    if (!stripes) co_return !is_not_found(stripes.error());
    if (*stripes == nullptr) co_return false;
    known.object = name.object;
    known.ids.clear();
    for (const StripeLayout& layout : **stripes) known.ids.insert(key_of(layout.id));
    co_return known.ids.contains(key_of(id));
}

io::Task<void> MountpathSet::remove_parts(uint32_t core, BucketId bucket,
                                          const StripeLayouts& layouts) {
    const Status removed = co_await io::on_core(
        cores_[core]->reactor, home(),
        [this, bucket, &layouts] { return remove_parts_here(bucket, layouts); });
    if (removed || cancel_.is_cancelled()) co_return;
    log_.warning("parts of an object that was replaced or removed stay until the next start",
                 {{"reason", std::string_view(removed.error().context)}});
}

io::Task<Status> MountpathSet::remove_parts_here(BucketId bucket, const StripeLayouts& layouts) {
    const BucketId hidden = hidden_bucket(bucket);
    std::vector<std::string> names;
    for (const StripeLayout& layout : layouts) {
        for (const uint32_t number : layout.numbers) {
            names.push_back(stripe_part_name(layout.id, number));
        }
    }
    const Result<Version> removed =
        co_await remove(0, {hidden, tombstone_label, names.front()}, {}, Durability::group);
    if (!removed && !is_not_found(removed.error())) co_return fail(removed.error());
    CO_TRY_STATUS(co_await await_unpinned(layouts.front().id));
    constexpr size_t batch_max = 1000;
    for (size_t begin = 1; begin < names.size(); begin += batch_max) {
        const size_t end = std::min(begin + batch_max, names.size());
        const std::vector<std::string_view> views(names.begin() + static_cast<ptrdiff_t>(begin),
                                                  names.begin() + static_cast<ptrdiff_t>(end));
        CO_TRY(const std::vector<Status> outcomes,
               co_await remove_many(0, hidden, tombstone_label, views, Durability::group));
        for (const Status& outcome : outcomes) {
            if (!outcome && !is_not_found(outcome.error())) co_return outcome;
        }
    }
    co_return Status();
}

io::Task<Status> MountpathSet::await_unpinned(Digest128 id) {
    constexpr uint64_t look_ns = 20'000'000;
    for (const auto& core : cores_) {
        while (co_await io::on_core(home(), core->reactor,
                                    [&core, id] { return is_pinned(*core, id); })) {
            if (co_await home().sleep(home().within_ns(look_ns, &cancel_)) != 0) {
                co_return fail(Errc::unavailable, "stopping");
            }
        }
    }
    co_return Status();
}

io::Task<bool> MountpathSet::is_pinned(Core& core, Digest128 id) {
    co_return core.pins.contains(key_of(id));
}

// -------------------------------------------------------------------------------------------------
// What a crash left, or a mountpath that was out of service

void MountpathSet::start_cleaning() {
    Result<io::Gate::Pass> pass = background_.enter();
    if (pass) io::start_detached(clean_stripes(std::move(*pass)));
}

io::Task<void> MountpathSet::clean_stripes(io::Gate::Pass) {
    co_await cleaning_.acquire();
    const std::shared_ptr<const View> seen = cores_.front()->view;
    Status status;
    for (uint32_t slot = 0; slot < seen->members.size() && status; ++slot) {
        const MountpathMap::Slot& placed = seen->map.slots()[slot];
        if (placed.out || (!placed.is_now && !placed.was)) continue;
        for (const BucketId bucket : host_.buckets()) {
            if (cancel_.is_cancelled()) break;
            status = co_await clean_bucket(*seen->members[slot], bucket);
            if (!status) break;
        }
    }
    cleaning_.release();
    if (status || cancel_.is_cancelled()) co_return;
    log_.warning("parts of objects that are no more were not cleaned away",
                 {{"reason", std::string_view(status.error().context)}});
}

io::Task<Status> MountpathSet::clean_bucket(const Member& member, BucketId bucket) {
    const BucketId hidden = hidden_bucket(bucket);
    ListOptions options;
    options.prefix = stripe_part_prefix;
    options.limit = 1000;
    Digest128 last;
    bool is_kept = true;
    Known known;
    for (bool is_last = false; !is_last;) {
        CO_TRY(const ListPage page, co_await member.store->list(member.local(0), hidden, options));
        for (const ListPage::Entry& entry : page.entries) {
            const std::string_view part = page.name(entry);
            const std::optional<Digest128> id = stripe_id_from(part);
            if (!id) continue;
            if (cancel_.is_cancelled()) co_return Status();
            if (*id != last) is_kept = co_await is_part_kept(member, bucket, part, *id, known);
            last = *id;
            if (is_kept) continue;
            const Result<Version> removed =
                co_await remove(0, {hidden, tombstone_label, part}, {}, Durability::group);
            if (!removed && !is_not_found(removed.error())) co_return fail(removed.error());
        }
        is_last = page.is_last || page.entries.empty();
        if (!is_last) options.after = page.name(page.entries.back());
    }
    co_return Status();
}

io::Task<bool> MountpathSet::is_part_kept(const Member& member, BucketId bucket,
                                          std::string_view part, Digest128 id, Known& known) {
    const Result<ObjectAttributes> attributes =
        co_await member.store->stat(member.local(0), {hidden_bucket(bucket), {}, part});
    if (!attributes) co_return true;
    StripeOwner owner{{bucket, {}, {}}, {}};
    for (const auto& [key, value] : attributes->custom) {
        if (key == stripe_object_key || key == stripe_upload_object_key)
            owner.object.object = value;
        if (key == stripe_upload_key) owner.upload_part = value;
    }
    if (owner.object.object.empty()) co_return true;
    // Asked in this order: what is put is noted before its first part, and until its record counts.
    if (striping_.contains(key_of(id))) co_return true;
    // Who replaced that record since asks for itself.
    if (known.object == owner.object.object && known.ids.contains(key_of(id))) co_return true;
    co_return co_await has_stripes(owner, id, known);
}

}  // namespace penstock::node
