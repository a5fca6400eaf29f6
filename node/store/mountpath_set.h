// MountpathSet: the store of a node, over one mountpath or several. Each has a store of its own
// (store_impl.h) with a log, a locator and a catalogue; a name decides by highest random weight
// which of them has the object. With one mountpath every call goes straight to its store.
//
// One mountpath out of service (missing, failing, disabled) keeps its names: they answer
// `unavailable`, never "not found", and everything else goes on.
//
// When one is added or taken away, objects move to where they belong now, in the background: with
// reads and changes all the while, and going on after a crash (DESIGN.md, "Several mountpaths").
//
// Objects above a size that their bucket says are cut into parts over several mountpaths
// (stripe.h).
//
// Calls of Store on any core; what changes the set itself on core 0, one at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/base/random.h"
#include "io/cores.h"
#include "io/wait.h"
#include "node/store/mountpath_map.h"
#include "node/store/mountpath_registry.h"
#include "node/store/store.h"

namespace penstock::node {

class StoreImpl;

// The disks of a mountpath's directory: one for each core, and what waits runs on a pool of its
// own, so that a device that hangs holds up nobody else's jobs.
struct MountpathDisks {
    std::string path;
    io::BlockingDisk* blocking = nullptr;
    io::Pool* pool = nullptr;
    io::Pool* probe_pool = nullptr;  // a thread that nobody else keeps waiting
    std::vector<io::Disk*> cores;
};

// What a set asks of the node around it. On core 0.
class MountpathHost {
public:
    virtual ~MountpathHost() = default;
    // The directory, made if it is missing; the disks live as long as the host. The same directory
    // again gives the same.
    virtual io::Task<Result<MountpathDisks*>> open(std::string path) = 0;
    // What another node left there of its metadata and jobs is nothing any more.
    virtual io::Task<Status> forget_metadata(MountpathDisks& of) = 0;
    // The node's metadata is to lie on the first few of these, which are in service.
    virtual io::Task<Status> keep_metadata(std::vector<MountpathDisks*> on) = 0;
    virtual std::vector<BucketId> buckets() = 0;
    // Objects begin to move in the background; moves() says how far that is.
    virtual void moves_began() = 0;
};

// What is being moved since the set changed last, or since the start.
struct MoveFigures {
    bool is_moving = false;
    uint64_t objects = 0;  // moved; parts of striped objects count as such
    Status outcome;        // of the last round: why the first that stayed could not be moved
};

struct MountpathSetOptions {
    StoreOptions store;
    bool allows_missing = false;  // those that cannot be opened are out of service
    // Objects that are moved at once while an object is added or taken away.
    uint32_t moves_max = 16;
    uint64_t move_again_ns = 5'000'000'000;  // after some could not be moved
    // Between a change of the set and the first move: calls that looked an object up before the
    // change are over by then.
    uint64_t move_grace_ns = 1'000'000'000;
    // Of each of several mountpaths: a file is written, synced and read so often. Two in a row that
    // fail, or one that takes longer than `probe_timeout_ns` while nothing else is synced there,
    // take the mountpath out of service; two in a row that do not, put it back. 0: never.
    uint64_t probe_interval_ns = 1'000'000'000;
    uint64_t probe_timeout_ns = 3'000'000'000;
    // Segments given up in one interval that take it out, too.
    uint64_t log_failures_max = 3;
};

struct MountpathCore {
    io::Reactor* reactor = nullptr;
    io::BufferPool* buffers = nullptr;
};

struct MountpathFigures {
    std::string id;
    std::string path;  // where it is, or was last
    MountpathState state = MountpathState::active;
    bool is_disabled = false;
    std::string out;  // why it is out of service; "": it is not
    StoreUsage usage;
};

class MountpathSet final : public Store, private StripeHost {
public:
    // On core 0. `disks` as `plan` counts them; all that is named outlives the set. Writes the
    // registry, opens the stores, and goes on with moves that were under way. Fails as
    // Store::open() does, and if one that is there cannot be opened and that is not allowed.
    static io::Task<Result<std::unique_ptr<MountpathSet>>> open(
        std::vector<MountpathCore> cores, MountpathPlan plan, std::vector<MountpathDisks*> disks,
        MountpathHost& host, MountpathSetOptions options, const Log& log);
    ~MountpathSet() override;
    io::Task<void> stop() override;

