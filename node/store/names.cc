#include "node/store/names.h"

#include <algorithm>
#include <array>

#include "io/base/bytes.h"
#include "io/parallel.h"
#include "node/store/locator_snapshot.h"
#include "node/store/upload.h"

namespace penstock::node {
namespace {

std::string name_of_digest(const Digest128& digest) {
    return hex_from_u64(digest.high) + hex_from_u64(digest.low);
}

std::optional<Digest128> digest_from_name(std::string_view name) {
    constexpr size_t digits = 32;
    if (name.size() != digits) return std::nullopt;
    const auto bytes = bytes_from_hex(name);
    if (!bytes) return std::nullopt;
    Digest128 digest;
    for (size_t index = 0; index < 8; ++index) {
        digest.high = digest.high << 8 | static_cast<uint8_t>((*bytes)[index]);
        digest.low = digest.low << 8 | static_cast<uint8_t>((*bytes)[index + 8]);
    }
    return digest;
}

CatalogueChange catalogue_change(const NameChange& change) {
    return {change.bucket,  std::string(change.object), change.is_removal,    change.place,
            change.version, change.size_bytes,          change.has_attachment};
}

}  // namespace

NameChange change_from(const RecordHeader& header, const Place& place) {
    const RecordHead& head = header.head;
    NameChange change;
    change.bucket = head.bucket;
    change.object = header.object;
    change.digest = head.digest;
    change.place = place;
    change.version = head.version;
    change.size_bytes = head.content_bytes;
    change.has_attachment = (head.flags & record_has_attachment) != 0;
    change.is_removal = head.kind == RecordKind::tombstone;
    change.lsn = begin_of(place);
    return change;
}

Names::Names(io::Disk& disk, Locator& locator, std::shared_ptr<Catalogue> catalogue, Reopen reopen,
             uint64_t directory_key, const Log& log)
    : disk_(disk),
      reactor_(disk.reactor()),
      locator_(locator),
      catalogue_(std::move(catalogue)),
      reopen_(std::move(reopen)),
      directory_key_(directory_key),
      log_(log),
      written_position_(catalogue_->position()),
      gate_(reactor_),
      work_(reactor_),
      writing_(reactor_, 1) {}

Names::~Names() = default;

std::optional<Place> Names::apply(const NameChange& change) {
    const std::optional<Place> old = locator_.find(change.digest);
    bool has_entry = old.has_value();
    if (const auto found = quarantined_.find(change.digest); found != quarantined_.end()) {
        has_entry = found->second.has_entry;
        live_.remove_place(*old);
        live_.remove_from_bucket(change.bucket, found->second.bucket_bytes);
        leave_quarantine(change.digest, change.lsn);
    } else if (old) {
        count_content(*old, change.bucket, 0, false);
        live_.remove(*old, change.bucket);
    }
    if (old.has_value() == change.is_removal) count_hidden(change.bucket, !change.is_removal);
    if (change.is_removal) {
        locator_.remove(change.digest);
        if (has_entry) push(catalogue_change(change), -1, change.lsn);
        return old;
    }
    locator_.publish(change.digest, change.place);
    count_content(change.place, change.bucket, change.size_bytes, true);
    live_.add(change.place, change.bucket);
    push(catalogue_change(change), has_entry ? 0 : 1, change.lsn);
    return old;
}

void Names::quarantine(const Digest128& digest, const Place& place) {
    const std::optional<Place> old = locator_.find(digest);
    const bool is_new = !quarantined_.contains(digest);
    if (is_new) {
        if (old) count_content(*old, {}, 0, false);
        quarantined_[digest] = {old.has_value(), old ? old->record_bytes() : 0};
    }
    if (old) live_.remove_place(*old);
    live_.add_place(place);
    locator_.publish(digest, place);
    push({quarantine_bucket, name_of_digest(digest), false, place, {}, 0, false}, is_new ? 1 : 0,
         begin_of(place));
}

void Names::leave_quarantine(const Digest128& digest, Lsn lsn) {
    quarantined_.erase(digest);
    push({quarantine_bucket, name_of_digest(digest), true, {}, {}, 0, false}, -1, lsn);
}

void Names::moved(const NameChange& change, const Place& from) {
    if (change.is_removal || locator_.find(change.digest) != from) return;
    locator_.publish(change.digest, change.place);
    live_.remove(from, change.bucket);
    live_.add(change.place, change.bucket);
    push(catalogue_change(change), 0, change.lsn);
}

// Small objects count as their records without the first block; what a large one has is only known
// when it comes, and told when it goes (forget_content). A part is no content of its own, and a
// striped object has no files of its own.
void Names::count_content(const Place& place, BucketId bucket, uint64_t size_bytes, bool is_added) {
    const uint64_t bytes =
        place.is_in_files() ? (is_added ? size_bytes : 0) : place.record_bytes() - block_bytes;
    const bool is_content = visible_bucket(bucket) == bucket;
    if (is_added) {
        if (is_content) content_bytes_ += bytes;
        if (place.is_in_files() && !place.is_striped()) file_content_bytes_ += bytes;
    } else if (is_content) {
        content_bytes_ -= std::min(bytes, content_bytes_);
    }
}

void Names::forget_content(const Place& place, BucketId bucket, uint64_t bytes) {
    if (visible_bucket(bucket) == bucket) content_bytes_ -= std::min(bytes, content_bytes_);
    if (!place.is_striped()) file_content_bytes_ -= std::min(bytes, file_content_bytes_);
}

void Names::count_hidden(BucketId bucket, bool is_added) {
    if (visible_bucket(bucket) == bucket) return;
    if (is_added) {
        hidden_count_ += 1;
    } else if (hidden_count_ > 0) {
        hidden_count_ -= 1;
    }
}

void Names::push(CatalogueChange change, int delta, Lsn lsn) {
    pending_.push_back({std::move(change), delta, lsn});
    if (records_ != nullptr) work_.set();
}

// -------------------------------------------------------------------------------------------------
// At the start

// Reading and hashing names takes as long as publishing them, so two threads take turns: one
// publishes what it has read while the other reads on.
struct Names::Loading {
    // So many look-ups are on their way to memory at once.
    static constexpr size_t batch_max = 256;
    struct Entry {
        Digest128 digest;
        BucketId bucket;
        Place place;
        uint64_t size_bytes;
    };

