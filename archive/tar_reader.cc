#include "archive/tar_reader.h"

#include <algorithm>
#include <cstring>

#include "io/base/units.h"

namespace penstock::archive {
namespace {

constexpr size_t buffer_bytes = 1 << 20;
constexpr uint64_t extension_bytes_max = 1 << 20;
constexpr size_t name_bytes_max = 8192;
constexpr size_t modified_field_at = 136;
constexpr size_t modified_field_bytes = 12;

bool is_extension(char type) {
    return type == 'x' || type == 'X' || type == 'g' || type == 'L' || type == 'K';
}

// GNU's long name: text up to the first NUL.
std::string text_of(Bytes bytes) {
    const std::string_view text = as_text(bytes);
    return std::string(text.substr(0, text.find('\0')));
}

}  // namespace

TarReader::TarReader(Read read) : read_(std::move(read)), buffer_(buffer_bytes) {}

std::unexpected<Error> TarReader::damaged(const char* what) const {
    return fail(Errc::corrupt, "TAR at offset " + std::to_string(offset_) + ": " + what);
}

// At least `count` bytes lie in the buffer afterwards, or the stream has ended.
Status TarReader::fill(size_t count) {
    ASSERT(count <= buffer_.size());
    if (buffer_.size() - begin_ < count) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    while (end_ - begin_ < count && !is_at_end_) {
        TRY(const size_t got, read_(MutableBytes(buffer_).subspan(end_)));
        if (got > buffer_.size() - end_) return fail(Errc::invalid, "more was read than asked for");
        end_ += got;
        is_at_end_ = got == 0;
    }
    return {};
}

Result<Bytes> TarReader::take(size_t count) {
    TRY_STATUS(fill(count));
    if (end_ - begin_ < count) return damaged("it ends here, before its end mark");
    const Bytes bytes = Bytes(buffer_).subspan(begin_, count);
    begin_ += count;
    offset_ += count;
    return bytes;
}

Status TarReader::skip_to(uint64_t offset) {
    while (offset_ < offset) {
        if (begin_ == end_) TRY_STATUS(fill(1));
        if (begin_ == end_) return damaged("it ends here, in the content of an entry");
        const auto count = static_cast<size_t>(std::min<uint64_t>(end_ - begin_, offset - offset_));
        begin_ += count;
        offset_ += count;
    }
    return {};
}

// The header's own extension: its content is read here.
Status TarReader::take_extension(const TarHeader& header, TarItem& item, bool& has_size) {
    const char type = header.type;
    const uint64_t size = header.size;
    if (size > extension_bytes_max - tar_block_bytes) return damaged("an extension above 1 MiB");
    TRY(const Bytes padded, take(static_cast<size_t>(round_up(size, uint64_t{tar_block_bytes}))));
    const Bytes content = padded.first(static_cast<size_t>(size));
    if (type == 'L') item.name = text_of(content);
    if (type != 'x' && type != 'X') return {};  // global ones name no file
    std::optional<PaxValues> values = parse_pax_values(content);
    if (!values) return damaged("a PAX header that makes no sense");
    if (values->path) item.name = std::move(*values->path);
    if (values->comment) item.comment = std::move(*values->comment);
    if (values->is_sparse) item.is_sparse = true;
    if (values->size) {
        item.size = *values->size;
        has_size = true;
    }
    return {};
}

Result<std::optional<TarItem>> TarReader::next() {
    TRY_STATUS(skip_to(content_end_));
    content_left_ = 0;
    TarItem item;
    bool has_size = false;
    for (;;) {
        TRY(const Bytes block, take(tar_block_bytes));
        if (is_zero_block(block)) return std::nullopt;
        const std::optional<TarHeader> header = parse_tar_header(block);
        if (!header) return damaged("no header of an entry");
        if (is_extension(header->type)) {
            TRY_STATUS(take_extension(*header, item, has_size));
            continue;
        }
        if (item.name.empty()) header->path_into(item.name);
        if (item.name.size() > name_bytes_max) return damaged("a name above 8 KiB");
        if (!has_size) item.size = header->size;
        item.modified_s =
            parse_tar_number(block.subspan(modified_field_at, modified_field_bytes)).value_or(0);
        item.is_directory = header->type == '5' || item.name.ends_with('/');
        item.is_sparse = item.is_sparse || header->type == 'S';
        const bool is_plain = header->type == '0' || header->type == '\0' || header->type == '7';
        item.is_file = is_plain && !item.is_directory;
        // Links and devices say a size at times and have no content.
        if (!is_plain && header->type != 'S') item.size = 0;
        bool has_more = header->has_sparse_blocks;
        while (has_more) {
            TRY(const Bytes more, take(tar_block_bytes));
            has_more = has_next_sparse_block(more);
        }
        break;
    }
    if (item.size > tar_number_max) return damaged("an impossible size");
    content_left_ = item.size;
    content_end_ = offset_ + round_up(item.size, uint64_t{tar_block_bytes});
    return item;
}

Result<size_t> TarReader::read(MutableBytes to) {
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(to.size(), content_left_));
    if (wanted == 0) return 0;
    if (begin_ == end_) TRY_STATUS(fill(1));
    if (begin_ == end_) return damaged("it ends here, in the content of an entry");
    const size_t count = std::min(wanted, end_ - begin_);
    std::memcpy(to.data(), buffer_.data() + begin_, count);
    begin_ += count;
    offset_ += count;
    content_left_ -= count;
    return count;
}

}  // namespace penstock::archive
