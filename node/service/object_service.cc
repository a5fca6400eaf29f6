#include "node/service/object_service.h"

#include <algorithm>
#include <array>
#include <utility>

#include "archive/tar_scanner.h"
#include "io/base/checksum.h"
#include "node/service/access.h"
#include "node/service/format_hint.h"
#include "node/service/placement.h"
#include "node/service/service.h"
#include "node/service/shard_indexes.h"
#include "node/service/stripe_rule.h"

namespace penstock::node {
namespace {

// How often a read is begun anew because its shard was overwritten in between.
constexpr int tries_max = 4;

// Builds a shard's index while the shard is being put.
class TarObserver final : public ContentObserver {
public:
    void observe(Bytes bytes) override { scanner_.feed(bytes); }
    std::vector<std::byte> finish() override { return scanner_.finish(); }

private:
    archive::TarScanner scanner_;
};

// A task for callers that know the answer already: the others need no coroutine of their own.
template <typename T>
io::Task<Result<T>> failed(Error error) {
    co_return fail(std::move(error));
}

class Service final : public ObjectService {
public:
    Service(ServiceParts parts, const ServiceOptions& options)
        : metadata_(*parts.metadata),
          store_(*parts.store),
          clock_(*parts.clock),
          placement_({parts.node_id}),
          node_id_(parts.node_id) {
        for (uint32_t core = 0; core < parts.cores.size(); ++core) {
            const ServiceParts::Core& part = parts.cores[core];
            cores_.push_back(std::make_unique<Core>(*part.reactor, *part.buffers, store_, core,
                                                    options.shard_index_bytes_max));
        }
    }

    std::shared_ptr<const Bucket> find_bucket(uint32_t core, const BucketName& name) override;
    std::vector<std::shared_ptr<const Bucket>> buckets(uint32_t core) override;
    io::Task<Status> create_bucket(uint32_t core, BucketName name,
                                   BucketProperties properties) override;
    io::Task<Status> destroy_bucket(uint32_t core, BucketName name) override;
    io::Task<Status> set_properties(uint32_t core, BucketName name,
                                    BucketProperties properties) override;
    io::Task<Status> rename_bucket(uint32_t core, BucketName from, BucketName to) override;
    uint64_t metadata_version(uint32_t core) override { return metadata_.state(core)->version(); }
    std::string configuration(uint32_t core, std::string_view key) override {
        const std::string* value = metadata_.state(core)->find_value(key);
        return value == nullptr ? std::string() : *value;
    }
    io::Task<Status> set_configuration(uint32_t core, SetValues values) override {
        CO_TRY_STATUS(co_await metadata_.submit(core, std::move(values)));
        co_return Status();
    }

