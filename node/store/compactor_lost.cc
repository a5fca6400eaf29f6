// What cannot be read any more must not keep its segment for ever: the damaged bytes go to the
// quarantine, and the log says in a record of its own that the object is lost. Its name stays: it
// is listed, and reading it says `corrupt`, until somebody overwrites or removes it.
#include "node/store/compactor.h"

namespace penstock::node {

io::Task<Status> Compactor::give_up_damaged(Work& work) {
    const uint32_t segment = work.victim.segment.number;
    CO_TRY(const std::vector<CatalogueChange> entries, co_await parts_.names.entries_in(segment));
    for (const CatalogueChange& entry : entries) {
        if (cancel_.is_cancelled()) co_return fail(Errc::unavailable, "stopping");
        CO_TRY_STATUS(co_await give_up(work, entry));
    }
    co_return Status();
}

io::Task<Status> Compactor::give_up(Work& work, const CatalogueChange& entry) {
    const Digest128 digest = parts_.names.digest(entry.bucket, entry.name);
    const std::optional<Place> place = parts_.names.find(digest);
    if (!place || place->segment != work.victim.segment.number) co_return Status();
    const Result<ReadRecord> read = co_await parts_.reader.read_record(*place);
    // Read after all: what could not be decided once may be now, at the next look.
    if (read) co_return Status();
    if (read.error().code != Errc::corrupt) co_return std::unexpected(read.error());

    CO_TRY_STATUS(co_await check_log());
    CO_TRY_STATUS(co_await parts_.quarantine.keep(
        {entry.bucket, entry.name, *place, entry.size_bytes, reactor_.clock().wall_ns()}));
    for (;;) {
        if (parts_.names.find(digest) != place) co_return Status();
        if (!parts_.is_changing(digest)) break;
        co_await parts_.change_done.wait();
    }
    RecordDraft draft;
    draft.kind = RecordKind::lost;
    draft.flags = place->is_in_files() ? record_was_in_files : uint8_t{0};
    if (place->is_striped()) draft.flags |= record_is_striped;
    draft.bucket = entry.bucket;
    draft.bucket_label = lost_label;
    draft.object = entry.name;
    draft.digest = digest;
    draft.content_bytes = entry.size_bytes;
    draft.display_version = place->display_version;
    // The damaged record may be newer than what the catalogue knows.
    draft.version = entry.version;
    if (entry.place != *place) draft.version.sequence = begin_of(*place);
    CO_TRY(const Prepared prepared,
           co_await parts_.records.prepare(draft, Durability::group, true));
    stats_.moved_bytes += prepared.place.record_bytes();
    if (parts_.names.find(digest) != place) co_return Status();

    work.damaged_bytes -= std::min(work.damaged_bytes, place->record_bytes());
    stats_.lost_records += 1;
    parts_.names.apply({entry.bucket, entry.name, digest, prepared.place, prepared.version,
                        entry.size_bytes, false, false, begin_of(prepared.place)});
    // Counted again by this; its files, whichever they are, are still there.
    if (place->is_in_files()) parts_.names.forget_content(*place, entry.bucket, entry.size_bytes);
    parts_.log.error("an object is lost: its record is damaged, and lies in quarantine/ now",
                     {{"bucket", entry.bucket.value},
                      {"object", std::string_view(entry.name)},
                      {"segment", uint64_t{place->segment}},
                      {"offset", place->offset_bytes()}});
    co_return Status();
}

}  // namespace penstock::node
