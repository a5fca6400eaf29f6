#include "node/offline/entry_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace penstock::node {
namespace {

constexpr std::string_view magic = "penstock1";
constexpr std::array<std::string_view, 6> checksum_names = {"none",   "xxhash", "md5",
                                                            "crc32c", "sha256", "sha512"};
constexpr std::string_view meta_prefix = "meta.";

bool is_plain(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

std::string encoded(std::string_view text) {
    std::string result;
    for (const char byte : text) {
        if (is_plain(byte)) {
            result += byte;
        } else {
            result += fmt::format("%{:02X}", static_cast<unsigned char>(byte));
        }
    }
    return result;
}

std::optional<uint8_t> hex_byte(std::string_view two) {
    uint8_t value = 0;
    const auto [end, error] = std::from_chars(two.data(), two.data() + two.size(), value, 16);
    if (error != std::errc() || end != two.data() + two.size() || two.size() != 2) {
        return std::nullopt;
    }
    return value;
}

std::optional<std::string> decoded(std::string_view text) {
    std::string result;
    for (size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            result += text[at];
            continue;
        }
        const std::optional<uint8_t> byte = hex_byte(text.substr(at + 1, 2));
        if (!byte) return std::nullopt;
        result += static_cast<char>(*byte);
        at += 2;
    }
    return result;
}

std::optional<uint64_t> number(std::string_view text) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// Takes what lies before the next `separator`, or all.
std::string_view take_part(std::string_view& text, char separator) {
    const size_t end = text.find(separator);
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return part;
}

std::optional<BucketName> parse_bucket(std::string_view text) {
    std::array<std::string, 4> parts;
    for (std::string& part : parts) {
        std::optional<std::string> plain = decoded(take_part(text, '/'));
        if (!plain) return std::nullopt;
        part = std::move(*plain);
    }
    if (!text.empty() || parts[3].empty()) return std::nullopt;
    return BucketName{parts[0], parts[1], parts[2], parts[3]};
}

std::optional<ContentChecksum> parse_checksum(std::string_view text) {
    const std::string_view type = take_part(text, ':');
    ContentChecksum checksum;
    for (size_t index = 0; index < checksum_names.size(); ++index) {
        if (checksum_names[index] != type) continue;
        checksum.type = static_cast<ChecksumType>(index);
        if (text.size() % 2 != 0 || text.size() > 2 * checksum.digest.size()) return std::nullopt;
        for (size_t at = 0; at < text.size(); at += 2) {
            const std::optional<uint8_t> byte = hex_byte(text.substr(at, 2));
            if (!byte) return std::nullopt;
            checksum.digest[checksum.size++] = std::byte{*byte};
        }
        return checksum;
    }
    return std::nullopt;
}

std::string checksum_text(const ContentChecksum& checksum) {
    std::string text(checksum_names[static_cast<size_t>(checksum.type)]);
    if (checksum.size > 0) text += ':';
    for (const std::byte byte : checksum.bytes()) {
        text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    }
    return text;
}

bool take_number(std::string_view text, uint64_t& into) {
    const std::optional<uint64_t> value = number(text);
    into = value.value_or(0);
    return value.has_value();
}

bool take_text(std::string_view text, std::string& into) {
    std::optional<std::string> value = decoded(text);
    if (!value) return false;
    into = std::move(*value);
    return true;
}

bool take_object_word(std::string_view key, std::string_view value, EntryText& entry) {
    if (key == "object") return take_text(value, entry.object.emplace());
    if (key == "display") return take_number(value, entry.display_version);
    if (key == "modified_ns") return take_number(value, entry.modified_ns);
    if (key == "version") {
        const std::string_view map = take_part(value, '.');
        return take_number(map, entry.version.map_version) &&
               take_number(value, entry.version.sequence);
    }
    if (!key.starts_with(meta_prefix)) return true;
    std::pair<std::string, std::string>& pair = entry.custom.emplace_back();
    return take_text(key.substr(meta_prefix.size()), pair.first) && take_text(value, pair.second);
}

bool take_bucket_word(std::string_view key, std::string_view value, BucketProperties& properties) {
    if (key == "versioned") {
        properties.is_versioned = value == "1";
    } else if (key == "durability") {
        properties.durability = value == "none" ? Durability::none : Durability::group;
    } else if (key == "access") {
        return take_number(value, properties.access);
    } else if (key == "features") {
        return take_number(value, properties.features);
    } else if (key == "other") {
        return take_text(value, properties.other_json);
    }
    return true;
}

bool take_word(std::string_view key, std::string_view value, EntryText& entry) {
    if (key == "bucket") {
        std::optional<BucketName> bucket = parse_bucket(value);
        if (!bucket) return false;
        entry.bucket = std::move(*bucket);
        return true;
    }
    if (key == "checksum") {
        const std::optional<ContentChecksum> checksum = parse_checksum(value);
        if (!checksum) return false;
        entry.checksum = *checksum;
        entry.properties.checksum = checksum->type;
        return true;
    }
    return take_object_word(key, value, entry) && take_bucket_word(key, value, entry.properties);
}

}  // namespace

std::string format_entry_text(const EntryText& entry) {
    const BucketName& bucket = entry.bucket;
    std::string text = fmt::format("{} bucket={}/{}/{}/{}", magic, encoded(bucket.provider),
                                   encoded(bucket.namespace_uuid), encoded(bucket.namespace_name),
                                   encoded(bucket.name));
    if (!entry.object) {
        const BucketProperties& properties = entry.properties;
        return text +
               fmt::format(" checksum={} versioned={} durability={} access={} features={} other={}",
                           checksum_names[static_cast<size_t>(properties.checksum)],
                           properties.is_versioned ? 1 : 0,
                           properties.durability == Durability::none ? "none" : "group",
                           properties.access, properties.features, encoded(properties.other_json));
    }
    text += fmt::format(" object={} version={}.{} display={} modified_ns={} checksum={}",
                        encoded(*entry.object), entry.version.map_version, entry.version.sequence,
                        entry.display_version, entry.modified_ns, checksum_text(entry.checksum));
    for (const auto& [key, value] : entry.custom) {
        text += fmt::format(" {}{}={}", meta_prefix, encoded(key), encoded(value));
    }
    return text;
}

std::optional<EntryText> parse_entry_text(std::string_view text) {
    if (take_part(text, ' ') != magic) return std::nullopt;
    EntryText entry;
    while (!text.empty()) {
        std::string_view word = take_part(text, ' ');
        const std::string_view key = take_part(word, '=');
        if (!take_word(key, word, entry)) return std::nullopt;
    }
    if (entry.bucket.name.empty()) return std::nullopt;
    return entry;
}

std::string bucket_path(const BucketName& bucket) {
    const bool is_plain_bucket =
        bucket.provider == "ais" && bucket.namespace_uuid.empty() && bucket.namespace_name.empty();
    if (is_plain_bucket) return bucket.name;
    return fmt::format("{}/@{}#{}/{}", bucket.provider, bucket.namespace_uuid,
                       bucket.namespace_name, bucket.name);
}

}  // namespace penstock::node