    std::vector<Entry> batch;
    std::vector<BucketId> dead_buckets;
    std::vector<std::pair<Digest128, Place>> quarantined;
    uint64_t count = 0;
    bool is_whole = true;
};

bool Names::load_snapshot(const std::function<bool(BucketId)>& is_live) {
    LocatorFacts facts;
    facts.directory_key = directory_key_;
    facts.position = catalogue_->position();
    facts.entry_count = catalogue_->count();
    const Result<bool> loaded = load_locator(disk_.blocking(), is_live, facts, locator_);
    if (!loaded) {
        log_.warning("the locator is filled from the catalogue",
                     {{"reason", std::string_view(loaded.error().context)}});
        return false;
    }
    if (!*loaded) return false;
    live_ = std::move(facts.live);
    content_bytes_ = facts.content_bytes;
    file_content_bytes_ = facts.file_content_bytes;
    hidden_count_ = facts.hidden_count;
    entry_count_ = facts.entry_count;
    snapshot_position_ = facts.position;
    snapshot_entry_count_ = facts.entry_count;
    return true;
}

Status Names::load(const std::function<bool(BucketId)>& is_live, bool& is_whole) {
    is_whole = true;
    if (load_snapshot(is_live)) return Status();
    constexpr uint32_t parts = 2;
    std::array<Loading, parts> loadings;
    io::OneAtATime publishing;
    locator_.reserve(catalogue_->count());
    TRY_STATUS(catalogue_->scan_in_parts(parts, [&](uint32_t part, const Catalogue::Entry& entry) {
        Loading& loading = loadings[part];
        ++loading.count;
        if (entry.bucket == quarantine_bucket) {
            const std::optional<Digest128> digest = digest_from_name(entry.name);
            if (digest) loading.quarantined.emplace_back(*digest, entry.place);
            loading.is_whole = loading.is_whole && digest.has_value();
            return;
        }
        if (is_live && !is_live(entry.bucket)) {
            // In order of buckets: within a part each comes once.
            std::vector<BucketId>& dead = loading.dead_buckets;
            if (dead.empty() || dead.back() != entry.bucket) dead.push_back(entry.bucket);
            return;
        }
        loading.batch.push_back(
            {digest(entry.bucket, entry.name), entry.bucket, entry.place, entry.size_bytes});
        if (loading.batch.size() < Loading::batch_max) return;
        publishing.run([&] { publish_loaded(loading); });
    }));
    entry_count_ = 0;
    for (Loading& loading : loadings) {
        publish_loaded(loading);
        entry_count_ += loading.count;
        is_whole = is_whole && loading.is_whole;
        for (const BucketId bucket : loading.dead_buckets) {
            // One that both parts have is the last of the first and the first of the second.
            const bool is_new = dead_buckets_.empty() || dead_buckets_.back() != bucket;
            if (is_new) dead_buckets_.push_back(bucket);
        }
    }
    for (const Loading& loading : loadings) {
        for (const auto& [digest, place] : loading.quarantined) {
            const std::optional<Place> known = locator_.find(digest);
            quarantined_[digest] = {known.has_value(), known ? known->record_bytes() : 0};
            if (known) live_.remove_place(*known);
            live_.add_place(place);
            locator_.publish(digest, place);
        }
    }
    is_whole = is_whole && entry_count_ == catalogue_->count();
    return Status();
}

void Names::publish_loaded(Loading& loading) {
    for (const Loading::Entry& entry : loading.batch) locator_.prefetch(entry.digest);
    for (const Loading::Entry& entry : loading.batch) {
        locator_.publish(entry.digest, entry.place);
        count_content(entry.place, entry.bucket, entry.size_bytes, true);
        count_hidden(entry.bucket, true);
        live_.add(entry.place, entry.bucket);
    }
    loading.batch.clear();
}

Status Names::write_recovered(Lsn position, bool is_last) {
    if (pending_.empty() && (!is_last || position == written_position_)) return Status();
    if (pending_.size() < recovered_batch_max && !is_last) return Status();
    std::vector<CatalogueChange> changes;
    changes.reserve(pending_.size());
    for (Pending& pending : pending_) {
        entry_count_ = static_cast<uint64_t>(static_cast<int64_t>(entry_count_) + pending.delta);
        changes.push_back(std::move(pending.change));
    }
    pending_.clear();
    TRY_STATUS(catalogue_->apply(changes, position, entry_count_, false));
    written_position_ = position;
    return Status();
}

// -------------------------------------------------------------------------------------------------
// In the background

void Names::start(RecordLog& log) {
    records_ = &log;
    if (!pending_.empty()) work_.set();
    Result<io::Gate::Pass> pass = gate_.enter();
    ASSERT(pass.has_value());
    io::start_detached(run(std::move(*pass)));
}

io::Task<void> Names::run(io::Gate::Pass) {
    while (!cancel_.is_cancelled()) {
        co_await work_.wait();
        if (cancel_.is_cancelled()) break;
        work_.reset();
        const int32_t slept = co_await reactor_.sleep(reactor_.within_ns(batch_delay_ns, &cancel_));
        if (slept != 0) break;
        co_await writing_.acquire();
        const Status written = co_await write_batch(false);
        writing_.release();
        if (!written) {
            log_.error("the catalogue cannot be written; it is tried again",
                       {{"error", std::string_view(written.error().context)}});
            (void)co_await reactor_.sleep(reactor_.within_ns(retry_delay_ns, &cancel_));
            work_.set();
        }
    }
}

// What is pending and durable. Waits until whoever was told of a durable record has published it:
// only then the position tells the truth.
io::Task<Names::Batch> Names::take_batch() {
    while (records_->has_told()) co_await reactor_.yield();
    Batch batch;
    batch.position = records_->durable();
    std::vector<Pending> later;
    for (Pending& pending : pending_) {
        if (pending.lsn >= batch.position) {
            later.push_back(std::move(pending));
            continue;
        }
        batch.delta += pending.delta;
        batch.changes.push_back(std::move(pending.change));
    }
    pending_ = std::move(later);
    co_return batch;
}

io::Task<Status> Names::write_batch(bool sync) {
    if (failed_ || catalogue_ == nullptr) CO_TRY_STATUS(co_await recover_catalogue());
    Batch batch = co_await take_batch();
    if (batch.changes.empty() && batch.position == written_position_ && !sync) co_return Status();
    batch.count = static_cast<uint64_t>(static_cast<int64_t>(entry_count_) + batch.delta);
    const std::shared_ptr<Catalogue> catalogue = catalogue_;
    const Status applied = co_await disk_.pool().run(reactor_, [&catalogue, &batch, sync] {
        return catalogue->apply(batch.changes, batch.position, batch.count, sync);
    });
    if (!applied) {
        failed_ = std::move(batch);
        co_return applied;
    }
    entry_count_ = batch.count;
    written_position_ = batch.position;
    co_return Status();
}

// After a failure a catalogue takes nothing more: it is opened anew, and says whether the batch
// that failed is in it.
io::Task<Status> Names::recover_catalogue() {
    if (catalogue_.use_count() > 1) co_return fail(Errc::unavailable, "the catalogue is in use");
    auto reopened = co_await disk_.pool().run(reactor_, [this] {
        catalogue_.reset();
        return reopen_();
    });
    if (!reopened) co_return std::unexpected(std::move(reopened).error());
    catalogue_ = std::move(*reopened);
    const bool has_failed = failed_ && catalogue_->position() == failed_->position &&
                            catalogue_->count() == failed_->count;
    if (has_failed) {
        written_position_ = failed_->position;
        entry_count_ = failed_->count;
    } else if (catalogue_->position() != written_position_ || catalogue_->count() != entry_count_) {
        co_return fail(Errc::io_error, "the catalogue lost changes: restart to rebuild it");
    } else if (failed_) {
        give_back(std::move(*failed_));
    }
    failed_.reset();
    co_return Status();
}

// A batch is written whole or not at all: the next one takes its changes along.
void Names::give_back(Batch batch) {
    std::vector<Pending> all;
    for (CatalogueChange& change : batch.changes) all.push_back({std::move(change), 0, 0});
    if (!all.empty()) all.front().delta = static_cast<int>(batch.delta);
    std::ranges::move(pending_, std::back_inserter(all));
    pending_ = std::move(all);
    work_.set();
}

io::Task<Result<std::shared_ptr<Catalogue>>> Names::settle() {
    if (pending_.empty() && writing_.units() == 1 && !failed_ && catalogue_ != nullptr) {
        co_return catalogue_;
    }
    CO_TRY_STATUS(co_await records_->sync());
    co_await writing_.acquire();
    const Status written = co_await write_batch(false);
    writing_.release();
    CO_TRY_STATUS(written);
    co_return catalogue_;
}

io::Task<Status> Names::checkpoint() {
    CO_TRY_STATUS(co_await records_->sync());
    co_await writing_.acquire();
    const Status written = co_await write_batch(true);
    writing_.release();
    co_return written;
}

io::Task<Result<std::vector<CatalogueChange>>> Names::entries_in(uint32_t segment) {
    CO_TRY(const std::shared_ptr<Catalogue> catalogue, co_await settle());
    // Those in quarantine have an entry of their last record before, or none.
    std::unordered_set<Digest128, DigestHash> hidden;
    for (const auto& [key, quarantined] : quarantined_) {
        const std::optional<Place> place = locator_.find(key);
        if (quarantined.has_entry && place && place->segment == segment) hidden.insert(key);
    }
    std::vector<CatalogueChange> found;
    CO_TRY_STATUS(co_await disk_.pool().run(reactor_, [&] {
        return catalogue->scan([&](const Catalogue::Entry& entry) {
            if (entry.bucket == quarantine_bucket) return;
            const bool is_in =
                entry.place.segment == segment ||
                (!hidden.empty() && hidden.contains(digest(entry.bucket, entry.name)));
            if (!is_in) return;
            found.push_back({entry.bucket, std::string(entry.name), false, entry.place,
                             entry.version, entry.size_bytes, entry.has_attachment});
        });
    }));
    co_return found;
}

io::Task<Status> Names::drop_bucket(BucketId bucket, std::function<void(const Place&)> on_files) {
    CO_TRY(const std::shared_ptr<Catalogue> catalogue, co_await settle());
    co_await writing_.acquire();
    std::vector<Digest128> dropped;
    const Status status = co_await disk_.pool().run(reactor_, [&] {
        return catalogue->drop_bucket(bucket, [&](const Catalogue::Entry& entry) {
            dropped.push_back(digest(entry.bucket, entry.name));
        });
    });
    entry_count_ = catalogue->count();
    // What came in meanwhile (records that compaction moved, late writes) goes the same way.
    std::erase_if(pending_, [&](const Pending& pending) {
        if (pending.change.bucket != bucket) return false;
        dropped.push_back(digest(bucket, pending.change.name));
        return true;
    });
    writing_.release();
    constexpr size_t turn_max = 1000;  // then others come to their turn
    for (size_t index = 0; index < dropped.size(); ++index) {
        forget_dropped(dropped[index], bucket, on_files);
        if (index % turn_max == turn_max - 1) co_await reactor_.yield();
    }
    co_return status;
}

void Names::forget_dropped(const Digest128& digest, BucketId bucket,
                           const std::function<void(const Place&)>& on_files) {
    const std::optional<Place> place = locator_.find(digest);
    if (!place) return;
    locator_.remove(digest);
    count_hidden(bucket, false);
    if (const auto found = quarantined_.find(digest); found != quarantined_.end()) {
        live_.remove_place(*place);
        live_.remove_from_bucket(bucket, found->second.bucket_bytes);
        leave_quarantine(digest, 0);
        return;
    }
    count_content(*place, bucket, 0, false);
    live_.remove(*place, bucket);
    if (place->is_in_files()) on_files(*place);
}

// After it there is a snapshot of this state, or none. Without one a start is slower, no more.
void Names::save_snapshot(uint64_t saved_names_min) {
    const bool is_there =
        snapshot_position_ == written_position_ && snapshot_entry_count_ == entry_count_;
    if (is_there && snapshot_position_ != 0) return;
    // What is in quarantine, or was not written, is known to the catalogue and the log alone.
    const bool is_wanted =
        locator_.count() >= saved_names_min && pending_.empty() && quarantined_.empty();
    if (!is_wanted) {
        (void)remove_locator(disk_.blocking());
        return;
    }
    const Status saved = save_locator(disk_.blocking(),
                                      {directory_key_, written_position_, entry_count_,
                                       content_bytes_, file_content_bytes_, hidden_count_, live_},
                                      locator_);
    if (saved) return;
    log_.warning("the locator was not saved; the next start is slower",
                 {{"reason", std::string_view(saved.error().context)}});
}

io::Task<void> Names::stop(uint64_t saved_names_min) {
    cancel_.cancel();
    work_.set();
    co_await gate_.close();
    if (records_ == nullptr) co_return;
    co_await writing_.acquire();
    const Status written = co_await write_batch(true);
    if (!written) log_.warning("the catalogue was not closed; the next start is slower");
    writing_.release();
    const bool is_settled = written.has_value();
    co_await disk_.pool().run(reactor_, [this, is_settled, saved_names_min] {
        catalogue_.reset();
        if (is_settled) save_snapshot(saved_names_min);
    });
}

}  // namespace penstock::node
