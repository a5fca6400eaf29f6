// A large object's file as a whole, for somebody who will read it without us: every block is read
// through the page cache and verified before the file is handed out. What this core has verified
// since it opened the file is not read again.
#include <algorithm>

#include "node/store/reader.h"

namespace penstock::node {
namespace {

// A few blocks at a time, so that others come to their turn in between.
constexpr uint64_t step_bytes = 4 * checked_block_bytes;

}  // namespace

io::Task<Result<std::optional<OpenedObject>>> Reader::open_file(ObjectName name, Place place) {
    CO_TRY(const ReadRecord record, co_await read_record_of(name, place));
    if (record.header.head.kind != RecordKind::extents) co_return std::nullopt;
    CO_TRY(Attributes attributes, attributes_of(record));
    if (attributes.extents.size() != 1) co_return std::nullopt;
    const Extent& extent = attributes.extents.front();
    const bool is_whole = extent.offset == 0 && extent.length == extent.file_content_bytes &&
                          extent.length == record.header.head.content_bytes;
    if (!is_whole) co_return std::nullopt;

    CO_TRY(const std::shared_ptr<OpenFile> file, co_await open_extent(extent));
    const int descriptor = file->file->descriptor();
    if (descriptor < 0) co_return std::nullopt;
    for (uint64_t offset = 0; offset < extent.length; offset += step_bytes) {
        const uint64_t size = std::min(step_bytes, extent.length - offset);
        if (file->verified.are_marked(offset, size)) continue;
        CO_TRY_STATUS(co_await read_blocks(file, *file->file, extent.file, extent.length, offset,
                                           static_cast<uint32_t>(size)));
        co_await core_.reactor->yield();
    }
    OpenedObject opened;
    opened.range = {0, extent.length};
    opened.body = io::Body(io::FileRange{descriptor, 0, extent.length, file});
    opened.attributes = attributes_from(record.header.head, std::move(attributes.custom));
    co_return std::optional<OpenedObject>(std::move(opened));
}

}  // namespace penstock::node
