// Catalogue: the names of one mountpath in order, for listings and for a quick start. It is derived
// from the log: on any doubt it is deleted and rebuilt. Every call waits for the disk and is made
// by jobs on the pool, one changing call at a time; reading calls may run beside it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/base/result.h"
#include "io/blocking_disk.h"
#include "node/store/place.h"
#include "node/store/store.h"

namespace penstock::node {

struct CatalogueChange {
    BucketId bucket;
    std::string name;
    bool is_removal = false;
    Place place;
    Version version;
    uint64_t size_bytes = 0;
    bool has_attachment = false;
};

class Catalogue {
public:
    struct Entry {
        BucketId bucket;
        std::string_view name;  // until the visit returns
        Place place;
        Version version;
        uint64_t size_bytes = 0;
        bool has_attachment = false;
    };

    virtual ~Catalogue() = default;

    // All changes and the log position they lead to, in one batch: all or nothing after a power
    // cut. `count` is the number of entries after it, as the locator counts them; `sync`: survives
    // one. After a failure every later one fails as well: the catalogue is to be rebuilt.
    virtual Status apply(const std::vector<CatalogueChange>& changes, Lsn position, uint64_t count,
                         bool sync) = 0;
    // Of the last batch: 0 if there was none. Not while a changing call runs.
    virtual Lsn position() const = 0;
    virtual uint64_t count() const = 0;
    // Names, sizes, versions and places of one page, without attributes; `places` is parallel to
    // the page's entries (a directory's is empty).
    virtual Result<ListPage> list(BucketId bucket, const ListOptions& options,
                                  std::vector<Place>& places) = 0;
    // Every entry, in order of bucket id and name.
    virtual Status scan(const std::function<void(const Entry&)>& visit) = 0;
    // Those of this bucket and of all behind it.
    virtual Status scan_from(BucketId first, const std::function<void(const Entry&)>& visit) = 0;
    // Every entry, in at most `parts` stretches of that order: within one in order, several at the
    // same time, each on a thread of its own, if the catalogue has threads at all.
    virtual Status scan_in_parts(uint32_t parts,
                                 const std::function<void(uint32_t part, const Entry&)>& visit) = 0;
    // Drops a destroyed bucket's names, calling `visit` for each before. The count goes down by as
    // many, the position stays. In steps: a power cut may leave the last names of the bucket.
    virtual Status drop_bucket(BucketId bucket, const std::function<void(const Entry&)>& visit) = 0;
};

// Where LevelDB's compactions are done: on a thread of their own, or at the end of the calls that
// make them necessary, for the simulation and tests that must be repeatable.
enum class CatalogueWork : uint8_t { own_thread, inline_calls };

// LevelDB in `directory` of `disk`, all of whose I/O goes through `disk`. `corrupt` when what lies
// there cannot be trusted: the caller then calls erase_catalogue() and opens an empty one.
Result<std::unique_ptr<Catalogue>> open_level_catalogue(
    io::BlockingDisk& disk, std::string directory, uint64_t cache_bytes,
    CatalogueWork work = CatalogueWork::own_thread);
Status erase_catalogue(io::BlockingDisk& disk, const std::string& directory);
// In memory, for tests of what stands on a catalogue.
std::unique_ptr<Catalogue> make_memory_catalogue();

}  // namespace penstock::node
