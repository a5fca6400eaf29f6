// What happens on the home core: which change comes first, whether its condition holds, and what
// becomes of what it replaces.
#include <algorithm>

#include "node/store/store_impl.h"

namespace penstock::node {

io::Task<Result<StoreImpl::Committed>> StoreImpl::commit_on_home(Core& from, Change& change) {
    co_return co_await io::on_core(*from.io.reactor, *home().io.reactor, [this, &change] {
        return while_full([this, &change] { return commit(change); });
    });
}

// On a full disk whoever writes waits for what compaction is freeing: rather a slow answer than a
// refusal that a moment later were none.
template <typename F>
auto StoreImpl::while_full(F attempt) -> decltype(attempt()) {
    constexpr uint64_t patience_ns = 2'000'000'000;
    constexpr uint64_t look_ns = 20'000'000;
    io::Reactor& reactor = *home().io.reactor;
    const uint64_t until_ns = reactor.now_ns() + patience_ns;
    for (;;) {
        auto outcome = co_await attempt();
        const bool is_full = !outcome && outcome.error().code == Errc::full;
        if (!is_full || reactor.now_ns() >= until_ns || !compactor_->will_free()) {
            co_return outcome;
        }
        if (co_await reactor.sleep(reactor.within_ns(look_ns, &cancel_)) != 0) co_return outcome;
    }
}

io::Task<Status> StoreImpl::admit_bytes(Core& from, uint64_t bytes) {
    co_return co_await io::on_core(*from.io.reactor, *home().io.reactor, [this, bytes] {
        return while_full([this, bytes] { return space_->admit(bytes); });
    });
}

// A change is durable, then visible, then acknowledged. Its condition holds when it takes its place
// in the log's order: nothing that comes between that and its record waits.
io::Task<Result<StoreImpl::Committed>> StoreImpl::commit(Change& change) {
    ASSERT(home().io.reactor->is_current_thread());
    if (change.is_removal || change.condition.kind != Condition::Kind::none) {
        CO_TRY_STATUS(co_await check_condition(change));
    }
    CO_TRY_STATUS(check_admission(change));
    begin_change(change);
    const Result<Prepared> prepared =
        co_await records_->prepare(change.draft, change.durability, change.is_removal);
    if (!prepared) {
        leave_in_flight(change);
        co_return std::unexpected(prepared.error());
    }
    co_return publish(change, *prepared);
}

// From here on the change has its place in the order of changes to its name.
void StoreImpl::begin_change(Change& change) {
    const Digest128 key = change.draft.digest;
    const std::optional<Place> current = locator_->find(key);
    InFlight& begun = in_flight_[key];
    uint64_t display_version = begun.count > 0 ? begun.display_version
                               : current       ? current->display_version
                                               : 0;
    if (begun.count > 0 && begun.is_removal) display_version = 0;
    if (!change.keeps_display && !change.has_display) {
        change.draft.display_version = change.counts_versions ? display_version + 1 : 1;
    }
    begun.count += 1;
    change.round = round_;
    under_way_[round_] += 1;
    begun.display_version = change.draft.display_version;
    begun.is_removal = change.is_removal;
}

// The change is durable: it is visible from now on.
StoreImpl::Committed StoreImpl::publish(const Change& change, const Prepared& prepared) {
    const Digest128 key = change.draft.digest;
    InFlight& done = in_flight_[key];
    const Lsn lsn = begin_of(prepared.place);
    // With Durability::none a later change may be published first: then it stays.
    if (lsn > done.published) {
        done.published = lsn;
        NameChange name{change.draft.bucket,
                        change.draft.object,
                        key,
                        prepared.place,
                        prepared.version,
                        change.draft.content_bytes,
                        (change.draft.flags & record_has_attachment) != 0,
                        change.is_removal,
                        lsn};
        const std::optional<Place> replaced = names_->apply(name);
        const bool has_files = replaced && replaced->is_in_files() && !change.keeps_display;
        if (has_files && change.keeps_files) {
            names_->forget_content(*replaced, change.draft.bucket, change.moved_bytes);
        } else if (has_files) {
            start_reclaim(*replaced);
        }
    }
    leave_in_flight(change);
    return {prepared.version, change.draft.display_version};
}

io::Task<Result<StoreImpl::CommittedPair>> StoreImpl::commit_two(Change& first, Change& second) {
    ASSERT(home().io.reactor->is_current_thread());
    ASSERT(first.draft.digest != second.draft.digest);
    CO_TRY_STATUS(co_await check_conditions(first, second));
    CO_TRY_STATUS(check_admission(first));
    begin_change(first);
    begin_change(second);
    // As for a deletion: what the two take is less than what they give back in the end.
    const Result<PreparedPair> prepared =
        co_await records_->prepare_two(first.draft, second.draft, true);
    if (!prepared) {
        leave_in_flight(first);
        leave_in_flight(second);
        co_return std::unexpected(prepared.error());
    }
    const Committed first_done = publish(first, prepared->first);
    co_return CommittedPair{first_done, publish(second, prepared->second)};
}

// Ends with both conditions true at the same time.
io::Task<Status> StoreImpl::check_conditions(const Change& first, const Change& second) {
    for (;;) {
        const bool has_condition = first.condition.kind != Condition::Kind::none;
        if (has_condition) CO_TRY_STATUS(co_await check_condition(first));
        const std::optional<Place> seen = locator_->find(first.draft.digest);
        CO_TRY_STATUS(co_await check_condition(second));
        // Checking the second may have waited.
        const bool is_same =
            locator_->find(first.draft.digest) == seen && !in_flight_.contains(first.draft.digest);
        if (!has_condition || is_same) co_return Status();
    }
}

// Ends with nothing in flight for this name, and the condition true of what is published: the
// caller logs its record before it waits for anything.
io::Task<Status> StoreImpl::check_condition(const Change& change) {
    const Digest128 key = change.draft.digest;
    for (;;) {
        if (const auto found = in_flight_.find(key); found != in_flight_.end()) {
            co_await change_done_.wait();
            continue;
        }
        const std::optional<Place> place = locator_->find(key);
        if (!place && change.is_removal) {
            co_return fail(Errc::not_found, "the object does not exist");
        }
        switch (change.condition.kind) {
            case Condition::Kind::none:
                co_return Status();
            case Condition::Kind::absent:
                if (place) co_return fail(Errc::condition_failed, "the object exists");
                co_return Status();
            case Condition::Kind::exactly:
                break;
        }
        if (!place) co_return fail(Errc::condition_failed, "the object does not exist");
        const Result<ObjectAttributes> current = co_await home().reader.stat(change.name, *place);
        // Reading waited: only if nothing happened meanwhile does the answer count.
        if (in_flight_.contains(key) || locator_->find(key) != place) continue;
        if (!current && current.error().code == Errc::not_found) {
            co_return home().reader.missing(*place);
        }
        if (!current) co_return std::unexpected(current.error());
        if (current->version != change.condition.version) {
            co_return fail(Errc::condition_failed, "the object has another version");
        }
        co_return Status();
    }
}

void StoreImpl::leave_in_flight(const Change& change) {
    const auto found = in_flight_.find(change.draft.digest);
    ASSERT(found != in_flight_.end() && found->second.count > 0);
    ASSERT(under_way_[change.round] > 0);
    under_way_[change.round] -= 1;
    const bool is_round_done = change.round != round_ && under_way_[change.round] == 0;
    const bool is_last = --found->second.count == 0;
    if (is_last) in_flight_.erase(found);
    if (!is_last && !is_round_done) return;
    change_done_.set();
    change_done_.reset();
}

io::Task<Result<Version>> StoreImpl::remove(uint32_t number, ObjectName name, Condition condition,
                                            Durability durability) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    Change change = removal(from, name, durability);
    change.condition = condition;
    CO_TRY(const Committed committed, co_await commit_on_home(from, change));
    co_return committed.version;
}

