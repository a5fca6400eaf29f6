// What an upload is called: hidden names as the log has them, and handles as clients send them.
// What parses says the same when it is written again.
#include "io/base/assert.h"
#include "node/store/attributes.h"
#include "node/store/open_upload.h"

using namespace penstock;
using namespace penstock::node;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto name = parse_hidden_name(text)) {
        ASSERT(is_upload_id(name->id));
        ASSERT(!name->part || *name->part <= parts_max);
        const std::string again =
            name->part ? part_name(name->id, *name->part) : std::string(name->id);
        ASSERT(again == text);
    }
    if (const auto handle = parse_append_handle(text)) {
        ASSERT(is_upload_id(handle->id) && handle->count <= parts_max);
        const std::string written = append_handle(handle->id, handle->count);
        const auto again = parse_append_handle(written);
        ASSERT(again && again->id == handle->id && again->count == handle->count);
    }
    if (const auto attributes = parse_attributes(as_bytes(text))) {
        OpenUpload upload;
        if (take_metadata(attributes->custom, upload)) {
            OpenUpload again;
            ASSERT(take_metadata(metadata_of(upload), again));
            ASSERT(again.object == upload.object && again.custom == upload.custom);
        }
    }
    return 0;
}
