// Copying many objects, or a bucket: in this process, from record to record, thousands under way.
#include <algorithm>

#include "node/jobs/name_template.h"
#include "node/jobs/run.h"

namespace penstock::node {
namespace {

// So many copies are begun before others come to their turn.
constexpr size_t turn_copies_max = 64;
// What an object costs in memory beside its content, and all of one whose size is not known yet.
constexpr uint64_t overhead_bytes = 8 << 10;
constexpr uint64_t unknown_bytes = 1 << 20;
// A large object goes through in pieces.
constexpr uint64_t piece_bytes_max = 4 << 20;

// "dir/a.txt" with {"txt": "md"}: "dir/a.md".
std::string copied_name(const std::string& name, const CopyOptions& options) {
    const size_t slash = name.rfind('/');
    const size_t base = slash == std::string::npos ? 0 : slash + 1;
    const size_t dot = name.rfind('.');
    if (dot == std::string::npos || dot < base) return options.prepend + name;
    const std::string_view extension = std::string_view(name).substr(dot + 1);
    for (const auto& [from, into] : options.extensions) {
        if (from == extension) return options.prepend + name.substr(0, dot + 1) + into;
    }
    return options.prepend + name;
}

// The names that would be copied to `name`, there or not. Without `prepend`, which nobody may ask
// for together with a synchronization.
std::vector<std::string> possible_sources(const std::string& name, const CopyOptions& options) {
    std::vector<std::string> candidates{name};
    for (const auto& [from, into] : options.extensions) {
        if (!name.ends_with("." + into)) continue;
        candidates.push_back(name.substr(0, name.size() - into.size()) + from);
    }
    std::erase_if(candidates, [&](const std::string& candidate) {
        return copied_name(candidate, options) != name;
    });
    return candidates;
}

class Copying final : public PageAction {
public:
    explicit Copying(JobRun& run) : run_(run), room_(run.reactor()) {}

    io::Task<Status> act(std::vector<WalkedName> page) override {
        Page state(run_.reactor(), page.size());
        CO_TRY(state.from, run_.bucket());
        if (!run_.spec().copy.is_dry_run) {
            CO_TRY(state.to, run_.destination());
        }
        for (size_t index = 0; index < page.size(); ++index) {
            const uint64_t bytes = weight(page[index]);
            while (bytes_ > 0 && bytes_ + bytes > run_.options().in_flight_bytes_max) {
                co_await room_.wait();
            }
            if (index % turn_copies_max == turn_copies_max - 1) co_await run_.reactor().yield();
            if (state.status) state.status = run_.may_go_on();
            if (!state.status) {
                state.leave(page.size() - index);
                break;
            }
            bytes_ += bytes;
            io::start_detached(copy_in(state, page[index], bytes));
        }
        if (!page.empty()) co_await state.done.wait();
        co_return state.status;
    }

private:
    // A page under way.
    struct Page {
        Page(io::Reactor& reactor, size_t count) : done(reactor), left(count) {}
        void leave(size_t count) {
            left -= count;
            if (left == 0) done.set();
        }
        BucketName from;
        BucketName to;
        Status status;  // the first failure that ends the job
        io::Event done;
        size_t left;
    };

    static uint64_t weight(const WalkedName& walked) {
        return std::min(walked.size_bytes.value_or(unknown_bytes), piece_bytes_max) +
               overhead_bytes;
    }

    io::Task<void> copy_in(Page& page, const WalkedName& walked, uint64_t bytes) {
        const Result<uint64_t> copied = co_await copy_one(page, walked.name);
        if (copied) {
            run_.done(1, *copied);
        } else if (!is_hole(copied.error())) {
            const Status goes_on = run_.failed(walked.name, copied.error());
            if (!goes_on && page.status) page.status = goes_on;
        }
        bytes_ -= bytes;
        room_.set();
        room_.reset();
        page.leave(1);
    }

    // How many bytes it has.
    io::Task<Result<uint64_t>> copy_one(const Page& page, const std::string& name) {
        ObjectService& service = run_.service();
        const ObjectAddress from{page.from, name};
        if (run_.spec().copy.is_dry_run) {
            CO_TRY(const ObjectAttributes found, co_await service.stat(JobRun::core, from));
            co_return found.size_bytes;
        }
        const std::string new_name = copied_name(name, run_.spec().copy);
        const ObjectAddress to{page.to, new_name};
        if (run_.is_resumed()) {
            const auto source = co_await service.stat(JobRun::core, from);
            const auto target = co_await service.stat(JobRun::core, to);
            if (source && target && was_copied(*source, *target)) co_return source->size_bytes;
        }
        const auto copied = co_await service.copy(JobRun::core, from, to, {});
        if (copied) co_return copied->size_bytes;
        const bool is_gone = copied.error().code == Errc::not_found;
        if (!is_gone || !run_.spec().copy.synchronizes) co_return fail(copied.error());
        const auto removed = co_await service.remove(JobRun::core, to, {});
        const bool was_removed =
            !removed && removed.error().code == Errc::not_found && run_.is_resumed();
        if (!removed && !was_removed) co_return fail(removed.error());
        co_return 0;
    }

