// Paths, queries and ranges: nothing comes back longer than it went in, escaping is undone by
// unescaping, and a range never leaves the object.
#include <cstdlib>

#include "io/http/range.h"
#include "io/http/url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace penstock::io::http;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (unescape_path(escape_path(text)) != text) std::abort();
    if (const auto plain = unescape_path(text); plain && plain->size() > size) std::abort();
    if (const auto query = Query::parse(text)) {
        for (const auto& [name, value] : query->parameters()) {
            if (name.size() + value.size() > size || !query->find(name)) std::abort();
        }
    }
    if (const auto parts = split_path(text, size == 0 ? 0 : data[0] % 5)) {
        size_t total = parts->rest.size();
        for (const std::string& element : parts->elements) total += element.size();
        if (total > size) std::abort();
    }
    const uint64_t total_bytes = size == 0 ? 0 : uint64_t{1} << (data[size - 1] % 64);
    if (const auto range = parse_range(text, total_bytes)) {
        if (range->size == 0 || range->offset >= total_bytes ||
            range->size > total_bytes - range->offset) {
            std::abort();
        }
    }
    return 0;
}
