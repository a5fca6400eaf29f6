#include "node/store/open_upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace penstock::node {
namespace {

constexpr size_t id_digits = 32;
constexpr size_t part_digits = 5;
// Keys of an upload's own record; what the object will have goes under a prefix.
constexpr std::string_view object_key = "object";
// Of one that is striped, so that a release that knows no such uploads leaves it alone.
constexpr std::string_view striped_object_key = "striped";
constexpr std::string_view kind_key = "kind";
constexpr std::string_view append_kind = "append";
constexpr std::string_view custom_prefix = "custom:";

std::optional<uint32_t> parse_number(std::string_view text) {
    uint32_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stopped_at, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || stopped_at != end || number > parts_max) return std::nullopt;
    return number;
}

}  // namespace

CustomMetadata metadata_of(const OpenUpload& upload) {
    const std::string_view named = upload.is_striped ? striped_object_key : object_key;
    CustomMetadata metadata{{std::string(named), upload.object}};
    if (upload.is_append) metadata.emplace_back(kind_key, append_kind);
    for (const auto& [key, value] : upload.custom) {
        metadata.emplace_back(std::string(custom_prefix) + key, value);
    }
    return metadata;
}

bool take_metadata(CustomMetadata metadata, OpenUpload& upload) {
    for (auto& [key, value] : metadata) {
        if (key == object_key || key == striped_object_key) {
            upload.is_striped = key == striped_object_key;
            upload.object = std::move(value);
        } else if (key == kind_key) {
            upload.is_append = value == append_kind;
        } else if (key.starts_with(custom_prefix)) {
            upload.custom.emplace_back(key.substr(custom_prefix.size()), std::move(value));
        }
    }
    return !upload.object.empty();
}

std::string part_name(std::string_view id, uint32_t number) {
    return fmt::format("{}/{:05}", id, number);
}

std::optional<HiddenName> parse_hidden_name(std::string_view name) {
    const std::string_view id = name.substr(0, id_digits);
    if (!is_upload_id(id)) return std::nullopt;
    if (name.size() == id_digits) return HiddenName{id, std::nullopt};
    if (name[id_digits] != '/' || name.size() != id_digits + 1 + part_digits) return std::nullopt;
    const std::optional<uint32_t> number = parse_number(name.substr(id_digits + 1));
    if (!number) return std::nullopt;
    return HiddenName{id, number};
}

std::string append_handle(std::string_view id, uint32_t count) {
    return fmt::format("{}-{}", id, count);
}

std::optional<AppendHandle> parse_append_handle(std::string_view handle) {
    if (handle.size() < id_digits + 2 || handle[id_digits] != '-') return std::nullopt;
    const std::string_view id = handle.substr(0, id_digits);
    const std::optional<uint32_t> count = parse_number(handle.substr(id_digits + 1));
    if (!is_upload_id(id) || !count) return std::nullopt;
    return AppendHandle{id, *count};
}

ContentChecksum checksum_of_crc(uint32_t crc) {
    ContentChecksum checksum{.type = ChecksumType::crc32c, .size = 4};
    for (size_t index = 0; index < 4; ++index) {
        checksum.digest[index] = static_cast<std::byte>(crc >> (24 - 8 * index));
    }
    return checksum;
}

uint32_t crc_from(const ContentChecksum& checksum) {
    if (checksum.type != ChecksumType::crc32c || checksum.size != 4) return 0;
    uint32_t crc = 0;
    for (const std::byte byte : checksum.bytes()) crc = crc << 8 | static_cast<uint32_t>(byte);
    return crc;
}

bool is_upload_id(std::string_view text) {
    return text.size() == id_digits &&
           text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace penstock::node
