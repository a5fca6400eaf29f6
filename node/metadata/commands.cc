#include "node/metadata/commands.h"

#include <algorithm>
#include <utility>

namespace penstock::node {
namespace {

constexpr uint16_t command_version_max = 3;

enum class Kind : uint16_t {
    create_bucket = 1,
    destroy_bucket,
    set_properties,
    set_value,
    rename_bucket,
    set_values,
};

// That of the first release that knew the kind.
uint16_t command_version(Kind kind) {
    if (kind == Kind::set_values) return 3;
    return kind == Kind::rename_bucket ? 2 : 1;
}

// What a provider or a part of a namespace may be called (contract, section 1.10).
bool is_word(std::string_view text) {
    return text.size() <= namespace_part_bytes_max &&
           std::ranges::all_of(text, [](unsigned char c) {
               return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                      c == '_' || c == '-';
           });
}

Status check_name(const BucketName& name) {
    TRY_STATUS(check_bucket_name(name.name));
    if (name.provider.empty() || !is_word(name.provider)) {
        return fail(Errc::invalid, "the provider is not 1 to 32 letters or digits");
    }
    if (!is_word(name.namespace_uuid) || !is_word(name.namespace_name)) {
        return fail(Errc::invalid, "a part of the namespace is not up to 32 of [A-Za-z0-9_-]");
    }
    return {};
}

Status check_properties(const BucketProperties& properties) {
    if (properties.checksum > ChecksumType::sha512 || properties.durability > Durability::none) {
        return fail(Errc::invalid, "a bucket property has no such value");
    }
    if (properties.other_json.size() > other_json_bytes_max) {
        return fail(Errc::too_large, "the bucket's properties are larger than 256 KiB");
    }
    return {};
}

Status check_value(std::string_view key, std::string_view value) {
    if (key.empty() || key.size() > value_key_bytes_max) {
        return fail(Errc::invalid, "the key of a value has 1 to 256 bytes");
    }
    if (value.size() > value_bytes_max) {
        return fail(Errc::too_large, "the value is larger than 256 KiB");
    }
    return {};
}

struct Checker {
    Status operator()(const CreateBucket& command) const {
        TRY_STATUS(check_name(command.name));
        return check_properties(command.properties);
    }
    Status operator()(const DestroyBucket& command) const { return check_name(command.name); }
    Status operator()(const SetProperties& command) const {
        TRY_STATUS(check_name(command.name));
        return check_properties(command.properties);
    }
    Status operator()(const SetValue& command) const {
        return check_value(command.key, command.value);
    }
    Status operator()(const SetValues& command) const {
        if (command.values.empty()) return fail(Errc::invalid, "no value is to be set");
        size_t bytes = 0;
        for (const auto& [key, value] : command.values) {
            TRY_STATUS(check_value(key, value));
            bytes += key.size() + value.size();
        }
        if (command.values.size() > set_values_max || bytes > set_values_bytes_max) {
            return fail(Errc::too_large, "more than 1,000 values, or 384 KiB, at once");
        }
        return {};
    }
    Status operator()(const RenameBucket& command) const {
        TRY_STATUS(check_name(command.from));
        return check_name(command.to);
    }
};

struct Encoder {
    std::vector<std::byte>& to;

