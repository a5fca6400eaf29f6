// Message bodies as strangers send them: envelopes, bucket properties, list requests. What is
// accepted is within its bounds and survives being shown.
#include <cstddef>
#include <cstdint>

#include "io/base/assert.h"
#include "node/doors/ais/json.h"
#include "node/doors/ais/list_request.h"
#include "node/doors/ais/properties.h"

namespace {

using namespace penstock;
using namespace penstock::node;

void change_properties(const ais::Json& changes) {
    const auto changed = ais::changed_properties({}, changes);
    if (!changed) return;
    const Bucket bucket{{1}, {.name = "b"}, *changed, 0};
    const ais::OrderedJson shown = ais::properties_json(bucket);
    ASSERT(shown["mirror"]["enabled"] == false && shown["ec"]["enabled"] == false);
    // Shown and set again without what is only shown, they are the same.
    ais::Json again = ais::Json::parse(shown.dump());
    for (const char* name : {"provider", "Renamed", "bid", "created"}) again.erase(name);
    const auto same = ais::changed_properties(*changed, again);
    ASSERT(same && same->checksum == changed->checksum && same->access == changed->access);
}

void make_list_request(const ais::Json& value) {
    const auto request = ais::list_request_from(value);
    if (!request) return;
    ASSERT(request->limit >= 1 && request->limit <= ais::ListRequest::page_entries_max);
    ASSERT(ais::name_from_token(ais::token_from_name(request->prefix)) == request->prefix ||
           request->prefix.contains('\0'));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto json = ais::parse_json(text);
    if (!json) return 0;
    change_properties(*json);
    make_list_request(*json);
    if (const auto action = ais::action_from(*json)) {
        change_properties(action->value);
        make_list_request(action->value);
    }
    (void)ais::find_any_case(*json, "Kind");
    return 0;
}
