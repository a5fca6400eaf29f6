#include "node/store/mountpath_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ranges>

#include "io/base/bytes.h"
#include "io/base/random.h"
#include "node/store/mountpath.h"
#include "node/store/segment.h"

namespace penstock::node {
namespace {

constexpr const char* registry_path = "mountpaths";
constexpr const char* new_registry_path = "mountpaths.new";
constexpr size_t registry_bytes_max = 1 << 20;
constexpr std::string_view first_line = "penstock-mountpaths 1";
constexpr std::string_view state_words[] = {"active", "joining", "leaving"};
constexpr std::string_view disabled_word = "disabled-";

template <typename T>
std::optional<T> parse_number(std::string_view text, int base) {
    T value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::optional<Digest128> parse_id(std::string_view text) {
    constexpr size_t digits = 16;
    if (text.size() != 2 * digits) return std::nullopt;
    const auto high = parse_number<uint64_t>(text.substr(0, digits), 16);
    const auto low = parse_number<uint64_t>(text.substr(digits), 16);
    if (!high || !low) return std::nullopt;
    return Digest128{*low, *high};
}

// Up to `end`, which is taken, too; everything if it is not there.
std::string_view take(std::string_view& text, char end) {
    const size_t size = std::min(text.find(end), text.size());
    const std::string_view taken = text.substr(0, size);
    text.remove_prefix(std::min(size + 1, text.size()));
    return taken;
}

bool parse_mountpath(std::string_view line, RegisteredMountpath& mountpath) {
    const auto id = parse_id(take(line, ' '));
    std::string_view word = take(line, ' ');
    const auto seen = parse_number<uint64_t>(take(line, ' '), 10);
    mountpath.is_disabled = word.starts_with(disabled_word);
    if (mountpath.is_disabled) word.remove_prefix(disabled_word.size());
    const auto state = std::ranges::find(state_words, word);
    if (!id || !seen || state == std::end(state_words)) return false;
    mountpath.id = *id;
    mountpath.state = static_cast<MountpathState>(state - std::begin(state_words));
    mountpath.seen = *seen;
    mountpath.path = line;
    return true;
}

Result<bool> is_blank(io::BlockingDisk& disk) {
    const auto metadata = disk.list("metadata");
    if (!metadata && metadata.error().code != Errc::not_found) return fail(metadata.error());
    const bool has_metadata = metadata && std::ranges::any_of(*metadata, [](const auto& entry) {
                                  return entry.name != "lock";
                              });
    TRY(const auto segments, disk.list(log_directory));
    const bool has_log = std::ranges::any_of(
        segments, [](const auto& entry) { return segment_number(entry.name).has_value(); });
    return !has_metadata && !has_log;
}

std::unexpected<Error> refuse(std::string text) {
    return fail(Errc::condition_failed, std::move(text));
}

// Nobody was ever attached to it, or it was emptied when it was detached.
bool is_free(const FoundMountpath& found) {
    if (found.is_blank) return true;
    return found.registry && found.registry->find(found.id) == nullptr;
}

// The newest copy among those that are members by their own word; null: there is none.
const MountpathRegistry* newest_of(const std::vector<FoundMountpath>& found) {
    const MountpathRegistry* newest = nullptr;
    for (const FoundMountpath& each : found) {
        if (!each.registry || each.registry->find(each.id) == nullptr) continue;
        const bool is_newer = newest == nullptr || each.registry->generation > newest->generation;
        if (is_newer) newest = &*each.registry;
    }
    return newest;
}

Status check_twins(const std::vector<FoundMountpath>& found) {
    for (size_t index = 0; index < found.size(); ++index) {
        for (size_t other = 0; other < index; ++other) {
            if (found[index].id != found[other].id) continue;
            return refuse(
                fmt::format("{} and {} are the same mountpath ({}): one is a copy of the "
                            "other; give only the one that was in use last",
                            found[other].path, found[index].path, text_of(found[index].id)));
        }
    }
    return {};
}

Status check_one(const FoundMountpath& each, const MountpathRegistry& newest) {
    if (each.registry && each.registry->node != newest.node) {
        if (is_free(each)) return {};
        return refuse(each.path +
                      " is a mountpath of another node; give the directory that "
                      "belongs here, or an empty one");
    }
    const RegisteredMountpath* member = newest.find(each.id);
    if (member == nullptr) return check_newcomer(each, newest);
    if (each.is_damaged) return {};
    const uint64_t own = each.registry ? each.registry->generation : 0;
    if (newest.may_be_copy_of(*member, own)) return {};
    return refuse(
        fmt::format("{} is an old copy of mountpath {} (generation {}, and {} is known "
                    "of it); give the disk that was in use last",
                    each.path, text_of(each.id), own, member->seen));
}

}  // namespace

std::string text_of(const Digest128& id) {
    return fmt::format("{:016x}{:016x}", id.high, id.low);
}

RegisteredMountpath* MountpathRegistry::find(const Digest128& id) {
    const auto found = std::ranges::find(mountpaths, id, &RegisteredMountpath::id);
    return found == mountpaths.end() ? nullptr : &*found;
}

const RegisteredMountpath* MountpathRegistry::find(const Digest128& id) const {
    const auto found = std::ranges::find(mountpaths, id, &RegisteredMountpath::id);
    return found == mountpaths.end() ? nullptr : &*found;
}

bool MountpathRegistry::may_be_copy_of(const RegisteredMountpath& member, uint64_t own) const {
    return own == member.seen || own == member.seen + 1 || own == generation;
}

bool MountpathRegistry::is_moving() const {
    return std::ranges::any_of(mountpaths, [](const RegisteredMountpath& mountpath) {
        return mountpath.state != MountpathState::active;
    });
}

std::string encode_registry(const MountpathRegistry& registry) {
    std::string text = fmt::format("{}\nnode {}\ngeneration {}\n", first_line,
                                   text_of(registry.node), registry.generation);
    for (const RegisteredMountpath& mountpath : registry.mountpaths) {
        // A path with a line break in it is not worth a format of its own.
        std::string path = mountpath.path;
        std::ranges::replace(path, '\n', '?');
        text +=
            fmt::format("mountpath {} {}{} {} {}\n", text_of(mountpath.id),
                        mountpath.is_disabled ? disabled_word : "",
                        state_words[static_cast<size_t>(mountpath.state)], mountpath.seen, path);
    }
    return text + fmt::format("crc {:08x}\n", crc32c(as_bytes(text)));
}

std::optional<MountpathRegistry> parse_registry(std::string_view text) {
    constexpr size_t last_line_bytes = sizeof "crc 00000000\n" - 1;
    if (text.size() < last_line_bytes) return std::nullopt;
    std::string_view rest = text.substr(0, text.size() - last_line_bytes);
    std::string_view last = text.substr(rest.size());
    if (take(last, ' ') != "crc") return std::nullopt;
    if (parse_number<uint32_t>(take(last, '\n'), 16) != crc32c(as_bytes(rest))) return std::nullopt;
    if (take(rest, '\n') != first_line) return std::nullopt;
    MountpathRegistry registry;
    std::optional<Digest128> node;
    std::optional<uint64_t> generation;
    while (!rest.empty()) {
        std::string_view line = take(rest, '\n');
        const std::string_view key = take(line, ' ');
        if (key == "node") {
            node = parse_id(line);
        } else if (key == "generation") {
            generation = parse_number<uint64_t>(line, 10);
        } else if (key == "mountpath") {
            RegisteredMountpath mountpath;
            if (!parse_mountpath(line, mountpath)) return std::nullopt;
            if (registry.find(mountpath.id) != nullptr) return std::nullopt;
            registry.mountpaths.push_back(std::move(mountpath));
        } else {
            return std::nullopt;
        }
    }
    if (!node || !generation || registry.mountpaths.size() > mountpaths_max) return std::nullopt;
    registry.node = *node;
    registry.generation = *generation;
    return registry;
}

Result<std::optional<MountpathRegistry>> read_registry(io::BlockingDisk& disk) {
    const auto file = disk.open(registry_path, io::OpenMode::read);
    if (!file && file.error().code == Errc::not_found) return std::nullopt;
    if (!file) return fail(file.error());
    TRY(const uint64_t size, (*file)->size_bytes());
    std::string text(std::min<uint64_t>(size, registry_bytes_max), '\0');
    size_t filled = 0;
    while (filled < text.size()) {
        const MutableBytes room(reinterpret_cast<std::byte*>(text.data()) + filled,
                                text.size() - filled);
        TRY(const size_t count, (*file)->read(room, filled));
        if (count == 0) break;
        filled += count;
    }
    text.resize(filled);
    std::optional<MountpathRegistry> registry = parse_registry(text);
    if (!registry) return fail(Errc::corrupt, "the file `mountpaths` is damaged");
    return registry;
}

Status write_registry(io::BlockingDisk& disk, const MountpathRegistry& registry) {
    const Status removed = disk.remove(new_registry_path);
    if (!removed && removed.error().code != Errc::not_found) return removed;
    {
        TRY(const auto file, disk.open(new_registry_path, io::OpenMode::create));
        TRY_STATUS(file->write_exactly(as_bytes(encode_registry(registry)), 0));
        TRY_STATUS(file->sync());
    }
    TRY_STATUS(disk.rename(new_registry_path, registry_path));
    return disk.sync_directory("");
}

Result<FoundMountpath> find_mountpath(io::BlockingDisk& disk, std::string path) {
    FoundMountpath found;
    found.path = std::move(path);
    // Made under the lock: two processes that begin at once must not make two.
    std::unique_ptr<io::BlockingFile> lock;
    const auto format = disk.open("format", io::OpenMode::read);
    if (!format && format.error().code != Errc::not_found) return fail(format.error());
    if (!format) {
        TRY(lock, lock_mountpath(disk));
    }
    TRY(const MountpathIdentity identity, open_identity(disk));
    found.id = identity.id;
    TRY(found.is_blank, is_blank(disk));
    auto registry = read_registry(disk);
    found.is_damaged = !registry && registry.error().code == Errc::corrupt;
    if (!registry && !found.is_damaged) return fail(registry.error());
    if (registry) found.registry = std::move(*registry);
    // A start that was cut off before it made anything is none.
    if (found.registry && found.registry->find(found.id) != nullptr) found.is_blank = false;
    return found;
}

Status check_newcomer(const FoundMountpath& found, const MountpathRegistry& registry) {
    if (found.is_damaged) {
        return refuse(found.path +
                      ": its file `mountpaths` is damaged, and it is no mountpath of "
                      "this node; give the directory that belongs here, or an empty "
                      "one");
    }
    if (is_free(found)) return {};
    const bool is_of_node = found.registry && found.registry->node == registry.node;
    return refuse(found.path +
                  (is_of_node ? " was taken out of this node and is not empty; what it holds is "
                                "old: empty the directory to use it again"
                              : " is a mountpath of another node; give the directory that belongs "
                                "here, or an empty one"));
}

namespace {

// What a set that has begun, or that begins now, is before anything comes to it.
Result<MountpathRegistry> registry_of(const std::vector<FoundMountpath>& found) {
    if (const MountpathRegistry* newest = newest_of(found)) return *newest;
    for (const FoundMountpath& each : found) {
        if (!each.is_damaged) continue;
        return fail(Errc::corrupt, each.path +
                                       ": the file `mountpaths` is damaged, and no other "
                                       "mountpath has a copy");
    }
    // Whichever holds something was a node on its own; there may be one of those.
    Random random = Random::from_system();
    MountpathRegistry registry;
    registry.node = {random.next(), random.next()};
    registry.generation = 1;
    const auto old = std::ranges::find_if_not(found, is_free);
    const FoundMountpath& first = old == found.end() ? found.front() : *old;
    registry.mountpaths.push_back({first.id, MountpathState::active, false, 0, first.path});
    return registry;
}

const FoundMountpath* find_in(const std::vector<FoundMountpath>& found, const Digest128& id) {
    const auto at = std::ranges::find(found, id, &FoundMountpath::id);
    return at == found.end() ? nullptr : &*at;
}

// The first member that is not among the directories.
const RegisteredMountpath* missing_from(const std::vector<FoundMountpath>& found,
                                        const MountpathRegistry& registry) {
    for (const RegisteredMountpath& member : registry.mountpaths) {
        if (find_in(found, member.id) == nullptr) return &member;
    }
    return nullptr;
}

}  // namespace

Result<MountpathPlan> plan_mountpaths(const std::vector<FoundMountpath>& found,
                                      bool allows_missing) {
    if (found.size() > mountpaths_max) {
        return refuse(fmt::format("more than {} mountpaths", mountpaths_max));
    }
    TRY_STATUS(check_twins(found));
    MountpathPlan plan;
    const bool is_begun = newest_of(found) != nullptr;
    const bool is_alone = found.size() == 1 && !is_begun && !found[0].is_damaged;
    if (is_alone) {
        plan.members.push_back({found[0].id, 0, found[0].is_blank || is_free(found[0])});
        return plan;
    }
    TRY(MountpathRegistry registry, registry_of(found));
    for (const FoundMountpath& each : found) TRY_STATUS(check_one(each, registry));
    const RegisteredMountpath* missing = missing_from(found, registry);
    if (missing != nullptr && !allows_missing) {
        return refuse(fmt::format(
            "mountpath {} is missing (it was at {} last); give its directory with --data, or start "
            "with --allow-missing-mountpath: its objects answer errors then",
            text_of(missing->id), missing->path));
    }
    const bool was_blank = !is_begun && std::ranges::all_of(found, is_free);
    const bool was_moving = registry.is_moving();
    const size_t known = registry.mountpaths.size();
    for (const FoundMountpath& each : found) {
        if (RegisteredMountpath* member = registry.find(each.id)) {
            member->path = each.path;
            member->seen = each.registry ? each.registry->generation : 0;
            continue;
        }
        // The place of a disk that is not there: it is not taken for another one.
        if (missing != nullptr) continue;
        if (was_moving) {
            return refuse(
                "objects are being moved between this node's mountpaths; start it "
                "without " +
                each.path + " until that is done");
        }
        const MountpathState state = was_blank ? MountpathState::active : MountpathState::joining;
        registry.mountpaths.push_back(
            {each.id, state, false, each.registry ? each.registry->generation : 0, each.path});
    }
    for (size_t index = 0; index < registry.mountpaths.size(); ++index) {
        const RegisteredMountpath& member = registry.mountpaths[index];
        MountpathPlan::Member planned{member.id, std::nullopt, was_blank || index >= known};
        if (const FoundMountpath* at = find_in(found, member.id)) {
            planned.found = static_cast<size_t>(at - found.data());
        }
        plan.members.push_back(planned);
    }
    plan.registry = std::move(registry);
    return plan;
}

}  // namespace penstock::node
