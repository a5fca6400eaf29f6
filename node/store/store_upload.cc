// Uploads on the core that they come in on: beginning one, its parts, appends. What orders them is
// in store_completion.cc.
#include <algorithm>

#include "io/base/units.h"
#include "node/store/store_impl.h"

namespace penstock::node {
namespace {

// What an append finds in the object is taken over by reference, unless it lies in many small
// files: then it is copied into one, so that an object that is appended to for ever stays readable.
constexpr size_t base_extents_max = 64;
constexpr uint64_t base_extent_bytes_min = 1_MiB;

bool is_fragmented(const Attributes& attributes, uint64_t content_bytes) {
    const size_t count = attributes.extents.size();
    return count > base_extents_max && content_bytes / count < base_extent_bytes_min;
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// Multipart

io::Task<Result<std::string>> StoreImpl::begin_upload(uint32_t number, ObjectName name,
                                                      CustomMetadata custom, StripeRule stripes) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    const bool is_striped = stripes.above_bytes != 0 && from.io.stripes != nullptr;
    co_return co_await begin(from, name, std::move(custom),
                             is_striped ? UploadKind::striped_parts : UploadKind::parts);
}

io::Task<Result<std::string>> StoreImpl::begin(Core& from, ObjectName name, CustomMetadata custom,
                                               UploadKind kind) {
    CO_TRY_STATUS(check_object_name(name.object));
    CO_TRY_STATUS(check_custom(custom));
    const auto upload = std::make_shared<OpenUpload>();
    upload->bucket = name.bucket;
    upload->label = name.bucket_label;
    upload->object = name.object;
    upload->custom = std::move(custom);
    upload->is_append = kind == UploadKind::append;
    upload->is_striped = kind == UploadKind::striped_parts;
    upload->begun_ns = from.io.reactor->clock().wall_ns();
    CO_TRY_STATUS(co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                       [this, &upload] { return begin_on_home(upload); }));
    co_return upload->id;
}

io::Task<Result<PartAttributes>> StoreImpl::put_part(uint32_t number, ObjectName name,
                                                     std::string_view upload, uint32_t part,
                                                     io::Body body, PartOptions options) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    if (part < 1 || part > parts_max) {
        co_return fail(Errc::invalid, "part numbers are 1 to " + std::to_string(parts_max));
    }
    co_return co_await put_numbered(from, name, upload, part, std::move(body), std::move(options),
                                    false);
}

io::Task<Result<PartAttributes>> StoreImpl::put_numbered(Core& from, ObjectName name,
                                                         std::string_view id, uint32_t number,
                                                         io::Body body, PartOptions options,
                                                         bool may_be_empty) {
    PartRequest request{
        .number = number, .options = std::move(options), .may_be_empty = may_be_empty};
    CO_TRY(request.upload,
           co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                [this, &name, id] { return enter_upload(name, id); }));
    Result<PartAttributes> stored = co_await store_part(from, name, request, std::move(body));
    co_await io::on_core(*from.io.reactor, *home().io.reactor,
                         [this, &request] { return leave_upload(request.upload); });
    co_return stored;
}

io::Task<Result<PartAttributes>> StoreImpl::store_part(Core& from, ObjectName name,
                                                       const PartRequest& request, io::Body body) {
    if (request.upload->is_striped) {
        co_return co_await store_striped_part(from, name, request, std::move(body));
    }
    PutOptions options;
    options.checksum = request.options.wants_md5 ? ChecksumType::md5 : ChecksumType::none;
    options.expected = request.options.expected;
    CO_TRY(Content content, co_await take_part(from, std::move(body), options));
    if (content.size_bytes == 0) {
        co_await drop_file(from, content.file->id());
        if (request.may_be_empty) co_return PartAttributes{.number = request.number};
        co_return fail(Errc::invalid, "invalid size (0)");
    }
    std::string md5;
    if (request.options.wants_md5) md5 = hex_from_bytes(content.checksum.bytes());
    content.checksum = checksum_of_crc(content.file->content_crc());
    const FileId file = content.file->id();
    Result<PartAttributes> committed =
        co_await commit_part(from, name, request, content, std::move(md5));
    const bool is_refused = !committed && committed.error().code != Errc::io_error;
    if (is_refused) co_await drop_file(from, file);
    co_return committed;
}

