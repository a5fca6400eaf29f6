// Store: what lies on this node's disks. Objects by (bucket number, name), durable as their bucket
// says, verified on every read. Nobody above it knows files, nobody below it knows protocols.
//
// A change is durable, then visible, then acknowledged, in this order. Every call may be made on
// any core; a change goes to the home core of the object's mountpath, a read is done where it is
// asked for.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/base/log.h"
#include "io/base/result.h"
#include "io/body.h"
#include "io/buffer_pool.h"
#include "io/disk.h"
#include "io/reactor.h"
#include "node/store/object_name.h"
#include "node/store/stripe.h"
#include "node/store/upload.h"
#include "node/store/version.h"

namespace penstock::node {

// What proves the whole content to clients, of the type that the bucket asks for.
enum class ChecksumType : uint8_t { none, xxhash, md5, crc32c, sha256, sha512 };
struct ContentChecksum {
    ChecksumType type = ChecksumType::none;
    uint8_t size = 0;  // bytes of the digest, big-endian
    std::array<std::byte, 64> digest{};
    Bytes bytes() const { return {digest.data(), size}; }
};

enum class Durability : uint8_t {
    group,  // on the device before the acknowledgement, with others in one commit
    none,   // in the page cache: lost by a power cut, not by a crash of this process
};

struct Condition {
    enum class Kind : uint8_t { none, absent, exactly } kind = Kind::none;
    Version version;  // for `exactly`
};

using CustomMetadata = std::vector<std::pair<std::string, std::string>>;

struct ObjectAttributes {
    Version version;
    uint64_t size_bytes = 0;
    uint64_t display_version = 0;  // AIStore's "1", "2", ...
    uint64_t modified_ns = 0;      // wall clock at the put
    ContentChecksum checksum;
    CustomMetadata custom;
    bool has_attachment = false;  // a shard's index
    // Of an object that was uploaded in parts; or else of one that is striped.
    uint32_t part_count = 0;
    uint64_t part_bytes_max = 0;  // the largest of them
};

// Sees the content as it passes by while an object is put, and gives what is to be kept with that
// version (a shard's index). Called in order, on one core at a time.
class ContentObserver {
public:
    virtual ~ContentObserver() = default;
    virtual void observe(Bytes bytes) = 0;
    // After the last byte; empty: nothing to keep.
    virtual std::vector<std::byte> finish() = 0;
};

struct PutOptions {
    Condition condition;
    Durability durability = Durability::group;
    ChecksumType checksum = ChecksumType::xxhash;  // to compute and keep
    std::optional<ContentChecksum> expected;       // the client's own: `invalid` if it differs
    CustomMetadata custom;
    std::unique_ptr<ContentObserver> observer;  // may be null
    bool counts_versions = true;  // display_version of an overwrite is the last one's plus one
    // Of an object that comes back (an import): 0: the clock's, and counted.
    uint64_t modified_ns = 0;
    uint64_t display_version = 0;
    StripeRule stripes;
};

struct PartOptions {
    std::optional<ContentChecksum> expected;  // the client's own: `invalid` if it differs
    bool wants_md5 = false;                   // it is costly, so only who asks gets it
};

struct CompletionOptions {
    Condition condition;
    // Which parts, in ascending order; nullopt: all that there are.
    std::optional<std::vector<uint32_t>> parts;
    // `invalid` unless `parts` are exactly those that were uploaded, numbered from 1.
    bool names_all = false;
    bool counts_versions = true;
};

struct ObjectCopyOptions {
    Condition condition;
    Durability durability = Durability::group;
    bool counts_versions = true;
};

struct ReadRange {
    uint64_t offset = 0;
    uint64_t size = UINT64_MAX;  // clipped to the object's end
};

struct OpenedObject {
    ObjectAttributes attributes;
    ReadRange range;  // what `body` really holds
    io::Body body;    // verified bytes; breaks with `corrupt` rather than give a wrong one
};

struct ListOptions {
    std::string prefix;
    std::string after;              // exclusive lower bound; "" from the beginning
    uint32_t limit = 10'000;        // names in a page
    bool is_recursive = true;       // false: names up to the next '/' behind the prefix, once each
    bool wants_attributes = false;  // checksum, version, custom: costs a read for each object
};

// One page; names lie back to back in one string, because a page of 10,000 is made of few
// allocations that way.
struct ListPage {
    struct Entry {
        uint32_t name_offset = 0;
        uint32_t name_bytes = 0;
        uint64_t size_bytes = 0;
        Version version;
        bool is_directory = false;
    };
    std::string names;
    std::vector<Entry> entries;
    std::vector<ObjectAttributes> attributes;  // of each entry, only with wants_attributes
    bool is_last = true;