StoreImpl::Change StoreImpl::removal(Core& from, const ObjectName& name,
                                     Durability durability) const {
    Change change;
    change.name = name;
    change.durability = durability;
    change.is_removal = true;
    change.draft.kind = RecordKind::tombstone;
    change.draft.bucket = name.bucket;
    change.draft.bucket_label = name.bucket_label;
    change.draft.object = name.object;
    change.draft.digest = digest(name);
    change.draft.modified_ns = from.io.reactor->clock().wall_ns();
    return change;
}

// Many removals under way: each is a change of its own and waits for its own record, so all that
// holds of one holds of them; only the way to the home core and back is shared.
struct StoreImpl::Removals {
    Removals(io::Reactor& reactor, size_t count) : done(reactor), left(count), outcomes(count) {}
    std::vector<Change> changes;
    io::Event done;
    size_t left;
    std::vector<Status> outcomes;
};

io::Task<Result<std::vector<Status>>> StoreImpl::remove_many(
    uint32_t number, BucketId bucket, std::string_view bucket_label,
    const std::vector<std::string_view>& names, Durability durability) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    if (names.empty()) co_return std::vector<Status>();
    Removals removals(*home().io.reactor, names.size());
    removals.changes.reserve(names.size());
    for (const std::string_view name : names) {
        removals.changes.push_back(removal(from, {bucket, bucket_label, name}, durability));
    }
    co_await io::on_core(*from.io.reactor, *home().io.reactor,
                         [this, &removals] { return remove_all(removals); });
    co_return std::move(removals.outcomes);
}

