// What comes in headers and queries: dates, entity tags, booleans, tokens, time layouts, paths.
#include <cstddef>
#include <cstdint>

#include "io/base/assert.h"
#include "io/http/url.h"
#include "node/doors/ais/checksums.h"
#include "node/doors/ais/conditions.h"
#include "node/doors/ais/list_request.h"
#include "node/doors/ais/names.h"
#include "node/doors/ais/text.h"

namespace {

using namespace penstock;
using namespace penstock::node;

void read_text(std::string_view text) {
    if (const auto seconds = ais::seconds_from_http_date(text)) {
        const auto again = ais::seconds_from_http_date(ais::http_date(*seconds * 1'000'000'000));
        ASSERT(*seconds > UINT64_MAX / 1'000'000'000 || again == *seconds);
    }
    (void)ais::names_etag(text, "\"1-2\"", true);
    (void)ais::boolean_from(text);
    (void)ais::number_from(text);
    (void)ais::go_time(1'795'467'822'051'046'033, text);
    std::string quoted;
    ais::append_json_string(quoted, text);
    const auto parsed = ais::parse_json(quoted);
    ASSERT(parsed && parsed->is_string());
    if (!text.starts_with('\0')) ASSERT(ais::name_from_token(ais::token_from_name(text)) == text);
}

// Of the header's two halves: the type's name and the digest.
void read_checksum(std::string_view text) {
    const size_t blank = std::min(text.find(' '), text.size());
    io::http::RequestHead head;
    head.headers = {{"Ais-Checksum-Type", text.substr(0, blank)},
                    {"ais-checksum-value", text.substr(std::min(blank + 1, text.size()))}};
    const auto checksum = ais::expected_checksum(head);
    if (checksum && *checksum) {
        ASSERT(hex_from_bytes((*checksum)->bytes()) == head.headers[1].value);
        ASSERT(ais::checksum_type_from(head.headers[0].value) == (*checksum)->type);
    }
}

void read_path(std::string_view path) {
    BucketName bucket;
    if (ais::set_namespace(path, bucket)) {
        // An escape, a slash or a control character never becomes part of a bucket.
        for (const std::string& part : {bucket.namespace_uuid, bucket.namespace_name}) {
            ASSERT(part.find_first_of("/%\r\n") == std::string::npos);
        }
    }
    const ais::FirstElement first = ais::split_first(path);
    ASSERT(!first.element.contains('/'));
    ASSERT(first.element.size() + first.rest.size() <= path.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    read_text(text);
    read_path(text);
    read_checksum(text);
    (void)ais::name_from_token(text);
    if (const auto query = io::http::Query::parse(text)) {
        for (const auto& [name, value] : query->parameters()) read_text(value);
    }
    return 0;
}
