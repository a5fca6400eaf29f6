// Copying and renaming without moving bytes. A file has one owner: a copy of a large object gets
// names of its own for the same files (hard links), durable before the record that names them, so
// whichever object is deleted removes its own names and nothing of the other's. A renamed object
// keeps its files: the new record and the old name's tombstone are one change.
#include <algorithm>

#include "node/store/store_impl.h"

namespace penstock::node {
namespace {

constexpr int attempts_max = 16;

bool was_overtaken(const Status& status) {
    return !status && status.error().code == Errc::condition_failed;
}

}  // namespace

// Parts know their object by its name: under another name there must be others.
Status StoreImpl::check_not_striped(const ReadRecord& record) {
    if ((record.header.head.flags & record_is_striped) == 0) return {};
    return fail(Errc::not_implemented, "a striped object must be copied");
}

// The current record, to be logged again under this or another name. `not_found` only if there is
// no such object.
io::Task<Result<ReadRecord>> StoreImpl::read_to_change(Core& from, ObjectName name, Place& place) {
    const Digest128 key = digest(name);
    for (int attempt = 1;; ++attempt) {
        const std::optional<Place> current = locator_->find(key);
        if (!current) co_return fail(Errc::not_found, "the object does not exist");
        place = *current;
        Result<ReadRecord> record = co_await from.reader.read_record_of(name, place);
        if (record) co_return record;
        const bool may_be_gone =
            record.error().code == Errc::not_found || record.error().code == Errc::corrupt;
        if (may_be_gone && locator_->find(key) != place && attempt < attempts_max) continue;
        if (record.error().code == Errc::not_found) co_return from.reader.missing(place);
        co_return record;
    }
}

RecordDraft StoreImpl::draft_under(const ObjectName& name, const ReadRecord& record) const {
    RecordDraft draft = draft_of(record);
    draft.version = {};  // a new one, given by the log
    draft.bucket = name.bucket;
    draft.bucket_label = name.bucket_label;  // the bucket may have been renamed
    draft.object = name.object;
    draft.digest = digest(name);
    return draft;
}

io::Task<Result<ObjectAttributes>> StoreImpl::copy(uint32_t number, ObjectName source,
                                                   ObjectName to, ObjectCopyOptions options) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    CO_TRY_STATUS(check_object_name(to.object));
    for (int attempt = 1;; ++attempt) {
        Place place;
        CO_TRY(const ReadRecord record, co_await read_to_change(from, source, place));
        CO_TRY_STATUS(check_not_striped(record));
        Result<ObjectAttributes> copied = co_await commit_copy(from, record, to, options);
        // A file that is gone: the object was replaced while its files got their names.
        const bool is_gone = !copied && copied.error().code == Errc::not_found;
        if (!is_gone) co_return copied;
        if (locator_->find(digest(source)) == place) co_return from.reader.missing(place);
        if (attempt == attempts_max) co_return fail(Errc::unavailable, "the object keeps changing");
    }
}

io::Task<Result<ObjectAttributes>> StoreImpl::commit_copy(Core& from, const ReadRecord& record,
                                                          ObjectName to,
                                                          const ObjectCopyOptions& options) {
    CO_TRY(Attributes attributes, Reader::attributes_of(record));
    std::vector<FileId> linked;
    std::vector<std::byte> encoded;
    Change change;
    change.name = to;
    change.condition = options.condition;
    change.durability = options.durability;
    change.counts_versions = options.counts_versions;
    RecordDraft& draft = change.draft;
    draft = draft_under(to, record);
    draft.modified_ns = from.io.reactor->clock().wall_ns();
    if (draft.kind == RecordKind::extents) {
        CO_TRY(linked, co_await link_files(from, attributes));
        encoded = encode_attributes(attributes);
        draft.payload = encoded;
        draft.payload_crc = crc32c(encoded);
    }
    const Result<Committed> committed = co_await commit_on_home(from, change);
    // After an error of the device the record may be durable all the same (put()).
    const bool is_refused = !committed && committed.error().code != Errc::io_error;
    if (is_refused) co_await unlink_files(from, std::move(linked));
    if (!committed) co_return std::unexpected(committed.error());
    ObjectAttributes result = attributes_from(record.header.head, std::move(attributes));
    result.version = committed->version;
    result.display_version = committed->display_version;
    result.modified_ns = draft.modified_ns;
    co_return result;
}

// Gives each file of the attributes a further name, durable, and puts those into them.
io::Task<Result<std::vector<FileId>>> StoreImpl::link_files(Core& from, Attributes& attributes) {
    std::map<FileId, FileId> names;
    std::vector<FileId> made;
    for (const FileId& file : files_of(attributes)) names[file] = new_file_id(from);
    io::BlockingDisk& disk = from.io.disk->blocking();
    Status status = co_await from.io.disk->pool().run(*from.io.reactor, [&]() -> Status {
        for (const auto& [file, name] : names) {
            TRY_STATUS(disk.link(object_file_path(file), object_file_path(name)));
            made.push_back(name);
        }
        return Status();
    });
    if (status) status = co_await from.directory.sync();
    if (!status) {
        co_await unlink_files(from, std::move(made));
        co_return std::unexpected(status.error());
    }
    for (Extent& extent : attributes.extents) extent.file = names.at(extent.file);
    if (attributes.stored_attachment) {
        FileId& file = attributes.stored_attachment->file;
        file = names.at(file);
    }
    co_return made;
}

// Names that nothing refers to. What cannot be removed is swept at a later start.
io::Task<void> StoreImpl::unlink_files(Core& from, std::vector<FileId> files) {
    if (files.empty()) co_return;
    io::BlockingDisk& disk = from.io.disk->blocking();
    co_await from.io.disk->pool().run(*from.io.reactor, [&disk, &files] {
        for (const FileId& file : files) (void)disk.remove(object_file_path(file));
    });
}

io::Task<Result<ObjectAttributes>> StoreImpl::rename(uint32_t number, ObjectName source,
                                                     ObjectName to, bool counts_versions) {
    Core& from = core(number);
    CO_TRY(const io::Gate::Pass pass, from.gate.enter());
    CO_TRY_STATUS(check_object_name(to.object));
    for (int attempt = 1;; ++attempt) {
        Place place;
        CO_TRY(const ReadRecord record, co_await read_to_change(from, source, place));
        const RecordHead& head = record.header.head;
        CO_TRY(Attributes attributes, Reader::attributes_of(record));
        ObjectAttributes result = attributes_from(head, std::move(attributes));
        if (source.bucket == to.bucket && source.object == to.object) co_return result;
        CO_TRY_STATUS(check_not_striped(record));

        Change put;
        put.name = to;
        put.counts_versions = counts_versions;
        put.draft = draft_under(to, record);
        Change removed = removal(from, source, Durability::group);
        removed.condition = {Condition::Kind::exactly, head.version};
        removed.keeps_files = true;
        removed.moved_bytes = head.content_bytes;
        const Result<CommittedPair> committed =
            co_await io::on_core(*from.io.reactor, *home().io.reactor,
                                 [this, &put, &removed] { return commit_two(put, removed); });
        if (committed) {
            result.version = committed->first.version;
            result.display_version = committed->first.display_version;
            co_return result;
        }
        const Status status = fail(committed.error());
        if (!was_overtaken(status)) co_return std::unexpected(committed.error());
        if (attempt == attempts_max) co_return fail(Errc::unavailable, "the object keeps changing");
    }
}

}  // namespace penstock::node
