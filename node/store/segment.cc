#include "node/store/segment.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/units.h"
#include "io/buffer_pool.h"

namespace penstock::node {
namespace {

constexpr size_t number_digits = 10;
constexpr std::string_view extension = ".tar";
constexpr const char* new_segment_path = "segment.new";

// Past the page cache: through it, these zeros were a quarter of what a small durable PUT cost.
Status fill_with_zeros(io::BlockingFile& file, uint64_t bytes) {
    io::BufferPool memory(0);
    io::Buffer zeros = memory.take(static_cast<uint32_t>(std::min<uint64_t>(bytes, 1_MiB)));
    std::ranges::fill(zeros.bytes(), std::byte{0});
    for (uint64_t at = 0; at < bytes; at += zeros.size()) {
        const uint64_t part = std::min<uint64_t>(zeros.size(), bytes - at);
        TRY_STATUS(file.write_exactly(zeros.bytes().first(part), at));
    }
    return file.sync();
}

}  // namespace

std::string segment_path(uint32_t number) {
    return fmt::format("{}/{:010}{}", log_directory, number, extension);
}

std::optional<uint32_t> segment_number(std::string_view file_name) {
    if (file_name.size() != number_digits + extension.size()) return std::nullopt;
    if (!file_name.ends_with(extension)) return std::nullopt;
    uint64_t number = 0;
    for (const char digit : file_name.substr(0, number_digits)) {
        if (digit < '0' || digit > '9') return std::nullopt;
        number = number * 10 + static_cast<uint64_t>(digit - '0');
    }
    if (number == 0 || number > UINT32_MAX) return std::nullopt;
    return static_cast<uint32_t>(number);
}

Status create_segment(io::BlockingDisk& disk, uint32_t number, uint64_t bytes) {
    // Twice the most, for a segment that takes over a whole other one's records.
    ASSERT(bytes > 0 && bytes <= 2 * segment_bytes_max && bytes % io::direct_alignment == 0);
    // Under another name until it is whole: `log` holds archives at any time, and an empty file is
    // none. What a crash left of an earlier one is in the way.
    const Status removed = disk.remove(new_segment_path);
    if (!removed && removed.error().code != Errc::not_found) return removed;
    const auto make = [&]() -> Status {
        {
            TRY(const auto file, disk.open(new_segment_path, io::OpenMode::create_direct));
            TRY_STATUS(fill_with_zeros(*file, bytes));
        }
        TRY_STATUS(disk.rename(new_segment_path, segment_path(number)));
        TRY_STATUS(disk.sync_directory(log_directory));
        return disk.sync_directory("");
    };
    const Status made = make();
    // The first error is the one to tell; a file that cannot be removed is swept at the next start.
    if (!made && !disk.remove(segment_path(number))) (void)disk.remove(new_segment_path);
    return made;
}

uint64_t default_segment_bytes(uint64_t capacity_bytes) {
    const uint64_t bytes = std::clamp(capacity_bytes / 64, segment_bytes_min, segment_bytes_max);
    return round_down(bytes, 4_KiB);
}

}  // namespace penstock::node
