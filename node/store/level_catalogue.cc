// The catalogue on LevelDB (1.23). Its tables and logs carry a CRC32C for each block and record;
// all of them are checked, at the opening and on every read. What the bytes of an entry are:
// catalogue_entry.h.
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <algorithm>

#include "io/background.h"
#include "io/base/assert.h"
#include "io/parallel.h"
#include "node/store/catalogue.h"
#include "node/store/catalogue_entry.h"
#include "node/store/level_env.h"
#include "node/store/page_filler.h"

namespace penstock::node {
namespace {

using leveldb::Slice;

// Before a table is written so much gathers in memory: about 100,000 entries.
constexpr size_t write_buffer_bytes = 4 << 20;
constexpr size_t table_bytes = 8 << 20;
// Listings and the scan read on and on: larger than LevelDB's 4 KiB means fewer reads and index
// entries.
constexpr size_t block_bytes = 16 << 10;
constexpr int open_files_max = 200;
// A destroyed bucket's names go in steps of so many, to bound the batch's memory.
constexpr uint32_t dropped_names_max = 10'000;

std::string_view view_of(const Slice& slice) {
    return {slice.data(), slice.size()};
}
Slice slice_of(std::string_view text) {
    return {text.data(), text.size()};
}

Status status_from(const leveldb::Status& status, const char* operation) {
    if (status.ok()) return {};
    return fail(error_from_level_status(status, operation));
}

std::unexpected<Error> damaged(const char* operation, const char* what) {
    return fail(Errc::corrupt, std::string(operation) + " catalogue: " + what);
}

class LevelCatalogue final : public Catalogue {
public:
    LevelCatalogue(io::BlockingDisk& disk, std::unique_ptr<io::Background> background,
                   uint64_t cache_bytes)
        : background_(std::move(background)),
          env_(make_level_env(disk, *background_, clock_)),
          cache_(leveldb::NewLRUCache(cache_bytes)) {
        leveldb::Logger* logger = nullptr;
        ASSERT(env_->NewLogger("", &logger).ok());
        logger_.reset(logger);
    }
    ~LevelCatalogue() override {
        // LevelDB's destructor waits for its background work, which may be ours to do.
        background_->run_pending();
        database_.reset();
    }

    Status open(const std::string& directory);

    Status apply(const std::vector<CatalogueChange>& changes, Lsn position, uint64_t count,
                 bool sync) override;
    Lsn position() const override { return state_.position; }
    uint64_t count() const override { return state_.count; }
    Result<ListPage> list(BucketId bucket, const ListOptions& options,
                          std::vector<Place>& places) override;
    Status scan(const std::function<void(const Entry&)>& visit) override;
    Status scan_from(BucketId first, const std::function<void(const Entry&)>& visit) override;
    Status scan_in_parts(uint32_t parts,
                         const std::function<void(uint32_t, const Entry&)>& visit) override;
    Status drop_bucket(BucketId bucket, const std::function<void(const Entry&)>& visit) override;

private:
    using Iterator = std::unique_ptr<leveldb::Iterator>;

    Iterator iterate(bool fills_cache) {
        leveldb::ReadOptions options;
        options.verify_checksums = true;
        options.fill_cache = fills_cache;
        return Iterator(database_->NewIterator(options));
    }
    Status read_state();
    // The entries in [begin, end); an empty end is behind all.
    Status scan_range(const std::string& begin, const std::string& end,
                      const std::function<void(const Entry&)>& visit);
    std::string key_behind(double share);
    Status write(leveldb::WriteBatch& batch, const CatalogueState& state, bool sync);

