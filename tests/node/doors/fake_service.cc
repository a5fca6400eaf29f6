#include "tests/node/doors/fake_service.h"

#include "io/memory_file.h"

#include <openssl/evp.h>

#include "archive/shard_index.h"
#include "archive/tar_scanner.h"
#include "node/store/page_filler.h"

namespace penstock::node::testing {
namespace {

// The contract's access bits (section 19.5) that objects need.
enum : uint64_t { may_get = 1, may_head = 2, may_put = 4, may_delete = 16, may_update = 128 };
enum : uint64_t { may_append = 8 };
enum : uint64_t { may_list = 512, may_destroy = 32768, may_move = 32, may_move_bucket = 65536 };

ContentChecksum digest_with(const EVP_MD* method, ChecksumType type, std::string_view bytes) {
    ContentChecksum checksum{type, 0, {}};
    unsigned size = 0;
    EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(checksum.digest.data()),
               &size, method, nullptr);
    checksum.size = static_cast<uint8_t>(size);
    return checksum;
}

ContentChecksum big_endian(ChecksumType type, uint64_t value, uint8_t size) {
    ContentChecksum checksum{type, size, {}};
    for (uint8_t at = 0; at < size; ++at) {
        checksum.digest[at] = static_cast<std::byte>(value >> (8 * (size - 1 - at)));
    }
    return checksum;
}

ContentChecksum checksum_of(ChecksumType type, std::string_view bytes) {
    switch (type) {
        case ChecksumType::xxhash:
            return big_endian(type, xxh64(as_bytes(bytes), 0), 8);
        case ChecksumType::crc32c:
            return big_endian(type, crc32c(as_bytes(bytes)), 4);
        case ChecksumType::md5:
            return digest_with(EVP_md5(), type, bytes);
        case ChecksumType::sha256:
            return digest_with(EVP_sha256(), type, bytes);
        case ChecksumType::sha512:
            return digest_with(EVP_sha512(), type, bytes);
        case ChecksumType::none:
            break;
    }
    return {};
}

// Content in pieces, as a verified file is read.
class TextSource final : public io::Source {
public:
    TextSource(io::BufferPool& buffers, std::string text)
        : buffers_(buffers), text_(std::move(text)) {}
    io::Task<Result<io::Chunk>> next() override {
        const std::string_view piece = std::string_view(text_).substr(at_, 1 << 20);
        if (piece.empty()) co_return io::Chunk();
        at_ += piece.size();
        io::Body body = io::Body::copy_of(buffers_, as_bytes(piece));
        co_return std::move(body.chunk());
    }
    std::optional<uint64_t> remaining_bytes() const override { return text_.size() - at_; }

private:
    io::BufferPool& buffers_;
    std::string text_;
    size_t at_ = 0;
};

Result<archive::ShardIndex> index_of(std::string_view bytes) {
    archive::TarScanner scanner;
    scanner.feed(as_bytes(bytes));
    std::vector<std::byte> encoded = scanner.finish();
    if (encoded.empty()) return fail(Errc::invalid, "unrecognized or unsupported file format");
    return archive::ShardIndex::open(std::move(encoded));
}

}  // namespace

void FakeService::put_now(const BucketName& bucket, const std::string& object, std::string bytes) {
    store(entries_.at(bucket), object, std::move(bytes), {});
}

std::shared_ptr<const Bucket> FakeService::find_bucket(uint32_t, const BucketName& name) {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : found->second.bucket;
}

std::vector<std::shared_ptr<const Bucket>> FakeService::buckets(uint32_t) {
    std::vector<std::shared_ptr<const Bucket>> list;
    for (const auto& [name, entry] : entries_) list.push_back(entry.bucket);
    return list;
}

io::Task<Status> FakeService::create_bucket(uint32_t, BucketName name,
                                            BucketProperties properties) {
    if (entries_.contains(name)) co_return fail(Errc::exists, name.name);
    auto bucket = std::make_shared<Bucket>(
        Bucket{{++bucket_number_}, name, std::move(properties), reactor_.clock().wall_ns()});
    entries_[name] = {std::move(bucket), {}, {}};
    ++metadata_version_;
    co_return Status();
}

io::Task<Status> FakeService::destroy_bucket(uint32_t, BucketName name) {
    CO_TRY([[maybe_unused]] Entry * entry, open(name, may_destroy));
    entries_.erase(name);
    ++metadata_version_;
    co_return Status();
}