    // Changing the set; on any core. `path` names a mountpath by its directory.
    //
    // A directory that is empty, or was detached, becomes a mountpath; one that is missing comes
    // back. Objects move there in the background. `condition_failed` with a sentence if it cannot
    // be (another node's, an old copy, one of the set is missing, objects are being moved),
    // `exists` if it is attached.
    io::Task<Status> attach(uint32_t core, std::string path);
    // Done when its objects are elsewhere; called again, it goes on. Fails if some cannot be moved,
    // and then they stay, and go on being served from there. `force`: gives up what it holds, also
    // if it is missing. `not_found`, `condition_failed` (it is the last one, or as above).
    io::Task<Status> detach(uint32_t core, std::string path, bool force);
    // Out of service until enable(), also after a restart; its objects stay there. False: it was.
    io::Task<Result<bool>> disable(uint32_t core, std::string path);
    // Also puts one back that failed, if it answers now.
    io::Task<Result<bool>> enable(uint32_t core, std::string path);
    // Waits until every object is where it belongs: `unavailable` if some cannot be moved now.
    io::Task<Status> settle(uint32_t core);
    io::Task<std::vector<MountpathFigures>> figures(uint32_t core);
    io::Task<MoveFigures> moves(uint32_t core);

    // Store.
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
    io::Task<Result<uint64_t>> compact(uint32_t core) override;
    // Of one mountpath alone, on its home core.
    uint64_t live_bytes(BucketId bucket) const override;
    void forget_bucket(BucketId bucket) override;
    StoreUsage usage() const override;

private:
    // A mountpath of the set. What other cores read of it never changes once they see it.
    struct Member {
        uint32_t home = 0;  // the core that orders its changes
        uint32_t core_count = 0;
        std::unique_ptr<StoreImpl> store;  // null: it was never opened
        // On core 0 alone:
        Digest128 id;
        MountpathDisks* disks = nullptr;
        std::shared_ptr<const std::string> out;
        bool is_gone = false;  // detached: nobody asks it any more
        bool is_now = true;    // as the map has it
        bool was = true;
        bool has_failed = false;
        uint32_t good_probes = 0;  // in a row, and
        uint32_t bad_probes = 0;
        uint64_t probe_began_ns = 0;  // of the one that is under way; 0: none is
        uint64_t log_syncs = 0;       // when it began
        uint64_t log_failures = 0;    // when they were last looked at

        // What the store calls this core.
        uint32_t local(uint32_t core) const {
            return core >= home ? core - home : core + core_count - home;
        }
    };
    // What a core knows; replaced whole.
    struct View {
        uint64_t number = 0;        // grows with each
        bool is_switching = false;  // changes wait for the next view
        MountpathMap map;
        std::vector<Member*> members;  // by the map's slots
        const Member* sole = nullptr;
    };
    struct alignas(64) Core {
        explicit Core(const MountpathCore& core)
            : reactor(*core.reactor),
              buffers(*core.buffers),
              switched(*core.reactor),
              gate(*core.reactor) {}
        io::Reactor& reactor;
        io::BufferPool& buffers;
        std::shared_ptr<const View> view;
        io::Event switched;  // pulsed
        io::Gate gate;       // reads ahead of striped objects
        // Striped objects that are being read, by their stripes' ids: how often.
        std::map<std::pair<uint64_t, uint64_t>, uint32_t> pins;
        Random random = Random::from_system();
    };

    MountpathSet(std::vector<MountpathCore> cores, MountpathHost& host, MountpathSetOptions options,
                 const Log& log);

    // mountpath_set.cc: opening, views.
    io::Task<Status> start(MountpathPlan plan, std::vector<MountpathDisks*> disks);
    static io::Task<void> close_gate(Core& core);
    io::Task<Status> open_all();
    io::Task<void> open_into(Member& member, uint32_t index, Status& status);
    io::Task<Status> open_store(Member& member, uint32_t home, bool is_new);
    void place_members();
    MountpathMap make_map() const;
    std::shared_ptr<const View> make_view();
    // What this core knows of the members is everybody's view from now on.
    io::Task<void> show();
    io::Task<void> see(Core& core, std::shared_ptr<const View> view);
    const View& view_here() const;
    io::Task<Status> check_unchanged();
    io::Task<Status> write_registries();
    io::Task<Status> write_generation();
    StoreOptions store_options(bool is_new) const;
    io::Reactor& home() { return cores_.front()->reactor; }

