// The catalogue's keys, values and state, from any bytes: what parses says the same when it is
// written again.
#include "io/base/assert.h"
#include "node/store/catalogue_entry.h"

using namespace penstock;
using namespace penstock::node;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const std::string_view all(reinterpret_cast<const char*>(data), size);
    const size_t key_bytes = std::min<size_t>(data[0], size - 1);
    const std::string_view key = all.substr(1, key_bytes);
    const std::string_view value = all.substr(1 + key_bytes);

    if (const auto entry = parse_catalogue_entry(key, value)) {
        const CatalogueChange change{
            entry->bucket,     std::string(entry->name), false, entry->place, entry->version,
            entry->size_bytes, entry->has_attachment};
        const CatalogueValue written = encode_catalogue_value(change);
        ASSERT(catalogue_key(entry->bucket, entry->name) == key);
        ASSERT(written.size <= value.size());
        ASSERT(parse_catalogue_entry(key, written.text())->place == entry->place);
    }
    if (const auto state = parse_catalogue_state(value)) {
        ASSERT(encode_catalogue_state(*state) == value);
    }
    return 0;
}
