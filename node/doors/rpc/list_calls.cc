#include <fmt/format.h>

#include <algorithm>

#include "node/doors/rpc/calls.h"

namespace penstock::node::rpc {
namespace {

// What a listing says about each object beside its name, size and version.
struct WantedProperties {
    bool checksum = false;
    bool modified = false;
    bool metadata = false;
    bool any() const { return checksum || modified || metadata; }
    size_t count() const { return size_t{checksum} + size_t{modified} + size_t{metadata}; }
};

std::optional<WantedProperties> read_wanted(Call& call) {
    WantedProperties wanted;
    const Value* list = call.arguments().at(Name::props);
    if (list == nullptr) return wanted;
    const Value* element = list->size == 0 ? nullptr : &call.message().first(*list);
    for (uint32_t index = 0; index < list->size; ++index) {
        const std::string_view name = element->kind == Kind::str ? element->text() : "";
        if (name == "checksum") {
            wanted.checksum = true;
        } else if (name == "modified_ns") {
            wanted.modified = true;
        } else if (name == "metadata") {
            wanted.metadata = true;
        } else if (name != "size" && name != "version") {
            return std::nullopt;
        }
        if (index + 1 < list->size) element = &call.message().after(*element);
    }
    return wanted;
}

uint32_t limit_from(const Arguments& arguments) {
    const uint64_t limit = arguments.number(Name::limit, list_limit_max);
    return static_cast<uint32_t>(std::clamp<uint64_t>(limit, 1, list_limit_max));
}

// How many of the page's entries one reply takes: at least one, and names of a bounded length.
size_t fitting_count(const ListPage& page) {
    uint64_t bytes = 0;
    for (size_t index = 0; index < page.entries.size(); ++index) {
        bytes += page.entries[index].name_bytes;
        if (index < page.attributes.size()) {
            for (const auto& [key, value] : page.attributes[index].custom) {
                bytes += key.size() + value.size();
            }
        }
        if (bytes > list_bytes_max && index > 0) return index;
    }
    return page.entries.size();
}

void write_entry(Writer& writer, const ListPage& page, size_t index, WantedProperties wanted) {
    const ListPage::Entry& entry = page.entries[index];
    writer.map(3 + wanted.count());
    writer.text("name");
    writer.name(page.name(entry));
    writer.pair("size", entry.size_bytes);
    writer.pair("version", text_of(entry.version));
    if (!wanted.any()) return;
    const ObjectAttributes& attributes = page.attributes[index];
    if (wanted.checksum) {
        writer.text("checksum");
        write_checksum(writer, attributes.checksum);
    }
    if (wanted.modified) writer.pair("modified_ns", attributes.modified_ns);
    if (wanted.metadata) {
        writer.text("metadata");
        write_metadata(writer, attributes.custom);
    }
}

}  // namespace

io::Task<void> list_objects(Call& call) {
    const BucketName* bucket = call.bucket();
    if (bucket == nullptr) co_return;
    const std::optional<WantedProperties> wanted = read_wanted(call);
    if (!wanted) {
        co_return call.fail(Code::invalid,
                            "props: size, version, checksum, modified_ns and metadata are known");
    }
    const Arguments& arguments = call.arguments();
    ListOptions options;
    options.prefix = arguments.text(Name::prefix, "");
    options.after = arguments.text(Name::token, "");
    options.limit = limit_from(arguments);
    options.wants_attributes = wanted->any();
    const Result<ListPage> page =
        co_await call.service().list(call.core(), *bucket, std::move(options));
    if (!page) co_return call.fail(page.error());

    const size_t count = fitting_count(*page);
    const bool is_last = page->is_last && count == page->entries.size();
    Writer writer = call.reply();
    writer.map(2);
    writer.text("entries");
    writer.array(count);
    for (size_t index = 0; index < count; ++index) write_entry(writer, *page, index, *wanted);
    writer.text("token");
    writer.name(is_last ? "" : page->name(page->entries[count - 1]));
}

// Members are sorted by name, so the last one that was told is where the next page goes on.
io::Task<void> list_members(Call& call) {
    if (call.bucket() == nullptr) co_return;
    const Result<MemberListing> listing =
        co_await call.service().members(call.core(), call.address());
    if (!listing) co_return call.fail(listing.error());

    const std::vector<MemberListing::Entry>& all = listing->entries;
    const std::string_view after = call.arguments().text(Name::token, "");
    auto first = all.begin();
    if (!after.empty())
        first = std::ranges::upper_bound(all, after, {}, &MemberListing::Entry::name);
    auto last = first;
    uint64_t bytes = 0;
    for (uint32_t left = limit_from(call.arguments()); left > 0 && last != all.end(); --left) {
        bytes += last->name.size();
        if (bytes > list_bytes_max && last != first) break;
        ++last;
    }
    Writer writer = call.reply();
    writer.map(2 + size_t{listing->damaged_at.has_value()});
    writer.text("entries");
    writer.array(static_cast<size_t>(last - first));
    for (auto entry = first; entry != last; ++entry) {
        writer.map(2);
        writer.text("name");
        writer.name(entry->name);
        writer.pair("size", entry->size_bytes);
    }
    writer.text("token");
    writer.name(last == all.end() ? "" : std::prev(last)->name);
    if (listing->damaged_at) writer.pair("damaged_at", *listing->damaged_at);
}

}  // namespace penstock::node::rpc
