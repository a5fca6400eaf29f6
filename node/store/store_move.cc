// What goes from one mountpath to another: an object that belongs elsewhere now, and copies and
// renames whose two names lie on different mountpaths. Records are logged again as they are, files
// are copied byte by byte: whatever was damaged is damaged there, too, and found by the same
// checksums.
//
// A move has one rule: the object is durable here before it is removed there. In between both
// mountpaths have it, and this one's counts. It is begun only while it is still there, in the turn
// that gives it its place in this log's order; who removes an object removes it there first. So
// what was removed does not come back.
#include <algorithm>

#include "io/base/units.h"
#include "node/store/store_impl.h"

namespace penstock::node {
namespace {

constexpr int attempts_max = 16;
// Copied by one job, so that a stop, and others' jobs, wait no longer than that takes.
constexpr uint64_t job_bytes = 8_MiB;
constexpr size_t step_bytes = 256_KiB;

Status copy_step(io::BlockingFile& from, io::BlockingFile& to, uint64_t& at, uint64_t end,
                 std::vector<std::byte>& buffer) {
    while (at < end) {
        const size_t wanted = std::min<uint64_t>(buffer.size(), end - at);
        TRY(const size_t count, from.read(MutableBytes(buffer).first(wanted), at));
        if (count == 0) return fail(Errc::corrupt, "an object file ends early");
        TRY_STATUS(to.write_exactly(Bytes(buffer).first(count), at));
        at += count;
    }
    return {};
}

}  // namespace

// An object's record on its way here, and what it refers to. Views into what the caller keeps.
struct StoreImpl::Import {
    Change change;
    Attributes attributes;
    std::vector<std::byte> encoded;
    std::vector<FileId> made;  // here, for this record
};

Status StoreImpl::check_admission(const Change& change) const {
    if (change.source != nullptr &&
        change.source->locator_->find(change.source_key) != change.source_place) {
        return fail(Errc::not_found, "the object is no longer where it was");
    }
    const BucketId bucket = change.draft.bucket;
    // Uploads lie where their object belongs, parts of striped objects where their own names do.
    const bool is_upload =
        visible_bucket(bucket) != bucket && !stripe_id_from(change.draft.object).has_value();
    if (!admits_ || change.is_removal || is_upload) return {};
    if (admits_({bucket, change.draft.bucket_label, change.draft.object})) return {};
    return fail(Errc::unavailable, "the object belongs to another mountpath now: try again");
}

io::Task<void> StoreImpl::admit_only(uint32_t number, Admits admits, uint64_t map_version) {
    co_await io::on_core(*core(number).io.reactor, *home().io.reactor,
                         [&] { return admit_on_home(admits, map_version); });
}

io::Task<void> StoreImpl::admit_on_home(Admits& admits, uint64_t map_version) {
    admits_ = std::move(admits);
    const uint32_t before = round_;
    round_ = 1 - round_;
    ASSERT(under_way_[round_] == 0);
    while (under_way_[before] > 0) co_await change_done_.wait();
    records_->set_map_version(map_version);
}

io::Task<Status> StoreImpl::sync(uint32_t number) {
    co_return co_await io::on_core(*core(number).io.reactor, *home().io.reactor,
                                   [this] { return sync_on_home(); });
}

io::Task<Status> StoreImpl::sync_on_home() {
    co_return co_await records_->sync();
}

io::Task<Result<bool>> StoreImpl::take_over(uint32_t number, ObjectName name, StoreImpl& source,
                                            uint32_t source_number) {
    Core& to = core(number);
    Core& there = source.core(source_number);
    CO_TRY(const io::Gate::Pass pass, to.gate.enter());
    CO_TRY(const io::Gate::Pass source_pass, there.gate.enter());
    for (int attempt = 1; !has(name); ++attempt) {
        if (attempt > attempts_max) co_return fail(Errc::unavailable, "the object keeps changing");
        Place place;
        const Result<ReadRecord> record = co_await source.read_to_change(there, name, place);
        if (!record && record.error().code == Errc::not_found && !has(name)) co_return false;
        if (!record && record.error().code == Errc::not_found) break;
        if (!record) co_return std::unexpected(record.error());
        Import import;
        import.change.name = name;
        import.change.condition = {Condition::Kind::absent, {}};
        import.change.has_display = true;
        import.change.source = &source;
        import.change.source_key = source.digest(name);
        import.change.source_place = place;
        import.change.draft = draft_of(*record);
        import.change.draft.digest = digest(name);
        const Status imported = co_await import_record(to, there, *record, import);
        const bool is_gone = !imported && imported.error().code == Errc::not_found;
        if (is_gone && source.locator_->find(import.change.source_key) == place) {
            co_return there.reader.missing(place);
        }
        if (is_gone) continue;
        if (!imported) co_return std::unexpected(imported.error());
        const Result<Committed> committed = co_await commit_import(to, import);
        if (committed) break;
        const Errc code = committed.error().code;
        if (code != Errc::condition_failed && code != Errc::not_found) {
            co_return std::unexpected(committed.error());
        }
    }
    if (!source.has(name)) co_return true;
    // What is here may be of a bucket that does not ask for more than the page cache.
    CO_TRY_STATUS(co_await sync(number));
    const Result<Version> removed =
        co_await source.remove(source_number, name, {}, Durability::group);
    if (!removed && removed.error().code != Errc::not_found) {
        co_return std::unexpected(removed.error());
    }
    co_return true;
}

io::Task<Result<ObjectAttributes>> StoreImpl::copy_from(uint32_t number, ObjectName to,
                                                        StoreImpl& source, uint32_t source_number,
                                                        ObjectName from,
                                                        ObjectCopyOptions options) {
    Core& here = core(number);
    Core& there = source.core(source_number);
    CO_TRY(const io::Gate::Pass pass, here.gate.enter());
    CO_TRY(const io::Gate::Pass source_pass, there.gate.enter());
    CO_TRY_STATUS(check_object_name(to.object));
    co_return co_await bring(here, to, source, there, from, options, false);
}

io::Task<Result<ObjectAttributes>> StoreImpl::rename_from(uint32_t number, ObjectName to,
                                                          StoreImpl& source, uint32_t source_number,
                                                          ObjectName from, bool counts_versions) {
    Core& here = core(number);
    Core& there = source.core(source_number);
    CO_TRY(const io::Gate::Pass pass, here.gate.enter());
    CO_TRY(const io::Gate::Pass source_pass, there.gate.enter());
    CO_TRY_STATUS(check_object_name(to.object));
    ObjectCopyOptions options;
    options.counts_versions = counts_versions;
    for (int attempt = 1;; ++attempt) {
        CO_TRY(const ObjectAttributes before, co_await source.stat(source_number, from));
        CO_TRY(ObjectAttributes brought,
               co_await bring(here, to, source, there, from, options, true));
        const Result<Version> removed = co_await source.remove(
            source_number, from, {Condition::Kind::exactly, before.version}, Durability::group);
        if (removed) co_return brought;
        // Removed by somebody else: the new name has what it was.
        if (removed.error().code == Errc::not_found) co_return brought;
        if (removed.error().code != Errc::condition_failed) {
            co_return std::unexpected(removed.error());
        }
        if (attempt == attempts_max) co_return fail(Errc::unavailable, "the object keeps changing");
    }
}

// A new version of `name` with what `from` is there.
io::Task<Result<ObjectAttributes>> StoreImpl::bring(Core& to, ObjectName name, StoreImpl& source,
                                                    Core& there, ObjectName from,
                                                    const ObjectCopyOptions& options,
                                                    bool keeps_time) {
    for (int attempt = 1;; ++attempt) {
        Place place;
        CO_TRY(const ReadRecord record, co_await source.read_to_change(there, from, place));
        CO_TRY_STATUS(check_not_striped(record));
        Import import;
        import.change.name = name;
        import.change.condition = options.condition;
        import.change.durability = options.durability;
        import.change.counts_versions = options.counts_versions;
        import.change.draft = draft_under(name, record);
        if (!keeps_time) import.change.draft.modified_ns = to.io.reactor->clock().wall_ns();
        const Status imported = co_await import_record(to, there, record, import);
        const bool is_gone = !imported && imported.error().code == Errc::not_found;
        if (is_gone && source.locator_->find(source.digest(from)) == place) {
            co_return there.reader.missing(place);
        }
        if (is_gone && attempt == attempts_max) {
            co_return fail(Errc::unavailable, "the object keeps changing");
        }
        if (is_gone) continue;
        if (!imported) co_return std::unexpected(imported.error());
        CO_TRY(const Committed committed, co_await commit_import(to, import));
        ObjectAttributes result = attributes_from(record.header.head, std::move(import.attributes));
        result.version = committed.version;
        result.display_version = committed.display_version;
        result.modified_ns = import.change.draft.modified_ns;
        co_return result;
    }
}

// The files of the record here, durable, and a draft that refers to them. `not_found`: one is gone
// there, because the object was replaced.
io::Task<Status> StoreImpl::import_record(Core& to, Core& source, const ReadRecord& record,
                                          Import& import) {
    CO_TRY(import.attributes, Reader::attributes_of(record));
    RecordDraft& draft = import.change.draft;
    if (draft.kind != RecordKind::extents) {
        if (!import.attributes.stored_attachment) co_return Status();
    }
    const Status copied = co_await import_files(to, source, import.attributes, import.made);
    if (!copied) {
        co_await unlink_files(to, std::move(import.made));
        co_return copied;
    }
    import.encoded = encode_attributes(import.attributes);
    if (draft.kind == RecordKind::extents) {
        draft.payload = import.encoded;
        draft.payload_crc = crc32c(import.encoded);
    } else {
        draft.variable = import.encoded;
    }
    co_return Status();
}

io::Task<Result<StoreImpl::Committed>> StoreImpl::commit_import(Core& to, Import& import) {
    Result<Committed> committed = co_await commit_on_home(to, import.change);
    // After an error of the device the record may be durable all the same (put()).
    const bool is_refused = !committed && committed.error().code != Errc::io_error;
    if (is_refused) co_await unlink_files(to, std::move(import.made));
    co_return committed;
}

io::Task<Status> StoreImpl::import_files(Core& to, Core& source, Attributes& attributes,
                                         std::vector<FileId>& made) {
    std::map<FileId, FileId> names;
    for (const FileId& file : files_of(attributes)) names[file] = new_file_id(to);
    for (const auto& [file, name] : names) {
        made.push_back(name);
        CO_TRY_STATUS(co_await copy_file(to, source, file, name));
    }
    CO_TRY_STATUS(co_await to.directory.sync());
    for (Extent& extent : attributes.extents) extent.file = names.at(extent.file);
    if (attributes.stored_attachment) {
        FileId& file = attributes.stored_attachment->file;
        file = names.at(file);
    }
    co_return Status();
}

io::Task<Status> StoreImpl::copy_file(Core& to, Core& source, FileId from, FileId name) {
    io::BlockingDisk& source_disk = source.io.disk->blocking();
    io::BlockingDisk& disk = to.io.disk->blocking();
    std::unique_ptr<io::BlockingFile> reading;
    std::unique_ptr<io::BlockingFile> writing;
    uint64_t size = 0;
    CO_TRY_STATUS(co_await source.io.disk->pool().run(*to.io.reactor, [&]() -> Status {
        TRY(reading, source_disk.open(object_file_path(from), io::OpenMode::read));
        TRY(size, reading->size_bytes());
        return {};
    }));
    CO_TRY_STATUS(co_await admit_bytes(to, size));
    uint64_t at = 0;
    std::vector<std::byte> buffer(std::min<uint64_t>(step_bytes, std::max<uint64_t>(size, 1)));
    for (bool is_done = false; !is_done;) {
        if (to.gate.is_closed() || source.gate.is_closed()) {
            co_return fail(Errc::unavailable, "stopping");
        }
        CO_TRY_STATUS(co_await to.io.disk->pool().run(*to.io.reactor, [&]() -> Status {
            if (writing == nullptr) {
                TRY(writing, disk.open(object_file_path(name), io::OpenMode::create));
            }
            TRY_STATUS(copy_step(*reading, *writing, at, std::min(at + job_bytes, size), buffer));
            is_done = at == size;
            if (!is_done) return {};
            TRY_STATUS(writing->sync());
            writing.reset();
            reading.reset();
            return {};
        }));
    }
    co_return Status();
}

}  // namespace penstock::node