    // Before a crash, by this job: another copy would be the same object with a version more.
    bool was_copied(const ObjectAttributes& source, const ObjectAttributes& target) const {
        return target.modified_ns >= run_.started_ns() && source.size_bytes == target.size_bytes &&
               source.checksum.type != ChecksumType::none &&
               source.checksum.type == target.checksum.type &&
               std::ranges::equal(source.checksum.bytes(), target.checksum.bytes()) &&
               source.custom == target.custom;
    }

    // Of a range, or gone since it was listed.
    bool is_hole(const Error& error) const {
        return error.code == Errc::not_found &&
               run_.spec().selection.kind != Selection::Kind::names;
    }

    JobRun& run_;
    uint64_t bytes_ = 0;  // under way, of both pages
    io::Event room_;
};

// The second half of a synchronization: what is in the destination and not in the source goes.
class Pruning {
public:
    explicit Pruning(JobRun& run) : run_(run) {}

    // Begins anew after a crash: what is gone costs nothing.
    io::Task<Status> run() {
        CurrentBucket bucket = [this] { return run_.destination(); };
        CO_TRY(const std::unique_ptr<Walker> walker,
               make_walker(run_.service(), run_.reactor(), run_.spec().selection, std::move(bucket),
                           ""));
        const Status status = co_await walk(*walker);
        co_await walker->stop();
        co_return status;
    }

private:
    io::Task<Status> walk(Walker& walker) {
        for (;;) {
            CO_TRY_STATUS(run_.may_go_on());
            CO_TRY(std::vector<WalkedName> page, co_await walker.next(run_.window()));
            if (page.empty()) co_return Status();
            CO_TRY_STATUS(co_await prune(std::move(page)));
        }
    }

    io::Task<Status> prune(std::vector<WalkedName> page) {
        CO_TRY(const BucketName from, run_.bucket());
        CO_TRY(const BucketName to, run_.destination());
        std::vector<std::string_view> gone;
        for (size_t index = 0; index < page.size(); ++index) {
            CO_TRY(const bool is_there, co_await has_source(from, page[index].name));
            if (!is_there) gone.emplace_back(page[index].name);
            if (index % turn_copies_max == turn_copies_max - 1) co_await run_.reactor().yield();
        }
        if (gone.empty()) co_return Status();
        CO_TRY(const std::vector<Status> outcomes,
               co_await run_.service().remove_many(JobRun::core, to, gone));
        for (size_t index = 0; index < gone.size(); ++index) {
            const Status& outcome = outcomes[index];
            if (outcome) run_.done(1, 0);
            if (outcome || outcome.error().code == Errc::not_found) continue;
            CO_TRY_STATUS(run_.failed(std::string(gone[index]), outcome.error()));
        }
        co_return Status();
    }

    io::Task<Result<bool>> has_source(const BucketName& from, const std::string& name) {
        for (const std::string& candidate : possible_sources(name, run_.spec().copy)) {
            const auto found =
                co_await run_.service().stat(JobRun::core, ObjectAddress{from, candidate});
            if (found) co_return true;
            // Whatever else is wrong with it, it is there.
            if (found.error().code != Errc::not_found) co_return true;
        }
        co_return false;
    }

    JobRun& run_;
};

// Where the selection says the names itself, each was looked for when it was its turn.
bool lists_names(const Selection& selection) {
    if (selection.kind == Selection::Kind::names) return true;
    if (selection.kind != Selection::Kind::pattern) return false;
    const Result<NameTemplate> names = NameTemplate::parse(selection.text);
    return names && names->form() == NameTemplate::Form::range;
}

}  // namespace

io::Task<Status> copy_many(JobRun& run) {
    Copying copying(run);
    CO_TRY_STATUS(co_await run_pages(run, copying));
    const CopyOptions& options = run.spec().copy;
    if (!options.synchronizes || options.is_dry_run || lists_names(run.spec().selection)) {
        co_return Status();
    }
    Pruning pruning(run);
    co_return co_await pruning.run();
}

}  // namespace penstock::node
