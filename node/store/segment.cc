#include "node/store/segment.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/units.h"

namespace penstock::node {
namespace {

constexpr size_t number_digits = 10;
constexpr std::string_view extension = ".tar";
constexpr const char* new_segment_path = "segment.new";

// Past the page cache: through it, these zeros were a quarter of what a small durable PUT cost.
// Between two pieces the device is others' for as long as the piece took, unless it is urgent.
io::Task<Status> fill_with_zeros(io::File& file, uint64_t bytes, const SegmentMaking& making) {
    io::Buffer zeros = making.buffers.take(static_cast<uint32_t>(std::min<uint64_t>(bytes, 1_MiB)));
    std::ranges::fill(zeros.bytes(), std::byte{0});
    io::Reactor& reactor = making.disk.reactor();
    for (uint64_t at = 0; at < bytes; at += zeros.size()) {
        const uint64_t begun_ns = reactor.now_ns();
        const uint64_t part = std::min<uint64_t>(zeros.size(), bytes - at);
        CO_TRY_STATUS(co_await file.write_exactly(zeros.bytes().first(part), at));
        if (making.is_urgent(at + part)) continue;
        const uint64_t pause_ns = reactor.now_ns() - begun_ns;
        if (co_await reactor.sleep(reactor.within_ns(pause_ns, &making.cancel)) != 0) {
            co_return fail(Errc::unavailable, "stopping");
        }
    }
    co_return co_await file.sync();
}

// Under another name until it is whole: `log` holds archives at any time, and an empty file is
// none. What a crash left of an earlier one is in the way.
io::Task<Status> make_segment(uint32_t number, uint64_t bytes, const SegmentMaking& making) {
    const Status removed = co_await making.disk.remove(new_segment_path);
    if (!removed && removed.error().code != Errc::not_found) co_return removed;
    {
        CO_TRY(const auto file,
               co_await making.disk.open(new_segment_path, io::OpenMode::create_direct));
        CO_TRY_STATUS(co_await fill_with_zeros(*file, bytes, making));
    }
    CO_TRY_STATUS(co_await making.disk.rename(new_segment_path, segment_path(number)));
    CO_TRY_STATUS(co_await making.disk.sync_directory(log_directory));
    co_return co_await making.disk.sync_directory("");
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

io::Task<Status> create_segment(uint32_t number, uint64_t bytes, const SegmentMaking& making) {
    // Twice the most, for a segment that takes over a whole other one's records.
    ASSERT(bytes > 0 && bytes <= 2 * segment_bytes_max && bytes % io::direct_alignment == 0);
    const Status made = co_await make_segment(number, bytes, making);
    // The first error is the one to tell; a file that cannot be removed is swept at the next start.
    if (!made && !co_await making.disk.remove(segment_path(number))) {
        (void)co_await making.disk.remove(new_segment_path);
    }
    co_return made;
}

uint64_t default_segment_bytes(uint64_t capacity_bytes) {
    const uint64_t bytes = std::clamp(capacity_bytes / 64, segment_bytes_min, segment_bytes_max);
    return round_down(bytes, 4_KiB);
}

}  // namespace penstock::node
