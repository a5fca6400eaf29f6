// StoreImpl: the store on one mountpath. Its parts, and how a call goes through them:
//
//     get      locator -> reader                                   (on the caller's core)
//     put      content -> bytes or an object file (caller's core)
//              -> RecordLog::prepare -> Names::apply               (home core)
//     list     Names::settle (home core) -> catalogue              (on the pool)
//     compact  Compactor                                           (home core)
//
// store.cc has opening, stopping and reading, store_put.cc how content comes in, store_change.cc
// what happens on the home core, store_copy.cc copying and renaming, store_upload.cc and
// store_completion.cc uploads and appends, store_move.cc what goes from one mountpath to another,
// store_stripe.cc what lies on several.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/base/random.h"
#include "io/cores.h"
#include "io/turns.h"
#include "io/wait.h"
#include "node/store/compactor.h"
#include "node/store/content_hash.h"
#include "node/store/file_cache.h"
#include "node/store/locator.h"
#include "node/store/log.h"
#include "node/store/mountpath.h"
#include "node/store/names.h"
#include "node/store/object_file.h"
#include "node/store/open_upload.h"
#include "node/store/quarantine.h"
#include "node/store/reader.h"
#include "node/store/recovery.h"
#include "node/store/space.h"
#include "node/store/store.h"

namespace penstock::node {

// An object, or a part of an upload, that has been cut: its parts are durable.
struct StripedContent {
    std::shared_ptr<const StripeLayouts> layouts;
    ContentChecksum checksum;  // as asked for
    uint32_t crc32c = 0;       // of an upload's part
    std::vector<std::byte> attachment;
};

class StoreImpl final : public Store {
public:
    StoreImpl(std::vector<StoreCore> cores, StoreOptions options, const Log& log);
    ~StoreImpl() override;

    io::Task<Status> start();
    io::Task<void> stop() override;

    io::Task<Result<ObjectAttributes>> put(uint32_t core, ObjectName name, io::Body body,
                                           PutOptions options) override;
    io::Task<Result<ObjectAttributes>> adopt(uint32_t core, ObjectName name, std::string path,
                                             PutOptions options) override;
    io::Task<Result<uint64_t>> verify(uint32_t core, ObjectName name) override;
    io::Task<Result<OpenedObject>> get(uint32_t core, ObjectName name, ReadRange range) override;
    io::Task<Result<ObjectAttributes>> stat(uint32_t core, ObjectName name) override;
    io::Task<Result<std::optional<OpenedObject>>> open_file(uint32_t core,
                                                            ObjectName name) override;
    uint64_t read_order(uint32_t core, ObjectName name) override;
    io::Task<Result<std::vector<std::byte>>> attachment(uint32_t core, ObjectName name,
                                                        Version version) override;
    io::Task<Result<Version>> remove(uint32_t core, ObjectName name, Condition condition,
                                     Durability durability) override;
    io::Task<Result<std::vector<Status>>> remove_many(uint32_t core, BucketId bucket,
                                                      std::string_view bucket_label,
                                                      const std::vector<std::string_view>& names,
                                                      Durability durability) override;
    io::Task<Result<ObjectAttributes>> set_custom(uint32_t core, ObjectName name,
                                                  CustomMetadata custom, bool replaces,
                                                  Durability durability) override;
    io::Task<Result<std::string>> begin_upload(uint32_t core, ObjectName name,
                                               CustomMetadata custom, StripeRule stripes) override;
    io::Task<Result<PartAttributes>> put_part(uint32_t core, ObjectName name,
                                              std::string_view upload, uint32_t number,
                                              io::Body body, PartOptions options) override;
    io::Task<Result<ObjectAttributes>> complete_upload(uint32_t core, ObjectName name,
                                                       std::string_view upload,
                                                       CompletionOptions options) override;
    io::Task<Status> abort_upload(uint32_t core, ObjectName name, std::string_view upload) override;
    io::Task<Result<std::vector<PartAttributes>>> parts(uint32_t core, ObjectName name,
                                                        std::string_view upload) override;
    io::Task<Result<std::vector<UploadAttributes>>> uploads(uint32_t core,
                                                            BucketId bucket) override;
    io::Task<Result<std::string>> append(uint32_t core, ObjectName name, std::string_view handle,
                                         io::Body body) override;
    io::Task<Result<ObjectAttributes>> flush(uint32_t core, ObjectName name,
                                             std::string_view handle,
                                             bool counts_versions) override;
    io::Task<Result<ObjectAttributes>> copy(uint32_t core, ObjectName from, ObjectName to,
                                            ObjectCopyOptions options) override;
    io::Task<Result<ObjectAttributes>> rename(uint32_t core, ObjectName from, ObjectName to,
                                              bool counts_versions) override;
    io::Task<Result<ListPage>> list(uint32_t core, BucketId bucket, ListOptions options) override;
    void forget_bucket(BucketId bucket) override;
    io::Task<Result<uint64_t>> compact(uint32_t core) override;
    uint64_t live_bytes(BucketId bucket) const override;
    StoreUsage usage() const override;

