// The words that tests of uploads, appends, copies and renames add to the store's language.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "node/store/object_file.h"
#include "tests/node/store/store_harness.h"

namespace penstock::node {

inline Result<std::string> begin_upload(StoreHarness& harness, std::string_view object,
                                        CustomMetadata custom = {}) {
    return harness.run(
        harness.store().begin_upload(0, StoreHarness::name(object), std::move(custom), {}));
}

inline Result<PartAttributes> put_part(StoreHarness& harness, std::string_view object,
                                       std::string_view upload, uint32_t number,
                                       const std::string& content, PartOptions options = {}) {
    return harness.run(harness.store().put_part(0, StoreHarness::name(object), upload, number,
                                                harness.body(content), std::move(options)));
}

inline Result<ObjectAttributes> complete(StoreHarness& harness, std::string_view object,
                                         std::string_view upload, CompletionOptions options = {}) {
    return harness.run(
        harness.store().complete_upload(0, StoreHarness::name(object), upload, std::move(options)));
}

inline Status abort_upload(StoreHarness& harness, std::string_view object,
                           std::string_view upload) {
    return harness.run(harness.store().abort_upload(0, StoreHarness::name(object), upload));
}

inline Result<std::string> append(StoreHarness& harness, std::string_view object,
                                  std::string_view handle, const std::string& content) {
    return harness.run(
        harness.store().append(0, StoreHarness::name(object), handle, harness.body(content)));
}

inline Result<ObjectAttributes> flush(StoreHarness& harness, std::string_view object,
                                      std::string_view handle) {
    return harness.run(harness.store().flush(0, StoreHarness::name(object), handle, true));
}

inline Result<ObjectAttributes> copy(StoreHarness& harness, std::string_view from,
                                     std::string_view to) {
    return harness.run(
        harness.store().copy(0, StoreHarness::name(from), StoreHarness::name(to), {}));
}

inline Result<ObjectAttributes> rename(StoreHarness& harness, std::string_view from,
                                       std::string_view to) {
    return harness.run(
        harness.store().rename(0, StoreHarness::name(from), StoreHarness::name(to), true));
}

// How many names there are under objects/.
inline size_t file_count(StoreHarness& harness) {
    const auto entries = harness.run(harness.disk().list(objects_directory));
    return entries ? entries->size() : SIZE_MAX;
}

// Lets the background remove what was replaced: as many turns as it takes, and no clock.
inline size_t settled_file_count(StoreHarness& harness, size_t expected) {
    constexpr int turns_max = 20'000;
    size_t count = file_count(harness);
    for (int turn = 0; turn < turns_max && count != expected; ++turn) {
        harness.run([](io::Reactor& reactor) -> io::Task<Status> {
            co_await reactor.yield();
            co_return Status();
        }(*harness.loop().reactor));
        count = file_count(harness);
    }
    return count;
}

}  // namespace penstock::node
