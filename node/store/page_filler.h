// PageFiller: the rules of a listing, apart from where the names come from. A catalogue walks its
// names in order and offers them; the filler takes, folds into directories, or asks for a leap.
//
// One listing, one filler, on one thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node/store/catalogue.h"
#include "node/store/store.h"

namespace penstock::node {

class PageFiller {
public:
    enum class Next : uint8_t {
        step,  // go on with the name behind this one
        leap,  // go on with the first name that is not below leap_target()
        stop,  // the page is done
    };

    // All three must outlive the filler; the page and the places are empty.
    PageFiller(const ListOptions& options, ListPage& page, std::vector<Place>& places);

    // The walk begins at the first name that is not below this one.
    std::string first_target() const;
    // Names must come in order, from first_target() on. `entry.name` need only last for the call.
    Next offer(const Catalogue::Entry& entry);
    const std::string& leap_target() const { return leap_target_; }
    // After the walk: what offer() has not said by stopping.
    void finish();

private:
    // Names of one page are counted in 32 bits, and a page should not take all memory.
    static constexpr size_t page_name_bytes_max = 64 << 20;

    Next offer_directory(std::string_view directory);
    bool is_full() const;
    void append(std::string_view name, const Catalogue::Entry* object);

    const ListOptions& options_;
    ListPage& page_;
    std::vector<Place>& places_;
    std::string leap_target_;
    bool is_cut_off_ = false;
};

}  // namespace penstock::node
