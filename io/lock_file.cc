#include "io/lock_file.h"

#include <unistd.h>

#include <array>

namespace penstock::io {
namespace {

Result<std::unique_ptr<BlockingFile>> open_or_create(BlockingDisk& disk, const std::string& path) {
    auto file = disk.open(path, OpenMode::write);
    if (file || file.error().code != Errc::not_found) return file;
    file = disk.open(path, OpenMode::create);
    if (file || file.error().code != Errc::exists) return file;
    return disk.open(path, OpenMode::write);
}

// Digits up to the end of the line; "?" if it says nothing.
std::string holder_of(BlockingFile& file) {
    std::array<std::byte, 20> bytes{};
    const size_t size = file.read(bytes, 0).value_or(0);
    const std::string_view text = as_text(Bytes(bytes).first(size));
    const size_t end = text.find_first_not_of("0123456789");
    return end == 0 || text.empty() ? "?" : std::string(text.substr(0, end));
}

}  // namespace

Result<std::unique_ptr<BlockingFile>> lock_file(BlockingDisk& disk, const std::string& path) {
    TRY(std::unique_ptr<BlockingFile> file, open_or_create(disk, path));
    if (const Status locked = file->lock_exclusively(); !locked) {
        if (locked.error().code != Errc::unavailable) return fail(locked.error());
        return fail(Errc::unavailable,
                    "the data directory is in use by process " + holder_of(*file));
    }
    // Only for the message above. Cut behind what was written, never to nothing: ext4 writes a file
    // out when it is closed that was empty in between (auto_da_alloc), and so waits for its device.
    const std::string pid = std::to_string(getpid()) + "\n";
    TRY_STATUS(file->write_exactly(as_bytes(pid), 0));
    TRY_STATUS(file->truncate(pid.size()));
    return file;
}

}  // namespace penstock::io
