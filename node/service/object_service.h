// ObjectService: what every front door calls: buckets and objects by name, members of shards,
// listings. It knows who may do what and who owns what, and nothing of any protocol.
//
// One for the whole node; calls may be made on any core and take the caller's core number. Names
// are views that the caller keeps alive until the task is done.
//
// Errors: `not_found` (a door that must say which looks for the bucket), `exists`, `invalid`,
// `denied` (the bucket's access bits), `condition_failed`, `too_large`, `full`, `corrupt`,
// `io_error`, `unavailable`, `not_implemented`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/result.h"
#include "io/task.h"
#include "node/metadata/commands.h"
#include "node/store/store.h"

namespace penstock::node {

// An object as clients name it.
struct ObjectAddress {
    const BucketName& bucket;
    std::string_view object;
};

// Which targets there are and who owns a name; on one node, always this one.
struct Owner {
    std::string node_id;
    bool is_this_node = true;
};

struct PutRequest {
    Condition condition;
    std::optional<ContentChecksum> expected;  // the client's own checksum of the body
    CustomMetadata custom;
    // Of an object that comes back: 0: the clock's, and counted.
    uint64_t modified_ns = 0;
    uint64_t display_version = 0;
    // Instead of the bucket's.
    std::optional<StripeRule> stripes;
};

struct MemberListing {
    struct Entry {
        std::string name;
        uint64_t size_bytes;
    };
    std::vector<Entry> entries;  // sorted by name
    std::optional<uint64_t> damaged_at;
};

class ObjectService {
public:
    virtual ~ObjectService() = default;

    // Buckets. The pointer stays good while the caller holds it, whatever is changed meanwhile.
    virtual std::shared_ptr<const Bucket> find_bucket(uint32_t core, const BucketName& name) = 0;
    // Sorted by provider, namespace, name.
    virtual std::vector<std::shared_ptr<const Bucket>> buckets(uint32_t core) = 0;
    virtual io::Task<Status> create_bucket(uint32_t core, BucketName name,
                                           BucketProperties properties) = 0;
    virtual io::Task<Status> destroy_bucket(uint32_t core, BucketName name) = 0;
    virtual io::Task<Status> set_properties(uint32_t core, BucketName name,
                                            BucketProperties properties) = 0;
    // The bucket under another name, with its properties and objects, however many: one command.
    // `exists` if the new name is taken.
    virtual io::Task<Status> rename_bucket(uint32_t core, BucketName from, BucketName to) = 0;
    // The version of the metadata: it grows with each change.
    virtual uint64_t metadata_version(uint32_t core) = 0;
    // A value that clients set, kept in the metadata; "" if the key has none.
    virtual std::string configuration(uint32_t core, std::string_view key) = 0;
    // Durable when done, all of them or none; an empty value takes its key away. `condition_failed`
    // if metadata_version() is no longer what was expected; `too_large`: a key of more than 256
    // bytes, more than 384 KiB in all, or more than 10,000 keys.
    virtual io::Task<Status> set_configuration(uint32_t core, SetValues values) = 0;

