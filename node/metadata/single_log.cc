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

using Keeper = Copies<Journal>::Copy;
using KeeperPointer = Copies<Journal>::Pointer;

// One commit on its way into the journals.
struct Commit {
    std::vector<Journal::Entry> entries;
    std::shared_ptr<const MetadataState> after;
};

class JournaledLog final : public SingleLog {
public:
    JournaledLog(SingleLogParts parts, JournalOptions options, const Log& log)
        : parts_(std::move(parts)),
          options_(options),
          log_(log),
          keepers_(home(), "the metadata", log),
          gate_(home()),
          writing_(home(), 1) {
        seen_.resize(parts_.reactors.size());
    }
    ~JournaledLog() override { ASSERT(gate_.is_closed()); }

    io::Task<Status> open() {
        CO_TRY(const std::shared_ptr<const MetadataState> newest, co_await open_journals());
        for (Seen& seen : seen_) seen.state = newest;
        for (const KeeperPointer& keeper : keepers_.all()) {
            const bool has_all = keeper->kept != nullptr && !keeper->home.is_new &&
                                 keeper->kept->state()->version() == state(0)->version();
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
        for (const KeeperPointer& keeper : keepers_.all()) {
            if (keeper->kept != nullptr) count += keeper->kept->corruption_count();
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

    io::Task<void> stop() override {
        co_await gate_.close();
        co_await keepers_.stop();
    }

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
        Status written = fail(Errc::io_error, "no copy of the metadata answers");
        if (std::vector<KeeperPointer> good = keepers_.good(); !good.empty()) {
            const auto commit = std::make_shared<Commit>(std::move(entries), std::move(after));
            written =
                co_await keepers_.write(std::move(good), [this, commit](KeeperPointer keeper) {
                    return write(home(), commit, std::move(keeper));
                });
        }
        writing_.release();
        co_return written;
    }

    // Both copies at once: a commit takes as long as one sync.
    static io::Task<Status> write(io::Reactor& reactor, std::shared_ptr<Commit> commit,
                                  KeeperPointer keeper) {
        Journal& journal = *keeper->kept;
        io::Pool& pool = *keeper->home.pool;
        CO_TRY_STATUS(
            co_await pool.run(reactor, [&] { return journal.begin_append(commit->entries); }));
        std::array<Status, Journal::copy_count> written;
        io::Event done(reactor);
        size_t left = Journal::copy_count;
        for (size_t copy = 0; copy < Journal::copy_count; ++copy) {
            io::start_detached(write_copy(reactor, *keeper, copy, written[copy], left, done));
        }
        co_await done.wait();
        const Status& first = written[0] ? written[1] : written[0];
        co_return co_await pool.run(reactor,
                                    [&] { return journal.end_append(first, commit->after); });
    }
    static io::Task<void> write_copy(io::Reactor& reactor, Keeper& keeper, size_t copy,
                                     Status& written, size_t& left, io::Event& done) {
        Journal& journal = *keeper.kept;
        written = co_await keeper.home.pool->run(reactor, [&journal, copy]() -> Status {
            TRY_STATUS(journal.write_copy(copy));
            return journal.sync_copy(copy);
        });
        if (--left == 0) done.set();
    }

    // The newest state that can be read; the first homes' journals are open afterwards, as far as
    // they can be.
    io::Task<Result<std::shared_ptr<const MetadataState>>> open_journals() {
        Status first;
        std::shared_ptr<const MetadataState> newest;
        const auto look_at = [&newest](const std::shared_ptr<const MetadataState>& state) {
            if (newest == nullptr || state->version() > newest->version()) newest = state;
        };
        const bool are_all_new = std::ranges::all_of(parts_.homes, &MetadataHome::is_new);
        keepers_.use(keepers_.on(first_of(parts_.homes)));
        for (const KeeperPointer& keeper : keepers_.all()) {
            const MetadataHome& at = keeper->home;
            if (are_all_new && keeper == keepers_.all().front()) keeper->home.is_new = false;
            if (at.is_new) continue;
            auto opened = co_await at.pool->run(
                home(), [&] { return Journal::open(*at.disk, options_, log_); });
            if (opened) {
                keeper->kept = std::move(*opened);
                look_at(keeper->kept->state());
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
        // The others had copies if some of these were out of service.
        for (size_t index = keepers_.all().size(); index < parts_.homes.size(); ++index) {
            if (const auto state = co_await state_on(parts_.homes[index])) look_at(state);
        }
        if (newest == nullptr) co_return std::unexpected(first.error());
        co_return newest;
    }

    // Null: nothing that can be read.
    io::Task<std::shared_ptr<const MetadataState>> state_on(const MetadataHome& at) {
        if (at.is_new) co_return nullptr;
        co_return co_await at.pool->run(home(), [&]() -> std::shared_ptr<const MetadataState> {
            if (!Journal::exists(*at.disk)) return nullptr;
            const auto journal = Journal::open(*at.disk, options_, log_);
            if (journal) return (*journal)->state();
            log_.error("a mountpath beyond the first ones has metadata that cannot be read",
                       {{"reason", std::string_view(journal.error().context)}});
            return nullptr;
        });
    }

    // From the state that counts. A failure is not the node's: others have it.
    io::Task<void> remake(KeeperPointer keeper) {
        keeper->kept.reset();
        auto made = co_await keeper->home.pool->run(home(), [this, &keeper] {
            return Journal::remake(*keeper->home.disk, options_, log_, state(0));
        });
        if (made) {
            keeper->kept = std::move(*made);
            keeper->is_behind = false;
            keeper->home.is_new = false;
            co_return;
        }
        log_.error("a copy of the metadata could not be made",
                   {{"reason", std::string_view(made.error().context)}});
    }

    io::Task<Status> move_to(std::vector<MetadataHome> homes) {
        std::vector<KeeperPointer> keepers = keepers_.on(first_of(std::move(homes)));
        for (const KeeperPointer& keeper : keepers) {
            // One whose device hangs is nobody's until its job has come back.
            if (!keeper->is_good() && !keeper->is_busy) co_await remake(keeper);
        }
        if (std::ranges::none_of(keepers, &Keeper::is_good)) {
            co_return fail(Errc::io_error, "the metadata cannot be kept there");
        }
        keepers_.use(std::move(keepers));
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
    Copies<Journal> keepers_;
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