io::Task<Result<PartAttributes>> StoreImpl::store_striped_part(Core& from, ObjectName name,
                                                               const PartRequest& request,
                                                               io::Body body) {
    if (from.io.stripes == nullptr) {
        co_return fail(Errc::unavailable, "the upload's parts lie on several mountpaths");
    }
    PutOptions options;
    options.checksum = request.options.wants_md5 ? ChecksumType::md5 : ChecksumType::none;
    options.expected = request.options.expected;
    PartAttributes stored;
    const StripeOwner owner{name, part_name(request.upload->id, request.number)};
    CO_TRY_STATUS(co_await from.io.stripes->put_stripes(
        from.io.number, owner, std::move(body), options, [&](StripedContent& striped) {
            return commit_striped_part(from, name, request, striped, stored);
        }));
    co_return stored;
}

io::Task<Status> StoreImpl::commit_striped_part(Core& from, ObjectName name,
                                                const PartRequest& request, StripedContent& striped,
                                                PartAttributes& stored) {
    std::string md5;
    if (request.options.wants_md5) md5 = hex_from_bytes(striped.checksum.bytes());
    Content content;
    content.attributes.stripes = striped.layouts;
    content.size_bytes = size_of(*striped.layouts);
    content.checksum = checksum_of_crc(striped.crc32c);
    CO_TRY(stored, co_await commit_part(from, name, request, content, std::move(md5)));
    co_return Status();
}

// The part's record, and the home core's knowledge of it. `content` has its files and its CRC32C.
io::Task<Result<PartAttributes>> StoreImpl::commit_part(Core& from, ObjectName name,
                                                        const PartRequest& request,
                                                        Content& content, std::string md5) {
    UploadPart part;
    part.extents = content.attributes.extents;
    part.stripes = content.attributes.stripes;
    for (Extent& extent : part.extents) {
        if (extent.table_offset != 0) extent.blocks.clear();
    }
    if (!md5.empty()) content.attributes.custom.emplace_back(part_md5_key, md5);
    const std::string hidden = part_name(request.upload->id, request.number);
    const ObjectName hidden_name{hidden_bucket(name.bucket), name.bucket_label, hidden};
    PutOptions options;
    CO_TRY(const ObjectAttributes stored,
           co_await commit_content(from, hidden_name, content, options));
    part.attributes = {.number = request.number,
                       .size_bytes = stored.size_bytes,
                       .crc32c = crc_from(stored.checksum),
                       .md5 = std::move(md5),
                       .modified_ns = stored.modified_ns,
                       .version = stored.version};
    PartAttributes result = part.attributes;
    co_await io::on_core(*from.io.reactor, *home().io.reactor, [this, &request, &part] {
        return note_part(request.upload, std::move(part));
    });
    co_return result;
}

io::Task<Result<ObjectAttributes>> StoreImpl::complete_upload(uint32_t number, ObjectName name,
                                                              std::string_view upload,
                                                              CompletionOptions options) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    co_return co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                   [this, &name, upload, &options] {
                                       return complete_on_home(name, upload, options, std::nullopt);
                                   });
}

io::Task<Status> StoreImpl::abort_upload(uint32_t number, ObjectName name,
                                         std::string_view upload) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    co_return co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                   [this, &name, upload] { return abort_on_home(name, upload); });
}

io::Task<Result<std::vector<PartAttributes>>> StoreImpl::parts(uint32_t number, ObjectName name,
                                                               std::string_view upload) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    co_return co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                   [this, &name, upload] { return parts_on_home(name, upload); });
}

io::Task<Result<std::vector<UploadAttributes>>> StoreImpl::uploads(uint32_t number,
                                                                   BucketId bucket) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    co_return co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                   [this, bucket] { return uploads_on_home(bucket); });
}

// -------------------------------------------------------------------------------------------------
// Appends: an upload whose part 0 is what the object holds when the first one comes.

io::Task<Result<std::string>> StoreImpl::append(uint32_t number, ObjectName name,
                                                std::string_view handle, io::Body body) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    std::string id;
    uint32_t count = 0;
    if (handle.empty()) {
        CO_TRY(id, co_await begin_append(from, name));
    } else {
        const std::optional<AppendHandle> parsed = parse_append_handle(handle);
        if (!parsed) co_return fail(Errc::invalid, "this is no append handle");
        id = parsed->id;
        count = parsed->count;
    }
    if (count == parts_max) {
        co_return fail(Errc::too_large, "too many appends to one handle: flush it and go on");
    }
    const Result<PartAttributes> part =
        co_await put_numbered(from, name, id, count + 1, std::move(body), {}, true);
    if (!part) co_return std::unexpected(part.error());
    co_return append_handle(id, part->size_bytes == 0 ? count : count + 1);
}