    // Objects.
    virtual Owner owner_of(const ObjectAddress& address) = 0;
    virtual io::Task<Result<ObjectAttributes>> put(uint32_t core, ObjectAddress address,
                                                   io::Body body, PutRequest request) = 0;
    // A file of the system as an object, by a hard link (Store::adopt).
    virtual io::Task<Result<ObjectAttributes>> adopt(uint32_t core, ObjectAddress address,
                                                     std::string path, PutRequest request) = 0;
    // Checks all bytes of the object where they lie, whatever its access bits say; gives how many.
    virtual io::Task<Result<uint64_t>> verify(uint32_t core, ObjectAddress address) = 0;
    // With a range, exactly that; without, all of it.
    virtual io::Task<Result<OpenedObject>> get(uint32_t core, ObjectAddress address,
                                               ReadRange range) = 0;
    // As get(), if the object is one file that was verified whole; nullopt for all others.
    virtual io::Task<Result<std::optional<OpenedObject>>> open_file(uint32_t core,
                                                                    ObjectAddress address) = 0;
    // Many reads are best made in the order of this number. It promises nothing else.
    virtual uint64_t read_order(uint32_t core, ObjectAddress address) = 0;
    virtual io::Task<Result<ObjectAttributes>> stat(uint32_t core, ObjectAddress address) = 0;
    virtual io::Task<Result<Version>> remove(uint32_t core, ObjectAddress address,
                                             Condition condition) = 0;
    // Many at once, most of which ride in the same commits. What remove() would give for each;
    // fails as a whole without the bucket, or when it does not allow this. The caller keeps
    // `names`.
    virtual io::Task<Result<std::vector<Status>>> remove_many(
        uint32_t core, const BucketName& bucket, const std::vector<std::string_view>& names) = 0;
    // The current version of `from` as a new version of `to`: content, checksum and custom
    // metadata. On one node no byte of a large object is moved.
    virtual io::Task<Result<ObjectAttributes>> copy(uint32_t core, ObjectAddress from,
                                                    ObjectAddress to, Condition condition) = 0;
    // In one bucket and one step; what has the new name is replaced.
    virtual io::Task<Status> rename(uint32_t core, ObjectAddress from, std::string_view to) = 0;
    // Uploads in parts, and appends: as the store has them (node/store/store.h). `not_found` is
    // about the upload; a door that must tell looks for the bucket.
    virtual io::Task<Result<std::string>> begin_upload(uint32_t core, ObjectAddress address,
                                                       CustomMetadata custom) = 0;
    virtual io::Task<Result<PartAttributes>> put_part(uint32_t core, ObjectAddress address,
                                                      std::string_view upload, uint32_t number,
                                                      io::Body body, PartOptions options) = 0;
    // Of `options` what concerns versions is the bucket's.
    virtual io::Task<Result<ObjectAttributes>> complete_upload(uint32_t core, ObjectAddress address,
                                                               std::string_view upload,
                                                               CompletionOptions options) = 0;
    virtual io::Task<Status> abort_upload(uint32_t core, ObjectAddress address,
                                          std::string_view upload) = 0;
    virtual io::Task<Result<std::vector<PartAttributes>>> parts(uint32_t core,
                                                                ObjectAddress address,
                                                                std::string_view upload) = 0;
    virtual io::Task<Result<std::vector<UploadAttributes>>> uploads(uint32_t core,
                                                                    const BucketName& bucket) = 0;
    virtual io::Task<Result<std::string>> append(uint32_t core, ObjectAddress address,
                                                 std::string_view handle, io::Body body) = 0;
    virtual io::Task<Result<ObjectAttributes>> flush(uint32_t core, ObjectAddress address,
                                                     std::string_view handle) = 0;

    virtual io::Task<Result<ObjectAttributes>> set_custom(uint32_t core, ObjectAddress address,
                                                          CustomMetadata custom, bool replaces) = 0;
    virtual io::Task<Result<ListPage>> list(uint32_t core, const BucketName& bucket,
                                            ListOptions options) = 0;

    // The same whatever the bucket's access bits say: for maintenance.
    virtual io::Task<Result<ListPage>> list_unchecked(uint32_t core, BucketId bucket,
                                                      ListOptions options) = 0;

    // Members. `format_hint`: an extension or MIME type that overrides detection, or "".
    // attributes.size_bytes is the member's; `invalid`: no archive; `corrupt`: the member lies
    // behind the place where the shard is damaged (the context says where).
    virtual io::Task<Result<OpenedObject>> get_member(uint32_t core, ObjectAddress shard,
                                                      std::string_view member,
                                                      std::string_view format_hint,
                                                      ReadRange range) = 0;
    virtual io::Task<Result<MemberListing>> members(uint32_t core, ObjectAddress shard) = 0;

    virtual StoreUsage usage() const = 0;
};

}  // namespace penstock::node