    SystemClock clock_;
    std::unique_ptr<io::Background> background_;
    std::unique_ptr<leveldb::Env> env_;
    std::unique_ptr<leveldb::Cache> cache_;
    std::unique_ptr<leveldb::Logger> logger_;
    std::unique_ptr<leveldb::DB> database_;
    CatalogueState state_;
    std::optional<Error> failure_;  // of a write: what the disk has after it is not known
};

Status LevelCatalogue::open(const std::string& directory) {
    leveldb::Options options;
    options.create_if_missing = true;
    options.paranoid_checks = true;
    options.env = env_.get();
    options.info_log = logger_.get();
    options.block_cache = cache_.get();
    options.write_buffer_size = write_buffer_bytes;
    options.max_file_size = table_bytes;
    options.block_size = block_bytes;
    options.max_open_files = open_files_max;
    options.compression = leveldb::kNoCompression;
    leveldb::DB* database = nullptr;
    const leveldb::Status status = leveldb::DB::Open(options, directory, &database);
    database_.reset(database);
    background_->run_pending();
    if (!status.ok()) return status_from(status, "open");
    return read_state();
}

Status LevelCatalogue::read_state() {
    leveldb::ReadOptions options;
    options.verify_checksums = true;
    std::string value;
    const leveldb::Status status = database_->Get(options, slice_of(catalogue_state_key), &value);
    if (status.IsNotFound()) {
        // Every batch has the state: without it there must be nothing.
        const Iterator iterator = iterate(false);
        iterator->SeekToFirst();
        if (iterator->Valid()) return damaged("open", "entries without a state");
        return status_from(iterator->status(), "open");
    }
    if (!status.ok()) return status_from(status, "open");
    const std::optional<CatalogueState> state = parse_catalogue_state(value);
    if (!state) return damaged("open", "the state is not one of ours");
    state_ = *state;
    return {};
}

Status LevelCatalogue::write(leveldb::WriteBatch& batch, const CatalogueState& state, bool sync) {
    if (failure_) return fail(failure_->code, failure_->context);
    batch.Put(slice_of(catalogue_state_key), encode_catalogue_state(state));
    leveldb::WriteOptions options;
    options.sync = sync;
    const Status status = status_from(database_->Write(options, &batch), "write");
    background_->run_pending();
    if (!status) {
        failure_ = status.error();
        return status;
    }
    state_ = state;
    return {};
}

Status LevelCatalogue::apply(const std::vector<CatalogueChange>& changes, Lsn position,
                             uint64_t count, bool sync) {
    leveldb::WriteBatch batch;
    for (const CatalogueChange& change : changes) {
        const std::string key = catalogue_key(change.bucket, change.name);
        ASSERT(key.size() > catalogue_key_prefix_bytes);
        if (change.is_removal) {
            batch.Delete(key);
        } else {
            batch.Put(key, slice_of(encode_catalogue_value(change).text()));
        }
    }
    return write(batch, {position, count}, sync);
}

Result<ListPage> LevelCatalogue::list(BucketId bucket, const ListOptions& options,
                                      std::vector<Place>& places) {
    ListPage page;
    places.clear();
    const size_t expected = std::min<size_t>(options.limit, 10'000);
    page.entries.reserve(expected);
    places.reserve(expected);
    PageFiller filler(options, page, places);
    const Iterator iterator = iterate(true);
    iterator->Seek(catalogue_key(bucket, filler.first_target()));
    while (iterator->Valid()) {
        const std::optional<Entry> entry =
            parse_catalogue_entry(view_of(iterator->key()), view_of(iterator->value()));
        if (!entry) return damaged("list", "an entry is malformed");
        if (entry->bucket != bucket) break;
        const PageFiller::Next next = filler.offer(*entry);
        if (next == PageFiller::Next::stop) break;
        if (next == PageFiller::Next::step) {
            iterator->Next();
        } else {
            iterator->Seek(catalogue_key(bucket, filler.leap_target()));
        }
    }
    TRY_STATUS(status_from(iterator->status(), "list"));
    filler.finish();
    return page;
}

Status LevelCatalogue::scan(const std::function<void(const Entry&)>& visit) {
    return scan_range(catalogue_key(BucketId{0}, ""), "", visit);
}

Status LevelCatalogue::scan_from(BucketId first, const std::function<void(const Entry&)>& visit) {
    return scan_range(catalogue_key(first, ""), "", visit);
}

Status LevelCatalogue::scan_range(const std::string& begin, const std::string& end,
                                  const std::function<void(const Entry&)>& visit) {
    const Iterator iterator = iterate(false);
    for (iterator->Seek(begin); iterator->Valid(); iterator->Next()) {
        const std::string_view key = view_of(iterator->key());
        if (!end.empty() && key >= end) break;
        const std::optional<Entry> entry = parse_catalogue_entry(key, view_of(iterator->value()));
        if (!entry) return damaged("scan", "an entry is malformed");
        visit(*entry);
    }
    return status_from(iterator->status(), "scan");
}

Status LevelCatalogue::scan_in_parts(uint32_t parts,
                                     const std::function<void(uint32_t, const Entry&)>& visit) {
    if (!background_->has_thread()) parts = 1;
    std::vector<std::string> bounds{catalogue_key(BucketId{0}, "")};
    for (uint32_t part = 1; part < parts; ++part) {
        std::string bound = key_behind(double(part) / parts);
        if (bound > bounds.back()) bounds.push_back(std::move(bound));
    }
    const auto count = static_cast<uint32_t>(bounds.size());
    bounds.emplace_back();
    std::vector<Status> done(count);
    io::run_in_parallel(count, [&](uint32_t part) {
        done[part] = scan_range(bounds[part], bounds[part + 1],
                                [&visit, part](const Entry& entry) { visit(part, entry); });
    });
    for (const Status& status : done) TRY_STATUS(status);
    return {};
}

// A key that has about this share of the tables' bytes before it, found byte by byte: the tables
// tell how much lies before any key. Near enough when the next byte would move little.
std::string LevelCatalogue::key_behind(double share) {
    constexpr size_t key_bytes_max = 256;
    const std::string first = catalogue_key(BucketId{0}, "");
    const auto bytes_before = [&](const std::string& key) {
        const leveldb::Range range(first, key);
        uint64_t bytes = 0;
        if (first < key) database_->GetApproximateSizes(&range, 1, &bytes);
        return bytes;
    };
    const auto all = static_cast<double>(bytes_before(std::string(first.size() + 1, '\xFF')));
    const auto wanted = static_cast<uint64_t>(all * share);
    std::string key;
    while (key.size() < key_bytes_max) {
        uint32_t below = 0;  // the largest byte that does not go past what is wanted
        for (uint32_t bit = 128; bit > 0; bit /= 2) {
            const std::string tried = key + static_cast<char>(below + bit);
            if (bytes_before(tried) <= wanted) below += bit;
        }
        key += static_cast<char>(below);
        if (wanted - std::min(wanted, bytes_before(key)) <= wanted / 16) break;
    }
    return key;
}

Status LevelCatalogue::drop_bucket(BucketId bucket,
                                   const std::function<void(const Entry&)>& visit) {
    const Iterator iterator = iterate(false);
    iterator->Seek(catalogue_key(bucket, ""));
    bool is_done = false;
    while (!is_done) {
        leveldb::WriteBatch batch;
        CatalogueState state = state_;
        uint32_t dropped = 0;
        for (; iterator->Valid() && dropped < dropped_names_max; iterator->Next(), ++dropped) {
            const std::optional<Entry> entry =
                parse_catalogue_entry(view_of(iterator->key()), view_of(iterator->value()));
            if (!entry) return damaged("drop bucket in", "an entry is malformed");
            if (entry->bucket != bucket) break;
            visit(*entry);
            batch.Delete(iterator->key());
            if (state.count > 0) --state.count;
        }
        is_done = dropped < dropped_names_max;
        TRY_STATUS(status_from(iterator->status(), "drop bucket in"));
        if (dropped > 0) TRY_STATUS(write(batch, state, false));
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<Catalogue>> open_level_catalogue(io::BlockingDisk& disk,
                                                        std::string directory, uint64_t cache_bytes,
                                                        CatalogueWork work) {
    auto catalogue = std::make_unique<LevelCatalogue>(disk,
                                                      work == CatalogueWork::own_thread
                                                          ? io::make_background_thread()
                                                          : io::make_inline_background(),
                                                      cache_bytes);
    TRY_STATUS(catalogue->open(directory));
    return catalogue;
}

Status erase_catalogue(io::BlockingDisk& disk, const std::string& directory) {
    const auto entries = disk.list(directory);
    if (!entries) {
        if (entries.error().code == Errc::not_found) return {};
        return fail(entries.error().code, entries.error().context);
    }
    // First of all what makes it a catalogue: cut off in the middle, the rest is rubbish that
    // LevelDB removes or replaces, and no catalogue with files missing.
    const auto is_current = [](const io::DirectoryEntry& entry) { return entry.name == "CURRENT"; };
    if (std::ranges::any_of(*entries, is_current)) {
        TRY_STATUS(disk.remove(directory + "/CURRENT"));
        TRY_STATUS(disk.sync_directory(directory));
    }
    for (const io::DirectoryEntry& entry : *entries) {
        if (is_current(entry)) continue;
        TRY_STATUS(disk.remove(directory + "/" + entry.name));
    }
    return disk.sync_directory(directory);
}

}  // namespace penstock::node
