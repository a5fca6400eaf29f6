#include "node/metadata/single_log.h"

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

#include "io/cores.h"
#include "io/wait.h"

namespace penstock::node {
namespace {

// Bounds a commit, and so the longest wait of the next one.
constexpr size_t batch_commands_max = 256;
// Who comes when so many wait gets `unavailable`.
constexpr size_t waiting_max = 4096;
// A journal whose device has not answered by then goes on without being waited for, if another one
// has what is to be written.
constexpr uint64_t late_ns = 3'000'000'000;

// One journal, and how it stands.
struct Keeper {
    MetadataHome home;
    std::unique_ptr<Journal> journal;  // null: it could not be opened or made
    bool is_behind = false;            // it lacks something that was acknowledged
    bool is_busy = false;              // a job of it has not come back

    bool is_good() const { return journal != nullptr && !is_behind && !is_busy; }
};
using KeeperPointer = std::shared_ptr<Keeper>;

// One commit on its way into the journals.
struct Round {
    Round(io::Reactor& reactor, std::vector<Journal::Entry> commands,
          std::shared_ptr<const MetadataState> state)
        : entries(std::move(commands)), after(std::move(state)), changed(reactor) {}
    std::vector<Journal::Entry> entries;
    std::shared_ptr<const MetadataState> after;
    io::Event changed;  // pulsed
    io::Cancel no_timer;
    size_t left = 0;
    bool has_one = false;  // a journal has it
    bool is_late = false;
    Status first_error;
};
using RoundPointer = std::shared_ptr<Round>;

class JournaledLog final : public SingleLog {
public:
    JournaledLog(SingleLogParts parts, JournalOptions options, const Log& log)
        : parts_(std::move(parts)),
          options_(options),
          log_(log),
          gate_(home()),
          writing_(home(), 1) {
        seen_.resize(parts_.reactors.size());
    }
    ~JournaledLog() override { ASSERT(gate_.is_closed()); }

    io::Task<Status> open() {
        CO_TRY_STATUS(co_await open_journals());
        const KeeperPointer newest = newest_keeper();
        for (Seen& seen : seen_) seen.state = newest->journal->state();
        for (const KeeperPointer& keeper : keepers_) {
            const bool has_all = keeper->journal != nullptr && !keeper->home.is_new &&
                                 keeper->journal->state()->version() == state(0)->version();
            if (!has_all) co_await remake(keeper);
        }
        co_return Status();
    }

    const std::shared_ptr<const MetadataState>& state(uint32_t core) const override {
        return seen_[core].state;
    }

    io::Task<Result<Committed>> submit(uint32_t core, Command command) override {
        CO_TRY_STATUS(check_command(command));
        Request request(home(), std::move(command));
        co_await io::on_core(*parts_.reactors[core], home(),
                             [this, &request] { return submit_at_home(request); });
        co_return std::move(request.result);
    }

    uint64_t corruption_count() const override {
        uint64_t count = 0;
        for (const KeeperPointer& keeper : keepers_) {
            if (keeper->journal != nullptr) count += keeper->journal->corruption_count();
        }
        return count;
    }

    io::Task<Status> keep_on(std::vector<MetadataHome> homes) override {
        CO_TRY(const io::Gate::Pass pass, gate_.enter());
        co_await writing_.acquire();
        const Status kept = co_await move_to(std::move(homes));
        writing_.release();
        co_return kept;
    }

    io::Task<void> stop() override { co_await gate_.close(); }

private:
    struct Request {
        Request(io::Reactor& reactor, Command asked) : command(std::move(asked)), done(reactor) {}
        Command command;
        Result<Committed> result{Committed{}};
        io::Event done;
    };
    // What a core knows; written and read there alone.
    struct alignas(64) Seen {
        std::shared_ptr<const MetadataState> state;
    };

    io::Reactor& home() { return *parts_.reactors.front(); }

    io::Task<void> submit_at_home(Request& request) {
        Result<io::Gate::Pass> pass = gate_.enter();
        if (!pass || waiting_.size() >= waiting_max) {
            request.result = fail(Errc::unavailable, pass ? "too many metadata changes wait"
                                                          : "the metadata is being closed");
            co_return;
        }
        waiting_.push_back(&request);
        if (!is_committing_) {
            is_committing_ = true;
            io::start_detached(commit_all());
        }
        co_await request.done.wait();
    }