    Owner owner_of(const ObjectAddress& address) override {
        const std::string& owner = placement_.owner_of(address.bucket, address.object);
        return {owner, owner == node_id_};
    }
    io::Task<Result<ObjectAttributes>> put(uint32_t core, ObjectAddress address, io::Body body,
                                           PutRequest request) override;
    io::Task<Result<ObjectAttributes>> adopt(uint32_t core, ObjectAddress address, std::string path,
                                             PutRequest request) override;
    io::Task<Result<uint64_t>> verify(uint32_t core, ObjectAddress address) override;
    io::Task<Result<OpenedObject>> get(uint32_t core, ObjectAddress address,
                                       ReadRange range) override;
    io::Task<Result<std::optional<OpenedObject>>> open_file(uint32_t core,
                                                            ObjectAddress address) override;
    uint64_t read_order(uint32_t core, ObjectAddress address) override;
    io::Task<Result<ObjectAttributes>> stat(uint32_t core, ObjectAddress address) override;
    io::Task<Result<Version>> remove(uint32_t core, ObjectAddress address,
                                     Condition condition) override;
    io::Task<Result<std::vector<Status>>> remove_many(
        uint32_t core, const BucketName& bucket,
        const std::vector<std::string_view>& names) override;
    io::Task<Result<ObjectAttributes>> copy(uint32_t core, ObjectAddress from, ObjectAddress to,
                                            Condition condition) override;
    io::Task<Status> rename(uint32_t core, ObjectAddress from, std::string_view to) override;
    io::Task<Status> rename_by_copy(uint32_t core, ObjectAddress from, std::string_view to);
    io::Task<Result<std::string>> begin_upload(uint32_t core, ObjectAddress address,
                                               CustomMetadata custom) override;
    io::Task<Result<PartAttributes>> put_part(uint32_t core, ObjectAddress address,
                                              std::string_view upload, uint32_t number,
                                              io::Body body, PartOptions options) override;
    io::Task<Result<ObjectAttributes>> complete_upload(uint32_t core, ObjectAddress address,
                                                       std::string_view upload,
                                                       CompletionOptions options) override;
    io::Task<Status> abort_upload(uint32_t core, ObjectAddress address,
                                  std::string_view upload) override;
    io::Task<Result<std::vector<PartAttributes>>> parts(uint32_t core, ObjectAddress address,
                                                        std::string_view upload) override;
    io::Task<Result<std::vector<UploadAttributes>>> uploads(uint32_t core,
                                                            const BucketName& bucket) override;
    io::Task<Result<std::string>> append(uint32_t core, ObjectAddress address,
                                         std::string_view handle, io::Body body) override;
    io::Task<Result<ObjectAttributes>> flush(uint32_t core, ObjectAddress address,
                                             std::string_view handle) override;
    io::Task<Result<ObjectAttributes>> set_custom(uint32_t core, ObjectAddress address,
                                                  CustomMetadata custom, bool replaces) override;
    io::Task<Result<ListPage>> list(uint32_t core, const BucketName& bucket,
                                    ListOptions options) override;
    io::Task<Result<ListPage>> list_unchecked(uint32_t core, BucketId bucket,
                                              ListOptions options) override {
        return store_.list(core, bucket, std::move(options));
    }
    io::Task<Result<OpenedObject>> get_member(uint32_t core, ObjectAddress shard,
                                              std::string_view member, std::string_view format_hint,
                                              ReadRange range) override;
    io::Task<Result<MemberListing>> members(uint32_t core, ObjectAddress shard) override;

    StoreUsage usage() const override {
        StoreUsage usage = store_.usage();
        usage.corruptions += metadata_.corruption_count();
        return usage;
    }

private:
    using BucketPointer = std::shared_ptr<const Bucket>;

    // What one core keeps for itself: no other looks at it.
    struct alignas(64) Core {
        Core(io::Reactor& reactor, io::BufferPool& buffers, Store& store, uint32_t core,
             uint64_t index_bytes_max)
            : indexes(reactor, buffers, store, core, index_bytes_max) {}
        std::shared_ptr<const MetadataState> state;  // that `buckets` were found in
        std::array<BucketPointer, 64> buckets;
        ShardIndexes indexes;
    };

    // The bucket, if the name may be used and the bucket allows this.
    Result<BucketPointer> allow(uint32_t core, const ObjectAddress& address, uint64_t access);
    Result<BucketPointer> allow_bucket(uint32_t core, const BucketName& name, uint64_t access);
    static PutOptions put_options(const Bucket& bucket, const ObjectAddress& address,
                                  PutRequest request);
    io::Task<Result<KnownShard>> current_shard(uint32_t core, ObjectName name,
                                               archive::Format format);
    io::Task<Result<bool>> is_current(uint32_t core, ObjectName name, Version version);

