#include <algorithm>
#include <cstring>

#include "io/base/units.h"
#include "node/store/store_impl.h"

namespace penstock::node {
namespace {

// An attachment up to this lies in the record of a small object.
constexpr size_t inline_attachment_bytes_max = 64 << 10;
constexpr size_t custom_bytes_max = 64 << 10;

}  // namespace

Status StoreImpl::check_custom(const CustomMetadata& custom) {
    size_t bytes = 0;
    for (const auto& [key, value] : custom) bytes += key.size() + value.size() + 8;
    if (bytes > custom_bytes_max) {
        return fail(Errc::too_large, "custom metadata above 64 KiB");
    }
    return Status();
}

// Takes a body in, from its first byte to its last: into memory while it is small, into an object
// file once it is not.
class StoreImpl::Intake {
public:
    // `is_part`: it gets a file whatever its size.
    Intake(StoreImpl& store, Core& core, PutOptions& options, bool is_part)
        : store_(store),
          core_(core),
          options_(options),
          is_part_(is_part),
          proof_(options.checksum, options.expected) {}

    io::Task<Result<Content>> take(io::Body body) {
        const std::optional<uint64_t> size = body.size_bytes();
        const uint64_t small_max = store_.options_.small_object_bytes_max;
        Status status;
        if (size && *size <= small_max && !is_part_) {
            status = co_await take_small(std::move(body), small_max);
        } else {
            status = co_await take_stream(std::move(body), size);
        }
        if (status) status = check_expected();
        if (status) status = co_await finish();
        if (!status) {
            if (content_.file != nullptr) co_await abandon();
            co_return std::unexpected(status.error());
        }
        co_return std::move(content_);
    }

private:
    void see(Bytes bytes) {
        proof_.add(bytes);
        if (options_.observer) options_.observer->observe(bytes);
        content_.size_bytes += bytes.size();
    }

    io::Task<Status> take_small(io::Body body, uint64_t small_max) {
        CO_TRY(content_.bytes, co_await body.read_all(*core_.io.reactor, *core_.io.buffers,
                                                      static_cast<uint32_t>(small_max)));
        if (!content_.bytes.is_empty()) see(content_.bytes.bytes());
        co_return Status();
    }

    io::Task<Status> take_stream(io::Body body, std::optional<uint64_t> size) {
        if (size || is_part_) CO_TRY_STATUS(co_await open_file(size));
        const auto source = body.into_source(*core_.io.reactor, *core_.io.buffers);
        for (;;) {
            CO_TRY(const io::Chunk chunk, co_await source->next());
            if (chunk.is_empty()) break;
            see(chunk.bytes());
            CO_TRY_STATUS(co_await keep(chunk.bytes()));
        }
        if (size && content_.size_bytes != *size) {
            co_return fail(Errc::closed, "the content ended early");
        }
        co_return Status();
    }

    // Into memory as long as it may be a small object.
    io::Task<Status> keep(Bytes bytes) {
        const uint32_t small_max = store_.options_.small_object_bytes_max;
        if (content_.file == nullptr && content_.size_bytes > small_max) {
            CO_TRY_STATUS(co_await open_file(std::nullopt));
            const io::Chunk kept = std::move(content_.bytes);
            content_.bytes = io::Chunk();
            if (!kept.is_empty()) CO_TRY_STATUS(co_await content_.file->append(kept.bytes()));
        }
        if (content_.file != nullptr) co_return co_await content_.file->append(bytes);

        io::Chunk& all = content_.bytes;
        if (!all.buffer || all.size + bytes.size() > all.buffer.size()) {
            io::Buffer larger = core_.io.buffers->take(
                static_cast<uint32_t>(std::max<size_t>(2 * (all.size + bytes.size()), 16_KiB)));
            if (all.size > 0) std::memcpy(larger.data(), all.buffer.data(), all.size);
            all.buffer = std::move(larger);
        }
        std::memcpy(all.buffer.data() + all.size, bytes.data(), bytes.size());
        all.size += static_cast<uint32_t>(bytes.size());
        co_return Status();
    }

