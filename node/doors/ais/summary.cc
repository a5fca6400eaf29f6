#include "node/doors/ais/summary.h"

#include <algorithm>

#include "io/base/units.h"
#include "io/cores.h"
#include "node/doors/ais/listing.h"

namespace penstock::node::ais {
namespace {

void add(const ListPage& page, BucketSummary& summary) {
    constexpr uint64_t block_bytes = 512;
    constexpr uint64_t header_bytes = 1024;
    for (const ListPage::Entry& entry : page.entries) {
        const bool is_first = summary.objects == 0;
        summary.bytes_min =
            is_first ? entry.size_bytes : std::min(summary.bytes_min, entry.size_bytes);
        summary.bytes_max = std::max(summary.bytes_max, entry.size_bytes);
        summary.bytes += entry.size_bytes;
        summary.disk_bytes += round_up(entry.size_bytes, block_bytes) + header_bytes;
        ++summary.objects;
    }
}

}  // namespace

SummaryBoard::SummaryBoard(ObjectService& service, io::Reactor& home)
    : service_(service), home_(home), gate_(home) {}

io::Task<Result<std::string>> SummaryBoard::begin(Call& call, BucketList buckets,
                                                  std::string prefix) {
    const auto there = [&] {
        return begin_here(make_id(call), std::move(buckets), std::move(prefix));
    };
    co_return co_await io::on_core(call.request.reactor, home_, there);
}

io::Task<Result<SummaryBoard::Outcome>> SummaryBoard::look(Call& call, std::string id) {
    const auto there = [&] { return look_here(std::move(id)); };
    co_return co_await io::on_core(call.request.reactor, home_, there);
}

io::Task<void> SummaryBoard::stop() {
    co_await gate_.close();
}

io::Task<Result<std::string>> SummaryBoard::begin_here(std::string id, BucketList buckets,
                                                       std::string prefix) {
    if (gate_.count() >= running_max) {
        co_return fail(Errc::unavailable, "too many summaries are being counted");
    }
    CO_TRY(io::Gate::Pass pass, gate_.enter());
    auto entry = std::make_shared<Entry>(Entry{id, std::move(prefix), {}, {}});
    for (auto& bucket : buckets) entry->outcome.summaries.push_back({.bucket = std::move(bucket)});
    entries_.push_back(entry);
    if (entries_.size() > entries_max) entries_.pop_front();
    io::start_detached(count_all(std::move(entry), std::move(pass)));
    co_return id;
}

io::Task<Result<SummaryBoard::Outcome>> SummaryBoard::look_here(std::string id) {
    const auto found = std::ranges::find(entries_, id, [](const auto& entry) { return entry->id; });
    if (found == entries_.end()) co_return fail(Errc::not_found, id);
    CO_TRY_STATUS((*found)->status);
    co_return (*found)->outcome.is_done ? (*found)->outcome : Outcome();
}

io::Task<void> SummaryBoard::count_all(std::shared_ptr<Entry> entry, io::Gate::Pass pass) {
    // The pass holds the gate until this is done.
    const io::Gate::Pass held = std::move(pass);
    for (BucketSummary& summary : entry->outcome.summaries) {
        entry->status = co_await count(entry->prefix, summary);
        if (!entry->status) break;
    }
    entry->outcome.is_done = true;
}

io::Task<Status> SummaryBoard::count(const std::string& prefix, BucketSummary& summary) {
    ListOptions options{.prefix = prefix};
    for (;;) {
        if (gate_.is_closed()) co_return fail(Errc::unavailable, "stopping");
        auto page = co_await service_.list(home_.core(), summary.bucket->name, options);
        // A bucket that goes meanwhile has no more objects.
        if (!page && page.error().code == Errc::not_found) co_return Status();
        if (!page) co_return fail(page.error());
        add(*page, summary);
        if (page->is_last || page->entries.empty()) co_return Status();
        options.after = page->name(page->entries.back());
    }
}

}  // namespace penstock::node::ais