    // Of several mountpaths (mountpath_set.h); `core` is the caller's number in this store.
    const Digest128& id() const { return identity_.id; }
    // On any core, without waiting: whether there is such an object now.
    bool has(const ObjectName& name) const { return locator_->find(digest(name)).has_value(); }
    // The object `name` of `source` as it is, version, times and attachment included, and no longer
    // there: unless this store has one of that name, which is newer; then only that. At every
    // moment one of the two has it. False: there was nothing to move. Errors as get() and put().
    io::Task<Result<bool>> take_over(uint32_t core, ObjectName name, StoreImpl& source,
                                     uint32_t source_core);
    // As copy() and rename(), from another mountpath: bytes are copied. A rename is a copy and a
    // removal: a power cut may leave both names, never none.
    io::Task<Result<ObjectAttributes>> copy_from(uint32_t core, ObjectName to, StoreImpl& source,
                                                 uint32_t source_core, ObjectName from,
                                                 ObjectCopyOptions options);
    io::Task<Result<ObjectAttributes>> rename_from(uint32_t core, ObjectName to, StoreImpl& source,
                                                   uint32_t source_core, ObjectName from,
                                                   bool counts_versions);
    // Striped objects (stripe.h). A part for `owner`, durable when done, under a hidden name that
    // nobody had before. Errors as put().
    io::Task<Status> put_stripe_part(uint32_t core, ObjectName part, const StripeOwner& owner,
                                     io::Body body);
    // An object whose parts are durable. Consumes `content`. `stored` as put() gives it.
    io::Task<Status> put_striped(uint32_t core, ObjectName name, StripedContent& content,
                                 PutOptions& options, Result<ObjectAttributes>& stored);
    // Where the object's parts are; null: it has none. `not_found`; `corrupt` as stat().
    io::Task<Result<std::shared_ptr<const StripeLayouts>>> stripes_of(uint32_t core,
                                                                      ObjectName name);
    // Everything acknowledged so far is on the device.
    io::Task<Status> sync(uint32_t core);
    // Whether an object may be put under this name; null: under any.
    using Admits = std::function<bool(const ObjectName& name)>;
    // From now on others are refused with `unavailable`; done when nothing is under way that began
    // before. From then on new versions are of `map_version`. One call at a time.
    io::Task<void> admit_only(uint32_t core, Admits admits, uint64_t map_version);
    // Errors of the device that gave up a segment of the log, since the start. On the home core.
    uint64_t log_failure_count() const { return records_->stats().failures; }

private:
    // What each core has of its own.
    struct Core {
        Core(const StoreCore& core, const Log& log)
            : io(core),
              gate(*io.reactor),
              files(*io.disk, open_files_max),
              reader(io, files, gate, log),
              directory(*io.disk, objects_directory),
              file_system(*io.disk) {}

        StoreCore io;
        io::Gate gate;  // calls that are under way
        FileCache files;
        Reader reader;
        SharedSync directory;
        SharedSync file_system;
        uint64_t files_made = 0;
    };