io::Task<std::vector<Status>> StoreImpl::remove_changes(std::vector<Change> changes) {
    if (changes.empty()) co_return std::vector<Status>();
    Removals removals(*home().io.reactor, changes.size());
    removals.changes = std::move(changes);
    co_await remove_all(removals);
    co_return std::move(removals.outcomes);
}

io::Task<void> StoreImpl::remove_all(Removals& removals) {
    constexpr size_t turn_max = 256;  // begun before others come to their turn
    for (size_t index = 0; index < removals.changes.size(); ++index) {
        io::start_detached(remove_one(removals, index));
        if (index % turn_max == turn_max - 1) co_await home().io.reactor->yield();
    }
    co_await removals.done.wait();
}

io::Task<void> StoreImpl::remove_one(Removals& removals, size_t index) {
    const Result<Committed> committed = co_await commit(removals.changes[index]);
    if (!committed) removals.outcomes[index] = fail(committed.error());
    if (--removals.left == 0) removals.done.set();
}

// -------------------------------------------------------------------------------------------------
// What was replaced

void StoreImpl::start_reclaim(const Place& place) {
    Result<io::Gate::Pass> pass = background_.enter();
    // Stopping: the sweep of the next start finds the files.
    if (!pass) return;
    reclaiming_[place.segment] += 1;
    io::start_detached(reclaim(std::move(*pass), place));
}

io::Task<void> StoreImpl::reclaim(io::Gate::Pass, Place place) {
    co_await reclaim_files(place);
    const auto found = reclaiming_.find(place.segment);
    if (--found->second == 0) reclaiming_.erase(found);
    reclaim_done_.set();
    reclaim_done_.reset();
}

// Until then the segment's file is needed: its records say which files to remove.
io::Task<void> StoreImpl::await_reclaims(uint32_t segment) {
    while (reclaiming_.contains(segment)) co_await reclaim_done_.wait();
}

// Removes the files of a record that was replaced. Who reads them has them open and keeps them.
io::Task<void> StoreImpl::reclaim_files(const Place& place) {
    // What replaced it must be durable first: a power cut must not bring back a record without its
    // files. If anything fails here, the sweep of the next start does it.
    if (!co_await records_->sync()) co_return;
    // A lost tail may have held what replaced it: then the old record counts after a restart.
    if (records_->stats().lost_tails > 0) co_return;
    const Result<ReadRecord> record = co_await home().reader.read_record(place);
    if (!record) co_return;
    const Result<Attributes> attributes = Reader::attributes_of(*record);
    if (!attributes) co_return;
    const RecordHead& head = record->header.head;
    names_->forget_content(place, head.bucket, head.content_bytes);
    const StoreCore& core = home().io;
    if (attributes->stripes && core.stripes != nullptr) {
        const ObjectName object{head.bucket, record->header.bucket_label, record->header.object};
        co_await core.stripes->drop_stripes(core.number, object, attributes->stripes);
    }
    std::vector<FileId> files = files_of(*attributes);
    if (files.size() > 1 && !attributes->extents.empty()) {
        // Who finds the first one gone looks the object up again; who has it keeps the rest.
        const FileId first = attributes->extents.front().file;
        co_await remove_file(first);
        co_await drop_everywhere(first);                 // whoever opened it between the two
        if (!co_await await_unpinned(first)) co_return;  // stopping: swept at the next start
        std::erase(files, first);
    }
    for (const FileId& id : files) co_await remove_file(id);
}