io::Task<Status> FakeService::set_properties(uint32_t, BucketName name,
                                             BucketProperties properties) {
    CO_TRY(Entry * entry, open(name, 0));
    Bucket changed = *entry->bucket;
    changed.properties = std::move(properties);
    entry->bucket = std::make_shared<Bucket>(std::move(changed));
    ++metadata_version_;
    co_return Status();
}

io::Task<Status> FakeService::rename_bucket(uint32_t, BucketName from, BucketName to) {
    CO_TRY([[maybe_unused]] Entry * entry, open(from, may_move_bucket));
    if (entries_.contains(to)) co_return fail(Errc::exists, to.name);
    auto node = entries_.extract(from);
    node.key() = to;
    Bucket renamed = *node.mapped().bucket;
    renamed.name = to;
    node.mapped().bucket = std::make_shared<Bucket>(std::move(renamed));
    entries_.insert(std::move(node));
    ++metadata_version_;
    co_return Status();
}

io::Task<Result<ObjectAttributes>> FakeService::put(uint32_t, ObjectAddress address, io::Body body,
                                                    PutRequest request) {
    if (auto failure = take_failure()) co_return fail(*failure);
    std::string bytes;
    const auto source = body.into_source(reactor_, buffers_);
    for (;;) {
        CO_TRY(const io::Chunk chunk, co_await source->next());
        if (chunk.is_empty()) break;
        bytes.append(as_text(chunk.bytes()));
    }
    CO_TRY(Entry * entry, open(address.bucket, may_put));
    CO_TRY_STATUS(check(entry->objects, address.object, request.condition));
    if (request.expected) {
        const ContentChecksum actual = checksum_of(request.expected->type, bytes);
        if (!std::ranges::equal(actual.bytes(), request.expected->bytes())) {
            co_return fail(Errc::invalid, "the checksum differs");
        }
    }
    co_return store(*entry, address.object, std::move(bytes), std::move(request.custom));
}

io::Task<Result<OpenedObject>> FakeService::get(uint32_t, ObjectAddress address, ReadRange range) {
    if (auto failure = take_failure()) co_return fail(*failure);
    if (before_get_) std::exchange(before_get_, nullptr)();
    CO_TRY(Object * object, find(address, may_get));
    co_return opened(object->attributes, object->bytes, range);
}

io::Task<Result<std::optional<OpenedObject>>> FakeService::open_file(uint32_t,
                                                                     ObjectAddress address) {
    constexpr size_t file_bytes_min = 128 << 10;
    if (auto failure = take_failure()) co_return fail(*failure);
    CO_TRY(Object * object, find(address, may_get));
    if (object->bytes.size() < file_bytes_min) co_return std::nullopt;
    CO_TRY(io::MemoryFile file, io::MemoryFile::create("fake"));
    CO_TRY_STATUS(file.append(as_bytes(object->bytes)));
    CO_TRY(io::Descriptor sealed, file.seal());
    const auto kept = std::make_shared<io::Descriptor>(std::move(sealed));
    OpenedObject opened{object->attributes, {0, object->bytes.size()}, {}};
    opened.body = io::Body(io::FileRange{kept->get(), 0, object->bytes.size(), kept});
    co_return std::optional<OpenedObject>(std::move(opened));
}

uint64_t FakeService::read_order(uint32_t, ObjectAddress address) {
    const auto entry = entries_.find(address.bucket);
    if (entry == entries_.end()) return 0;
    const auto object = entry->second.objects.find(address.object);
    if (object == entry->second.objects.end()) return 0;
    return UINT64_MAX - object->second.attributes.version.sequence;
}

io::Task<Result<ObjectAttributes>> FakeService::stat(uint32_t, ObjectAddress address) {
    if (auto failure = take_failure()) co_return fail(*failure);
    CO_TRY(Object * object, find(address, may_head));
    co_return object->attributes;
}

io::Task<Result<Version>> FakeService::remove(uint32_t, ObjectAddress address,
                                              Condition condition) {
    if (auto failure = take_failure()) co_return fail(*failure);
    CO_TRY(Entry * entry, open(address.bucket, may_delete));
    CO_TRY(Object * object, find(address, may_delete));
    CO_TRY_STATUS(check(entry->objects, address.object, condition));
    const Version version{1, ++sequence_};
    (void)object;
    entry->objects.erase(std::string(address.object));
    co_return version;
}

