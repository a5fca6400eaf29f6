#include "node/doors/ais/object_headers.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>

#include "io/base/bytes.h"
#include "node/doors/ais/checksums.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/text.h"
#include "node/store/version.h"

namespace penstock::node::ais {
namespace {

// Every GET and HEAD carries it as headers, and clients take 64 KiB of those.
constexpr size_t custom_bytes_max = 16 << 10;

bool is_header_name(std::string_view name, std::string_view expected) {
    return name.size() == expected.size() &&
           strncasecmp(name.data(), expected.data(), name.size()) == 0;
}

bool has_control(std::string_view text) {
    return std::ranges::any_of(text, [](char letter) {
        return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F;
    });
}

// What clients send with everything, whatever it is, says nothing about an object.
bool is_told_content_type(std::string_view type) {
    constexpr std::string_view defaults[] = {"application/json", "application/octet-stream",
                                             "application/x-www-form-urlencoded"};
    return !type.empty() && std::ranges::none_of(defaults, [type](std::string_view known) {
        return is_header_name(type, known);
    });
}

}  // namespace

std::expected<void, ApiError> check_custom(const CustomMetadata& custom) {
    size_t bytes = 0;
    for (const auto& [key, value] : custom) {
        bytes += key.size() + value.size();
        if (key.empty() || key.contains('=') || has_control(key) || has_control(value)) {
            return refuse(400, "", fmt::format("invalid custom metadata \"{}\"", key));
        }
    }
    if (bytes > custom_bytes_max) {
        return refuse(
            400, "",
            fmt::format("custom metadata is too long: {} > {} bytes", bytes, custom_bytes_max));
    }
    return {};
}

std::expected<CustomMetadata, ApiError> custom_from_headers(const io::http::RequestHead& head) {
    CustomMetadata custom;
    for (const io::http::Header& header : head.headers) {
        if (!is_header_name(header.name, "Ais-Custom-Md")) continue;
        const size_t equals = header.value.find('=');
        if (equals == std::string_view::npos) {
            return refuse(
                400, "",
                fmt::format("invalid custom metadata \"{}\": expected KEY=VALUE", header.value));
        }
        const std::string_view key = header.value.substr(0, equals);
        std::erase_if(custom, [&](const auto& pair) { return pair.first == key; });
        custom.emplace_back(key, header.value.substr(equals + 1));
    }
    const std::string_view type = head.find("Content-Type");
    const bool is_given = std::ranges::any_of(
        custom, [](const auto& pair) { return pair.first == content_type_key; });
    if (is_told_content_type(type) && !is_given) custom.emplace_back(content_type_key, type);
    TRY_STATUS(check_custom(custom));
    return custom;
}

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