// False: the store is stopping.
io::Task<bool> StoreImpl::await_unpinned(FileId first) {
    constexpr uint64_t look_ns = 20'000'000;
    for (const auto& core : cores_) {
        for (;;) {
            const bool is_pinned =
                co_await io::on_core(*home().io.reactor, *core->io.reactor, [&core, &first] {
                    return [](Core& at, FileId of) -> io::Task<bool> {
                        co_return at.reader.is_pinned(of);
                    }(*core, first);
                });
            if (!is_pinned) break;
            io::Reactor& reactor = *home().io.reactor;
            if (co_await reactor.sleep(reactor.within_ns(look_ns, &cancel_)) != 0) co_return false;
        }
    }
    co_return true;
}

io::Task<void> StoreImpl::remove_file(FileId id) {
    co_await drop_everywhere(id);
    (void)co_await home().io.disk->remove(object_file_path(id));
    space_->forget();
}

// Who has it open keeps it.
io::Task<void> StoreImpl::drop_everywhere(FileId id) {
    for (const auto& core : cores_) {
        co_await io::on_core(*home().io.reactor, *core->io.reactor, [&core, &id] {
            return [](Core& at, FileId dropped) -> io::Task<void> {
                at.files.drop(dropped);
                co_return;
            }(*core, id);
        });
    }
}

void StoreImpl::forget_bucket(BucketId bucket) {
    for (const auto& core : cores_) {
        if (!core->io.reactor->is_current_thread()) continue;
        Result<io::Gate::Pass> pass = core->gate.enter();
        // Stopping: the next start does not load the names of a dead bucket.
        if (pass) io::start_detached(forget_on_home(*this, *core, bucket, std::move(*pass)));
        return;
    }
    ASSERT(false && "forget_bucket() is called on one of the store's cores");
}

io::Task<void> StoreImpl::forget_on_home(StoreImpl& store, Core& from, BucketId bucket,
                                         io::Gate::Pass) {
    co_await io::on_core(*from.io.reactor, *store.home().io.reactor, [&store, bucket] {
        return [](StoreImpl& self, BucketId dropped) -> io::Task<void> {
            Result<io::Gate::Pass> pass = self.background_.enter();
            if (pass) io::start_detached(self.drop_bucket(std::move(*pass), dropped));
            co_return;
        }(store, bucket);
    });
}

io::Task<void> StoreImpl::drop_bucket(io::Gate::Pass, BucketId bucket) {
    co_await drop_names(bucket);
    co_await drop_names(hidden_bucket(bucket));
    std::erase_if(uploads_, [&](const auto& entry) { return entry.first.first == bucket.value; });
}

io::Task<void> StoreImpl::drop_names(BucketId bucket) {
    const Status dropped =
        co_await names_->drop_bucket(bucket, [this](const Place& place) { start_reclaim(place); });
    if (dropped) co_return;
    log_.warning("a destroyed bucket's names stay until the next start",
                 {{"bucket", bucket.value}, {"reason", std::string_view(dropped.error().context)}});
}

io::Task<Result<uint64_t>> StoreImpl::compact(uint32_t number) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    co_return co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                   [this] { return compactor_->run_now(); });
}

uint64_t StoreImpl::live_bytes(BucketId bucket) const {
    ASSERT(cores_[0]->io.reactor->is_current_thread());
    return names_->live().bucket_bytes(bucket) + names_->live().bucket_bytes(hidden_bucket(bucket));
}

}  // namespace penstock::node
