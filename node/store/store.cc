#include <algorithm>

#include "io/base/random.h"
#include "io/base/units.h"
#include "node/store/store_impl.h"

namespace penstock::node {
namespace {

constexpr uint64_t reserve_bytes_min = 4_MiB;
constexpr uint64_t reserve_bytes_max = 1_GiB;
// How long a start waits for another process to let go of the directory: the kernel holds files of
// a killed process until its operations have ended.
constexpr uint64_t lock_wait_ns = 100'000'000;
constexpr int lock_attempts_max = 40;
constexpr int read_attempts_max = 4;

std::vector<const io::Reactor*> reactors_of(const std::vector<StoreCore>& cores) {
    std::vector<const io::Reactor*> reactors;
    for (const StoreCore& core : cores) reactors.push_back(core.reactor);
    return reactors;
}

}  // namespace

io::Task<Result<std::unique_ptr<Store>>> Store::open(std::vector<StoreCore> cores,
                                                     StoreOptions options, const Log& log) {
    ASSERT(!cores.empty() && cores[0].reactor->is_current_thread());
    auto store = std::make_unique<StoreImpl>(std::move(cores), std::move(options), log);
    const Status started = co_await store->start();
    if (!started) {
        co_await store->stop();
        co_return std::unexpected(started.error());
    }
    co_return std::unique_ptr<Store>(std::move(store));
}

StoreImpl::StoreImpl(std::vector<StoreCore> cores, StoreOptions options, const Log& log)
    : options_(std::move(options)),
      log_(log),
      background_(*cores[0].reactor),
      turns_(reactors_of(cores)),
      change_done_(*cores[0].reactor),
      reclaim_done_(*cores[0].reactor),
      upload_changed_(*cores[0].reactor) {
    if (options_.is_live_bucket) {
        // What is hidden in a bucket lives and dies with it.
        options_.is_live_bucket = [asked = std::move(options_.is_live_bucket)](BucketId bucket) {
            return asked(visible_bucket(bucket));
        };
    }
    for (const StoreCore& core : cores) cores_.push_back(std::make_unique<Core>(core, log_));
}

StoreImpl::~StoreImpl() {
    ASSERT(is_stopped_);
}

// -------------------------------------------------------------------------------------------------
// Opening

io::Task<Status> StoreImpl::start() {
    CO_TRY_STATUS(co_await take_lock());
    CO_TRY_STATUS(co_await open_index());
    Recovered recovered;
    CO_TRY_STATUS(co_await recover(recovered));
    CO_TRY_STATUS(co_await start_log(std::move(recovered)));
    CO_TRY(io::Gate::Pass pass, background_.enter());
    io::start_detached(settle_in(std::move(pass)));
    co_return Status();
}

io::Task<Status> StoreImpl::take_lock() {
    io::Disk& disk = *home().io.disk;
    for (int attempt = 1;; ++attempt) {
        auto lock = co_await disk.pool().run(*home().io.reactor,
                                             [&disk] { return lock_mountpath(disk.blocking()); });
        if (lock) {
            lock_ = std::move(*lock);
            co_return Status();
        }
        if (lock.error().code != Errc::unavailable || attempt == lock_attempts_max) {
            co_return std::unexpected(std::move(lock).error());
        }
        (void)co_await home().io.reactor->sleep(home().io.reactor->within_ns(lock_wait_ns));
    }
}

io::Task<Status> StoreImpl::open_index() {
    io::Disk& disk = *home().io.disk;
    const Result<io::DiskSpace> space = co_await disk.space();
    if (options_.reserve_bytes == 0) {
        const uint64_t capacity = space ? space->total_bytes : 0;
        options_.reserve_bytes = std::clamp(capacity / 50, reserve_bytes_min, reserve_bytes_max);
    }
    if (options_.segment_bytes == 0) {
        options_.segment_bytes = default_segment_bytes(space ? space->total_bytes : 0);
    }
    options_.segment_bytes = std::min(options_.segment_bytes, segment_bytes_max);
    options_.small_object_bytes_max = std::min(options_.small_object_bytes_max, payload_bytes_max);
    const uint64_t cache_bytes = options_.catalogue_cache_bytes;
    MountpathIdentity& identity = identity_;
    std::unique_ptr<Catalogue> catalogue;
    CO_TRY_STATUS(co_await disk.pool().run(*home().io.reactor, [&]() -> Status {
        TRY(identity, open_identity(disk.blocking()));
        TRY(catalogue, open_catalogue(disk.blocking(), cache_bytes));
        return {};
    }));
    file_epoch_ = Random::from_system().next() | 1;
    make_names(std::move(catalogue));
    co_return Status();
}

void StoreImpl::make_names(std::unique_ptr<Catalogue> catalogue) {
    locator_ = std::make_unique<Locator>(turns_);
    io::BlockingDisk& disk = home().io.disk->blocking();
    const uint64_t cache_bytes = options_.catalogue_cache_bytes;
    catalogue_position_ = catalogue->position();
    names_ = std::make_unique<Names>(
        *home().io.disk, *locator_, std::move(catalogue),
        [&disk, cache_bytes] { return open_catalogue(disk, cache_bytes); }, identity_.key, log_);
}

// The catalogue's entries, then the log from where it stands. On any doubt the catalogue is made
// anew from the log alone.
io::Task<Status> StoreImpl::recover(Recovered& recovered) {
    io::Disk& disk = *home().io.disk;
    for (bool is_again = false;; is_again = true) {
        RecoveryOptions options{identity_.id, catalogue_position_, options_.is_live_bucket};
        Status status = co_await disk.pool().run(*home().io.reactor, [&]() -> Status {
            bool is_whole = true;
            const Status loaded = names_->load(options_.is_live_bucket, is_whole);
            if (!loaded && loaded.error().code != Errc::corrupt) return loaded;
            if (!loaded || !is_whole) {
                return fail(Errc::corrupt, "the catalogue is not whole");
            }
            TRY(recovered, Recovery(disk.blocking(), *names_, options, log_).run());
            return {};
        });
        if (status || status.error().code != Errc::corrupt || is_again) co_return status;

        log_.warning("the catalogue is rebuilt from the log",
                     {{"reason", std::string_view(status.error().context)}});
        names_.reset();
        locator_.reset();
        const uint64_t cache_bytes = options_.catalogue_cache_bytes;
        CO_TRY(std::unique_ptr<Catalogue> catalogue,
               co_await disk.pool().run(*home().io.reactor, [&disk, cache_bytes] {
                   return remake_catalogue(disk.blocking(), cache_bytes);
               }));
        make_names(std::move(catalogue));
        recovered = Recovered();
    }
}

io::Task<Status> StoreImpl::start_log(Recovered recovered) {
    corruptions_at_start_ = recovered.damage_count;
    if (recovered.unnamed_damage_count > 0) {
        log_.error("records of the log are lost whose names cannot be told",
                   {{"count", recovered.unnamed_damage_count}});
    }
    LogOptions options;
    options.segment_bytes = options_.segment_bytes;
    options.directory_id = identity_.id;
    options.map_version = options_.map_version;
    options.aligned_payload_bytes_min = options_.aligned_payload_bytes_min;
    options.direct_group_bytes_min = options_.direct_group_bytes_min;
    space_ = std::make_unique<Space>(*home().io.disk, options_.reserve_bytes);
    records_ = std::make_unique<RecordLog>(
        *home().io.disk, *home().io.buffers, *space_, options,
        [this](const RecordHeader& header, const Place& from, const Place& to) {
            on_moved(header, from, to);
        },
        log_);
    CO_TRY_STATUS(co_await records_->start(recovered.start, std::move(recovered.tail)));
    is_log_started_ = true;
    if (recovered.trim_at) co_await trim_segment(*recovered.trim_at);
    names_->start(*records_);
    make_compactor();
    co_return Status();
}

void StoreImpl::make_compactor() {
    quarantine_ = std::make_unique<Quarantine>(*home().io.disk);
    compactor_ = std::make_unique<Compactor>(CompactorParts{
        .disk = *home().io.disk,
        .records = *records_,
        .names = *names_,
        .reader = home().reader,
        .space = *space_,
        .quarantine = *quarantine_,
        .log = log_,
        .is_changing = [this](const Digest128& key) { return in_flight_.contains(key); },
        .change_done = change_done_,
        .reclaimed = [this](uint32_t segment) { return await_reclaims(segment); },
        .let_go = [this](uint32_t segment) { return drop_everywhere(segment_file_id(segment)); },
        .is_anybody_waiting = [this] { return home().gate.count() > 0; },
    });
}

// While the log starts, its tail is logged again and seen here for the first time; later, records
// that were published before may move.
void StoreImpl::on_moved(const RecordHeader& header, const Place& from, const Place& to) {
    if (!has_object_name(header.head.kind)) return;
    if (is_log_started_) {
        names_->moved(change_from(header, to), from);
    } else {
        names_->apply(change_from(header, to));
    }
}

// What lies behind the log's end in the segment that was the newest is cut off, so that its archive
// holds what counts. If this fails the next start does it.
io::Task<void> StoreImpl::trim_segment(Lsn end) {
    if (end == 0) co_return;
    io::Disk& disk = *home().io.disk;
    const uint64_t bytes = uint64_t{block_of(end)} * block_bytes;
    const bool is_cut = co_await disk.pool().run(*home().io.reactor, [&disk, end, bytes] {
        const auto file = disk.blocking().open(segment_path(segment_of(end)), io::OpenMode::write);
        if (!file) return false;
        const Result<uint64_t> size = (*file)->size_bytes();
        if (!size || *size <= bytes + end_of_archive_bytes) return false;
        return (*file)->truncate(bytes) && (*file)->truncate(bytes + end_of_archive_bytes);
    });
    if (is_cut) records_->resize_segment(segment_of(end), bytes + end_of_archive_bytes);
}

// What a start leaves for when the node is ready.
io::Task<void> StoreImpl::settle_in(io::Gate::Pass) {
    records_->make_ready();
    for (const BucketId bucket : names_->take_dead_buckets()) co_await drop_names(bucket);
    // Before the sweep: the files of parts that nobody needs are then nobody's.
    const Status cleaned = co_await clean_uploads();
    if (!cleaned && cleaned.error().code != Errc::unavailable) {
        log_.warning("uploads that ended were not cleaned away",
                     {{"reason", std::string_view(cleaned.error().context)}});
    }
    const Status swept = co_await sweep();
    if (!swept && swept.error().code != Errc::unavailable) {
        log_.warning("object files that nothing refers to were not swept",
                     {{"reason", std::string_view(swept.error().context)}});
    }
    // Not before: the sweep reads records where they lay when it began.
    if (options_.is_compacting && !cancel_.is_cancelled()) compactor_->start();
    Result<io::Gate::Pass> pass = background_.enter();
    if (pass) io::start_detached(watch_uploads(std::move(*pass)));
}

// Removes the object files that no record refers to. Those made since the start are nobody's
// business here; if one record cannot be read, nothing is removed.
io::Task<Status> StoreImpl::sweep() {
    io::Disk& disk = *home().io.disk;
    CO_TRY(const std::vector<io::DirectoryEntry> entries, co_await disk.list(objects_directory));
    std::vector<FileId> candidates;
    for (const io::DirectoryEntry& entry : entries) {
        const std::optional<FileId> id = object_file_id(entry.name);
        if (id && id->epoch != file_epoch_) candidates.push_back(*id);
    }
    if (candidates.empty()) co_return Status();
    std::vector<Place> places;
    locator_->for_each([&](const Digest128&, const Place& place) {
        if (place.is_in_files()) places.push_back(place);
    });
    std::vector<FileId> used;
    constexpr size_t turn_max = 64;  // records read before others come to their turn
    for (size_t index = 0; index < places.size(); ++index) {
        const Place& place = places[index];
        if (index % turn_max == turn_max - 1) co_await home().io.reactor->yield();
        if (cancel_.is_cancelled()) co_return fail(Errc::unavailable, "stopping");
        CO_TRY(const ReadRecord record, co_await home().reader.read_record(place));
        CO_TRY(const Attributes attributes, Reader::attributes_of(record));
        for (const FileId& id : files_of(attributes)) used.push_back(id);
    }
    std::ranges::sort(used);
    for (const FileId& id : candidates) {
        if (std::ranges::binary_search(used, id)) continue;
        CO_TRY_STATUS(co_await disk.remove(object_file_path(id)));
    }
    co_return Status();
}

io::Task<void> StoreImpl::stop() {
    ASSERT(home().io.reactor->is_current_thread());
    if (is_stopped_) co_return;
    is_stopped_ = true;
    cancel_.cancel();
    if (compactor_ != nullptr) compactor_->cancel();
    for (const auto& core : cores_) {
        co_await io::on_core(*home().io.reactor, *core->io.reactor, [&core] {
            return [](Core& closing) -> io::Task<void> { co_await closing.gate.close(); }(*core);
        });
    }
    co_await background_.close();
    if (compactor_ != nullptr) co_await compactor_->stop();
    if (records_ != nullptr) co_await records_->stop();
    if (names_ != nullptr) {
        const bool has_room = space_ != nullptr && !space_->is_scarce();
        co_await names_->stop(has_room ? options_.saved_names_min : UINT64_MAX);
    }
    io::Disk& disk = *home().io.disk;
    co_await disk.pool().run(*home().io.reactor, [this] { lock_.reset(); });
    for (const auto& core : cores_) {
        co_await io::on_core(*home().io.reactor, *core->io.reactor, [&core] {
            return [](Core& closing) -> io::Task<void> {
                closing.files.clear();
                co_return;
            }(*core);
        });
    }
}

// -------------------------------------------------------------------------------------------------
// Reading

// Reads the current record of `name` by `read(place)`. An object that is replaced while it is being
// opened is looked up again; what cannot be read although it is current is `corrupt`.
template <typename T, typename F>
io::Task<Result<T>> StoreImpl::read_current(Core& core, ObjectName name, F read) {
    CO_TRY(const io::Gate::Pass pass, core.gate.enter());
    const Digest128 key = digest(name);
    std::optional<Place> place = locator_->find(key);
    for (int attempt = 1;; ++attempt) {
        if (!place) co_return fail(Errc::not_found, "the object does not exist");
        Result<T> result = co_await read(*place);
        const bool may_be_gone = !result && (result.error().code == Errc::not_found ||
                                             result.error().code == Errc::corrupt);
        if (!may_be_gone) co_return result;
        const std::optional<Place> now = locator_->find(key);
        if (now == place || attempt == read_attempts_max) {
            if (result.error().code == Errc::corrupt) co_return result;
            co_return core.reader.missing(*place);
        }
        place = now;
    }
}

io::Task<Result<OpenedObject>> StoreImpl::get(uint32_t number, ObjectName name, ReadRange range) {
    Core& from = core(number);
    const auto read = [&](Place place) { return from.reader.open(name, place, range); };
    co_return co_await read_current<OpenedObject>(from, name, read);
}

io::Task<Result<ObjectAttributes>> StoreImpl::stat(uint32_t number, ObjectName name) {
    Core& from = core(number);
    const auto read = [&](Place place) { return from.reader.stat(name, place); };
    co_return co_await read_current<ObjectAttributes>(from, name, read);
}

io::Task<Result<uint64_t>> StoreImpl::verify(uint32_t number, ObjectName name) {
    Core& from = core(number);
    const auto read = [&](Place place) { return from.reader.verify(name, place); };
    co_return co_await read_current<uint64_t>(from, name, read);
}

io::Task<Result<std::optional<OpenedObject>>> StoreImpl::open_file(uint32_t number,
                                                                   ObjectName name) {
    Core& from = core(number);
    const auto read = [&](Place place) { return from.reader.open_file(name, place); };
    co_return co_await read_current<std::optional<OpenedObject>>(from, name, read);
}

uint64_t StoreImpl::read_order(uint32_t, ObjectName name) {
    const std::optional<Place> place = locator_->find(digest(name));
    return place ? uint64_t{place->segment} << 32 | place->offset_blocks : UINT64_MAX;
}

io::Task<Result<std::vector<std::byte>>> StoreImpl::attachment(uint32_t number, ObjectName name,
                                                               Version version) {
    using Attachment = std::optional<std::vector<std::byte>>;
    Core& from = core(number);
    const auto read = [&](Place place) {
        return [](Reader& reader, ObjectName of, Place at,
                  Version asked) -> io::Task<Result<Attachment>> {
            CO_TRY(std::optional<Version> found, co_await reader.version_with_attachment(of, at));
            if (found != asked) co_return Attachment();
            CO_TRY(std::vector<std::byte> bytes, co_await reader.attachment(of, at));
            co_return Attachment(std::move(bytes));
        }(from.reader, name, place, version);
    };
    CO_TRY(Attachment bytes, co_await read_current<Attachment>(from, name, read));
    if (!bytes) co_return fail(Errc::not_found, "this version has no attachment");
    co_return std::move(*bytes);
}

io::Task<Result<ListPage>> StoreImpl::list(uint32_t number, BucketId bucket, ListOptions options) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    CO_TRY(const std::shared_ptr<Catalogue> catalogue,
           co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                [this] { return names_->settle(); }));
    ListPage page;
    std::vector<Place> places;
    CO_TRY_STATUS(co_await from.io.disk->pool().run(*from.io.reactor, [&]() -> Status {
        TRY(page, catalogue->list(bucket, options, places));
        return {};
    }));
    if (options.wants_attributes) {
        CO_TRY_STATUS(co_await fill_attributes(from, bucket, page, std::move(places)));
    }
    co_return page;
}