    MetadataLog& metadata_;
    Store& store_;
    const Clock& clock_;
    Placement placement_;
    std::string node_id_;
    std::vector<std::unique_ptr<Core>> cores_;
};

// The metadata's own pointer is shared by all cores, and so is the count of its owners: the caches
// of two cores would fight for that line at each request. Each core makes a count of its own.
std::shared_ptr<const Bucket> Service::find_bucket(uint32_t core, const BucketName& name) {
    Core& own = *cores_[core];
    const std::shared_ptr<const MetadataState>& state = metadata_.state(core);
    if (own.state != state) {
        own.state = state;
        own.buckets.fill(nullptr);
    }
    BucketPointer& slot = own.buckets[xxh64(as_bytes(name.name)) % own.buckets.size()];
    if (slot != nullptr && slot->name == name) return slot;
    BucketPointer found = state->find(name);
    if (found == nullptr) return nullptr;
    const Bucket* bucket = found.get();
    slot = BucketPointer(std::make_shared<const BucketPointer>(std::move(found)), bucket);
    return slot;
}

std::vector<std::shared_ptr<const Bucket>> Service::buckets(uint32_t core) {
    std::vector<std::shared_ptr<const Bucket>> all;
    const std::shared_ptr<const MetadataState>& state = metadata_.state(core);
    all.reserve(state->bucket_count());
    state->for_each_bucket([&all](const BucketPointer& bucket) { all.push_back(bucket); });
    return all;
}

io::Task<Status> Service::create_bucket(uint32_t core, BucketName name,
                                        BucketProperties properties) {
    CreateBucket command{std::move(name), std::move(properties), clock_.wall_ns()};
    CO_TRY_STATUS(co_await metadata_.submit(core, std::move(command)));
    co_return Status();
}

io::Task<Status> Service::destroy_bucket(uint32_t core, BucketName name) {
    CO_TRY_STATUS(allow_bucket(core, name, access::destroy_bucket));
    CO_TRY(const Committed committed,
           co_await metadata_.submit(core, DestroyBucket{std::move(name)}));
    store_.forget_bucket(committed.bucket);
    co_return Status();
}

io::Task<Status> Service::rename_bucket(uint32_t core, BucketName from, BucketName to) {
    CO_TRY_STATUS(allow_bucket(core, from, access::move_bucket));
    CO_TRY_STATUS(co_await metadata_.submit(core, RenameBucket{std::move(from), std::move(to)}));
    co_return Status();
}

io::Task<Status> Service::set_properties(uint32_t core, BucketName name,
                                         BucketProperties properties) {
    SetProperties command{std::move(name), std::move(properties)};
    CO_TRY_STATUS(co_await metadata_.submit(core, std::move(command)));
    co_return Status();
}

Result<Service::BucketPointer> Service::allow_bucket(uint32_t core, const BucketName& name,
                                                     uint64_t access) {
    BucketPointer bucket = find_bucket(core, name);
    if (bucket == nullptr) {
        return fail(Errc::not_found,
                    "bucket \"" + name.provider + "://" + name.name + "\" does not exist");
    }
    if ((bucket->properties.access & access) != access) {
        return fail(Errc::denied, "the access property of bucket \"" + name.provider + "://" +
                                      name.name + "\" does not allow this");
    }
    return bucket;
}

Result<Service::BucketPointer> Service::allow(uint32_t core, const ObjectAddress& address,
                                              uint64_t access) {
    TRY_STATUS(check_object_name(address.object));
    return allow_bucket(core, address.bucket, access);
}

PutOptions Service::put_options(const Bucket& bucket, const ObjectAddress& address,
                                PutRequest request) {
    PutOptions options;
    options.condition = request.condition;
    options.durability = bucket.properties.durability;
    options.checksum = bucket.properties.checksum;
    options.counts_versions = bucket.properties.is_versioned;
    options.expected = std::move(request.expected);
    options.custom = std::move(request.custom);
    options.modified_ns = request.modified_ns;
    options.display_version = request.display_version;
    options.stripes = request.stripes ? *request.stripes : stripe_rule_of(bucket.properties);
    if (archive::format_from_name(address.object) == archive::Format::tar) {
        options.observer = std::make_unique<TarObserver>();
    }
    return options;
}

io::Task<Result<ObjectAttributes>> Service::adopt(uint32_t core, ObjectAddress address,
                                                  std::string path, PutRequest request) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::put));
    PutOptions options = put_options(*bucket, address, std::move(request));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.adopt(core, name, std::move(path), std::move(options));
}