io::Task<Result<std::vector<Status>>> FakeService::remove_many(
    uint32_t core, const BucketName& bucket, const std::vector<std::string_view>& names) {
    CO_TRY([[maybe_unused]] Entry * entry, open(bucket, may_delete));
    std::vector<Status> outcomes;
    for (const std::string_view name : names) {
        const Result<Version> removed = co_await remove(core, {bucket, name}, {});
        outcomes.push_back(removed ? Status() : fail(removed.error()));
    }
    co_return outcomes;
}

io::Task<Result<ObjectAttributes>> FakeService::copy(uint32_t core, ObjectAddress from,
                                                     ObjectAddress to, Condition condition) {
    CO_TRY(OpenedObject opened, co_await get(core, from, {}));
    PutRequest request{.condition = condition, .custom = opened.attributes.custom};
    co_return co_await put(core, to, std::move(opened.body), std::move(request));
}

io::Task<Status> FakeService::rename(uint32_t core, ObjectAddress from, std::string_view to) {
    CO_TRY([[maybe_unused]] Entry * entry, open(from.bucket, may_move));
    CO_TRY_STATUS(co_await copy(core, from, {from.bucket, to}, {}));
    if (to != from.object) CO_TRY_STATUS(co_await remove(core, from, {}));
    co_return Status();
}

Result<FakeService::Upload*> FakeService::find_upload(Entry& entry, std::string_view object,
                                                      std::string_view upload) {
    const auto found = entry.uploads.find(upload);
    if (found == entry.uploads.end() || found->second.object != object) {
        return fail(Errc::not_found, "upload \"" + std::string(upload) + "\" does not exist");
    }
    return &found->second;
}

io::Task<Result<std::string>> FakeService::begin_upload(uint32_t, ObjectAddress address,
                                                        CustomMetadata custom) {
    CO_TRY(Entry * entry, open(address.bucket, may_put));
    std::string id = "upload" + std::to_string(++sequence_);
    entry->uploads[id] = {std::string(address.object), std::move(custom), {}};
    co_return id;
}

io::Task<Result<PartAttributes>> FakeService::put_part(uint32_t, ObjectAddress address,
                                                       std::string_view upload, uint32_t number,
                                                       io::Body body, PartOptions) {
    CO_TRY(Entry * entry, open(address.bucket, may_put));
    CO_TRY([[maybe_unused]] Upload * there, find_upload(*entry, address.object, upload));
    CO_TRY(const io::Chunk chunk, co_await body.read_all(reactor_, buffers_, 64 << 20));
    if (chunk.is_empty()) co_return fail(Errc::invalid, "invalid size (0)");
    CO_TRY(Upload * found, find_upload(*entry, address.object, upload));
    std::string& part = found->parts[number];
    part = as_text(chunk.bytes());
    co_return PartAttributes{.number = number,
                             .size_bytes = part.size(),
                             .crc32c = crc32c(chunk.bytes()),
                             .version = {1, ++sequence_}};
}

io::Task<Result<ObjectAttributes>> FakeService::complete_upload(uint32_t, ObjectAddress address,
                                                                std::string_view upload,
                                                                CompletionOptions options) {
    CO_TRY(Entry * entry, open(address.bucket, may_put));
    CO_TRY(Upload * found, find_upload(*entry, address.object, upload));
    if (found->parts.empty()) co_return fail(Errc::invalid, "no chunks");
    if (options.names_all && options.parts->size() != found->parts.size()) {
        co_return fail(Errc::invalid, "partial completion is not allowed");
    }
    CO_TRY_STATUS(check(entry->objects, address.object, options.condition));
    std::string all;
    uint64_t largest = 0;
    for (const auto& [number, part] : found->parts) {
        all += part;
        largest = std::max<uint64_t>(largest, part.size());
    }
    ObjectAttributes made = store(*entry, address.object, std::move(all), found->custom);
    ObjectAttributes& kept = entry->objects.find(address.object)->second.attributes;
    kept.part_count = static_cast<uint32_t>(found->parts.size());
    kept.part_bytes_max = largest;
    entry->uploads.erase(entry->uploads.find(upload));
    co_return made;
}

