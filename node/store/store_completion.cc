// Uploads on the home core: which are open, what parts they have, how they end.
#include <algorithm>

#include "node/store/store_impl.h"

namespace penstock::node {
namespace {

constexpr uint64_t watch_ns = uint64_t{600} * 1'000'000'000;

// However many parts there are, and however many mountpaths: a record has room for their stripes.
constexpr uint64_t layout_bytes_max = 48 + 4 * uint64_t{stripe_width_max};
constexpr uint64_t custom_bytes_max = (64 << 10) + 8;
static_assert(custom_bytes_max + 12 + parts_max * layout_bytes_max <= payload_bytes_max);

std::unexpected<Error> no_upload(std::string_view id) {
    return fail(Errc::not_found, "upload \"" + std::string(id) + "\" does not exist");
}

// The parts that the completion means, in order, or why it cannot be.
Result<std::vector<uint32_t>> choose_parts(const OpenUpload& upload,
                                           const CompletionOptions& options) {
    std::vector<uint32_t> chosen;
    if (!options.parts) {
        for (const auto& [number, part] : upload.parts) chosen.push_back(number);
        if (chosen.empty()) return fail(Errc::invalid, "no chunks");
        return chosen;
    }
    chosen = *options.parts;
    if (chosen.empty() || upload.parts.empty()) {
        return fail(Errc::invalid, "no chunks");
    }
    if (options.names_all && chosen.size() != upload.parts.size()) {
        return fail(Errc::invalid, "partial completion is not allowed: requested " +
                                       std::to_string(chosen.size()) + " parts, have " +
                                       std::to_string(upload.parts.size()));
    }
    for (size_t index = 0; index < chosen.size(); ++index) {
        const bool is_expected = !options.names_all || chosen[index] == index + 1;
        const bool is_ascending = index == 0 || chosen[index - 1] < chosen[index];
        if (is_expected && is_ascending && upload.parts.contains(chosen[index])) continue;
        return fail(Errc::invalid, "parts must be exactly 1.." + std::to_string(chosen.size()) +
                                       ": got " + std::to_string(chosen[index]) + " at position " +
                                       std::to_string(index));
    }
    return chosen;
}

// Of an append: what the handle's appends brought, and what the object held before.
std::vector<uint32_t> parts_up_to(const OpenUpload& upload, uint32_t last) {
    std::vector<uint32_t> chosen;
    for (const auto& [number, part] : upload.parts) {
        if (number <= last) chosen.push_back(number);
    }
    return chosen;
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// Beginning, and parts

// Also of the records that say it: kind extents without any, because an object's would be seen by
// who unpacks a segment.
io::Task<Status> StoreImpl::begin_on_home(UploadPointer upload) {
    if (uploads_.size() >= uploads_max) {
        co_return fail(Errc::unavailable, "too many uploads are open");
    }
    upload->id = hex_from_u64(random_.next()) + hex_from_u64(random_.next());
    const std::vector<std::byte> payload = encode_attributes({.custom = metadata_of(*upload)});
    Change change;
    change.name = {hidden_bucket(upload->bucket), upload->label, upload->id};
    RecordDraft& draft = change.draft;
    draft.kind = RecordKind::extents;
    draft.bucket = change.name.bucket;
    draft.bucket_label = change.name.bucket_label;
    draft.object = upload->id;
    draft.digest = digest(change.name);
    draft.modified_ns = upload->begun_ns;
    draft.expires_ns = upload->begun_ns + options_.upload_lifetime_ns;
    draft.payload = payload;
    draft.payload_crc = crc32c(payload);
    CO_TRY_STATUS(co_await commit(change));
    uploads_[{upload->bucket.value, upload->id}] = upload;
    co_return Status();
}

io::Task<Result<StoreImpl::UploadPointer>> StoreImpl::find_upload(ObjectName name,
                                                                  std::string_view id) {
    if (!is_upload_id(id)) co_return no_upload(id);
    const std::string key(id);
    const auto known = uploads_.find({name.bucket.value, key});
    UploadPointer upload;
    if (known != uploads_.end()) {
        upload = known->second;
    } else {
        CO_TRY(upload, co_await load_upload(name, key));
    }
    if (upload->has_ended || upload->object != name.object) co_return no_upload(id);
    co_return upload;
}

// From its records, after a restart.
io::Task<Result<StoreImpl::UploadPointer>> StoreImpl::load_upload(ObjectName name,
                                                                  const std::string& id) {
    const ObjectName hidden{hidden_bucket(name.bucket), name.bucket_label, id};
    Place place;
    const Result<ReadRecord> record = co_await read_to_change(home(), hidden, place);
    if (!record && record.error().code == Errc::not_found) co_return no_upload(id);
    if (!record) co_return std::unexpected(record.error());
    CO_TRY(Attributes attributes, Reader::attributes_of(*record));
    const auto upload = std::make_shared<OpenUpload>();
    upload->bucket = name.bucket;
    upload->label = name.bucket_label;
    upload->id = id;
    upload->begun_ns = record->header.head.modified_ns;
    if (!take_metadata(std::move(attributes.custom), *upload)) {
        co_return fail(Errc::corrupt, "the record of upload " + id + " cannot be read");
    }
    CO_TRY_STATUS(co_await load_parts(*upload));
    // Somebody else may have read the same, and gone on; or have ended it.
    const auto known = uploads_.find({name.bucket.value, id});
    if (known != uploads_.end()) co_return known->second;
    if (locator_->find(digest(hidden)) != place) co_return no_upload(id);
    uploads_[{name.bucket.value, id}] = upload;
    co_return upload;
}

io::Task<Status> StoreImpl::load_parts(OpenUpload& upload) {
    CO_TRY(const std::shared_ptr<Catalogue> catalogue, co_await names_->settle());
    const BucketId bucket = hidden_bucket(upload.bucket);
    ListOptions options{.prefix = upload.id + "/", .limit = parts_max + 1};
    std::vector<Place> places;
    ListPage page;
    CO_TRY_STATUS(co_await home().io.disk->pool().run(*home().io.reactor, [&]() -> Status {
        TRY(page, catalogue->list(bucket, options, places));
        return {};
    }));
    for (const ListPage::Entry& entry : page.entries) {
        const std::string name(page.name(entry));
        const std::optional<HiddenName> parsed = parse_hidden_name(name);
        if (!parsed || !parsed->part) continue;
        Place place;
        const ObjectName hidden{bucket, upload.label, name};
        CO_TRY(const ReadRecord record, co_await read_to_change(home(), hidden, place));
        CO_TRY(Attributes attributes, Reader::attributes_of(record));
        const RecordHead& head = record.header.head;
        UploadPart& part = upload.parts[*parsed->part];
        part.attributes = {.number = *parsed->part,
                           .size_bytes = head.content_bytes,
                           .crc32c = crc_from(head.checksum),
                           .md5 = {},
                           .modified_ns = head.modified_ns,
                           .version = head.version};
        part.extents = std::move(attributes.extents);
        part.stripes = std::move(attributes.stripes);
        for (auto& [key, value] : attributes.custom) {
            if (key == part_md5_key) part.attributes.md5 = std::move(value);
        }
    }
    co_return Status();
}

io::Task<Result<StoreImpl::UploadPointer>> StoreImpl::enter_upload(ObjectName name,
                                                                   std::string_view id) {
    for (;;) {
        CO_TRY(UploadPointer upload, co_await find_upload(name, id));
        if (upload->is_doubtful) {
            co_return fail(
                Errc::unavailable,
                "the device failed while the upload was completed: complete or abort it");
        }
        if (!upload->is_ending) {
            upload->incoming += 1;
            co_return upload;
        }
        // A completion that is refused leaves it open.
        co_await upload_changed_.wait();
    }
}

io::Task<void> StoreImpl::leave_upload(UploadPointer upload) {
    ASSERT(upload->incoming > 0);
    upload->incoming -= 1;
    upload_changed_.set();
    upload_changed_.reset();
    co_return;
}

// Of two parts with one number the later record counts, here as in the log.
io::Task<void> StoreImpl::note_part(UploadPointer upload, UploadPart part) {
    UploadPart& known = upload->parts[part.attributes.number];
    if (part.attributes.version > known.attributes.version) known = std::move(part);
    co_return;
}

// -------------------------------------------------------------------------------------------------
// Ending

// No part comes in any more; whoever ended it before was first.
io::Task<Status> StoreImpl::await_parts(OpenUpload& upload) {
    while (upload.is_ending && !upload.has_ended) co_await upload_changed_.wait();
    if (upload.has_ended) co_return no_upload(upload.id);
    upload.is_ending = true;
    while (upload.incoming > 0) co_await upload_changed_.wait();
    co_return Status();
}

void StoreImpl::reopen_upload(OpenUpload& upload, bool is_doubtful) {
    upload.is_ending = false;
    upload.is_doubtful = upload.is_doubtful || is_doubtful;
    upload_changed_.set();
    upload_changed_.reset();
}

void StoreImpl::end_upload(OpenUpload& upload) {
    upload.has_ended = true;
    uploads_.erase({upload.bucket.value, upload.id});
    upload_changed_.set();
    upload_changed_.reset();
}

io::Task<Result<ObjectAttributes>> StoreImpl::complete_on_home(ObjectName name, std::string_view id,
                                                               const CompletionOptions& options,
                                                               std::optional<uint32_t> last) {
    CO_TRY(const UploadPointer upload, co_await find_upload(name, id));
    if (upload->is_append != last.has_value()) co_return no_upload(id);
    CO_TRY_STATUS(co_await await_parts(*upload));
    Result<std::vector<uint32_t>> chosen =
        last ? parts_up_to(*upload, *last) : choose_parts(*upload, options);
    if (!chosen) {
        reopen_upload(*upload, false);
        co_return std::unexpected(chosen.error());
    }
    Result<ObjectAttributes> completed =
        co_await commit_completion(name, *upload, options, *chosen);
    if (!completed) {
        reopen_upload(*upload, completed.error().code == Errc::io_error);
        co_return completed;
    }
    end_upload(*upload);
    Result<io::Gate::Pass> pass = background_.enter();
    // Stopping: the next start removes them.
    if (pass) io::start_detached(drop_parts(std::move(*pass), upload, std::move(*chosen)));
    co_return completed;
}

io::Task<Result<ObjectAttributes>> StoreImpl::commit_completion(
    ObjectName name, OpenUpload& upload, const CompletionOptions& options,
    const std::vector<uint32_t>& chosen) {
    Attributes attributes{.custom = upload.custom};
    const auto stripes = std::make_shared<StripeLayouts>();
    uint64_t size_bytes = 0;
    uint32_t crc = 0;
    for (const uint32_t number : chosen) {
        const UploadPart& part = upload.parts.at(number);
        attributes.extents.insert(attributes.extents.end(), part.extents.begin(),
                                  part.extents.end());
        if (part.stripes) {
            stripes->insert(stripes->end(), part.stripes->begin(), part.stripes->end());
        }
        size_bytes += part.attributes.size_bytes;
        crc = crc32c_combine(crc, part.attributes.crc32c, part.attributes.size_bytes);
    }
    if (!stripes->empty()) attributes.stripes = stripes;
    const std::vector<std::byte> encoded = encode_attributes(attributes);
    if (encoded.size() > payload_bytes_max) {
        co_return fail(Errc::too_large, "the object would lie in too many files: copy it first");
    }
    Change put;
    put.name = name;
    put.condition = options.condition;
    put.counts_versions = options.counts_versions;
    RecordDraft& draft = put.draft;
    draft.kind = RecordKind::extents;
    draft.flags = upload.is_append ? 0 : record_came_in_parts;
    if (attributes.stripes) draft.flags |= record_is_striped;
    draft.bucket = name.bucket;
    draft.bucket_label = name.bucket_label;
    draft.object = name.object;
    draft.digest = digest(name);
    draft.content_bytes = size_bytes;
    draft.modified_ns = home().io.reactor->clock().wall_ns();
    draft.checksum = checksum_of_crc(crc);
    draft.payload = encoded;
    draft.payload_crc = crc32c(encoded);
    const ObjectName hidden{hidden_bucket(name.bucket), name.bucket_label, upload.id};
    Change ended = removal(home(), hidden, Durability::group);
    CO_TRY(const CommittedPair committed, co_await commit_two(put, ended));

    RecordHead head;
    head.flags = draft.flags;
    head.version = committed.first.version;
    head.content_bytes = size_bytes;
    head.display_version = committed.first.display_version;
    head.modified_ns = draft.modified_ns;
    head.checksum = draft.checksum;
    co_return attributes_from(head, std::move(attributes));
}

// The files and stripes of the chosen ones are the object's now, those of the others nobody's.
io::Task<void> StoreImpl::drop_parts(io::Gate::Pass, UploadPointer upload,
                                     std::vector<uint32_t> chosen) {
    co_await home().io.reactor->yield();  // the client is answered first
    std::vector<uint32_t> numbers;
    for (const auto& [number, part] : upload->parts) numbers.push_back(number);
    const Status removed = co_await remove_hidden(*upload, numbers, chosen);
    if (removed) co_return;
    log_.warning("parts of a completed upload stay until the next start",
                 {{"upload", std::string_view(upload->id)},
                  {"reason", std::string_view(removed.error().context)}});
}

// Removes the parts with these numbers; what those in `kept` lie in belongs to somebody else.
io::Task<Status> StoreImpl::remove_hidden(const OpenUpload& upload,
                                          const std::vector<uint32_t>& numbers,
                                          const std::vector<uint32_t>& kept) {
    std::vector<std::string> names;
    names.reserve(numbers.size());
    std::vector<Change> changes;
    for (const uint32_t number : numbers) {
        names.push_back(part_name(upload.id, number));
        const ObjectName hidden{hidden_bucket(upload.bucket), upload.label, names.back()};
        Change change = removal(home(), hidden, Durability::group);
        change.keeps_files = std::ranges::binary_search(kept, number);
        change.moved_bytes = upload.parts.at(number).attributes.size_bytes;
        changes.push_back(std::move(change));
    }
    for (const Status& outcome : co_await remove_changes(std::move(changes))) {
        const bool is_gone = outcome || outcome.error().code == Errc::not_found;
        if (!is_gone) co_return outcome;
    }
    co_return Status();
}

io::Task<Status> StoreImpl::abort_on_home(ObjectName name, std::string_view id) {
    CO_TRY(const UploadPointer upload, co_await find_upload(name, id));
    CO_TRY_STATUS(co_await await_parts(*upload));
    const Status dropped = co_await drop_upload(name, *upload);
    if (dropped) {
        end_upload(*upload);
    } else {
        reopen_upload(*upload, false);
    }
    co_return dropped;
}

// The parts first: one whose upload is gone would own its files no more (open_upload.h).
io::Task<Status> StoreImpl::drop_upload(ObjectName name, OpenUpload& upload) {
    std::vector<uint32_t> numbers;
    for (const auto& [number, part] : upload.parts) numbers.push_back(number);
    const std::vector<uint32_t> kept = upload.is_doubtful ? numbers : std::vector<uint32_t>();
    CO_TRY_STATUS(co_await remove_hidden(upload, numbers, kept));
    upload.parts.clear();
    const ObjectName hidden{hidden_bucket(name.bucket), name.bucket_label, upload.id};
    Change ended = removal(home(), hidden, Durability::group);
    CO_TRY_STATUS(co_await commit(ended));
    co_return Status();
}

// -------------------------------------------------------------------------------------------------
// What there is

io::Task<Result<std::vector<PartAttributes>>> StoreImpl::parts_on_home(ObjectName name,
                                                                       std::string_view id) {
    CO_TRY(const UploadPointer upload, co_await find_upload(name, id));
    std::vector<PartAttributes> parts;
    for (const auto& [number, part] : upload->parts) parts.push_back(part.attributes);
    co_return parts;
}

struct StoreImpl::HiddenEntry {
    BucketId bucket;  // the visible one
    std::string name;
};

io::Task<Result<std::vector<StoreImpl::HiddenEntry>>> StoreImpl::hidden_entries() {
    CO_TRY(const std::shared_ptr<Catalogue> catalogue, co_await names_->settle());
    std::vector<HiddenEntry> entries;
    CO_TRY_STATUS(co_await home().io.disk->pool().run(*home().io.reactor, [&]() -> Status {
        return catalogue->scan_from({hidden_bucket_bit}, [&](const Catalogue::Entry& entry) {
            if (entry.bucket == quarantine_bucket || stripe_id_from(entry.name)) return;
            entries.push_back({visible_bucket(entry.bucket), std::string(entry.name)});
        });
    }));
    co_return entries;
}

io::Task<Result<std::vector<UploadAttributes>>> StoreImpl::uploads_on_home(BucketId bucket) {
    CO_TRY(const std::vector<HiddenEntry> entries, co_await hidden_entries());
    std::vector<UploadAttributes> uploads;
    for (const HiddenEntry& entry : entries) {
        const std::optional<HiddenName> parsed = parse_hidden_name(entry.name);
        if (entry.bucket != bucket || !parsed || parsed->part) continue;
        Place place;
        const ObjectName hidden{hidden_bucket(bucket), {}, entry.name};
        const Result<ReadRecord> record = co_await read_to_change(home(), hidden, place);
        if (!record) continue;  // ended meanwhile, or damaged: then nobody can go on with it
        Result<Attributes> attributes = Reader::attributes_of(*record);
        OpenUpload upload;
        if (!attributes || !take_metadata(std::move(attributes->custom), upload)) continue;
        if (upload.is_append) continue;
        const RecordHead& head = record->header.head;
        uploads.push_back({entry.name, upload.object, head.modified_ns, head.expires_ns});
    }
    co_return uploads;
}

// -------------------------------------------------------------------------------------------------
// Cleaning up

io::Task<Status> StoreImpl::clean_uploads() {
    CO_TRY(const std::vector<HiddenEntry> entries, co_await hidden_entries());
    CO_TRY_STATUS(co_await remove_orphans(entries));
    for (const HiddenEntry& entry : entries) {
        const std::optional<HiddenName> parsed = parse_hidden_name(entry.name);
        if (!parsed || parsed->part) continue;
        if (cancel_.is_cancelled()) co_return fail(Errc::unavailable, "stopping");
        const Status expired = co_await expire_upload(entry.bucket, entry.name);
        if (expired) continue;
        log_.warning("an upload was not dropped",
                     {{"upload", std::string_view(entry.name)},
                      {"reason", std::string_view(expired.error().context)}});
    }
    co_return Status();
}

// Parts whose upload was completed: their files and stripes are the object's, or nobody's and swept
// later.
io::Task<Status> StoreImpl::remove_orphans(const std::vector<HiddenEntry>& entries) {
    std::vector<Change> changes;
    for (const HiddenEntry& entry : entries) {
        const std::optional<HiddenName> parsed = parse_hidden_name(entry.name);
        if (!parsed || !parsed->part) continue;
        const ObjectName upload{hidden_bucket(entry.bucket), {}, parsed->id};
        if (locator_->find(digest(upload))) continue;
        const ObjectName part{hidden_bucket(entry.bucket), "upload", entry.name};
        Change change = removal(home(), part, Durability::group);
        change.keeps_files = true;
        changes.push_back(std::move(change));
    }
    for (const Status& outcome : co_await remove_changes(std::move(changes))) {
        const bool is_gone = outcome || outcome.error().code == Errc::not_found;
        if (!is_gone) co_return outcome;
    }
    co_return Status();
}

io::Task<Status> StoreImpl::expire_upload(BucketId bucket, const std::string& id) {
    const uint64_t now_ns = home().io.reactor->clock().wall_ns();
    const uint64_t lifetime_ns = options_.upload_lifetime_ns;
    const ObjectName hidden{hidden_bucket(bucket), {}, id};
    Place place;
    const Result<ReadRecord> record = co_await read_to_change(home(), hidden, place);
    if (!record && record.error().code == Errc::not_found) co_return Status();
    if (!record) co_return std::unexpected(record.error());
    const RecordHead& head = record->header.head;
    if (now_ns < head.expires_ns) co_return Status();
    CO_TRY(Attributes attributes, Reader::attributes_of(*record));
    OpenUpload said;
    if (!take_metadata(std::move(attributes.custom), said)) {
        co_return fail(Errc::corrupt, "its record cannot be read");
    }
    const std::string label(record->header.bucket_label);
    const ObjectName name{bucket, label, said.object};
    CO_TRY(const UploadPointer upload, co_await find_upload(name, id));
    uint64_t last_ns = upload->begun_ns;
    for (const auto& [number, part] : upload->parts) {
        last_ns = std::max(last_ns, part.attributes.modified_ns);
    }
    const bool is_used = upload->incoming > 0 || now_ns < last_ns + lifetime_ns;
    if (is_used) co_return Status();
    co_return co_await abort_on_home(name, id);
}

io::Task<void> StoreImpl::watch_uploads(io::Gate::Pass) {
    io::Reactor& reactor = *home().io.reactor;
    while (co_await reactor.sleep(reactor.within_ns(watch_ns, &cancel_)) == 0) {
        const Status cleaned = co_await clean_uploads();
        if (cleaned || cancel_.is_cancelled()) continue;
        log_.warning("uploads that nobody goes on with were not dropped",
                     {{"reason", std::string_view(cleaned.error().context)}});
    }
}

}  // namespace penstock::node
