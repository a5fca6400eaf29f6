#include "node/store/quarantine.h"

#include <fmt/format.h>

#include <vector>

#include "node/store/segment.h"

namespace penstock::node {
namespace {

constexpr const char* report_path = "quarantine/report.jsonl";

// Text as JSON has it; bytes outside ASCII as \u00XX, so that any name can be told.
std::string json_text(std::string_view text) {
    std::string result = "\"";
    for (const char byte : text) {
        const auto value = static_cast<unsigned char>(byte);
        if (byte == '"' || byte == '\\') {
            result += '\\';
            result += byte;
        } else if (value < 0x20 || value >= 0x7F) {
            result += fmt::format("\\u{:04x}", unsigned{value});
        } else {
            result += byte;
        }
    }
    return result + '"';
}

}  // namespace

io::Task<Status> Quarantine::keep(QuarantineEntry entry) {
    co_return co_await disk_.pool().run(disk_.reactor(),
                                        [this, &entry] { return keep_now(entry); });
}

Status Quarantine::keep_now(const QuarantineEntry& entry) {
    TRY_STATUS(open_directory());
    const uint64_t bytes = entry.place.record_bytes();
    if (*kept_bytes_ + bytes > quarantine_bytes_max) {
        return fail(Errc::full, "quarantine/ is full: look at its report, and move it away");
    }
    const std::string path = fmt::format("{}/{:010}-{:07}.record", quarantine_directory,
                                         entry.place.segment, entry.place.offset_blocks);
    TRY_STATUS(write_record(entry, path));
    TRY_STATUS(write_report(entry, path));
    *kept_bytes_ += bytes;
    return disk_.blocking().sync_directory(quarantine_directory);
}

Status Quarantine::open_directory() {
    if (kept_bytes_) return {};
    io::BlockingDisk& disk = disk_.blocking();
    const Status made = disk.make_directory(quarantine_directory);
    if (!made && made.error().code != Errc::exists) return made;
    TRY_STATUS(disk.sync_directory(""));
    uint64_t bytes = 0;
    TRY(const std::vector<io::DirectoryEntry> entries, disk.list(quarantine_directory));
    for (const io::DirectoryEntry& entry : entries) {
        if (entry.is_directory) continue;
        const auto file =
            disk.open(std::string(quarantine_directory) + "/" + entry.name, io::OpenMode::read);
        if (!file) continue;  // moved away
        TRY(const uint64_t size, (*file)->size_bytes());
        bytes += size;
    }
    kept_bytes_ = bytes;
    return {};
}

Status Quarantine::write_record(const QuarantineEntry& entry, const std::string& path) {
    io::BlockingDisk& disk = disk_.blocking();
    TRY(const auto segment, disk.open(segment_path(entry.place.segment), io::OpenMode::read));
    std::vector<std::byte> bytes(entry.place.record_bytes());
    TRY(const size_t count, segment->read(bytes, entry.place.offset_bytes()));
    // One that a crash left half-written, before its record was given up.
    const Status removed = disk.remove(path);
    if (!removed && removed.error().code != Errc::not_found) return removed;
    TRY(const auto file, disk.open(path, io::OpenMode::create));
    TRY_STATUS(file->write_exactly(Bytes(bytes).first(count), 0));
    return file->sync();
}

Status Quarantine::write_report(const QuarantineEntry& entry, const std::string& path) {
    return report(fmt::format(
        "{{\"time_ns\":{},\"bucket\":{},\"object\":{},\"content_bytes\":{},\"segment\":{},"
        "\"offset\":{},\"bytes\":{},\"file\":{}}}\n",
        entry.found_ns, entry.bucket.value, json_text(entry.object), entry.content_bytes,
        entry.place.segment, entry.place.offset_bytes(), entry.place.record_bytes(),
        json_text(path)));
}

io::Task<Status> Quarantine::keep_segment(uint32_t number, uint64_t file_bytes, uint64_t found_ns) {
    co_return co_await disk_.pool().run(disk_.reactor(), [this, number, file_bytes, found_ns] {
        return keep_segment_now(number, file_bytes, found_ns);
    });
}

Status Quarantine::keep_segment_now(uint32_t number, uint64_t file_bytes, uint64_t found_ns) {
    TRY_STATUS(open_directory());
    if (*kept_bytes_ + file_bytes > quarantine_bytes_max) {
        return fail(Errc::full, "quarantine/ is full: look at its report, and move it away");
    }
    const std::string path = fmt::format("{}/{:010}.tar", quarantine_directory, number);
    TRY_STATUS(report(fmt::format("{{\"time_ns\":{},\"segment\":{},\"bytes\":{},\"file\":{}}}\n",
                                  found_ns, number, file_bytes, json_text(path))));
    TRY_STATUS(disk_.blocking().rename(segment_path(number), path));
    *kept_bytes_ += file_bytes;
    return disk_.blocking().sync_directory(quarantine_directory);
}

Status Quarantine::report(const std::string& line) {
    io::BlockingDisk& disk = disk_.blocking();
    auto file = disk.open(report_path, io::OpenMode::write);
    if (!file && file.error().code == Errc::not_found) {
        file = disk.open(report_path, io::OpenMode::create);
    }
    if (!file) return fail(file.error());
    TRY(const uint64_t end, (*file)->size_bytes());
    TRY_STATUS((*file)->write_exactly(as_bytes(line), end));
    return (*file)->sync();
}

}  // namespace penstock::node