io::Task<Status> FakeService::abort_upload(uint32_t, ObjectAddress address,
                                           std::string_view upload) {
    CO_TRY(Entry * entry, open(address.bucket, may_put));
    CO_TRY([[maybe_unused]] Upload * found, find_upload(*entry, address.object, upload));
    entry->uploads.erase(entry->uploads.find(upload));
    co_return Status();
}

io::Task<Result<std::vector<PartAttributes>>> FakeService::parts(uint32_t, ObjectAddress address,
                                                                 std::string_view upload) {
    CO_TRY(Entry * entry, open(address.bucket, may_put));
    CO_TRY(Upload * found, find_upload(*entry, address.object, upload));
    std::vector<PartAttributes> parts;
    for (const auto& [number, part] : found->parts) {
        parts.push_back({.number = number, .size_bytes = part.size()});
    }
    co_return parts;
}

io::Task<Result<std::vector<UploadAttributes>>> FakeService::uploads(uint32_t,
                                                                     const BucketName& bucket) {
    CO_TRY(Entry * entry, open(bucket, may_list));
    std::vector<UploadAttributes> uploads;
    for (const auto& [id, upload] : entry->uploads) uploads.push_back({id, upload.object, 0, 0});
    co_return uploads;
}

io::Task<Result<std::string>> FakeService::append(uint32_t core, ObjectAddress address,
                                                  std::string_view handle, io::Body body) {
    CO_TRY(Entry * entry, open(address.bucket, may_append));
    std::string id(handle);
    if (id.empty()) {
        CO_TRY(id, co_await begin_upload(core, address, {}));
        const auto found = entry->objects.find(address.object);
        if (found != entry->objects.end()) entry->uploads[id].parts[0] = found->second.bytes;
    }
    if (!id.starts_with("upload")) co_return fail(Errc::invalid, "this is no append handle");
    CO_TRY([[maybe_unused]] Upload * there, find_upload(*entry, address.object, id));
    CO_TRY(const io::Chunk chunk, co_await body.read_all(reactor_, buffers_, 64 << 20));
    CO_TRY(Upload * upload, find_upload(*entry, address.object, id));
    if (!chunk.is_empty()) upload->parts[0] += as_text(chunk.bytes());
    co_return id;
}

io::Task<Result<ObjectAttributes>> FakeService::flush(uint32_t, ObjectAddress address,
                                                      std::string_view handle) {
    CO_TRY(Entry * entry, open(address.bucket, may_append));
    if (!handle.starts_with("upload")) co_return fail(Errc::invalid, "this is no append handle");
    CO_TRY(Upload * found, find_upload(*entry, address.object, handle));
    ObjectAttributes made = store(*entry, address.object, found->parts[0], found->custom);
    entry->uploads.erase(entry->uploads.find(handle));
    co_return made;
}

io::Task<Result<ObjectAttributes>> FakeService::set_custom(uint32_t, ObjectAddress address,
                                                           CustomMetadata custom, bool replaces) {
    if (auto failure = take_failure()) co_return fail(*failure);
    CO_TRY(Object * object, find(address, may_update));
    CustomMetadata& kept = object->attributes.custom;
    if (replaces) kept.clear();
    for (auto& [key, value] : custom) {
        std::erase_if(kept, [&](const auto& pair) { return pair.first == key; });
        kept.emplace_back(key, value);
    }
    object->attributes.version = {1, ++sequence_};
    co_return object->attributes;
}

io::Task<Result<ListPage>> FakeService::list(uint32_t, const BucketName& bucket,
                                             ListOptions options) {
    if (auto failure = take_failure()) co_return fail(*failure);
    CO_TRY(Entry * entry, open(bucket, may_list));
    ListPage page;
    std::vector<Place> places;
    PageFiller filler(options, page, places);
    auto at = entry->objects.lower_bound(filler.first_target());
    while (at != entry->objects.end()) {
        const auto next = filler.offer(
            {{}, at->first, {}, at->second.attributes.version, at->second.bytes.size()});
        if (next == PageFiller::Next::stop) break;
        at = next == PageFiller::Next::leap ? entry->objects.lower_bound(filler.leap_target())
                                            : std::next(at);
    }
    filler.finish();
    if (options.wants_attributes) {
        for (const ListPage::Entry& listed : page.entries) {
            const auto found = entry->objects.find(page.name(listed));
            page.attributes.push_back(found == entry->objects.end() ? ObjectAttributes()
                                                                    : found->second.attributes);
        }
    }
    co_return page;
}