io::Task<Result<uint64_t>> Service::verify(uint32_t core, ObjectAddress address) {
    CO_TRY(const BucketPointer bucket, allow(core, address, 0));
    co_return co_await store_.verify(core, ObjectName{bucket->id, {}, address.object});
}

io::Task<Result<ObjectAttributes>> Service::put(uint32_t core, ObjectAddress address, io::Body body,
                                                PutRequest request) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::put));
    PutOptions options = put_options(*bucket, address, std::move(request));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.put(core, name, std::move(body), std::move(options));
}

// No coroutine of its own: the store's task is the whole of it.
io::Task<Result<OpenedObject>> Service::get(uint32_t core, ObjectAddress address, ReadRange range) {
    Result<BucketPointer> bucket = allow(core, address, access::get);
    if (!bucket) return failed<OpenedObject>(std::move(bucket).error());
    return store_.get(core, ObjectName{(*bucket)->id, {}, address.object}, range);
}

io::Task<Result<std::optional<OpenedObject>>> Service::open_file(uint32_t core,
                                                                 ObjectAddress address) {
    Result<BucketPointer> bucket = allow(core, address, access::get);
    if (!bucket) return failed<std::optional<OpenedObject>>(std::move(bucket).error());
    return store_.open_file(core, ObjectName{(*bucket)->id, {}, address.object});
}

uint64_t Service::read_order(uint32_t core, ObjectAddress address) {
    const BucketPointer bucket = find_bucket(core, address.bucket);
    if (bucket == nullptr) return 0;
    return store_.read_order(core, ObjectName{bucket->id, {}, address.object});
}

io::Task<Result<ObjectAttributes>> Service::stat(uint32_t core, ObjectAddress address) {
    Result<BucketPointer> bucket = allow(core, address, access::head_object);
    if (!bucket) return failed<ObjectAttributes>(std::move(bucket).error());
    return store_.stat(core, ObjectName{(*bucket)->id, {}, address.object});
}

io::Task<Result<Version>> Service::remove(uint32_t core, ObjectAddress address,
                                          Condition condition) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::delete_object));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.remove(core, name, condition, bucket->properties.durability);
}

io::Task<Result<std::vector<Status>>> Service::remove_many(
    uint32_t core, const BucketName& bucket, const std::vector<std::string_view>& names) {
    CO_TRY(const BucketPointer found, allow_bucket(core, bucket, access::delete_object));
    co_return co_await store_.remove_many(core, found->id, found->name.name, names,
                                          found->properties.durability);
}

io::Task<Result<ObjectAttributes>> Service::copy(uint32_t core, ObjectAddress from,
                                                 ObjectAddress to, Condition condition) {
    CO_TRY(const BucketPointer source, allow(core, from, access::get));
    CO_TRY(const BucketPointer target, allow(core, to, access::put));
    ObjectCopyOptions options{.condition = condition,
                              .durability = target->properties.durability,
                              .counts_versions = target->properties.is_versioned};
    Result<ObjectAttributes> copied =
        co_await store_.copy(core, ObjectName{source->id, source->name.name, from.object},
                             ObjectName{target->id, target->name.name, to.object}, options);
    const bool cannot = !copied && copied.error().code == Errc::not_implemented;
    if (!cannot) co_return copied;
    CO_TRY(OpenedObject opened, co_await get(core, from, {}));
    PutRequest request{.condition = condition, .custom = std::move(opened.attributes.custom)};
    co_return co_await put(core, to, std::move(opened.body), std::move(request));
}