    // A change to one object, on its way through the home core. Its caller keeps it.
    struct Change {
        RecordDraft draft;
        Condition condition;
        Durability durability = Durability::group;
        bool is_removal = false;
        bool counts_versions = true;
        bool has_display = false;    // its draft says the display version
        bool keeps_display = false;  // display version and files stay: only attributes change
        // The files of what is replaced belong to another record now.
        bool keeps_files = false;
        uint64_t moved_bytes = 0;  // in those files
        ObjectName name;
        // Of an object that comes from another mountpath: it counts only if it is still there.
        const StoreImpl* source = nullptr;
        Digest128 source_key;
        Place source_place;
        uint32_t round = 0;  // which of `under_way_` counts it
    };
    struct Committed {
        Version version;
        uint64_t display_version = 0;
    };
    struct CommittedPair {
        Committed first;
        Committed second;
    };
    // Changes to one name that are logged but not published yet.
    struct InFlight {
        uint32_t count = 0;
        uint64_t display_version = 0;  // of the newest
        bool is_removal = false;       // the newest is
        Lsn published = 0;             // the newest that was
    };

    // Content that has been taken in whole.
    struct Content {
        io::Chunk bytes;  // if it is small
        Attributes attributes;
        std::unique_ptr<ObjectFileWriter> file;  // if it is large
        uint64_t size_bytes = 0;
        ContentChecksum checksum;
    };
    class Intake;

    Core& core(uint32_t number) { return *cores_[number]; }
    Core& home() { return *cores_[0]; }
    Digest128 digest(const ObjectName& name) const {
        return digest_of(name.bucket, name.object, identity_.key);
    }

    // Opening.
    io::Task<Status> take_lock();
    io::Task<Status> open_index();
    io::Task<Status> recover(Recovered& recovered);
    io::Task<Status> start_log(Recovered recovered);
    void make_names(std::unique_ptr<Catalogue> catalogue);
    void on_moved(const RecordHeader& header, const Place& from, const Place& to);
    io::Task<void> trim_segment(Lsn end);
    void make_compactor();
    io::Task<void> settle_in(io::Gate::Pass pass);
    io::Task<Status> sweep();

    // Reading.
    template <typename T, typename F>
    io::Task<Result<T>> read_current(Core& core, ObjectName name, F read);
    io::Task<Status> fill_attributes(Core& core, BucketId bucket, ListPage& page,
                                     std::vector<Place> places);

    // Putting.
    io::Task<Result<Content>> take_content(Core& core, io::Body body, PutOptions& options);
    io::Task<Result<ObjectAttributes>> commit_content(Core& core, ObjectName name, Content& content,
                                                      PutOptions& options);
    io::Task<Result<ObjectAttributes>> commit_custom(Core& from, ObjectName name,
                                                     const ReadRecord& record,
                                                     const CustomMetadata& custom, bool replaces,
                                                     Durability durability);
    io::Task<void> drop_file(Core& core, FileId id);
    // Of a file that nothing has ever been called.
    FileId new_file_id(Core& core) const {
        return {file_epoch_, uint64_t{core.io.reactor->core()} << 48 | ++core.files_made};
    }
    static Status check_custom(const CustomMetadata& custom);
    static io::Task<Status> keep_attachment(ObjectFileWriter& writer, Bytes attachment,
                                            Attributes& attributes);
    io::Task<Status> finish_adopted(Core& core, Content& content, FileId id, Bytes attachment);
    io::Task<Result<ReadRecord>> read_to_change(Core& core, ObjectName name, Place& place);

    // Copying by reference (store_copy.cc).
    static Status check_not_striped(const ReadRecord& record);
    io::Task<Result<ObjectAttributes>> commit_copy(Core& from, const ReadRecord& record,
                                                   ObjectName to, const ObjectCopyOptions& options);
    io::Task<Result<std::vector<FileId>>> link_files(Core& from, Attributes& attributes);
    io::Task<void> unlink_files(Core& from, std::vector<FileId> files);