io::Task<Result<ListPage>> FakeService::list_unchecked(uint32_t core, BucketId bucket,
                                                       ListOptions options) {
    for (const auto& [name, entry] : entries_) {
        if (entry.bucket->id != bucket) continue;
        const BucketName found = name;
        co_return co_await list(core, found, std::move(options));
    }
    co_return ListPage();
}

io::Task<Result<OpenedObject>> FakeService::get_member(uint32_t, ObjectAddress shard,
                                                       std::string_view member, std::string_view,
                                                       ReadRange range) {
    if (auto failure = take_failure()) co_return fail(*failure);
    CO_TRY(Object * object, find(shard, may_get));
    CO_TRY(const archive::ShardIndex index, index_of(object->bytes));
    const auto found = index.find(member);
    if (!found && index.damaged_at()) co_return fail(Errc::corrupt, "the shard is damaged");
    if (!found) co_return fail(Errc::not_found, std::string(member));
    ObjectAttributes attributes = object->attributes;
    attributes.size_bytes = found->size;
    co_return opened(attributes, std::string_view(object->bytes).substr(found->offset, found->size),
                     range);
}

io::Task<Result<MemberListing>> FakeService::members(uint32_t, ObjectAddress shard) {
    CO_TRY(Object * object, find(shard, may_get));
    CO_TRY(const archive::ShardIndex index, index_of(object->bytes));
    MemberListing listing{{}, index.damaged_at()};
    for (uint32_t order = 0; order < index.member_count(); ++order) {
        const archive::Member member = index.member_by_name_order(order);
        listing.entries.push_back({std::string(member.name), member.size});
    }
    co_return listing;
}

StoreUsage FakeService::usage() const {
    StoreUsage usage;
    usage.space.total_bytes = 100'000'000'000;
    usage.space.available_bytes = 60'000'000'000;
    return usage;
}

Result<FakeService::Entry*> FakeService::open(const BucketName& name, uint64_t access) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return fail(Errc::not_found, name.name);
    if ((found->second.bucket->properties.access & access) != access) {
        return fail(Errc::denied, name.name);
    }
    return &found->second;
}

Result<FakeService::Object*> FakeService::find(const ObjectAddress& address, uint64_t access) {
    TRY(Entry * entry, open(address.bucket, access));
    const auto found = entry->objects.find(address.object);
    if (found == entry->objects.end()) return fail(Errc::not_found, std::string(address.object));
    return &found->second;
}

Status FakeService::check(const Objects& objects, std::string_view name,
                          const Condition& condition) const {
    const auto found = objects.find(name);
    const bool is_absent = found == objects.end();
    if (condition.kind == Condition::Kind::absent && !is_absent) {
        return fail(Errc::condition_failed, std::string(name));
    }
    if (condition.kind == Condition::Kind::exactly &&
        (is_absent || found->second.attributes.version != condition.version)) {
        return fail(Errc::condition_failed, std::string(name));
    }
    return {};
}

ObjectAttributes FakeService::store(Entry& entry, std::string_view name, std::string bytes,
                                    CustomMetadata custom) {
    Object& object = entry.objects[std::string(name)];
    ObjectAttributes& attributes = object.attributes;
    attributes.version = {1, ++sequence_};
    attributes.size_bytes = bytes.size();
    attributes.display_version += 1;
    attributes.modified_ns = reactor_.clock().wall_ns();
    attributes.checksum = checksum_of(entry.bucket->properties.checksum, bytes);
    attributes.custom = std::move(custom);
    object.bytes = std::move(bytes);
    return attributes;
}

OpenedObject FakeService::opened(const ObjectAttributes& attributes, std::string_view bytes,
                                 ReadRange range) {
    constexpr size_t chunk_bytes_max = 128 << 10;
    range.offset = std::min<uint64_t>(range.offset, bytes.size());
    range.size = std::min<uint64_t>(range.size, bytes.size() - range.offset);
    const std::string_view chosen = bytes.substr(range.offset, range.size);
    OpenedObject object{attributes, range, {}};
    if (chosen.size() <= chunk_bytes_max) {
        object.body = io::Body::copy_of(buffers_, as_bytes(chosen));
    } else {
        object.body = io::Body(std::make_unique<TextSource>(buffers_, std::string(chosen)));
    }
    return object;
}

}  // namespace penstock::node::testing