    io::Task<Status> open_file(std::optional<uint64_t> size) {
        Core& core = core_;
        const uint64_t wanted = size.value_or(1_MiB);
        CO_TRY_STATUS(co_await store_.admit_bytes(core, wanted));
        content_.file = std::make_unique<ObjectFileWriter>(*core.io.disk, *core.io.buffers,
                                                           store_.new_file_id(core));
        if (is_part_) content_.file->keep_table_apart();
        co_return co_await content_.file->open(size);
    }

    Status check_expected() {
        TRY(content_.checksum, proof_.finish());
        return Status();
    }

    // The attachment, and what makes a file durable.
    io::Task<Status> finish() {
        content_.attributes.custom = options_.custom;
        std::vector<std::byte> attachment;
        if (options_.observer) attachment = options_.observer->finish();
        if (content_.file == nullptr && attachment.size() > inline_attachment_bytes_max) {
            // Too much for a record: the object goes into a file with it.
            CO_TRY_STATUS(co_await open_file(content_.size_bytes));
            if (!content_.bytes.is_empty()) {
                CO_TRY_STATUS(co_await content_.file->append(content_.bytes.bytes()));
            }
            content_.bytes = io::Chunk();
        }
        if (content_.file == nullptr) {
            content_.attributes.attachment = std::move(attachment);
            co_return Status();
        }
        CO_TRY_STATUS(co_await content_.file->finish(attachment, content_.attributes));
        CO_TRY_STATUS(co_await core_.directory.sync());
        co_await content_.file->close();
        co_return Status();
    }

    io::Task<void> abandon() {
        co_await content_.file->close();
        co_await store_.drop_file(core_, content_.file->id());
    }

    StoreImpl& store_;
    Core& core_;
    PutOptions& options_;
    bool is_part_;
    ContentProof proof_;
    Content content_;
};

io::Task<Result<ObjectAttributes>> StoreImpl::put(uint32_t number, ObjectName name, io::Body body,
                                                  PutOptions options) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    CO_TRY_STATUS(check_object_name(name.object));
    CO_TRY_STATUS(check_custom(options.custom));
    CO_TRY(Content content, co_await Intake(*this, from, options, false).take(std::move(body)));
    Result<ObjectAttributes> committed = co_await commit_content(from, name, content, options);
    // Whether the record may be durable all the same is not known after an error of the device: the
    // file stays, and the next start's sweep decides.
    const bool is_refused = !committed && committed.error().code != Errc::io_error;
    if (is_refused && content.file != nullptr) co_await drop_file(from, content.file->id());
    co_return committed;
}

io::Task<Result<StoreImpl::Content>> StoreImpl::take_part(Core& from, io::Body body,
                                                          PutOptions& options) {
    co_return co_await Intake(*this, from, options, true).take(std::move(body));
}

io::Task<Result<ObjectAttributes>> StoreImpl::commit_content(Core& from, ObjectName name,
                                                             Content& content,
                                                             PutOptions& options) {
    const Attributes& attributes = content.attributes;
    const bool is_large = !attributes.extents.empty() || attributes.stripes != nullptr;
    const std::vector<std::byte> encoded = encode_attributes(attributes);
    Change change;
    change.name = name;
    change.condition = options.condition;
    change.durability = options.durability;
    change.counts_versions = options.counts_versions;
    RecordDraft& draft = change.draft;
    draft.kind = is_large ? RecordKind::extents : RecordKind::object;
    const bool has_attachment =
        !attributes.attachment.empty() || attributes.stored_attachment.has_value();
    draft.flags = has_attachment ? record_has_attachment : 0;
    if (attributes.stripes) draft.flags |= record_is_striped;
    draft.bucket = name.bucket;
    draft.bucket_label = name.bucket_label;
    draft.object = name.object;
    draft.digest = digest(name);
    draft.content_bytes = content.size_bytes;
    draft.modified_ns =
        options.modified_ns != 0 ? options.modified_ns : from.io.reactor->clock().wall_ns();
    draft.display_version = options.display_version;
    change.has_display = options.display_version != 0;
    draft.checksum = content.checksum;
    if (is_large) {
        draft.payload = encoded;
    } else {
        draft.variable = encoded;
        if (!content.bytes.is_empty()) draft.payload = content.bytes.bytes();
    }
    draft.payload_crc = crc32c(draft.payload);

    CO_TRY(const Committed committed, co_await commit_on_home(from, change));
    ObjectAttributes result;
    result.version = committed.version;
    result.size_bytes = content.size_bytes;
    result.display_version = committed.display_version;
    result.modified_ns = draft.modified_ns;
    result.checksum = content.checksum;
    result.custom = std::move(content.attributes.custom);
    result.has_attachment = has_attachment;
    if (attributes.stripes) {
        const StripeLayout& layout = attributes.stripes->front();
        result.part_count = static_cast<uint32_t>(layout.numbers.size());
        result.part_bytes_max = layout.bytes_before(0, result.size_bytes);
    }
    co_return result;
}

