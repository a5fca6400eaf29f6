// Names: which record is an object's current one. The locator (in memory, for look-ups) and the
// catalogue (on disk, for listings and the next start) are kept in step here: the locator changes
// at once, the catalogue follows in batches on the pool, off everybody's way.
//
// A name whose record was damaged so that only its digest is known is in quarantine: the locator
// points at the damage, so that reading it fails with `corrupt` and never with `not_found`. In the
// catalogue it is an entry of a bucket that no client can have, so that it outlives a restart.
//
// Belongs to the mountpath's home core, but for find().
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "io/base/log.h"
#include "io/disk.h"
#include "io/wait.h"
#include "node/store/catalogue.h"
#include "node/store/live_bytes.h"
#include "node/store/locator.h"
#include "node/store/log.h"
#include "node/store/record.h"

namespace penstock::node {

constexpr BucketId quarantine_bucket{UINT64_MAX};

struct DigestHash {
    size_t operator()(const Digest128& digest) const { return digest.low; }
};

// What a record says about a name.
struct NameChange {
    BucketId bucket;
    std::string_view object;
    Digest128 digest;
    Place place;
    Version version;
    uint64_t size_bytes = 0;
    bool has_attachment = false;
    bool is_removal = false;
    Lsn lsn = 0;
};
NameChange change_from(const RecordHeader& header, const Place& place);

class Names {
public:
    // Opens the catalogue anew, after it failed; called on the pool.
    using Reopen = std::function<Result<std::unique_ptr<Catalogue>>()>;

    // What is passed by reference must outlive it.
    Names(io::Disk& disk, Locator& locator, std::shared_ptr<Catalogue> catalogue, Reopen reopen,
          uint64_t directory_key, const Log& log);
    ~Names();

    // Any core.
    std::optional<Place> find(const Digest128& digest) const { return locator_.find(digest); }

    // What the record says is visible from now on. Gives the place that it replaces.
    std::optional<Place> apply(const NameChange& change);
    void quarantine(const Digest128& digest, const Place& place);
    // The record at `from` lies at the change's place now, too: this is the one to read, unless the
    // name changed meanwhile.
    void moved(const NameChange& change, const Place& from);

    // While recovery fills it, on the pool, with nobody else there: the catalogue's entries, and
    // batches written as they grow.
    Status load(const std::function<bool(BucketId)>& is_live, bool& is_whole);
    Status write_recovered(Lsn position, bool is_last);

    // Starts the background writing; `log` says what is durable.
    void start(RecordLog& log);
    // Everything applied before the call is in this catalogue.
    io::Task<Result<std::shared_ptr<Catalogue>>> settle();
    // Everything that is durable in the log is in the catalogue, on the device: what only the log
    // said of names that are gone may go.
    io::Task<Status> checkpoint();
    // The names whose current record lies in this segment, as far as the catalogue knows them.
    // Reads all of it: for damage, which is rare.
    io::Task<Result<std::vector<CatalogueChange>>> entries_in(uint32_t segment);
    Digest128 digest(BucketId bucket, std::string_view object) const {
        return digest_of(bucket, object, directory_key_);
    }
    // Removes all of a bucket's names; tells the places of those that have files of their own.
    io::Task<Status> drop_bucket(BucketId bucket, std::function<void(const Place&)> on_files);
    // From so many names on the locator is saved for the next start (locator_snapshot.h).
    io::Task<void> stop(uint64_t saved_names_min);

    const LiveBytes& live() const { return live_; }
    // Buckets whose names the catalogue has although they are gone: found by load(), taken once.
    std::vector<BucketId> take_dead_buckets() { return std::exchange(dead_buckets_, {}); }
    uint64_t content_bytes() const { return content_bytes_; }
    // Of those in files of their own.
    uint64_t file_content_bytes() const { return file_content_bytes_; }
    // A large object that was replaced or removed had so many bytes.
    void forget_content(const Place& place, BucketId bucket, uint64_t bytes);
    uint64_t count() const { return locator_.count() - std::min(hidden_count_, locator_.count()); }
    // Uploads, their parts, and parts of striped objects.
    uint64_t hidden_count() const { return hidden_count_; }

private:
    struct Loading;
    struct Pending {
        CatalogueChange change;
        int delta = 0;  // to the number of catalogue entries
        Lsn lsn = 0;
    };
    struct Batch {
        std::vector<CatalogueChange> changes;
        Lsn position = 0;
        uint64_t count = 0;  // of the catalogue's entries after it
        int64_t delta = 0;
    };

    bool load_snapshot(const std::function<bool(BucketId)>& is_live);
    void save_snapshot(uint64_t saved_names_min);
    void publish_loaded(Loading& loading);
    // A name whose record is damaged.
    struct Quarantined {
        bool has_entry = false;     // the catalogue has the name's own entry, too
        uint64_t bucket_bytes = 0;  // that its bucket still counts for it
    };

    void push(CatalogueChange change, int delta, Lsn lsn);
    void leave_quarantine(const Digest128& digest, Lsn lsn);
    void forget_dropped(const Digest128& digest, BucketId bucket,
                        const std::function<void(const Place&)>& on_files);
    void count_content(const Place& place, BucketId bucket, uint64_t size_bytes, bool is_added);
    void count_hidden(BucketId bucket, bool is_added);
    io::Task<void> run(io::Gate::Pass pass);
    io::Task<Status> write_batch(bool sync);
    io::Task<Batch> take_batch();
    void give_back(Batch batch);
    io::Task<Status> recover_catalogue();

    static constexpr uint64_t batch_delay_ns = 20'000'000;
    static constexpr uint64_t retry_delay_ns = 1'000'000'000;
    static constexpr size_t recovered_batch_max = 10'000;

    io::Disk& disk_;
    io::Reactor& reactor_;
    Locator& locator_;
    std::shared_ptr<Catalogue> catalogue_;  // null: it could not be opened again
    Reopen reopen_;
    std::optional<Batch> failed_;  // may have been written all the same
    uint64_t directory_key_;
    const Log& log_;
    RecordLog* records_ = nullptr;  // from start() on

    std::vector<Pending> pending_;
    std::unordered_map<Digest128, Quarantined, DigestHash> quarantined_;
    LiveBytes live_;
    std::vector<BucketId> dead_buckets_;
    uint64_t entry_count_ = 0;  // that the catalogue has, with `written_position_`
    Lsn written_position_ = 0;
    uint64_t content_bytes_ = 0;
    uint64_t file_content_bytes_ = 0;
    uint64_t hidden_count_ = 0;
    // Of the snapshot that is on the disk; no catalogue that has entries stands at 0.
    Lsn snapshot_position_ = 0;
    uint64_t snapshot_entry_count_ = 0;

    io::Gate gate_;
    io::Cancel cancel_;
    io::Event work_;
    io::Semaphore writing_;  // one changing call at a time
};

}  // namespace penstock::node
