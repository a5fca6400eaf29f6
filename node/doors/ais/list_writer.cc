#include "node/doors/ais/list_writer.h"

#include <bit>

#include "io/base/bytes.h"
#include "node/doors/ais/checksums.h"
#include "node/doors/ais/text.h"

namespace penstock::node::ais {
namespace {

// Big-endian number behind a type byte.
template <typename T>
char* put_big(char* to, uint8_t type, T value) {
    *to++ = static_cast<char>(type);
    const T swapped = std::byteswap(value);
    std::memcpy(to, &swapped, sizeof swapped);
    return to + sizeof swapped;
}

// The few forms of MessagePack that a listing needs (msgpack.org specification).
class Packer {
public:
    explicit Packer(ChunkWriter& out) : out_(out) {}

    void small_map(uint32_t count) { byte(static_cast<uint8_t>(0x80 | count)); }
    void array(uint32_t count) { out_.advance(put_big(out_.room(5), 0xDD, count)); }
    void number(uint64_t value) { out_.advance(put_number(out_.room(9), value)); }

    // A key of at most 31 bytes, and behind it the value.
    void field(std::string_view key, uint64_t value) {
        char* to = put_short(out_.room(64), key);
        out_.advance(put_number(to, value));
    }
    void field(std::string_view key, std::string_view value, std::string_view more = {}) {
        // A slash joins the two parts of a member's name.
        const size_t joint = more.empty() ? 0 : 1;
        const size_t size = value.size() + joint + more.size();
        if (size > in_place_bytes_max) return long_field(key, value, more);
        char* to = put_short(out_.room(static_cast<uint32_t>(size) + 64), key);
        to = put_text_head(to, size);
        std::memcpy(to, value.data(), value.size());
        to += value.size();
        if (joint != 0) {
            *to++ = '/';
            std::memcpy(to, more.data(), more.size());
            to += more.size();
        }
        out_.advance(to);
    }
    void key(std::string_view text) { out_.advance(put_short(out_.room(64), text)); }

private:
    static constexpr size_t in_place_bytes_max = 32 << 10;

    void byte(uint8_t value) {
        char* to = out_.room(1);
        *to = static_cast<char>(value);
        out_.advance(to + 1);
    }
    static char* put_short(char* to, std::string_view text) {
        *to++ = static_cast<char>(0xA0 | text.size());
        std::memcpy(to, text.data(), text.size());
        return to + text.size();
    }
    static char* put_text_head(char* to, size_t size) {
        if (size < 32) {
            *to++ = static_cast<char>(0xA0 | size);
            return to;
        }
        if (size <= UINT8_MAX) return put_big(to, 0xD9, static_cast<uint8_t>(size));
        if (size <= UINT16_MAX) return put_big(to, 0xDA, static_cast<uint16_t>(size));
        return put_big(to, 0xDB, static_cast<uint32_t>(size));
    }
    static char* put_number(char* to, uint64_t value) {
        if (value < 128) {
            *to++ = static_cast<char>(value);
            return to;
        }
        if (value <= UINT8_MAX) return put_big(to, 0xCC, static_cast<uint8_t>(value));
        if (value <= UINT16_MAX) return put_big(to, 0xCD, static_cast<uint16_t>(value));
        if (value <= UINT32_MAX) return put_big(to, 0xCE, static_cast<uint32_t>(value));
        return put_big(to, 0xCF, value);
    }
    void long_field(std::string_view key, std::string_view value, std::string_view more) {
        const size_t joint = more.empty() ? 0 : 1;
        char* to = put_short(out_.room(64), key);
        out_.advance(put_text_head(to, value.size() + joint + more.size()));
        out_.append(value);
        if (joint != 0) out_.append("/");
        out_.append(more);
    }

