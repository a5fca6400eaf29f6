#include "node/metadata/single_log.h"

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

class SingleLog final : public MetadataLog {
public:
    SingleLog(SingleLogParts parts, std::unique_ptr<Journal> journal)
        : parts_(std::move(parts)), journal_(std::move(journal)), gate_(home()) {
        seen_.resize(parts_.reactors.size());
        for (Seen& seen : seen_) seen.state = journal_->state();
    }
    ~SingleLog() override { ASSERT(gate_.is_closed()); }

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

    uint64_t corruption_count() const override { return journal_->corruption_count(); }

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

        const Status written = co_await append(entries, after);
        if (written) {
            co_await publish(after);
            co_return;
        }
        // What was refused may have been so because of a command that failed now.
        for (Request* request : batch) request->result = fail(written.error());
    }

    // Both copies at once: a commit takes as long as one sync.
    io::Task<Status> append(const std::vector<Journal::Entry>& entries,
                            std::shared_ptr<const MetadataState> after) {
        CO_TRY_STATUS(co_await parts_.pool->run(
            home(), [this, &entries] { return journal_->begin_append(entries); }));
        std::array<Status, Journal::copy_count> written;
        io::Event done(home());
        size_t left = Journal::copy_count;
        for (size_t copy = 0; copy < Journal::copy_count; ++copy) {
            io::start_detached(write_copy(copy, written[copy], left, done));
        }
        co_await done.wait();
        const Status& first = written[0] ? written[1] : written[0];
        co_return co_await parts_.pool->run(home(), [this, &first, &after] {
            return journal_->end_append(first, std::move(after));
        });
    }
    io::Task<void> write_copy(size_t copy, Status& written, size_t& left, io::Event& done) {
        written = co_await parts_.pool->run(home(), [this, copy]() -> Status {
            TRY_STATUS(journal_->write_copy(copy));
            return journal_->sync_copy(copy);
        });
        if (--left == 0) done.set();
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
    std::unique_ptr<Journal> journal_;
    std::vector<Seen> seen_;
    io::Gate gate_;
    std::deque<Request*> waiting_;
    bool is_committing_ = false;
};

}  // namespace

io::Task<Result<std::unique_ptr<MetadataLog>>> open_single_log(SingleLogParts parts,
                                                               JournalOptions options,
                                                               const Log& log) {
    ASSERT(!parts.reactors.empty());
    Result<std::unique_ptr<Journal>> journal = co_await parts.pool->run(
        *parts.reactors.front(),
        [&parts, &options, &log] { return Journal::open(*parts.disk, options, log); });
    if (!journal) co_return fail(journal.error());
    co_return std::make_unique<SingleLog>(std::move(parts), std::move(*journal));
}

}  // namespace penstock::node
