#include <map>

#include "node/store/catalogue.h"
#include "node/store/page_filler.h"

namespace penstock::node {
namespace {

class MemoryCatalogue final : public Catalogue {
public:
    Status apply(const std::vector<CatalogueChange>& changes, Lsn position, uint64_t count,
                 bool) override {
        for (const CatalogueChange& change : changes) {
            const Key key{change.bucket, change.name};
            if (change.is_removal) {
                entries_.erase(key);
            } else {
                entries_[key] = {change.place, change.version, change.size_bytes,
                                 change.has_attachment};
            }
        }
        position_ = position;
        count_ = count;
        return {};
    }

    Lsn position() const override { return position_; }
    uint64_t count() const override { return count_; }

    Result<ListPage> list(BucketId bucket, const ListOptions& options,
                          std::vector<Place>& places) override {
        ListPage page;
        places.clear();
        PageFiller filler(options, page, places);
        auto at = entries_.lower_bound({bucket, filler.first_target()});
        while (at != entries_.end() && at->first.bucket == bucket) {
            const PageFiller::Next next = filler.offer(entry_of(*at));
            if (next == PageFiller::Next::stop) break;
            if (next == PageFiller::Next::step) {
                ++at;
            } else {
                at = entries_.lower_bound({bucket, filler.leap_target()});
            }
        }
        filler.finish();
        return page;
    }

    Status scan(const std::function<void(const Entry&)>& visit) override {
        for (const auto& entry : entries_) visit(entry_of(entry));
        return {};
    }

    Status scan_from(BucketId first, const std::function<void(const Entry&)>& visit) override {
        for (auto at = entries_.lower_bound({first, ""}); at != entries_.end(); ++at) {
            visit(entry_of(*at));
        }
        return {};
    }

    Status scan_in_parts(uint32_t,
                         const std::function<void(uint32_t, const Entry&)>& visit) override {
        return scan([&visit](const Entry& entry) { visit(0, entry); });
    }

    Status drop_bucket(BucketId bucket, const std::function<void(const Entry&)>& visit) override {
        auto at = entries_.lower_bound({bucket, ""});
        while (at != entries_.end() && at->first.bucket == bucket) {
            visit(entry_of(*at));
            at = entries_.erase(at);
            if (count_ > 0) --count_;
        }
        return {};
    }

private:
    struct Key {
        BucketId bucket;
        std::string name;
        auto operator<=>(const Key&) const = default;
    };
    struct Value {
        Place place;
        Version version;
        uint64_t size_bytes = 0;
        bool has_attachment = false;
    };

    static Entry entry_of(const std::pair<const Key, Value>& entry) {
        const auto& [key, value] = entry;
        return {key.bucket,    key.name,         value.place,
                value.version, value.size_bytes, value.has_attachment};
    }

    std::map<Key, Value> entries_;
    Lsn position_ = 0;
    uint64_t count_ = 0;
};

}  // namespace

std::unique_ptr<Catalogue> make_memory_catalogue() {
    return std::make_unique<MemoryCatalogue>();
}

}  // namespace penstock::node
