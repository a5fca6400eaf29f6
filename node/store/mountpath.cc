#include "node/store/mountpath.h"

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <string_view>

#include "io/base/bytes.h"
#include "io/base/random.h"
#include "io/lock_file.h"
#include "node/store/hex_number.h"
#include "node/store/object_file.h"
#include "node/store/segment.h"

namespace penstock::node {
namespace {

constexpr const char* lock_path = "lock";
constexpr const char* format_path = "format";
constexpr const char* new_format_path = "format.new";
constexpr size_t text_bytes_max = 512;

Result<std::string> read_text(io::BlockingFile& file) {
    std::string text(text_bytes_max, '\0');
    size_t filled = 0;
    while (filled < text.size()) {
        const MutableBytes rest(reinterpret_cast<std::byte*>(text.data()) + filled,
                                text.size() - filled);
        TRY(const size_t count, file.read(rest, filled));
        if (count == 0) break;
        filled += count;
    }
    text.resize(filled);
    return text;
}

// The rest of the line at the front of `text` behind `key` and a space.
std::optional<std::string_view> take_line(std::string_view& text, std::string_view key) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') {
        return std::nullopt;
    }
    return line.substr(key.size() + 1);
}

std::string format_text(const MountpathIdentity& identity) {
    std::string text =
        fmt::format("penstock {}\nid {:016x}{:016x}\nkey {:016x}\n", directory_format,
                    identity.id.high, identity.id.low, identity.key);
    text += fmt::format("crc {:08x}\n", crc32c(as_bytes(text)));
    return text;
}

Result<MountpathIdentity> parse_format(std::string_view text) {
    const auto damaged = fail(Errc::corrupt, "the data directory's file `format` is damaged");
    std::string_view rest = text;
    const auto version = take_line(rest, "penstock");
    if (!version) return damaged;
    uint32_t number = 0;
    const auto [end, error] =
        std::from_chars(version->data(), version->data() + version->size(), number);
    if (error != std::errc() || end != version->data() + version->size()) return damaged;
    if (number > directory_format) {
        return fail(Errc::invalid,
                    fmt::format("the data directory has format {}, this program knows up to {}: "
                                "use a newer penstockd",
                                number, directory_format));
    }
    const auto id = take_line(rest, "id");
    const auto key = take_line(rest, "key");
    const size_t summed = text.size() - rest.size();
    const auto crc = take_line(rest, "crc");
    constexpr size_t id_digits = 32;
    if (!id || id->size() != id_digits || !key || !crc) return damaged;
    const auto high = number_from_hex(id->substr(0, 16));
    const auto low = number_from_hex(id->substr(16));
    const auto key_value = number_from_hex(*key);
    const auto crc_value = number_from_hex(*crc);
    if (!high || !low || !key_value || !crc_value) return damaged;
    if (*crc_value != crc32c(as_bytes(text.substr(0, summed)))) return damaged;
    return MountpathIdentity{{*low, *high}, *key_value};
}

Result<MountpathIdentity> make_identity(io::BlockingDisk& disk) {
    Random random = Random::from_system();
    const MountpathIdentity identity{{random.next(), random.next()}, random.next()};
    // One that was left half-written by a crash is in the way.
    const Status removed = disk.remove(new_format_path);
    if (!removed && removed.error().code != Errc::not_found) return fail(removed.error());
    {
        TRY(const auto file, disk.open(new_format_path, io::OpenMode::create));
        TRY_STATUS(file->write_exactly(as_bytes(format_text(identity)), 0));
        TRY_STATUS(file->sync());
    }
    TRY_STATUS(disk.rename(new_format_path, format_path));
    TRY_STATUS(disk.sync_directory(""));
    return identity;
}

Status make_directory_if_missing(io::BlockingDisk& disk, const char* path) {
    const Status made = disk.make_directory(path);
    if (!made && made.error().code != Errc::exists) return made;
    return Status();
}

// A log without a format file is somebody's data whose key is lost: not a new directory.
Status check_new(io::BlockingDisk& disk) {
    TRY(const auto entries, disk.list(log_directory));
    for (const io::DirectoryEntry& entry : entries) {
        if (segment_number(entry.name)) {
            return fail(Errc::corrupt, "the data directory has a log but no file `format`");
        }
    }
    return Status();
}

}  // namespace

Result<std::unique_ptr<io::BlockingFile>> lock_mountpath(io::BlockingDisk& disk) {
    return io::lock_file(disk, lock_path);
}

Result<MountpathIdentity> open_identity(io::BlockingDisk& disk) {
    auto file = disk.open(format_path, io::OpenMode::read);
    if (!file && file.error().code != Errc::not_found) {
        return std::unexpected(std::move(file).error());
    }
    TRY_STATUS(make_directory_if_missing(disk, log_directory));
    TRY_STATUS(make_directory_if_missing(disk, objects_directory));
    if (!file) {
        TRY_STATUS(check_new(disk));
        return make_identity(disk);
    }
    TRY(const std::string text, read_text(**file));
    TRY(const MountpathIdentity identity, parse_format(text));
    // The directories may have been made by a start that was cut off before this.
    TRY_STATUS(disk.sync_directory(""));
    return identity;
}

Result<std::unique_ptr<Catalogue>> open_catalogue(io::BlockingDisk& disk, uint64_t cache_bytes) {
    if (cache_bytes == 0) return remake_catalogue(disk, cache_bytes);
    auto catalogue = open_level_catalogue(disk, catalogue_directory, cache_bytes);
    if (catalogue || catalogue.error().code != Errc::corrupt) return catalogue;
    return remake_catalogue(disk, cache_bytes);
}

Result<std::unique_ptr<Catalogue>> remake_catalogue(io::BlockingDisk& disk, uint64_t cache_bytes) {
    // Also where the new one lies in memory: compaction waits for the catalogue in use alone, and
    // one left on the disk would come to name segments that are gone.
    TRY_STATUS(erase_catalogue(disk, catalogue_directory));
    if (cache_bytes == 0) return make_memory_catalogue();
    return open_level_catalogue(disk, catalogue_directory, cache_bytes);
}

}  // namespace penstock::node