    // Until nobody waits. Every waiter holds the gate, and this ends before the last of them goes.
    io::Task<void> commit_all() {
        while (!waiting_.empty()) {
            std::vector<Request*> batch;
            while (!waiting_.empty() && batch.size() < batch_commands_max) {
                batch.push_back(waiting_.front());
                waiting_.pop_front();
            }
            co_await commit(batch);
            // The last of the batch may be the last at all, and then stop() goes on.
            if (waiting_.empty()) is_committing_ = false;
            const bool is_done = !is_committing_;
            for (Request* request : batch) request->done.set();
            if (is_done) co_return;
        }
    }

    io::Task<void> commit(const std::vector<Request*>& batch) {
        std::shared_ptr<const MetadataState> after = seen_.front().state;
        std::vector<Journal::Entry> entries;
        for (Request* request : batch) {
            Result<MetadataState::Applied> applied = after->apply(request->command);
            if (!applied) {
                request->result = fail(applied.error());
                continue;
            }
            after = std::move(applied->state);
            request->result = Committed{after->version(), applied->bucket};
            entries.push_back({encode_command(request->command), after->version()});
        }
        if (entries.empty()) co_return;

        const Status written = co_await append(std::move(entries), after);
        if (written) {
            co_await publish(after);
            co_return;
        }
        // What was refused may have been so because of a command that failed now.
        for (Request* request : batch) request->result = fail(written.error());
    }

    io::Task<Status> append(std::vector<Journal::Entry> entries,
                            std::shared_ptr<const MetadataState> after) {
        co_await writing_.acquire();
        const Status written =
            co_await append_to_all(std::make_shared<Round>(home(), std::move(entries), after));
        writing_.release();
        co_return written;
    }

    io::Task<Status> append_to_all(RoundPointer round) {
        for (const KeeperPointer& keeper : keepers_) {
            if (!keeper->is_good()) continue;
            // None when stopping: whoever waits for this commit holds the gate open.
            Result<io::Gate::Pass> pass = gate_.enter();
            round->left += 1;
            io::start_detached(append_to(home(), std::move(pass), round, keeper));
        }
        if (round->left == 0) co_return fail(Errc::io_error, "no copy of the metadata answers");
        if (keepers_.size() > 1) io::start_detached(expire(home(), round));
        while (round->left > 0 && !(round->is_late && round->has_one)) {
            co_await round->changed.wait();
        }
        round->no_timer.cancel();
        if (!round->has_one) co_return round->first_error;
        for (const KeeperPointer& keeper : keepers_) {
            const bool has_it = keeper->is_good() && keeper->journal->state() == round->after;
            if (has_it || keeper->journal == nullptr || keeper->is_behind) continue;
            keeper->is_behind = true;
            log_.error("a copy of the metadata could not be written; the others go on");
        }
        co_return Status();
    }

    static io::Task<void> expire(io::Reactor& reactor, RoundPointer round) {
        if (co_await reactor.sleep(reactor.within_ns(late_ns, &round->no_timer)) != 0) co_return;
        round->is_late = true;
        pulse(*round);
    }
    static void pulse(Round& round) {
        round.changed.set();
        round.changed.reset();
    }

    static io::Task<void> append_to(io::Reactor& reactor, Result<io::Gate::Pass>,
                                    RoundPointer round, KeeperPointer keeper) {
        keeper->is_busy = true;
        const Status written = co_await write(reactor, *round, *keeper);
        keeper->is_busy = false;
        if (written) round->has_one = true;
        if (!written && round->first_error) round->first_error = written;
        round->left -= 1;
        pulse(*round);
    }

    // Both copies at once: a commit takes as long as one sync.
    static io::Task<Status> write(io::Reactor& reactor, Round& round, Keeper& keeper) {
        Journal& journal = *keeper.journal;
        CO_TRY_STATUS(co_await keeper.home.pool->run(
            reactor, [&] { return journal.begin_append(round.entries); }));
        std::array<Status, Journal::copy_count> written;
        io::Event done(reactor);
        size_t left = Journal::copy_count;
        for (size_t copy = 0; copy < Journal::copy_count; ++copy) {
            io::start_detached(write_copy(reactor, keeper, copy, written[copy], left, done));
        }
        co_await done.wait();
        const Status& first = written[0] ? written[1] : written[0];
        co_return co_await keeper.home.pool->run(
            reactor, [&] { return journal.end_append(first, round.after); });
    }
    static io::Task<void> write_copy(io::Reactor& reactor, Keeper& keeper, size_t copy,
                                     Status& written, size_t& left, io::Event& done) {
        Journal& journal = *keeper.journal;
        written = co_await keeper.home.pool->run(reactor, [&journal, copy]() -> Status {
            TRY_STATUS(journal.write_copy(copy));
            return journal.sync_copy(copy);
        });
        if (--left == 0) done.set();
    }