    // From another mountpath (store_move.cc).
    struct Import;
    io::Task<Status> import_files(Core& to, Core& source, Attributes& attributes,
                                  std::vector<FileId>& made);
    io::Task<Status> copy_file(Core& to, Core& source, FileId from, FileId name);
    io::Task<Status> import_record(Core& to, Core& source, const ReadRecord& record,
                                   Import& import);
    io::Task<Result<Committed>> commit_import(Core& to, Import& import);
    io::Task<Result<ObjectAttributes>> bring(Core& to, ObjectName name, StoreImpl& source,
                                             Core& there, ObjectName from,
                                             const ObjectCopyOptions& options, bool keeps_time);
    io::Task<Status> sync_on_home();
    io::Task<void> admit_on_home(Admits& admits, uint64_t map_version);

    // Uploads: store_upload.cc on the caller's core, store_completion.cc on the home core.
    using UploadPointer = std::shared_ptr<OpenUpload>;
    struct PartRequest {
        UploadPointer upload;
        uint32_t number = 0;
        PartOptions options;
        bool may_be_empty = false;
    };
    enum class UploadKind : uint8_t { parts, striped_parts, append };
    io::Task<Result<std::string>> begin(Core& from, ObjectName name, CustomMetadata custom,
                                        UploadKind kind);
    io::Task<Result<Content>> take_part(Core& core, io::Body body, PutOptions& options);
    io::Task<Result<PartAttributes>> put_numbered(Core& from, ObjectName name, std::string_view id,
                                                  uint32_t number, io::Body body,
                                                  PartOptions options, bool may_be_empty);
    io::Task<Result<PartAttributes>> store_part(Core& from, ObjectName name,
                                                const PartRequest& request, io::Body body);
    io::Task<Result<PartAttributes>> store_striped_part(Core& from, ObjectName name,
                                                        const PartRequest& request, io::Body body);
    io::Task<Status> commit_striped_part(Core& from, ObjectName name, const PartRequest& request,
                                         StripedContent& striped, PartAttributes& stored);
    io::Task<Result<PartAttributes>> commit_part(Core& from, ObjectName name,
                                                 const PartRequest& request, Content& content,
                                                 std::string md5);
    io::Task<Result<std::string>> begin_append(Core& from, ObjectName name);
    io::Task<Status> put_base(Core& from, ObjectName name, const std::string& id);
    io::Task<Status> link_base(Core& from, ObjectName name, const std::string& id,
                               const ReadRecord& record);
    io::Task<Status> begin_on_home(UploadPointer upload);
    io::Task<Result<UploadPointer>> enter_upload(ObjectName name, std::string_view id);
    io::Task<void> leave_upload(UploadPointer upload);
    io::Task<void> note_part(UploadPointer upload, UploadPart part);
    io::Task<Result<UploadPointer>> find_upload(ObjectName name, std::string_view id);
    io::Task<Result<UploadPointer>> load_upload(ObjectName name, const std::string& id);
    io::Task<Status> load_parts(OpenUpload& upload);
    io::Task<Status> await_parts(OpenUpload& upload);
    void reopen_upload(OpenUpload& upload, bool is_doubtful);
    void end_upload(OpenUpload& upload);
    io::Task<Result<ObjectAttributes>> complete_on_home(ObjectName name, std::string_view id,
                                                        const CompletionOptions& options,
                                                        std::optional<uint32_t> last);
    io::Task<Result<ObjectAttributes>> commit_completion(ObjectName name, OpenUpload& upload,
                                                         const CompletionOptions& options,
                                                         const std::vector<uint32_t>& chosen);
    io::Task<Status> abort_on_home(ObjectName name, std::string_view id);
    io::Task<Status> drop_upload(ObjectName name, OpenUpload& upload);
    io::Task<void> drop_parts(io::Gate::Pass pass, UploadPointer upload,
                              std::vector<uint32_t> chosen);
    io::Task<Status> remove_hidden(const OpenUpload& upload, const std::vector<uint32_t>& numbers,
                                   const std::vector<uint32_t>& kept);
    io::Task<Result<std::vector<UploadAttributes>>> uploads_on_home(BucketId bucket);
    io::Task<Result<std::vector<PartAttributes>>> parts_on_home(ObjectName name,
                                                                std::string_view id);
    // Parts whose upload was completed before a crash, and uploads that nobody goes on with.
    struct HiddenEntry;
    io::Task<Result<std::vector<HiddenEntry>>> hidden_entries();
    io::Task<Status> clean_uploads();
    io::Task<Status> remove_orphans(const std::vector<HiddenEntry>& entries);
    io::Task<Status> expire_upload(BucketId bucket, const std::string& id);
    io::Task<void> watch_uploads(io::Gate::Pass pass);