io::Task<Status> Service::rename(uint32_t core, ObjectAddress from, std::string_view to) {
    CO_TRY_STATUS(check_object_name(to));
    CO_TRY(const BucketPointer bucket, allow(core, from, access::move_object));
    CO_TRY_STATUS(allow(core, from, access::get | access::put | access::delete_object));
    const Result<ObjectAttributes> renamed = co_await store_.rename(
        core, ObjectName{bucket->id, bucket->name.name, from.object},
        ObjectName{bucket->id, bucket->name.name, to}, bucket->properties.is_versioned);
    if (renamed) co_return Status();
    if (renamed.error().code != Errc::not_implemented) co_return fail(renamed.error());
    co_return co_await rename_by_copy(core, from, to);
}

// Of objects whose bytes know their name: a crash may leave both names.
io::Task<Status> Service::rename_by_copy(uint32_t core, ObjectAddress from, std::string_view to) {
    const ObjectAddress target{from.bucket, to};
    for (int attempt = 1;; ++attempt) {
        CO_TRY(OpenedObject opened, co_await get(core, from, {}));
        const Version version = opened.attributes.version;
        PutRequest request{.custom = std::move(opened.attributes.custom),
                           .modified_ns = opened.attributes.modified_ns};
        CO_TRY_STATUS(co_await put(core, target, std::move(opened.body), std::move(request)));
        const Result<Version> removed =
            co_await remove(core, from, {Condition::Kind::exactly, version});
        // Removed by somebody else: the new name has what it was.
        if (removed || removed.error().code == Errc::not_found) co_return Status();
        const bool was_changed = removed.error().code == Errc::condition_failed;
        if (!was_changed || attempt == tries_max) co_return fail(removed.error());
    }
}

io::Task<Result<ObjectAttributes>> Service::set_custom(uint32_t core, ObjectAddress address,
                                                       CustomMetadata custom, bool replaces) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::update_object));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.set_custom(core, name, std::move(custom), replaces,
                                         bucket->properties.durability);
}

io::Task<Result<std::string>> Service::begin_upload(uint32_t core, ObjectAddress address,
                                                    CustomMetadata custom) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::put));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.begin_upload(core, name, std::move(custom),
                                           stripe_rule_of(bucket->properties));
}

io::Task<Result<PartAttributes>> Service::put_part(uint32_t core, ObjectAddress address,
                                                   std::string_view upload, uint32_t number,
                                                   io::Body body, PartOptions options) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::put));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.put_part(core, name, upload, number, std::move(body),
                                       std::move(options));
}

io::Task<Result<ObjectAttributes>> Service::complete_upload(uint32_t core, ObjectAddress address,
                                                            std::string_view upload,
                                                            CompletionOptions options) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::put));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    options.counts_versions = bucket->properties.is_versioned;
    co_return co_await store_.complete_upload(core, name, upload, std::move(options));
}

io::Task<Status> Service::abort_upload(uint32_t core, ObjectAddress address,
                                       std::string_view upload) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::put));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.abort_upload(core, name, upload);
}

io::Task<Result<std::vector<PartAttributes>>> Service::parts(uint32_t core, ObjectAddress address,
                                                             std::string_view upload) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::put));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.parts(core, name, upload);
}

io::Task<Result<std::vector<UploadAttributes>>> Service::uploads(uint32_t core,
                                                                 const BucketName& bucket) {
    CO_TRY(const BucketPointer found, allow_bucket(core, bucket, access::list_objects));
    co_return co_await store_.uploads(core, found->id);
}

io::Task<Result<std::string>> Service::append(uint32_t core, ObjectAddress address,
                                              std::string_view handle, io::Body body) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::append));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.append(core, name, handle, std::move(body));
}

io::Task<Result<ObjectAttributes>> Service::flush(uint32_t core, ObjectAddress address,
                                                  std::string_view handle) {
    CO_TRY(const BucketPointer bucket, allow(core, address, access::append));
    const ObjectName name{bucket->id, bucket->name.name, address.object};
    co_return co_await store_.flush(core, name, handle, bucket->properties.is_versioned);
}

io::Task<Result<ListPage>> Service::list(uint32_t core, const BucketName& bucket,
                                         ListOptions options) {
    Result<BucketPointer> found = allow_bucket(core, bucket, access::list_objects);
    if (!found) return failed<ListPage>(std::move(found).error());
    return store_.list(core, (*found)->id, std::move(options));
}