io::Task<Status> StoreImpl::fill_attributes(Core& from, BucketId bucket, ListPage& page,
                                            std::vector<Place> places) {
    page.attributes.resize(page.entries.size());
    for (size_t index = 0; index < page.entries.size(); ++index) {
        const ListPage::Entry& entry = page.entries[index];
        if (entry.is_directory) continue;
        const ObjectName name{bucket, {}, page.name(entry)};
        Result<ObjectAttributes> attributes = co_await from.reader.stat(name, places[index]);
        if (!attributes) {
            // Replaced since the page was made; or damaged: it is listed, and reading it says so.
            const std::optional<Place> now = locator_->find(digest(name));
            if (now && *now != places[index]) attributes = co_await from.reader.stat(name, *now);
        }
        page.attributes[index].version = entry.version;
        page.attributes[index].size_bytes = entry.size_bytes;
        if (attributes) page.attributes[index] = std::move(*attributes);
    }
    co_return Status();
}

StoreUsage StoreImpl::usage() const {
    StoreUsage usage;
    usage.objects = names_->count();
    usage.hidden_objects = names_->hidden_count();
    usage.object_bytes = names_->content_bytes();
    usage.space = space_->last();
    usage.disk_bytes = names_->file_content_bytes() + records_->stats().segment_bytes;
    const LogStats& log = records_->stats();
    usage.log_records = log.records;
    usage.log_bytes = log.bytes;
    usage.log_groups = log.groups;
    usage.log_syncs = log.syncs;
    usage.log_failures = log.failures;
    usage.live_bytes = names_->live().total_bytes();
    usage.segment_bytes = log.segment_bytes;
    usage.compacted_bytes = compactor_->stats().moved_bytes;
    usage.freed_bytes = compactor_->stats().freed_bytes;
    usage.freed_segments = compactor_->stats().freed_segments;
    usage.lost_objects = compactor_->stats().lost_records;
    usage.corruptions = corruptions_at_start_;
    for (const auto& core : cores_) {
        usage.corruptions += core->reader.corruption_count();
        usage.verified_objects += core->reader.verified_objects();
        usage.verified_bytes += core->reader.verified_bytes();
    }
    return usage;
}

}  // namespace penstock::node
