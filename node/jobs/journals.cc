#include "node/jobs/journals.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace penstock::node {
namespace {

using Pointer = Copies<JobJournal>::Pointer;
using Records = std::shared_ptr<const std::vector<std::byte>>;

Records shared(std::vector<std::byte> records) {
    return std::make_shared<const std::vector<std::byte>>(std::move(records));
}

std::pair<uint64_t, uint64_t> age_of(const JobJournal& journal) {
    return {journal.generation(), journal.size_bytes()};
}

io::Task<Status> append_to(io::Reactor& home, Pointer copy, Records records, bool syncs) {
    co_return co_await copy->home.pool->run(home,
                                            [&] { return copy->kept->append(*records, syncs); });
}

io::Task<Status> rewrite_on(io::Reactor& home, Pointer copy, Records records, uint64_t generation) {
    co_return co_await copy->home.pool->run(
        home, [&] { return copy->kept->rewrite(*records, generation); });
}

io::Task<Status> erase_on(io::Reactor& home, Pointer copy) {
    co_return co_await copy->home.pool->run(home,
                                            [&] { return JobJournal::erase(*copy->home.disk); });
}

}  // namespace

std::span<const Pointer> JobJournals::keepers() const {
    return std::span(copies_.all()).first(std::min(copies_.all().size(), metadata_homes_max));
}

io::Task<Result<std::vector<JournaledJob>>> JobJournals::open(std::vector<MetadataHome> homes) {
    copies_.use(copies_.on(homes));
    CO_TRY(const Pointer newest, co_await read_all());
    if (newest == nullptr) co_return std::vector<JournaledJob>();
    std::vector<JournaledJob> found = newest->kept->take_found();
    compare_with(*newest->kept);
    co_return found;
}

// The newest; null: nothing counts.
io::Task<Result<Pointer>> JobJournals::read_all() {
    Pointer newest;
    Status first_error;
    for (const Pointer& copy : copies_.all()) {
        if (copy->home.is_new) continue;
        io::BlockingDisk& disk = *copy->home.disk;
        Result<std::unique_ptr<JobJournal>> opened = co_await copy->home.pool->run(
            home_, [&disk, this] { return JobJournal::open(disk, log_); });
        if (opened) {
            copy->kept = std::move(*opened);
            if (newest == nullptr || age_of(*copy->kept) > age_of(*newest->kept)) newest = copy;
            continue;
        }
        if (opened.error().code == Errc::invalid) co_return fail(opened.error());
        if (first_error) first_error = fail(opened.error());
        if (copies_.all().size() > 1) {
            log_.error("a copy of the jobs' journal cannot be read",
                       {{"reason", std::string_view(opened.error().context)}});
        }
    }
    if (newest == nullptr && !first_error) co_return fail(first_error.error());
    co_return newest;
}

void JobJournals::compare_with(const JobJournal& newest) {
    const auto age = age_of(newest);
    generation_ = newest.generation();
    for (const Pointer& copy : copies_.all()) {
        if (copy->kept != nullptr) (void)copy->kept->take_found();
        copy->is_behind =
            copy->kept == nullptr || copy->kept->needs_rewrite() || age_of(*copy->kept) != age;
    }
    is_uneven_ = newest.size_bytes() > 0 && lacks_something();
    for (const Pointer& copy : std::span(copies_.all()).subspan(keepers().size())) {
        const bool has_file = copy->kept != nullptr && copy->kept->size_bytes() > 0;
        if (has_file) is_uneven_ = true;
        copy->kept.reset();
    }
}

// Of what could be there: a device that hangs cannot be helped.
bool JobJournals::lacks_something() const {
    const std::span<const Pointer> kept = keepers();
    return std::ranges::none_of(kept, &Copies<JobJournal>::Copy::is_good) ||
           std::ranges::any_of(kept, [](const Pointer& copy) {
               return !copy->is_busy && (!copy->is_good() || copy->kept->needs_rewrite());
           });
}

io::Task<Status> JobJournals::keep_on(std::vector<MetadataHome> homes, std::vector<std::byte> all) {
    std::vector<Pointer> before = copies_.all();
    copies_.use(copies_.on(homes));
    if (lacks_something()) {
        const Status written = co_await rewrite(std::move(all));
        if (!written) {
            copies_.use(std::move(before));
            // Whoever was not asked is of a generation that may be over.
            for (const Pointer& copy : copies_.all()) copy->is_behind = true;
            co_return written;
        }
    }
    co_await erase_others();
    is_uneven_ = false;
    co_return Status();
}

// A failure is nobody's: the copies are newer.
io::Task<void> JobJournals::erase_others() {
    std::vector<Pointer> others;
    for (const Pointer& copy : std::span(copies_.all()).subspan(keepers().size())) {
        if (copy->is_busy) continue;
        copy->kept.reset();
        copy->is_behind = true;
        others.push_back(copy);
    }
    if (others.empty()) co_return;
    (void)co_await copies_.write(
        std::move(others), [this](Pointer copy) { return erase_on(home_, std::move(copy)); }, true);
}

bool JobJournals::needs_rewrite() const {
    const std::vector<Pointer> good = copies_.good();
    if (good.empty()) return true;
    const auto has_to = [](const Pointer& copy) { return copy->kept->needs_rewrite(); };
    if (std::ranges::any_of(good, has_to)) return true;
    return lacks_something() && home_.now_ns() >= next_try_ns_;
}

io::Task<Status> JobJournals::append(std::vector<std::byte> records, bool syncs) {
    const Records written = shared(std::move(records));
    co_return co_await copies_.write(copies_.good(), [this, written, syncs](Pointer copy) {
        return append_to(home_, std::move(copy), written, syncs);
    });
}

io::Task<Status> JobJournals::rewrite(std::vector<std::byte> all) {
    std::vector<Pointer> to;
    for (const Pointer& copy : keepers()) {
        if (copy->is_busy) continue;
        if (copy->kept == nullptr) copy->kept = JobJournal::make(*copy->home.disk, log_);
        to.push_back(copy);
    }
    if (to.empty()) co_return fail(Errc::io_error, "no copy of the jobs' journal answers");
    const Records written = shared(std::move(all));
    const uint64_t generation = ++generation_;
    const Status status =
        co_await copies_.write(std::move(to), [this, written, generation](Pointer copy) {
            return rewrite_on(home_, std::move(copy), written, generation);
        });
    next_try_ns_ = home_.now_ns() + again_ns;
    co_return status;
}

}  // namespace penstock::node