    void begin(Kind kind) const {
        append_le(to, command_version(kind));
        append_le(to, std::to_underlying(kind));
    }
    void operator()(const CreateBucket& command) const {
        begin(Kind::create_bucket);
        append_name(to, command.name);
        append_properties(to, command.properties);
        append_le(to, command.created_ns);
    }
    void operator()(const DestroyBucket& command) const {
        begin(Kind::destroy_bucket);
        append_name(to, command.name);
    }
    void operator()(const SetProperties& command) const {
        begin(Kind::set_properties);
        append_name(to, command.name);
        append_properties(to, command.properties);
    }
    void operator()(const SetValue& command) const {
        begin(Kind::set_value);
        append_text(to, command.key);
        append_text(to, command.value);
    }
    void operator()(const SetValues& command) const {
        begin(Kind::set_values);
        append_le(to, command.expected_version);
        append_le(to, static_cast<uint32_t>(command.values.size()));
        for (const auto& [key, value] : command.values) {
            append_text(to, key);
            append_text(to, value);
        }
    }
    void operator()(const RenameBucket& command) const {
        begin(Kind::rename_bucket);
        append_name(to, command.from);
        append_name(to, command.to);
    }
};

std::optional<Command> read_create(ByteReader& from) {
    std::optional<BucketName> name = read_name(from);
    if (!name) return std::nullopt;
    std::optional<BucketProperties> properties = read_properties(from);
    const std::optional<uint64_t> created_ns = from.read_le<uint64_t>();
    if (!properties || !created_ns) return std::nullopt;
    return CreateBucket{std::move(*name), std::move(*properties), *created_ns};
}

std::optional<Command> read_destroy(ByteReader& from) {
    std::optional<BucketName> name = read_name(from);
    if (!name) return std::nullopt;
    return DestroyBucket{std::move(*name)};
}

std::optional<Command> read_set_properties(ByteReader& from) {
    std::optional<BucketName> name = read_name(from);
    if (!name) return std::nullopt;
    std::optional<BucketProperties> properties = read_properties(from);
    if (!properties) return std::nullopt;
    return SetProperties{std::move(*name), std::move(*properties)};
}

std::optional<Command> read_set_value(ByteReader& from) {
    std::optional<std::string> key = read_text(from, value_key_bytes_max);
    if (!key) return std::nullopt;
    std::optional<std::string> value = read_text(from, value_bytes_max);
    if (!value) return std::nullopt;
    return SetValue{std::move(*key), std::move(*value)};
}

std::optional<Command> read_set_values(ByteReader& from) {
    const std::optional<uint64_t> expected_version = from.read_le<uint64_t>();
    const std::optional<uint32_t> count = from.read_le<uint32_t>();
    if (!expected_version || !count || *count > set_values_max) return std::nullopt;
    SetValues command;
    command.expected_version = *expected_version;
    for (uint32_t index = 0; index < *count; ++index) {
        std::optional<std::string> key = read_text(from, value_key_bytes_max);
        if (!key) return std::nullopt;
        std::optional<std::string> value = read_text(from, value_bytes_max);
        if (!value) return std::nullopt;
        const bool is_next = command.values.empty() || command.values.rbegin()->first < *key;
        if (!is_next) return std::nullopt;
        command.values.emplace(std::move(*key), std::move(*value));
    }
    return command;
}

std::optional<Command> read_rename(ByteReader& from) {
    std::optional<BucketName> old_name = read_name(from);
    if (!old_name) return std::nullopt;
    std::optional<BucketName> new_name = read_name(from);
    if (!new_name) return std::nullopt;
    return RenameBucket{std::move(*old_name), std::move(*new_name)};
}

std::optional<Command> read_command(Kind kind, ByteReader& from) {
    switch (kind) {
        case Kind::create_bucket:
            return read_create(from);
        case Kind::destroy_bucket:
            return read_destroy(from);
        case Kind::set_properties:
            return read_set_properties(from);
        case Kind::set_value:
            return read_set_value(from);
        case Kind::rename_bucket:
            return read_rename(from);
        case Kind::set_values:
            return read_set_values(from);
    }
    return std::nullopt;
}

}  // namespace

Status check_command(const Command& command) {
    return std::visit(Checker{}, command);
}

std::vector<std::byte> encode_command(const Command& command) {
    std::vector<std::byte> bytes;
    std::visit(Encoder{bytes}, command);
    ASSERT(bytes.size() <= command_bytes_max);
    return bytes;
}

Result<Command> parse_command(Bytes bytes) {
    ByteReader from(bytes);
    const std::optional<uint16_t> version = from.read_le<uint16_t>();
    const std::optional<uint16_t> kind = from.read_le<uint16_t>();
    if (!version || !kind || *version == 0) {
        return fail(Errc::corrupt, "metadata command: its head is damaged");
    }
    if (*version > command_version_max) {
        return fail(Errc::invalid, "metadata command: written by a newer release");
    }
    if (*version != command_version(static_cast<Kind>(*kind))) {
        return fail(Errc::corrupt, "metadata command: its version is not its kind's");
    }
    std::optional<Command> command = read_command(static_cast<Kind>(*kind), from);
    if (!command || !from.is_empty()) {
        return fail(Errc::corrupt, "metadata command: its fields are damaged");
    }
    if (Status status = check_command(*command); !status) {
        return fail(Errc::corrupt, "metadata command: " + status.error().context);
    }
    return std::move(*command);
}

void append_text(std::vector<std::byte>& to, std::string_view text) {
    append_le(to, static_cast<uint32_t>(text.size()));
    const Bytes bytes = as_bytes(text);
    to.insert(to.end(), bytes.begin(), bytes.end());
}

void append_name(std::vector<std::byte>& to, const BucketName& name) {
    append_text(to, name.provider);
    append_text(to, name.namespace_uuid);
    append_text(to, name.namespace_name);
    append_text(to, name.name);
}

void append_properties(std::vector<std::byte>& to, const BucketProperties& properties) {
    append_le(to, std::to_underlying(properties.checksum));
    append_le(to, static_cast<uint8_t>(properties.is_versioned));
    append_le(to, std::to_underlying(properties.durability));
    append_le(to, uint8_t{0});
    append_le(to, properties.access);
    append_le(to, properties.features);
    append_text(to, properties.other_json);
}

std::optional<std::string> read_text(ByteReader& from, size_t bytes_max) {
    const std::optional<uint32_t> size = from.read_le<uint32_t>();
    if (!size || *size > bytes_max) return std::nullopt;
    const std::optional<Bytes> bytes = from.read_bytes(*size);
    if (!bytes) return std::nullopt;
    return std::string(as_text(*bytes));
}

std::optional<BucketName> read_name(ByteReader& from) {
    constexpr size_t part_bytes_max = 64;
    BucketName name;
    for (std::string* part :
         {&name.provider, &name.namespace_uuid, &name.namespace_name, &name.name}) {
        std::optional<std::string> text = read_text(from, part_bytes_max);
        if (!text) return std::nullopt;
        *part = std::move(*text);
    }
    return name;
}

std::optional<BucketProperties> read_properties(ByteReader& from) {
    const std::optional<uint8_t> checksum = from.read_le<uint8_t>();
    const std::optional<uint8_t> is_versioned = from.read_le<uint8_t>();
    const std::optional<uint8_t> durability = from.read_le<uint8_t>();
    const std::optional<uint8_t> zero = from.read_le<uint8_t>();
    const std::optional<uint64_t> access = from.read_le<uint64_t>();
    const std::optional<uint64_t> features = from.read_le<uint64_t>();
    std::optional<std::string> other_json = read_text(from, other_json_bytes_max);
    // A read that fails leaves the reader where it was, so a later one may succeed: check each.
    if (!checksum || !is_versioned || !durability || !access || !features || !other_json) {
        return std::nullopt;
    }
    if (zero != 0 || *is_versioned > 1) return std::nullopt;
    if (*checksum > std::to_underlying(ChecksumType::sha512)) return std::nullopt;
    if (*durability > std::to_underlying(Durability::none)) return std::nullopt;

    BucketProperties properties;
    properties.checksum = static_cast<ChecksumType>(*checksum);
    properties.is_versioned = *is_versioned == 1;
    properties.durability = static_cast<Durability>(*durability);
    properties.access = *access;
    properties.features = *features;
    properties.other_json = std::move(*other_json);
    return properties;
}

}  // namespace penstock::node