io::Task<Result<bool>> Service::is_current(uint32_t core, ObjectName name, Version version) {
    CO_TRY(const ObjectAttributes attributes, co_await store_.stat(core, name));
    co_return attributes.version == version;
}

// Of the version that is current when it is done.
io::Task<Result<KnownShard>> Service::current_shard(uint32_t core, ObjectName name,
                                                    archive::Format format) {
    ShardIndexes& indexes = cores_[core]->indexes;
    if (const KnownShard* known = indexes.find(name)) {
        const KnownShard shard = *known;
        CO_TRY(const bool is_still, co_await is_current(core, name, shard.version));
        if (is_still) co_return shard;
        indexes.drop(name);
    }
    co_return co_await indexes.load(name, format);
}

// A kept index is used at once: that it is not stale shows in the version of the bytes that are
// read with it, so a member costs one lookup and one read.
io::Task<Result<OpenedObject>> Service::get_member(uint32_t core, ObjectAddress shard,
                                                   std::string_view member,
                                                   std::string_view format_hint, ReadRange range) {
    CO_TRY(const BucketPointer bucket, allow(core, shard, access::get));
    CO_TRY_STATUS(archive::check_member_name(member));
    CO_TRY(const archive::Format format, format_of(format_hint, shard.object));
    const ObjectName name{bucket->id, {}, shard.object};
    ShardIndexes& indexes = cores_[core]->indexes;

    for (int tried = 0; tried < tries_max; ++tried) {
        KnownShard known;
        const KnownShard* kept = is_read_as_tar(format) ? indexes.find(name) : nullptr;
        if (kept != nullptr) {
            known = *kept;
        } else {
            CO_TRY(known, co_await indexes.load(name, format));
        }
        const std::optional<archive::Member> found = known.index->find(member);
        if (!found) {
            CO_TRY(const bool is_still, co_await is_current(core, name, known.version));
            if (is_still) co_return fail(member_missing(*known.index, member));
            indexes.drop(name);
            continue;
        }
        const uint64_t offset = std::min(range.offset, found->size);
        const uint64_t size = std::min(range.size, found->size - offset);
        CO_TRY(OpenedObject opened,
               co_await store_.get(core, name, {found->offset + offset, size}));
        if (opened.attributes.version == known.version) {
            opened.attributes.size_bytes = found->size;
            opened.range = {offset, size};
            co_return opened;
        }
        indexes.drop(name);
    }
    co_return fail(Errc::unavailable, "the shard is being overwritten all the time");
}

io::Task<Result<MemberListing>> Service::members(uint32_t core, ObjectAddress shard) {
    CO_TRY(const BucketPointer bucket, allow(core, shard, access::list_objects));
    const ObjectName name{bucket->id, {}, shard.object};
    CO_TRY(const archive::Format format, format_of("", shard.object));
    CO_TRY(const KnownShard known, co_await current_shard(core, name, format));

    const archive::ShardIndex& index = *known.index;
    MemberListing listing;
    listing.damaged_at = index.damaged_at();
    listing.entries.reserve(index.member_count());
    std::string_view last;
    for (uint32_t order = 0; order < index.member_count(); ++order) {
        const archive::Member member = index.member_by_name_order(order);
        const std::string_view plain = archive::plain_member_name(member.name);
        // Of members with one name the last one counts, as it does when a TAR is unpacked.
        if (order > 0 && plain == last) listing.entries.pop_back();
        last = plain;
        listing.entries.push_back({std::string(member.name), member.size});
    }
    co_return listing;
}

}  // namespace

std::unique_ptr<ObjectService> make_object_service(ServiceParts parts,
                                                   const ServiceOptions& options) {
    ASSERT(!parts.cores.empty());
    return std::make_unique<Service>(std::move(parts), options);
}

}  // namespace penstock::node
