#include "node/doors/ais/checksums.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/bytes.h"
#include "node/doors/ais/errors.h"

namespace penstock::node::ais {
namespace {

struct NamedType {
    std::string_view name;
    ChecksumType type;
    uint8_t digest_bytes;
};

// The first name of a type is the one that is shown.
constexpr NamedType types[] = {
    {"none", ChecksumType::none, 0},      {"xxhash2", ChecksumType::xxhash, 8},
    {"xxhash", ChecksumType::xxhash, 8},  {"md5", ChecksumType::md5, 16},
    {"crc32c", ChecksumType::crc32c, 4},  {"sha256", ChecksumType::sha256, 32},
    {"sha512", ChecksumType::sha512, 64},
};

}  // namespace

std::optional<ChecksumType> checksum_type_from(std::string_view name) {
    for (const NamedType& named : types) {
        if (named.name == name) return named.type;
    }
    return std::nullopt;
}

std::string_view checksum_name(const BucketProperties& properties, ChecksumType type) {
    // A bucket that was set to the older name has it in its other properties; most have none.
    constexpr size_t empty_json_bytes = 2;
    if (type == ChecksumType::xxhash && properties.other_json.size() > empty_json_bytes &&
        properties.other_json.contains(R"("type":"xxhash")")) {
        return "xxhash";
    }
    return std::ranges::find(types, type, &NamedType::type)->name;
}

std::expected<std::optional<ContentChecksum>, ApiError> expected_checksum(
    const io::http::RequestHead& head) {
    const std::string_view name = head.find("Ais-Checksum-Type");
    const std::string_view value = head.find("Ais-Checksum-Value");
    if (name.empty()) return std::nullopt;
    const auto* named = std::ranges::find(types, name, &NamedType::name);
    if (named == std::end(types)) {
        return refuse(400, "",
                      fmt::format("invalid checksum type \"{}\" (expecting [crc32c md5 sha256 "
                                  "sha512 xxhash xxhash2 none])",
                                  name));
    }
    if (named->type == ChecksumType::none || value.empty()) return std::nullopt;

    // Digests are written in lower case: anything else is no digest of this type.
    const bool is_lower_hex = value.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    const auto digest = bytes_from_hex(value);
    if (!is_lower_hex || !digest || digest->size() != named->digest_bytes) {
        return refuse(400, "ErrBadCksum",
                      fmt::format("BAD DATA CHECKSUM: \"{}\" is no {} digest in lower-case "
                                  "hexadecimal",
                                  value, name));
    }
    ContentChecksum checksum{named->type, named->digest_bytes, {}};
    std::ranges::copy(*digest, checksum.digest.begin());
    return checksum;
}

}  // namespace penstock::node::ais
