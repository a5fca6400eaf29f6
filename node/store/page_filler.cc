#include "node/store/page_filler.h"

#include "io/base/assert.h"

namespace penstock::node {

PageFiller::PageFiller(const ListOptions& options, ListPage& page, std::vector<Place>& places)
    : options_(options), page_(page), places_(places) {
    ASSERT(page.entries.empty() && page.names.empty() && places.empty());
}

std::string PageFiller::first_target() const {
    // The name that follows `after` at once has one NUL more; no object has it, but it is the
    // bound.
    if (options_.after.empty() || options_.after < options_.prefix) return options_.prefix;
    return options_.after + '\0';
}

PageFiller::Next PageFiller::offer(const Catalogue::Entry& entry) {
    // In order, so the first name without the prefix ends those with it.
    if (!entry.name.starts_with(options_.prefix)) return Next::stop;
    if (!options_.is_recursive) {
        const size_t slash = entry.name.find('/', options_.prefix.size());
        if (slash != std::string_view::npos) {
            return offer_directory(entry.name.substr(0, slash + 1));
        }
    }
    if (is_full()) {
        is_cut_off_ = true;
        return Next::stop;
    }
    append(entry.name, &entry);
    return Next::step;
}

PageFiller::Next PageFiller::offer_directory(std::string_view directory) {
    // A page that begins inside a directory has had that directory's entry on an earlier one.
    if (directory > options_.after) {
        if (is_full()) {
            is_cut_off_ = true;
            return Next::stop;
        }
        append(directory, nullptr);
    }
    // Everything in it begins with "NAME/"; '0' is the byte behind '/'.
    leap_target_.assign(directory);
    leap_target_.back() = '/' + 1;
    return Next::leap;
}

bool PageFiller::is_full() const {
    return page_.entries.size() >= options_.limit || page_.names.size() > page_name_bytes_max;
}

void PageFiller::append(std::string_view name, const Catalogue::Entry* object) {
    ListPage::Entry& entry = page_.entries.emplace_back();
    entry.name_offset = static_cast<uint32_t>(page_.names.size());
    entry.name_bytes = static_cast<uint32_t>(name.size());
    page_.names.append(name);
    if (object == nullptr) {
        entry.is_directory = true;
        places_.emplace_back();
        return;
    }
    entry.size_bytes = object->size_bytes;
    entry.version = object->version;
    places_.push_back(object->place);
}

void PageFiller::finish() {
    page_.is_last = !is_cut_off_;
}

}  // namespace penstock::node