    std::string_view name(const Entry& entry) const {
        return std::string_view(names).substr(entry.name_offset, entry.name_bytes);
    }
};

struct StoreUsage {
    uint64_t objects = 0;
    uint64_t hidden_objects = 0;  // parts of striped objects and of open uploads, and those
    uint64_t object_bytes = 0;    // of content; small objects count in whole blocks of 512
    uint64_t disk_bytes = 0;      // that our files occupy
    io::DiskSpace space;
    uint64_t corruptions = 0;  // bytes that failed their check since the start
    uint64_t log_records = 0;  // since the start, like those below
    uint64_t log_bytes = 0;
    uint64_t log_groups = 0;
    uint64_t log_syncs = 0;
    uint64_t log_failures = 0;   // segments given up after an error of the device
    uint64_t live_bytes = 0;     // of the log: records that are current
    uint64_t segment_bytes = 0;  // of the log's files
    // By compaction since the start: bytes logged again, and bytes of files that were removed.
    uint64_t compacted_bytes = 0;
    uint64_t freed_bytes = 0;
    uint64_t freed_segments = 0;
    uint64_t lost_objects = 0;  // given up by compaction: their bytes are in quarantine/
    // By verify() since the start, where all was well.
    uint64_t verified_objects = 0;
    uint64_t verified_bytes = 0;
};

struct StoreOptions {
    uint64_t segment_bytes = 0;                   // 0: clamp(capacity / 64, 4 MiB, 256 MiB)
    uint64_t reserve_bytes = 0;                   // 0: clamp(capacity / 50, 4 MiB, 1 GiB)
    uint32_t small_object_bytes_max = 128 << 10;  // up to this an object lies in the log
    // From this on its content begins with a page of its segment, for sendfile; at least 1.
    uint32_t aligned_payload_bytes_min = 48 << 10;
    uint32_t direct_group_bytes_min = 64 << 10;  // of the log (LogOptions)
    uint64_t catalogue_cache_bytes = 32 << 20;  // 0: it lies in memory, and is made anew at a start
    // From so many objects on a stop leaves the locator as a file, for a quick start.
    uint64_t saved_names_min = 100'000;
    uint64_t map_version = 1;
    bool is_compacting = true;  // in the background; compact() works without it
    // After so long without a new part an upload, or an append that was not flushed, is dropped.
    uint64_t upload_lifetime_ns = uint64_t{7} * 24 * 3600 * 1'000'000'000;
    // Objects of buckets that this denies are dropped at the start; null: all buckets live.
    std::function<bool(BucketId)> is_live_bucket;
};

// What the store needs of each core that calls it.
struct StoreCore {
    io::Reactor* reactor = nullptr;
    io::BufferPool* buffers = nullptr;
    io::Disk* disk = nullptr;  // the mountpath's directory, opened on this core
    // Of a store that belongs to a set of mountpaths; null: objects whose parts lie there, too,
    // cannot be read.
    StripeHost* stripes = nullptr;
    uint32_t number = 0;  // what the set calls this core
};

// The block checksums of an adopted file lie in its record, because nothing is added to the file.
constexpr uint64_t adopted_bytes_max = uint64_t{8} << 30;

class Store {
public:
    // Locks the directory, checks its format version, recovers. Runs on cores[0], the home core of
    // the mountpath; what `cores` names must outlive the store. Fails with `unavailable` (locked;
    // the text names the pid), `invalid` (a newer format) or `corrupt`/`io_error`.
    static io::Task<Result<std::unique_ptr<Store>>> open(std::vector<StoreCore> cores,
                                                         StoreOptions options, const Log& log);
    virtual ~Store() = default;
    // On cores[0]: ends background work, leaves a clean catalogue. Calls after it fail.
    virtual io::Task<void> stop() = 0;

    // `core` is the caller's own number in every call. Names must live until the task is done.

    // `condition_failed`, `invalid` (checksum differs), `full`, `io_error`; a body that fails is
    // never an object, its error is passed on. Gives the new version's attributes.
    virtual io::Task<Result<ObjectAttributes>> put(uint32_t core, ObjectName name, io::Body body,
                                                   PutOptions options) = 0;
    // Makes the file at `path`, one of the system's own, an object by a hard link: nothing is
    // copied, its bytes are read once. Nobody may write to that file any more: what is changed in
    // it later is found and never served. Durable when done, whatever `options.durability` says.
    // `not_implemented`: a link cannot be made, or the file is above adopted_bytes_max: copy it;
    // else as put(), and what opening the file says.
    virtual io::Task<Result<ObjectAttributes>> adopt(uint32_t core, ObjectName name,
                                                     std::string path, PutOptions options) = 0;
    // Reads all that the object lies in from the device, past the page cache where that can be,
    // and gives the bytes that were checked. Errors as get().
    virtual io::Task<Result<uint64_t>> verify(uint32_t core, ObjectName name) = 0;
    // `not_found`, or `corrupt`/`io_error` for a name that exists but cannot be read whole.
    virtual io::Task<Result<OpenedObject>> get(uint32_t core, ObjectName name, ReadRange range) = 0;
    virtual io::Task<Result<ObjectAttributes>> stat(uint32_t core, ObjectName name) = 0;
    // An object that lies in one file of its own, as a range of that file, every block of it
    // verified through the page cache before this returns; nullopt for all others. Errors as get().
    virtual io::Task<Result<std::optional<OpenedObject>>> open_file(uint32_t core,
                                                                    ObjectName name) = 0;
    // Where the object's record lies, as a number: reads in its order go over the disk in one
    // direction. Says nothing about whether the object can be read.
    virtual uint64_t read_order(uint32_t core, ObjectName name) = 0;
    // The attachment of exactly this version; `not_found` if it has none or is no longer current.
    virtual io::Task<Result<std::vector<std::byte>>> attachment(uint32_t core, ObjectName name,
                                                                Version version) = 0;
    virtual io::Task<Result<Version>> remove(uint32_t core, ObjectName name, Condition condition,
                                             Durability durability) = 0;
    // Many of one bucket at once, which ride in few commits: for each name what remove() without a
    // condition says.
    virtual io::Task<Result<std::vector<Status>>> remove_many(
        uint32_t core, BucketId bucket, std::string_view bucket_label,
        const std::vector<std::string_view>& names, Durability durability) = 0;
    // A new record with the same content; the version moves on, the display version does not.
    virtual io::Task<Result<ObjectAttributes>> set_custom(uint32_t core, ObjectName name,
                                                          CustomMetadata custom, bool replaces,
                                                          Durability durability) = 0;

