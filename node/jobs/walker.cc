#include "node/jobs/walker.h"

#include <algorithm>
#include <charconv>

#include "node/jobs/name_template.h"

namespace penstock::node {
namespace {

constexpr uint32_t home_core = 0;
// Names that are listed at once: every listing has the catalogue written first, so few are cheaper.
constexpr uint32_t listed_max = 32'768;

class ListingWalker final : public Walker {
public:
    ListingWalker(ObjectService& service, io::Reactor& reactor, CurrentBucket bucket,
                  NameTemplate names, bool is_recursive, std::string after)
        : service_(service),
          bucket_(std::move(bucket)),
          template_(std::move(names)),
          given_(std::move(after)),
          listed_(reactor) {
        options_.prefix = template_.prefix();
        options_.after = given_;
        options_.limit = listed_max;
        options_.is_recursive = is_recursive;
    }

    io::Task<Result<std::vector<WalkedName>>> next(uint32_t limit) override {
        std::vector<WalkedName> names;
        while (names.size() < limit) {
            if (at_ == page_.entries.size()) {
                if (is_last_) break;
                CO_TRY_STATUS(co_await turn_page());
                continue;
            }
            const ListPage::Entry& entry = page_.entries[at_++];
            given_ = page_.name(entry);
            if (entry.is_directory) continue;
            const bool is_filter = template_.form() == NameTemplate::Form::open;
            if (is_filter && !template_.matches(given_)) continue;
            names.push_back({given_, entry.size_bytes});
        }
        co_return names;
    }
    std::string position() const override { return given_; }
    io::Task<void> stop() override {
        if (is_listing_) co_await listed_.wait();
    }

private:
    // The page behind the one that is given is listed meanwhile.
    io::Task<Status> turn_page() {
        if (!is_listing_) start_listing();
        co_await listed_.wait();
        is_listing_ = false;
        CO_TRY_STATUS(next_status_);
        page_ = std::move(next_page_);
        at_ = 0;
        is_last_ = page_.is_last || page_.entries.empty();
        if (is_last_) co_return Status();
        options_.after = page_.name(page_.entries.back());
        start_listing();
        co_return Status();
    }
    void start_listing() {
        is_listing_ = true;
        listed_.reset();
        io::start_detached(list());
    }
    io::Task<void> list() {
        next_status_ = co_await list_next();
        listed_.set();
    }
    io::Task<Status> list_next() {
        CO_TRY(const BucketName bucket, bucket_());
        CO_TRY(next_page_, co_await service_.list(home_core, bucket, options_));
        co_return Status();
    }

    ObjectService& service_;
    CurrentBucket bucket_;
    NameTemplate template_;
    std::string given_;
    ListOptions options_;
    ListPage page_;
    size_t at_ = 0;
    bool is_last_ = false;
    ListPage next_page_;
    Status next_status_;
    bool is_listing_ = false;
    io::Event listed_;
};

// Lists and ranges: names by their number.
class CountingWalker final : public Walker {
public:
    CountingWalker(std::function<std::string(uint64_t)> name_at, uint64_t count, uint64_t given)
        : name_at_(std::move(name_at)), count_(count), given_(std::min(given, count)) {}

    io::Task<Result<std::vector<WalkedName>>> next(uint32_t limit) override {
        std::vector<WalkedName> names;
        const uint64_t end = given_ + std::min<uint64_t>(limit, count_ - given_);
        names.reserve(end - given_);
        for (; given_ < end; ++given_) names.push_back({name_at_(given_), std::nullopt});
        co_return names;
    }
    std::string position() const override { return std::to_string(given_); }
    io::Task<void> stop() override { co_return; }

private:
    std::function<std::string(uint64_t)> name_at_;
    uint64_t count_;
    uint64_t given_;
};

Result<uint64_t> number_of(const std::string& position) {
    uint64_t number = 0;
    const char* end = position.data() + position.size();
    const auto parsed = std::from_chars(position.data(), end, number);
    if (position.empty()) return 0;
    if (parsed.ec != std::errc() || parsed.ptr != end) {
        return fail(Errc::invalid, "a job's position is no number");
    }
    return number;
}

}  // namespace

Result<std::unique_ptr<Walker>> make_walker(ObjectService& service, io::Reactor& reactor,
                                            const Selection& selection, CurrentBucket bucket,
                                            std::string position) {
    if (selection.kind == Selection::Kind::names) {
        TRY(const uint64_t given, number_of(position));
        return std::make_unique<CountingWalker>(
            [&selection](uint64_t index) { return selection.names[index]; }, selection.names.size(),
            given);
    }
    NameTemplate names;
    if (selection.kind == Selection::Kind::pattern) {
        TRY(names, NameTemplate::parse(selection.text));
    } else if (selection.kind == Selection::Kind::prefix) {
        names = NameTemplate::of_prefix(selection.text);
    }
    if (names.form() == NameTemplate::Form::range) {
        TRY(const uint64_t given, number_of(position));
        const uint64_t count = names.count();
        return std::make_unique<CountingWalker>(
            [names = std::move(names)](uint64_t index) { return names.name_at(index); }, count,
            given);
    }
    return std::make_unique<ListingWalker>(service, reactor, std::move(bucket), std::move(names),
                                           selection.is_recursive, std::move(position));
}

}  // namespace penstock::node