    // Of those that count, one at least is open afterwards.
    io::Task<Status> open_journals() {
        Status first;
        bool has_one = false;
        const bool are_all_new = std::ranges::all_of(parts_.homes, &MetadataHome::is_new);
        for (const MetadataHome& at : parts_.homes) {
            if (keepers_.size() == metadata_homes_max) break;
            keepers_.push_back(std::make_shared<Keeper>(at));
            Keeper& keeper = *keepers_.back();
            if (are_all_new && keepers_.size() == 1) keeper.home.is_new = false;
            if (keeper.home.is_new) continue;
            auto opened = co_await at.pool->run(
                home(), [&] { return Journal::open(*at.disk, options_, log_); });
            if (opened) {
                keeper.journal = std::move(*opened);
                has_one = true;
                continue;
            }
            const Errc code = opened.error().code;
            const bool may_go_on = code == Errc::corrupt || code == Errc::io_error;
            if (!may_go_on) co_return fail(opened.error());
            if (first) first = fail(opened.error());
            if (parts_.homes.size() > 1) {
                log_.error("a copy of the metadata cannot be read",
                           {{"reason", std::string_view(opened.error().context)}});
            }
        }
        if (!has_one) co_return first;
        co_return Status();
    }

    KeeperPointer newest_keeper() const {
        KeeperPointer newest;
        for (const KeeperPointer& keeper : keepers_) {
            if (keeper->journal == nullptr) continue;
            const bool is_newer = newest == nullptr || keeper->journal->state()->version() >
                                                           newest->journal->state()->version();
            if (is_newer) newest = keeper;
        }
        return newest;
    }

    // From the state that counts. A failure is not the node's: others have it.
    io::Task<void> remake(KeeperPointer keeper) {
        keeper->journal.reset();
        auto made = co_await keeper->home.pool->run(home(), [this, &keeper] {
            return Journal::remake(*keeper->home.disk, options_, log_, state(0));
        });
        if (made) {
            keeper->journal = std::move(*made);
            keeper->is_behind = false;
            keeper->home.is_new = false;
            co_return;
        }
        log_.error("a copy of the metadata could not be made",
                   {{"reason", std::string_view(made.error().context)}});
    }

    io::Task<Status> move_to(std::vector<MetadataHome> homes) {
        homes.resize(std::min(homes.size(), metadata_homes_max));
        std::vector<KeeperPointer> keepers;
        for (const MetadataHome& at : homes) {
            const auto found = std::ranges::find_if(keepers_, [&at](const KeeperPointer& keeper) {
                return keeper->home.disk == at.disk;
            });
            KeeperPointer keeper = found != keepers_.end() ? *found : std::make_shared<Keeper>(at);
            // One whose device hangs is nobody's until its job has come back.
            if (!keeper->is_good() && !keeper->is_busy) co_await remake(keeper);
            keepers.push_back(std::move(keeper));
        }
        const bool has_one = std::ranges::any_of(
            keepers, [](const KeeperPointer& keeper) { return keeper->is_good(); });
        if (!has_one) co_return fail(Errc::io_error, "the metadata cannot be kept there");
        keepers_ = std::move(keepers);
        co_return Status();
    }

    io::Task<void> publish(std::shared_ptr<const MetadataState> state) {
        for (size_t core = 0; core < seen_.size(); ++core) {
            co_await io::on_core(home(), *parts_.reactors[core],
                                 [this, core, &state] { return see(core, state); });
        }
    }
    io::Task<void> see(size_t core, std::shared_ptr<const MetadataState> state) {
        seen_[core].state = std::move(state);
        co_return;
    }

    SingleLogParts parts_;
    JournalOptions options_;
    const Log& log_;
    std::vector<KeeperPointer> keepers_;
    std::vector<Seen> seen_;
    io::Gate gate_;
    io::Semaphore writing_;
    std::deque<Request*> waiting_;
    bool is_committing_ = false;
};

}  // namespace

io::Task<Result<std::unique_ptr<SingleLog>>> open_single_log(SingleLogParts parts,
                                                             JournalOptions options,
                                                             const Log& log) {
    ASSERT(!parts.reactors.empty() && !parts.homes.empty());
    auto opened = std::make_unique<JournaledLog>(std::move(parts), options, log);
    if (const Status status = co_await opened->open(); !status) {
        co_await opened->stop();
        co_return std::unexpected(status.error());
    }
    co_return opened;
}

}  // namespace penstock::node