io::Task<Result<std::string>> StoreImpl::begin_append(Core& from, ObjectName name) {
    CO_TRY_STATUS(check_object_name(name.object));
    Place place;
    const Result<ReadRecord> record = co_await read_to_change(from, name, place);
    if (!record) {
        if (record.error().code != Errc::not_found) co_return std::unexpected(record.error());
        co_return co_await begin(from, name, {}, UploadKind::append);
    }
    CO_TRY(Attributes attributes, Reader::attributes_of(*record));
    CO_TRY(std::string id,
           co_await begin(from, name, std::move(attributes.custom), UploadKind::append));
    const Status based = co_await put_base(from, name, id);
    if (!based) {
        (void)co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                   [this, &name, &id] { return abort_on_home(name, id); });
        co_return std::unexpected(based.error());
    }
    co_return id;
}

// What the object holds now is part 0.
io::Task<Status> StoreImpl::put_base(Core& from, ObjectName name, const std::string& id) {
    constexpr int attempts_max = 16;
    for (int attempt = 1;; ++attempt) {
        Place place;
        const Result<ReadRecord> record = co_await read_to_change(from, name, place);
        if (!record && record.error().code == Errc::not_found) co_return Status();
        if (!record) co_return std::unexpected(record.error());
        const RecordHead& head = record->header.head;
        if (head.content_bytes == 0) co_return Status();
        CO_TRY(const Attributes attributes, Reader::attributes_of(*record));
        const bool is_by_reference = head.kind == RecordKind::extents && !attributes.stripes &&
                                     !is_fragmented(attributes, head.content_bytes);
        Status status = fail(Errc::not_implemented, "");
        if (is_by_reference) status = co_await link_base(from, name, id, *record);
        if (!status && status.error().code == Errc::not_implemented) {
            Result<OpenedObject> opened = co_await from.reader.open(name, place, {});
            status = opened ? Status() : Status(fail(opened.error()));
            if (opened) {
                const Result<PartAttributes> copied =
                    co_await put_numbered(from, name, id, 0, std::move(opened->body), {}, true);
                if (!copied) status = fail(copied.error());
            }
        }
        const bool may_be_gone = !status && status.error().code == Errc::not_found;
        if (!may_be_gone || attempt == attempts_max) co_return status;
    }
}

io::Task<Status> StoreImpl::link_base(Core& from, ObjectName name, const std::string& id,
                                      const ReadRecord& record) {
    const RecordHead& head = record.header.head;
    CO_TRY(Attributes attributes, Reader::attributes_of(record));
    // An attachment belongs to the version that it was made for.
    attributes.stored_attachment.reset();
    attributes.attachment.clear();
    attributes.custom.clear();
    ContentChecksum checksum = head.checksum;
    if (checksum.type != ChecksumType::crc32c) {
        CO_TRY(const uint32_t crc, co_await from.reader.crc_of(attributes.extents));
        checksum = checksum_of_crc(crc);
    }
    PartRequest request{.number = 0};
    CO_TRY(request.upload,
           co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                [this, &name, &id] { return enter_upload(name, id); }));
    Status status;
    Result<std::vector<FileId>> linked = co_await link_files(from, attributes);
    if (!linked) {
        status = fail(linked.error());
    } else {
        Content content;
        content.attributes = std::move(attributes);
        content.size_bytes = head.content_bytes;
        content.checksum = checksum;
        const Result<PartAttributes> committed =
            co_await commit_part(from, name, request, content, "");
        if (!committed) status = fail(committed.error());
        const bool is_refused = !committed && committed.error().code != Errc::io_error;
        if (is_refused) co_await unlink_files(from, std::move(*linked));
    }
    co_await io::on_core(*from.io.reactor, *home().io.reactor,
                         [this, &request] { return leave_upload(request.upload); });
    co_return status;
}

io::Task<Result<ObjectAttributes>> StoreImpl::flush(uint32_t number, ObjectName name,
                                                    std::string_view handle, bool counts_versions) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    const std::optional<AppendHandle> parsed = parse_append_handle(handle);
    if (!parsed) co_return fail(Errc::invalid, "this is no append handle");
    CompletionOptions options{.counts_versions = counts_versions};
    co_return co_await io::on_core(
        *from.io.reactor, *home().io.reactor, [this, &name, &parsed, &options] {
            return complete_on_home(name, parsed->id, options, parsed->count);
        });
}

}  // namespace penstock::node