    ChunkWriter& out_;
};

// The columns of one row that take more than the catalogue.
struct Details {
    std::string checksum, atime, version, custom;
};

std::string custom_text(const CustomMetadata& custom) {
    if (custom.empty()) return "";
    std::string text = "[";
    for (const auto& [key, value] : custom) {
        if (text.size() > 1) text += ' ';
        text += key + ':' + value;
    }
    return text + ']';
}

Details details_of(const ObjectAttributes& attributes, const ListContext& context) {
    Details details;
    const ListColumns& columns = context.columns;
    if (columns.has_checksum) details.checksum = hex_from_bytes(attributes.checksum.bytes());
    if (columns.has_atime) details.atime = go_time(attributes.modified_ns, context.time_format);
    if (columns.has_version && context.properties.is_versioned) {
        append_number(details.version, attributes.display_version);
    }
    if (columns.has_custom) details.custom = custom_text(attributes.custom);
    return details;
}

bool is_object(const ListRow& row) {
    return (row.flags & (entry_directory | entry_in_archive)) == 0;
}

// The columns of a row that are not empty: MessagePack wants their number first.
struct Fields {
    Details details;
    bool has_size, has_location, has_copies;
    uint32_t count;
};

Fields fields_of(const ListRow& row, const ListContext& context) {
    const ListColumns& columns = context.columns;
    Fields fields{{}, false, false, false, 2};
    if (row.attributes != nullptr) fields.details = details_of(*row.attributes, context);
    fields.has_size = columns.has_size && row.size_bytes != 0;
    fields.has_location = columns.has_location && is_object(row);
    fields.has_copies = columns.has_copies && is_object(row);
    for (const std::string* text : {&fields.details.checksum, &fields.details.atime,
                                    &fields.details.version, &fields.details.custom}) {
        if (!text->empty()) ++fields.count;
    }
    fields.count += uint32_t{fields.has_size} + fields.has_location + fields.has_copies;
    return fields;
}

void pack_full_row(Packer& packer, const ListRow& row, const ListContext& context) {
    const Fields fields = fields_of(row, context);
    const Details& details = fields.details;
    packer.small_map(fields.count);
    packer.field("n", row.object, row.member);
    if (!details.checksum.empty()) packer.field("cs", details.checksum);
    if (!details.atime.empty()) packer.field("a", details.atime);
    if (!details.version.empty()) packer.field("v", details.version);
    if (fields.has_location) packer.field("t", context.location);
    if (!details.custom.empty()) packer.field("m", details.custom);
    if (fields.has_size) packer.field("s", row.size_bytes);
    if (fields.has_copies) packer.field("c", 1);
    packer.field("f", row.flags);
}

// Name, size and flags: what almost every listing asks for.
void pack_short_row(Packer& packer, const ListRow& row, bool has_size) {
    const bool writes_size = has_size && row.size_bytes != 0;
    packer.small_map(writes_size ? 3 : 2);
    packer.field("n", row.object, row.member);
    if (writes_size) packer.field("s", row.size_bytes);
    packer.field("f", row.flags);
}

bool is_short(const ListColumns& columns) {
    return !columns.needs_attributes() && !columns.has_location && !columns.has_copies;
}

void append_pair(std::string& to, std::string_view key, std::string_view value) {
    if (value.empty()) return;
    if (to.back() != '{') to += ',';
    append_json_string(to, key);
    to += ':';
    append_json_string(to, value);
}

void append_json_row(std::string& to, const ListRow& row, const ListContext& context) {
    const Fields fields = fields_of(row, context);
    std::string name(row.object);
    if (!row.member.empty()) name.append("/").append(row.member);
    to += '{';
    append_pair(to, "name", name);
    append_pair(to, "checksum", fields.details.checksum);
    append_pair(to, "atime", fields.details.atime);
    append_pair(to, "version", fields.details.version);
    if (fields.has_location) append_pair(to, "location", context.location);
    append_pair(to, "custom-md", fields.details.custom);
    if (fields.has_size) append_pair(to, "size", std::to_string(row.size_bytes));
    if (fields.has_copies) to += ",\"copies\":1";
    to += ",\"flags\":";
    append_number(to, row.flags);
    to += '}';
}

uint64_t expected_bytes(const ListAnswer& answer) {
    constexpr uint64_t row_bytes = 24;  // beside the name
    uint64_t bytes = 4096;
    for (const ListRow& row : answer.rows)
        bytes += row.object.size() + row.member.size() + row_bytes;
    return bytes;
}

}  // namespace

io::Body write_msgpack(io::BufferPool& pool, const ListAnswer& answer, const ListContext& context) {
    ChunkWriter writer(pool, expected_bytes(answer));
    Packer packer(writer);
    packer.small_map(4);
    packer.field("UUID", answer.uuid);
    packer.field("ContinuationToken", answer.token);
    packer.key("Entries");
    packer.array(static_cast<uint32_t>(answer.rows.size()));
    const bool has_short_rows = is_short(context.columns);
    for (const ListRow& row : answer.rows) {
        if (has_short_rows) {
            pack_short_row(packer, row, context.columns.has_size);
        } else {
            pack_full_row(packer, row, context);
        }
    }
    packer.field("Flags", 0);
    return writer.finish();
}

io::Body write_json(io::BufferPool& pool, const ListAnswer& answer, const ListContext& context) {
    ChunkWriter writer(pool, expected_bytes(answer) * 2);
    std::string text = "{\"uuid\":";
    append_json_string(text, answer.uuid);
    text += ",\"continuation_token\":";
    append_json_string(text, answer.token);
    text += ",\"entries\":[";
    for (const ListRow& row : answer.rows) {
        if (&row != answer.rows.data()) text += ',';
        append_json_row(text, row, context);
        writer.append(text);
        text.clear();
    }
    writer.append(text);
    writer.append("],\"flags\":0}\n");
    return writer.finish();
}

}  // namespace penstock::node::ais