// A file that nothing refers to. If it cannot be removed it is swept at a later start.
io::Task<void> StoreImpl::drop_file(Core& from, FileId id) {
    (void)co_await from.io.disk->remove(object_file_path(id));
}

// The same content under a new record: merged or replaced custom metadata.
io::Task<Result<ObjectAttributes>> StoreImpl::set_custom(uint32_t number, ObjectName name,
                                                         CustomMetadata custom, bool replaces,
                                                         Durability durability) {
    constexpr int attempts_max = 16;
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    CO_TRY_STATUS(check_custom(custom));
    const Digest128 key = digest(name);
    for (int attempt = 1;; ++attempt) {
        const std::optional<Place> place = locator_->find(key);
        if (!place) co_return fail(Errc::not_found, "the object does not exist");
        const Result<ReadRecord> record = co_await from.reader.read_record_of(name, *place);
        if (!record && locator_->find(key) != place && attempt < attempts_max) continue;
        if (!record && record.error().code == Errc::not_found)
            co_return from.reader.missing(*place);
        if (!record) co_return std::unexpected(record.error());
        Result<ObjectAttributes> changed =
            co_await commit_custom(from, name, *record, custom, replaces, durability);
        const bool was_changed = !changed && changed.error().code == Errc::condition_failed;
        if (!was_changed) co_return changed;
        if (attempt == attempts_max) co_return fail(Errc::unavailable, "the object keeps changing");
    }
}

io::Task<Result<ObjectAttributes>> StoreImpl::commit_custom(Core& from, ObjectName name,
                                                            const ReadRecord& record,
                                                            const CustomMetadata& custom,
                                                            bool replaces, Durability durability) {
    const RecordHead& head = record.header.head;
    CO_TRY(Attributes attributes, Reader::attributes_of(record));
    CustomMetadata merged = replaces ? CustomMetadata() : std::move(attributes.custom);
    for (const auto& [key, value] : custom) {
        const auto found = std::ranges::find(merged, key, &CustomMetadata::value_type::first);
        if (found == merged.end()) {
            merged.emplace_back(key, value);
        } else {
            found->second = value;
        }
    }
    CO_TRY_STATUS(check_custom(merged));
    attributes.custom = std::move(merged);
    const std::vector<std::byte> encoded = encode_attributes(attributes);

    Change change;
    change.name = name;
    change.condition = {Condition::Kind::exactly, head.version};
    change.durability = durability;
    change.keeps_display = true;
    RecordDraft& draft = change.draft;
    draft = draft_under(name, record);
    if (head.kind == RecordKind::extents) {
        draft.payload = encoded;
        draft.payload_crc = crc32c(encoded);
    } else {
        draft.variable = encoded;
    }
    CO_TRY(const Committed committed, co_await commit_on_home(from, change));
    ObjectAttributes result = attributes_from(head, std::move(attributes.custom));
    result.version = committed.version;
    co_return result;
}

}  // namespace penstock::node