    io::Task<Result<Committed>> commit_on_home(Core& from, Change& change);
    io::Task<Status> admit_bytes(Core& from, uint64_t bytes);

    // On the home core.
    template <typename F>
    auto while_full(F attempt) -> decltype(attempt());
    io::Task<Result<Committed>> commit(Change& change);
    // Two changes that are one: both count, or neither.
    io::Task<Result<CommittedPair>> commit_two(Change& first, Change& second);
    io::Task<Status> check_conditions(const Change& first, const Change& second);
    Status check_admission(const Change& change) const;
    void begin_change(Change& change);
    Committed publish(const Change& change, const Prepared& prepared);
    io::Task<Status> check_condition(const Change& change);
    struct Removals;
    io::Task<std::vector<Status>> remove_changes(std::vector<Change> changes);
    Change removal(Core& from, const ObjectName& name, Durability durability) const;
    // What a record says, to be logged as a new version of `name`. Views into `record` and `name`.
    RecordDraft draft_under(const ObjectName& name, const ReadRecord& record) const;
    io::Task<void> remove_all(Removals& removals);
    io::Task<void> remove_one(Removals& removals, size_t index);
    void leave_in_flight(const Change& change);
    void start_reclaim(const Place& place);
    io::Task<void> reclaim(io::Gate::Pass pass, Place place);
    io::Task<void> reclaim_files(const Place& place);
    io::Task<void> remove_file(FileId id);
    io::Task<bool> await_unpinned(FileId first);
    io::Task<void> drop_everywhere(FileId id);
    io::Task<void> await_reclaims(uint32_t segment);
    io::Task<void> drop_bucket(io::Gate::Pass pass, BucketId bucket);
    io::Task<void> drop_names(BucketId bucket);
    static io::Task<void> forget_on_home(StoreImpl& store, Core& from, BucketId bucket,
                                         io::Gate::Pass pass);

    static constexpr size_t open_files_max = 1024;  // on each core

    StoreOptions options_;
    Log log_;
    std::vector<std::unique_ptr<Core>> cores_;
    io::Gate background_;
    io::Cancel cancel_;

    std::unique_ptr<io::BlockingFile> lock_;
    MountpathIdentity identity_;
    io::Turns turns_;
    std::unique_ptr<Locator> locator_;
    Lsn catalogue_position_ = 0;  // when it was opened
    std::unique_ptr<Names> names_;
    std::unique_ptr<Space> space_;
    std::unique_ptr<RecordLog> records_;
    std::unique_ptr<Quarantine> quarantine_;
    std::unique_ptr<Compactor> compactor_;
    bool is_log_started_ = false;
    bool is_stopped_ = false;

    std::unordered_map<Digest128, InFlight, DigestHash> in_flight_;
    io::Event change_done_;  // pulsed when a change left in_flight_
    Admits admits_;
    // Changes in flight by when they began: before the last admit_only() or after it.
    std::array<uint64_t, 2> under_way_{};
    uint32_t round_ = 0;
    // Segment -> records in it that were replaced and whose files are being removed.
    std::unordered_map<uint32_t, uint32_t> reclaiming_;
    io::Event reclaim_done_;  // pulsed when one of them is done
    // Open uploads by bucket and id, as far as they are known since the start.
    std::map<std::pair<uint64_t, std::string>, UploadPointer> uploads_;
    io::Event upload_changed_;  // pulsed
    Random random_ = Random::from_system();
    uint64_t file_epoch_ = 0;
    uint64_t corruptions_at_start_ = 0;
};

}  // namespace penstock::node
