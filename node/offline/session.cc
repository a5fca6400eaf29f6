#include "node/offline/session.h"

#include <filesystem>

namespace penstock::node {
namespace {

constexpr uint64_t progress_ns = 500'000'000;

}  // namespace

Result<std::unique_ptr<Session>> Session::open(const OfflineOptions& options, bool must_exist) {
    std::error_code error;
    const std::filesystem::path directory(options.directory);
    if (must_exist && !std::filesystem::exists(directory / "format", error)) {
        return fail(Errc::not_found, options.directory + " is no data directory");
    }
    std::unique_ptr<Session> session(new Session(options));
    StorageOptions storage;
    storage.paths = {options.directory};
    storage.paths.insert(storage.paths.end(), options.more_directories.begin(),
                         options.more_directories.end());
    storage.cores.count = 1;
    storage.cores.is_pinned = false;
    storage.cores.spin_ns = 0;
    TRY(session->storage_, Storage::open(std::move(storage), session->log_));
    return session;
}

Session::~Session() {
    if (storage_ != nullptr) storage_->stop();
}

Result<OfflineSummary> Session::run(const std::function<io::Task<Status>()>& make_task) {
    TRY_STATUS(storage_->cores().run_on(core, make_task));
    if (options_.on_progress) options_.on_progress(summary_);
    return std::move(summary_);
}

void Session::done(uint64_t bytes) {
    summary_.done += 1;
    summary_.bytes += bytes;
    progress();
}

void Session::problem(std::string name, std::string message) {
    summary_.failed += 1;
    if (summary_.problems.size() < offline_problems_max) {
        summary_.problems.push_back({std::move(name), std::move(message)});
    }
    progress();
}

void Session::progress() {
    const uint64_t now_ns = reactor().now_ns();
    if (!options_.on_progress || now_ns - told_ns_ < progress_ns) return;
    told_ns_ = now_ns;
    options_.on_progress(summary_);
}

io::Task<void> Flights::take_off(uint64_t bytes) {
    while (count_ > 0 && (count_ >= count_max_ || bytes_ + bytes > bytes_max_)) {
        co_await changed_.wait();
    }
    count_ += 1;
    bytes_ += bytes;
}

void Flights::land(uint64_t bytes) {
    ASSERT(count_ > 0 && bytes_ >= bytes);
    count_ -= 1;
    bytes_ -= bytes;
    changed_.set();
    changed_.reset();
}

io::Task<void> Flights::settle() {
    while (count_ > 0) co_await changed_.wait();
}

bool is_about_one(Errc code) {
    return code != Errc::io_error && code != Errc::full && code != Errc::unavailable;
}

io::Task<Status> walk_objects(Session& session, WalkFrom from, VisitPage visit) {
    constexpr uint32_t page_names = 1000;
    for (const std::shared_ptr<const Bucket>& bucket : session.service().buckets(Session::core)) {
        if (bucket->name < from.bucket) continue;
        ListOptions options;
        options.limit = page_names;
        if (bucket->name == from.bucket) options.after = from.object;
        for (bool is_last = false; !is_last;) {
            CO_TRY(ListPage page,
                   co_await session.store().list(Session::core, bucket->id, options));
            is_last = page.is_last || page.entries.empty();
            if (!page.entries.empty()) options.after = page.name(page.entries.back());
            CO_TRY_STATUS(co_await visit(bucket, std::move(page)));
        }
    }
    co_return Status();
}

}  // namespace penstock::node