    // mountpath_calls.cc: the calls of Store, when there are several.
    using Owners = MountpathMap::Owners;
    const View& view(uint32_t core) const { return *cores_[core]->view; }
    template <typename F>
    auto read(uint32_t core, const ObjectName& name, F call) ->
        typename std::invoke_result_t<F&, StoreImpl&, uint32_t>;
    template <typename T, typename F>
    io::Task<Result<T>> read_anywhere(uint32_t core, ObjectName name, F call);
    template <typename T, typename F>
    io::Task<Result<T>> read_by(uint32_t core, ObjectName name, F call);
    // `pulls`: the object is moved to where it belongs first. `may_repeat`: nothing was consumed.
    struct ChangeRules {
        bool pulls = true;
        bool may_repeat = true;
    };
    template <typename F>
    auto change(uint32_t core, const ObjectName& name, ChangeRules rules, F call) ->
        typename std::invoke_result_t<F&, StoreImpl&, uint32_t>;
    template <typename T, typename F>
    io::Task<std::expected<T, Error>> change_by(uint32_t core, ObjectName name, ChangeRules rules,
                                                F call);
    io::Task<std::shared_ptr<const View>> settled_view(uint32_t core);
    static Status check_in(const View& view, const Owners& owners);
    io::Task<Status> pull(uint32_t core, const View& view, const Owners& owners, ObjectName name);
    io::Task<Result<ObjectAttributes>> put_by(uint32_t core, ObjectName name, io::Body body,
                                              PutOptions options);
    io::Task<Status> prepare_put(uint32_t core, const View& view, const Owners& owners,
                                 ObjectName name, PutOptions& options);
    io::Task<void> drop_stale(uint32_t core, const View& view, const Owners& owners,
                              ObjectName name);
    io::Task<Result<Version>> remove_by(uint32_t core, ObjectName name, Condition condition,
                                        Durability durability);
    io::Task<Result<Version>> remove_once(uint32_t core, const View& view, ObjectName name,
                                          Condition condition, Durability durability);
    io::Task<Result<std::vector<Status>>> remove_many_by(uint32_t core, BucketId bucket,
                                                         std::string_view bucket_label,
                                                         const std::vector<std::string_view>& names,
                                                         Durability durability);
    struct PairCall;
    io::Task<Result<ObjectAttributes>> pair_by(uint32_t core, ObjectName from, ObjectName to,
                                               ObjectCopyOptions options, bool is_rename);
    io::Task<Result<ObjectAttributes>> pair_once(uint32_t core, const View& view, ObjectName from,
                                                 ObjectName to, const ObjectCopyOptions& options,
                                                 bool is_rename);

    // mountpath_striping.cc: putting a striped object, or a part of an upload.
    struct Striping;
    static std::vector<uint32_t> slots_in_service(const View& view);
    io::Task<Result<bool>> is_to_be_striped(uint32_t core, const View& view, const StripeRule& rule,
                                            io::Body& body);
    io::Task<Result<ObjectAttributes>> put_striped(uint32_t core, std::shared_ptr<const View> view,
                                                   ObjectName name, io::Body body,
                                                   PutOptions options);
    io::Task<Status> put_stripes(uint32_t core, StripeOwner owner, io::Body body,
                                 PutOptions& options, Commit commit) override;
    io::Task<Status> cut(Striping& striping, io::Body body, PutOptions& options,
                         const Commit& commit);
    io::Task<Status> put_parts(Striping& striping, io::Body body, PutOptions& options,
                               StripedContent& content);
    static uint32_t number_for(Striping& striping, uint32_t index);
    static uint32_t part_slot(const Striping& striping, uint32_t number);
    static io::Task<Status> put_part_of(Striping& striping, uint32_t number, io::Body body);
    io::Task<void> note_striping(uint32_t core, Digest128 id, bool is_begun);
    io::Task<void> note_striping_here(Digest128 id, bool is_begun);

    // mountpath_stripes.cc: reading and removing them.
    io::Task<Result<io::Body>> open_stripes(uint32_t core, BucketId bucket,
                                            std::shared_ptr<const StripeLayouts> layouts,
                                            uint64_t offset, uint64_t size) override;
    io::Task<Result<uint64_t>> verify_stripes(
        uint32_t core, BucketId bucket, std::shared_ptr<const StripeLayouts> layouts) override;
    io::Task<void> drop_stripes(uint32_t core, ObjectName object,
                                std::shared_ptr<const StripeLayouts> layouts) override;
    // The stripes that an object was found to have. Those of an upload's parts lie side by side in
    // a listing, and the record is long.
    struct Known {
        std::string object;
        std::set<std::pair<uint64_t, uint64_t>> ids;
    };
    io::Task<Result<io::Body>> open_layout(uint32_t core, BucketId bucket,
                                           std::shared_ptr<const StripeLayout> layout,
                                           ReadRange range, std::shared_ptr<void> pinned);
    std::shared_ptr<void> pin(uint32_t core, const Digest128& id);
    io::Task<Result<io::Body>> open_part(uint32_t core, BucketId bucket,
                                         std::shared_ptr<const StripeLayout> layout, uint32_t index,
                                         ReadRange range);
    io::Task<bool> has_stripes(const StripeOwner& owner, Digest128 id, Known& known);
    static io::Task<bool> is_in_upload(const Member& member, const StripeOwner& owner,
                                       Digest128 id);
    static io::Task<bool> is_in_record(const Member& member, ObjectName name, Digest128 id,
                                       Known& known);
    io::Task<void> remove_parts(uint32_t core, BucketId bucket, const StripeLayouts& layouts);
    io::Task<Status> remove_parts_here(BucketId bucket, const StripeLayouts& layouts);
    io::Task<Status> await_unpinned(Digest128 id);
    static io::Task<bool> is_pinned(Core& core, Digest128 id);
    void start_cleaning();
    io::Task<void> clean_stripes(io::Gate::Pass pass);
    io::Task<Status> clean_bucket(const Member& member, BucketId bucket);
    io::Task<bool> is_part_kept(const Member& member, BucketId bucket, std::string_view part,
                                Digest128 id, Known& known);