    // Uploads. `name` is the object's in every call, and the upload must be of that object:
    // `not_found` otherwise, and for one that was completed, aborted or has expired.
    // `custom` becomes the object's. With `stripes` that ask for any, and several mountpaths, each
    // part will be cut over them. `unavailable`: too many are open. Gives the upload's id.
    virtual io::Task<Result<std::string>> begin_upload(uint32_t core, ObjectName name,
                                                       CustomMetadata custom,
                                                       StripeRule stripes) = 0;
    // Durable when done. Replaces a part with this number, 1 to parts_max (`invalid`). Empty parts
    // are `invalid`, too.
    virtual io::Task<Result<PartAttributes>> put_part(uint32_t core, ObjectName name,
                                                      std::string_view upload, uint32_t number,
                                                      io::Body body, PartOptions options) = 0;
    // The parts, in order of their numbers, are the object: one record, however many there are.
    // The checksum is the CRC32C of the whole, combined from the parts'. Parts that were not chosen
    // are dropped. After an error the upload is open as before. `invalid`, `condition_failed`,
    // `too_large` (a record cannot list all files), `full`, `io_error`.
    virtual io::Task<Result<ObjectAttributes>> complete_upload(uint32_t core, ObjectName name,
                                                               std::string_view upload,
                                                               CompletionOptions options) = 0;
    virtual io::Task<Status> abort_upload(uint32_t core, ObjectName name,
                                          std::string_view upload) = 0;
    virtual io::Task<Result<std::vector<PartAttributes>>> parts(uint32_t core, ObjectName name,
                                                                std::string_view upload) = 0;
    // The bucket's open uploads (appends are none), in no particular order.
    virtual io::Task<Result<std::vector<UploadAttributes>>> uploads(uint32_t core,
                                                                    BucketId bucket) = 0;
    // Puts bytes behind those of the appends before, or with an empty handle behind what the object
    // holds now. Nobody sees them before flush(). Gives the handle for the next call; the same
    // handle twice replaces what the first call appended. `invalid`: that is no handle.
    virtual io::Task<Result<std::string>> append(uint32_t core, ObjectName name,
                                                 std::string_view handle, io::Body body) = 0;
    // What was appended up to this handle is the object, in one step.
    virtual io::Task<Result<ObjectAttributes>> flush(uint32_t core, ObjectName name,
                                                     std::string_view handle,
                                                     bool counts_versions) = 0;

    // The content, metadata and attachment of `from` under another name, in any bucket: a large
    // object's files get further names, no byte is moved. `not_implemented` where the file system
    // has no hard links, and of striped objects: then the bytes must be copied.
    virtual io::Task<Result<ObjectAttributes>> copy(uint32_t core, ObjectName from, ObjectName to,
                                                    ObjectCopyOptions options) = 0;
    // In one step: after a power cut one of the names is there, never both or none. Replaces what
    // has the new name. Durable when done. `not_implemented` as copy().
    virtual io::Task<Result<ObjectAttributes>> rename(uint32_t core, ObjectName from, ObjectName to,
                                                      bool counts_versions) = 0;

    // In byte order of names. Sees every change acknowledged before the call.
    virtual io::Task<Result<ListPage>> list(uint32_t core, BucketId bucket,
                                            ListOptions options) = 0;

    // Frees what garbage it can, now and without regard for others; gives the bytes that the disk
    // got back. `corrupt` if damage keeps segments from being freed, `full`, `io_error`.
    virtual io::Task<Result<uint64_t>> compact(uint32_t core) = 0;
    // Of the bucket's current records in the log, headers and padding included; 0 if it has none.
    // On cores[0].
    virtual uint64_t live_bytes(BucketId bucket) const = 0;

    // The metadata says that this bucket is gone: its names vanish at once, however many there
    // are, and its bytes go with compaction.
    virtual void forget_bucket(BucketId bucket) = 0;
    virtual StoreUsage usage() const = 0;
};

}  // namespace penstock::node
