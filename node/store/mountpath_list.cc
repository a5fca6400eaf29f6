// Listings of several mountpaths: each one's page in order, merged. A token is a name, so the next
// page begins behind it on all of them.
//
// While objects move, every mountpath is asked twice, all of them once before any of them again: an
// object that the first round missed on both (it left the one after that one was asked, ... before)
// is where it belongs by the second.
#include <algorithm>

#include "node/store/mountpath_set.h"
#include "node/store/store_impl.h"
#include "node/store/together.h"

namespace penstock::node {
namespace {

struct Cursor {
    Result<ListPage> page{ListPage()};
    size_t at = 0;
    uint32_t slot = 0;

    bool is_at_end() const { return at == page->entries.size(); }
    std::string_view name() const { return page->name(page->entries[at]); }
};

io::Task<void> fill(StoreImpl& store, uint32_t local, BucketId bucket, ListOptions options,
                    Cursor& cursor) {
    cursor.page = co_await store.list(local, bucket, std::move(options));
}

void add_entry(ListPage& to, Cursor& from, bool wants_attributes) {
    const std::string_view name = from.name();
    ListPage::Entry entry = from.page->entries[from.at];
    entry.name_offset = static_cast<uint32_t>(to.names.size());
    to.names.append(name);
    to.entries.push_back(entry);
    if (wants_attributes) {
        to.attributes.push_back(std::move(from.page->attributes[from.at]));
    }
}

// Of several entries of one name the one that counts: where it belongs, and of the second round.
class Merge {
public:
    Merge(std::vector<Cursor>& cursors, const MountpathMap& map, BucketId bucket)
        : cursors_(cursors), map_(map), bucket_(bucket) {}

    // Null: a page ended that goes on behind its end, or all did.
    Cursor* next() {
        Cursor* first = nullptr;
        for (Cursor& cursor : cursors_) {
            if (cursor.is_at_end()) {
                if (!cursor.page->is_last) return nullptr;
                continue;
            }
            if (first == nullptr || cursor.name() < first->name()) first = &cursor;
        }
        if (first == nullptr) {
            is_at_end_ = true;
            return nullptr;
        }
        return chosen_for(first->name());
    }
    void pass(std::string_view name) {
        for (Cursor& cursor : cursors_) {
            if (!cursor.is_at_end() && cursor.name() == name) cursor.at += 1;
        }
    }
    bool is_at_end() const { return is_at_end_; }

private:
    Cursor* chosen_for(std::string_view name) {
        Cursor* chosen = nullptr;
        uint32_t count = 0;
        for (Cursor& cursor : cursors_) {
            if (cursor.is_at_end() || cursor.name() != name) continue;
            chosen = &cursor;
            count += 1;
        }
        if (count < 2) return chosen;
        const uint32_t owner = map_.owners_of({bucket_, {}, name}).now;
        for (Cursor& cursor : cursors_) {
            if (!cursor.is_at_end() && cursor.name() == name && cursor.slot == owner) {
                chosen = &cursor;
            }
        }
        return chosen;
    }

    std::vector<Cursor>& cursors_;
    const MountpathMap& map_;
    BucketId bucket_;
    bool is_at_end_ = false;
};

}  // namespace

io::Task<Result<ListPage>> MountpathSet::list_all(uint32_t core, BucketId bucket,
                                                  ListOptions options) {
    const std::shared_ptr<const View> seen = cores_[core]->view;
    if (const auto& out = seen->map.any_out()) {
        co_return fail(Errc::unavailable, "the listing would not be whole: " + *out);
    }
    std::vector<uint32_t> slots;
    for (uint32_t slot = 0; slot < seen->members.size(); ++slot) {
        const MountpathMap::Slot& placed = seen->map.slots()[slot];
        if (placed.is_now || placed.was) slots.push_back(slot);
    }
    const size_t rounds = seen->map.is_moving() ? 2 : 1;
    std::vector<Cursor> cursors(rounds * slots.size());
    for (size_t round = 0; round < rounds; ++round) {
        Together together(cores_[core]->reactor);
        for (size_t index = 0; index < slots.size(); ++index) {
            Cursor& cursor = cursors[round * slots.size() + index];
            cursor.slot = slots[index];
            const Member& member = *seen->members[cursor.slot];
            together.start(fill(*member.store, member.local(core), bucket, options, cursor));
        }
        co_await together.wait();
    }
    for (const Cursor& cursor : cursors) {
        if (!cursor.page) co_return fail(cursor.page.error());
    }
    // Moves that began since then may have been missed.
    if (view(core).number != seen->number) {
        co_return co_await list_all(core, bucket, std::move(options));
    }
    ListPage page;
    page.entries.reserve(std::min<size_t>(options.limit, 10'000));
    Merge merge(cursors, seen->map, bucket);
    while (page.entries.size() < options.limit) {
        Cursor* const next = merge.next();
        if (next == nullptr) break;
        add_entry(page, *next, options.wants_attributes);
        merge.pass(page.name(page.entries.back()));
    }
    page.is_last = merge.is_at_end() || (merge.next() == nullptr && merge.is_at_end());
    co_return page;
}

io::Task<Result<std::vector<UploadAttributes>>> MountpathSet::uploads_of_all(uint32_t core,
                                                                             BucketId bucket) {
    const std::shared_ptr<const View> seen = cores_[core]->view;
    if (const auto& out = seen->map.any_out()) {
        co_return fail(Errc::unavailable, "the listing would not be whole: " + *out);
    }
    std::vector<UploadAttributes> all;
    for (uint32_t slot = 0; slot < seen->members.size(); ++slot) {
        if (!seen->map.slots()[slot].is_now) continue;
        const Member& member = *seen->members[slot];
        CO_TRY(std::vector<UploadAttributes> some,
               co_await member.store->uploads(member.local(core), bucket));
        std::ranges::move(some, std::back_inserter(all));
    }
    co_return all;
}

}  // namespace penstock::node
