#include "node/doors/ais/object_headers.h"

#include <fmt/format.h>

#include "io/base/bytes.h"
#include "node/doors/ais/checksums.h"
#include "node/doors/ais/text.h"
#include "node/store/version.h"

namespace penstock::node::ais {

void add_checksum(io::http::ResponseHead& head, const Bucket& bucket,
                  const ObjectAttributes& attributes) {
    if (attributes.checksum.type == ChecksumType::none) return;
    head.add("Ais-Checksum-Type", checksum_name(bucket.properties, attributes.checksum.type));
    head.add("Ais-Checksum-Value", hex_from_bytes(attributes.checksum.bytes()));
}

void add_custom(io::http::ResponseHead& head, const ObjectAttributes& attributes) {
    for (const auto& [key, value] : attributes.custom) {
        head.add("Ais-Custom-Md", key + '=' + value);
    }
}

void add_version(io::http::ResponseHead& head, const Bucket& bucket,
                 const ObjectAttributes& attributes) {
    if (bucket.properties.is_versioned) head.add("Ais-Version", attributes.display_version);
}

void add_validators(io::http::ResponseHead& head, const ObjectAttributes& attributes) {
    head.add("ETag", etag_from_version(attributes.version));
    head.add("Last-Modified", http_date(attributes.modified_ns));
}

void add_attributes(io::http::ResponseHead& head, const Bucket& bucket,
                    const ObjectAttributes& attributes) {
    add_checksum(head, bucket, attributes);
    head.add("Ais-Atime", attributes.modified_ns);
    add_version(head, bucket, attributes);
    add_custom(head, attributes);
    add_validators(head, attributes);
}

std::string_view content_type_of(const ObjectAttributes& attributes) {
    for (const auto& [key, value] : attributes.custom) {
        if (key == content_type_key) return value;
    }
    return "application/octet-stream";
}

std::string location_text(const NodeIdentity& node) {
    return fmt::format("t[{}]:mp[{}, -, -]", node.node_id, node.data_path);
}

}  // namespace penstock::node::ais