    // mountpath_list.cc
    io::Task<Result<ListPage>> list_all(uint32_t core, BucketId bucket, ListOptions options);
    io::Task<Result<std::vector<UploadAttributes>>> uploads_of_all(uint32_t core, BucketId bucket);

    // mountpath_change.cc: the set itself, on core 0.
    io::Task<Status> attach_here(std::string path);
    io::Task<Status> bring_back(Member& member, MountpathDisks& disks, const FoundMountpath& found);
    io::Task<Status> join(MountpathDisks& disks, const FoundMountpath& found);
    io::Task<Status> take_in(std::unique_ptr<Member> joined, const std::string& path);
    io::Task<Status> detach_here(std::string path, bool force);
    io::Task<Status> begin_leaving(std::string path, bool force, Member*& left);
    io::Task<Status> give_up(Member& member);
    io::Task<Result<bool>> set_disabled(std::string path, bool is_disabled);
    io::Task<Result<bool>> enable_here(Member& member);
    io::Task<Status> settle_here();
    io::Task<Status> await_moves();
    io::Task<void> retire(io::Gate::Pass pass, Member& member);
    io::Task<std::vector<MountpathFigures>> figures_here();
    io::Task<MoveFigures> moves_here();
    Member* member_at(const std::string& path);
    RegisteredMountpath& entry_of(const Member& member);
    Status check_all_in() const;
    // The map of the registry as it is now becomes everybody's: nothing that began under the old
    // one is under way when it is done.
    io::Task<void> switch_map();
    io::Task<void> admit_by(std::shared_ptr<const MountpathMap> map,
                            std::shared_ptr<const MountpathMap> also);
    io::Task<Status> place_metadata();

    // mountpath_move.cc: objects that lie where they no longer belong.
    void start_moving();
    io::Task<void> move_until_done(io::Gate::Pass pass);
    io::Task<Status> move_all(uint64_t& left);
    struct Moves;
    io::Task<Status> move_bucket(Moves& moves, uint32_t slot, BucketId bucket,
                                 std::string_view prefix);
    io::Task<void> move_one(Moves& moves, uint32_t slot, uint32_t to, ObjectName name);
    io::Task<Status> abort_uploads(uint32_t slot, BucketId bucket);
    io::Task<Status> finish_moving();

    // mountpath_watch.cc: whether devices answer.
    void start_watching();
    io::Task<void> watch(io::Gate::Pass pass);
    io::Task<void> look_at(Member& member);
    io::Task<Status> probe_now(Member& member);
    io::Task<void> probe(io::Gate::Pass pass, Member& member);
    io::Task<void> put_out(Member& member, std::string why);
    io::Task<void> put_in(Member& member);
    void start_reconciling();
    io::Task<void> reconcile(io::Gate::Pass pass);

    MountpathHost& host_;
    MountpathSetOptions options_;
    Log log_;
    std::vector<std::unique_ptr<Core>> cores_;
    // On core 0.
    std::vector<std::unique_ptr<Member>> members_;  // slots of the map; never fewer
    std::optional<MountpathRegistry> registry_;     // nullopt: one mountpath on its own
    uint64_t view_number_ = 0;
    io::Semaphore changing_;  // one change of the set at a time
    io::Semaphore showing_;
    bool is_switching_ = false;
    io::Gate background_;
    io::Cancel cancel_;
    bool is_moving_ = false;  // move_until_done() runs
    bool is_watching_ = false;
    uint64_t moved_objects_ = 0;
    Status move_outcome_;        // of its last round
    io::Event move_round_done_;  // pulsed
    // Stripes of objects that are being put, and of those of which only the next start will know
    // whether they were.
    std::set<std::pair<uint64_t, uint64_t>> striping_;
    io::Semaphore cleaning_;
    bool is_stopped_ = false;
    bool is_open_ = false;
};

}  // namespace penstock::node
