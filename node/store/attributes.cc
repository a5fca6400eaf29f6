#include "node/store/attributes.h"

#include <algorithm>

#include "node/store/blocks.h"

namespace penstock::node {
namespace {

enum class Section : uint16_t {
    custom = 1,
    extent = 2,
    attachment = 3,
    stored_attachment = 4,
    stripes = 5,
};

constexpr size_t section_head_bytes = 8;
constexpr size_t extent_fixed_bytes = 56;

// Appends a section's head now and its length when it is done.
class SectionWriter {
public:
    SectionWriter(std::vector<std::byte>& to, Section type) : to_(to), begin_(to.size()) {
        append_le(to_, static_cast<uint16_t>(type));
        append_le(to_, uint16_t{0});
        append_le(to_, uint32_t{0});
    }
    void finish() {
        const size_t bytes = to_.size() - begin_ - section_head_bytes;
        store_le(to_.data() + begin_ + 4, static_cast<uint32_t>(bytes));
    }

private:
    std::vector<std::byte>& to_;
    size_t begin_;
};

void append_bytes(std::vector<std::byte>& to, Bytes bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

void append_custom(std::vector<std::byte>& to, const CustomMetadata& custom) {
    SectionWriter section(to, Section::custom);
    for (const auto& [key, value] : custom) {
        append_le(to, static_cast<uint32_t>(key.size()));
        append_bytes(to, as_bytes(key));
        append_le(to, static_cast<uint32_t>(value.size()));
        append_bytes(to, as_bytes(value));
    }
    section.finish();
}

void append_extent(std::vector<std::byte>& to, const Extent& extent) {
    SectionWriter section(to, Section::extent);
    append_le(to, extent.file.epoch);
    append_le(to, extent.file.number);
    append_le(to, extent.offset);
    append_le(to, extent.length);
    append_le(to, extent.file_content_bytes);
    append_le(to, extent.table_offset);
    append_le(to, extent.table_crc);
    append_le(to, extent.mountpath);
    for (const uint32_t sum : extent.blocks) append_le(to, sum);
    section.finish();
}

void append_stripes(std::vector<std::byte>& to, const StripeLayout& stripes) {
    SectionWriter section(to, Section::stripes);
    append_le(to, stripes.id.low);
    append_le(to, stripes.id.high);
    append_le(to, stripes.size_bytes);
    append_le(to, stripes.part_bytes);
    append_le(to, stripes.unit_bytes);
    append_le(to, stripes.width);
    for (const uint32_t number : stripes.numbers) append_le(to, number);
    section.finish();
}

std::optional<std::string> read_text(ByteReader& reader) {
    const std::optional<uint32_t> length = reader.read_le<uint32_t>();
    if (!length) return std::nullopt;
    const std::optional<Bytes> bytes = reader.read_bytes(*length);
    if (!bytes) return std::nullopt;
    return std::string(as_text(*bytes));
}

bool read_custom(ByteReader reader, CustomMetadata& custom) {
    while (!reader.is_empty()) {
        std::optional<std::string> key = read_text(reader);
        std::optional<std::string> value = read_text(reader);
        if (!key || !value) return false;
        custom.emplace_back(std::move(*key), std::move(*value));
    }
    return true;
}

bool is_possible(const Extent& extent) {
    constexpr uint64_t file_bytes_max = uint64_t{1} << 60;
    if (extent.file_content_bytes > file_bytes_max) return false;
    if (extent.length > extent.file_content_bytes) return false;
    if (extent.offset > extent.file_content_bytes - extent.length) return false;
    if (extent.table_offset > file_bytes_max) return false;
    if (extent.table_offset != 0) return extent.blocks.empty();
    return extent.blocks.size() == checked_block_count(extent.file_content_bytes);
}

bool read_extent(ByteReader reader, std::vector<Extent>& extents) {
    if (reader.rest().size() < extent_fixed_bytes) return false;
    Extent extent;
    extent.file.epoch = *reader.read_le<uint64_t>();
    extent.file.number = *reader.read_le<uint64_t>();
    extent.offset = *reader.read_le<uint64_t>();
    extent.length = *reader.read_le<uint64_t>();
    extent.file_content_bytes = *reader.read_le<uint64_t>();
    extent.table_offset = *reader.read_le<uint64_t>();
    extent.table_crc = *reader.read_le<uint32_t>();
    extent.mountpath = *reader.read_le<uint32_t>();
    extent.blocks.reserve(reader.rest().size() / 4);
    while (const std::optional<uint32_t> sum = reader.read_le<uint32_t>()) {
        extent.blocks.push_back(*sum);
    }
    if (!reader.is_empty() || !is_possible(extent)) return false;
    extents.push_back(std::move(extent));
    return true;
}

bool read_stored_attachment(ByteReader reader, std::optional<StoredAttachment>& stored) {
    constexpr size_t stored_bytes = 40;
    if (reader.rest().size() != stored_bytes) return false;
    stored.emplace();
    stored->file.epoch = *reader.read_le<uint64_t>();
    stored->file.number = *reader.read_le<uint64_t>();
    stored->offset = *reader.read_le<uint64_t>();
    stored->bytes = *reader.read_le<uint64_t>();
    stored->crc = *reader.read_le<uint32_t>();
    return true;
}

// The stripes as they are read, and how many there must be.
struct StripesRead {
    StripeLayouts layouts;
    uint64_t bytes = 0;
    std::optional<uint32_t> announced;

    bool is_whole() const { return layouts.size() == announced.value_or(!layouts.empty()); }
};

bool read_stripes(ByteReader reader, StripesRead& stripes) {
    constexpr size_t count_bytes = 4;
    constexpr size_t fixed_bytes = 40;
    if (reader.rest().size() == count_bytes) {
        if (stripes.announced || !stripes.layouts.empty()) return false;
        stripes.announced = reader.read_le<uint32_t>();
        return true;
    }
    if (reader.rest().size() < fixed_bytes) return false;
    StripeLayout layout;
    layout.id.low = *reader.read_le<uint64_t>();
    layout.id.high = *reader.read_le<uint64_t>();
    layout.size_bytes = *reader.read_le<uint64_t>();
    layout.part_bytes = *reader.read_le<uint64_t>();
    layout.unit_bytes = *reader.read_le<uint32_t>();
    layout.width = *reader.read_le<uint32_t>();
    layout.numbers.reserve(reader.rest().size() / 4);
    while (const std::optional<uint32_t> number = reader.read_le<uint32_t>()) {
        layout.numbers.push_back(*number);
    }
    if (!reader.is_empty() || !layout.is_possible()) return false;
    stripes.bytes += layout.size_bytes;
    stripes.layouts.push_back(std::move(layout));
    return stripes.bytes <= striped_bytes_max;
}

bool read_section(uint16_t type, Bytes bytes, Attributes& attributes, StripesRead& stripes) {
    switch (static_cast<Section>(type)) {
        case Section::custom:
            return read_custom(ByteReader(bytes), attributes.custom);
        case Section::extent:
            return read_extent(ByteReader(bytes), attributes.extents);
        case Section::attachment:
            attributes.attachment.assign(bytes.begin(), bytes.end());
            return true;
        case Section::stored_attachment:
            return read_stored_attachment(ByteReader(bytes), attributes.stored_attachment);
        case Section::stripes:
            return read_stripes(ByteReader(bytes), stripes);
    }
    return true;
}

}  // namespace

std::vector<FileId> files_of(const Attributes& attributes) {
    std::vector<FileId> files;
    for (const Extent& extent : attributes.extents) files.push_back(extent.file);
    if (attributes.stored_attachment) files.push_back(attributes.stored_attachment->file);
    std::ranges::sort(files);
    const auto repeated = std::ranges::unique(files);
    files.erase(repeated.begin(), repeated.end());
    return files;
}

std::vector<std::byte> encode_attributes(const Attributes& attributes) {
    std::vector<std::byte> bytes;
    if (!attributes.custom.empty()) append_custom(bytes, attributes.custom);
    for (const Extent& extent : attributes.extents) append_extent(bytes, extent);
    if (!attributes.attachment.empty()) {
        SectionWriter section(bytes, Section::attachment);
        append_bytes(bytes, attributes.attachment);
        section.finish();
    }
    if (attributes.stored_attachment) {
        SectionWriter section(bytes, Section::stored_attachment);
        append_le(bytes, attributes.stored_attachment->file.epoch);
        append_le(bytes, attributes.stored_attachment->file.number);
        append_le(bytes, attributes.stored_attachment->offset);
        append_le(bytes, attributes.stored_attachment->bytes);
        append_le(bytes, attributes.stored_attachment->crc);
        append_le(bytes, uint32_t{0});
        section.finish();
    }
    if (!attributes.stripes) return bytes;
    if (attributes.stripes->size() > 1) {
        SectionWriter section(bytes, Section::stripes);
        append_le(bytes, static_cast<uint32_t>(attributes.stripes->size()));
        section.finish();
    }
    for (const StripeLayout& layout : *attributes.stripes) append_stripes(bytes, layout);
    return bytes;
}

std::optional<Attributes> parse_attributes(Bytes bytes) {
    Attributes attributes;
    StripesRead stripes;
    ByteReader reader(bytes);
    while (!reader.is_empty()) {
        const std::optional<uint16_t> type = reader.read_le<uint16_t>();
        const std::optional<uint16_t> zero = reader.read_le<uint16_t>();
        const std::optional<uint32_t> length = reader.read_le<uint32_t>();
        if (!type || !zero || !length) return std::nullopt;
        const std::optional<Bytes> content = reader.read_bytes(*length);
        if (!content || !read_section(*type, *content, attributes, stripes)) return std::nullopt;
    }
    if (!stripes.is_whole()) return std::nullopt;
    if (!stripes.layouts.empty()) {
        attributes.stripes = std::make_shared<const StripeLayouts>(std::move(stripes.layouts));
    }
    return attributes;
}

}  // namespace penstock::node
