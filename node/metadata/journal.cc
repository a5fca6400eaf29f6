#include "node/metadata/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "io/base/checksum.h"
#include "io/base/units.h"
#include "io/lock_file.h"
#include "node/metadata/journal_format.h"

namespace penstock::node {
namespace {

constexpr const char* directory = "metadata";
constexpr const char* lock_path = "metadata/lock";
constexpr uint64_t file_bytes_max = 4_GiB;
constexpr std::string_view copy_letters = "ab";

std::string path_of(uint64_t generation, size_t copy) {
    return fmt::format("{}/{:020}.{}", directory, generation, copy_letters[copy]);
}

// The generation that a file of this name belongs to; nullopt: none of ours.
std::optional<uint64_t> generation_of(std::string_view name) {
    constexpr size_t digits = 20;
    if (name.size() != digits + 2 || name[digits] != '.') return std::nullopt;
    if (copy_letters.find(name.back()) == std::string_view::npos) return std::nullopt;
    uint64_t generation = 0;
    for (const char digit : name.substr(0, digits)) {
        if (digit < '0' || digit > '9') return std::nullopt;
        generation = generation * 10 + static_cast<uint64_t>(digit - '0');
    }
    return generation;
}

Result<std::vector<std::byte>> read_whole(io::BlockingDisk& disk, const std::string& path) {
    TRY(const std::unique_ptr<io::BlockingFile> file, disk.open(path, io::OpenMode::read));
    TRY(const uint64_t size, file->size_bytes());
    if (size > file_bytes_max) return fail(Errc::corrupt, path + ": larger than 4 GiB");
    std::vector<std::byte> bytes(size);
    size_t done = 0;
    while (done < bytes.size()) {
        TRY(const size_t count, file->read(MutableBytes(bytes).subspan(done), done));
        if (count == 0) return fail(Errc::corrupt, path + ": ends early");
        done += count;
    }
    return bytes;
}

// Whether what follows the last good record may be what a power cut left of the next one.
bool is_torn(Bytes file, uint64_t end) {
    constexpr uint64_t block_bytes = 512;
    for (uint64_t at = end; at < file.size();) {
        const uint64_t next = std::min<uint64_t>((at / block_bytes + 1) * block_bytes, file.size());
        const Bytes block = file.subspan(at, next - at);
        if (std::ranges::all_of(block, [](std::byte byte) { return byte == std::byte{0}; })) {
            return true;
        }
        at = next;
    }
    return file.size() % block_bytes == 0 && is_cut_off(file.subspan(end));
}

}  // namespace

// What one file of a generation says.
struct Journal::CopyState {
    bool is_present = false;
    Error error{Errc::not_found, "missing"};     // why there is no state
    std::shared_ptr<const MetadataState> state;  // null: the snapshot cannot be read
    uint64_t end = 0;                            // behind the last good record
    bool has_records = false;
    bool is_end_clean = false;     // the file ends where its last good record does
    bool is_end_torn = false;      // it ends in what a power cut leaves of a record (rule 6)
    uint64_t durable_version = 0;  // the highest that a record names

    bool is_usable() const { return state != nullptr; }
    bool is_rotten() const { return !is_end_clean && !is_end_torn; }
    uint64_t version() const { return state ? state->version() : 0; }
};

struct Journal::Choice {
    std::shared_ptr<const MetadataState> state;
    uint64_t end = 0;
    bool is_repair_needed = false;
    std::string damage;  // "": nothing was damaged
};

Result<std::unique_ptr<Journal>> Journal::open(io::BlockingDisk& disk,
                                               const JournalOptions& options, const Log& log) {
    std::unique_ptr<Journal> journal(new Journal(disk, options, log));
    TRY_STATUS(journal->make_directory());
    TRY_STATUS(journal->lock());
    TRY_STATUS(journal->recover());
    return journal;
}

Result<std::unique_ptr<Journal>> Journal::remake(io::BlockingDisk& disk,
                                                 const JournalOptions& options, const Log& log,
                                                 std::shared_ptr<const MetadataState> state) {
    std::unique_ptr<Journal> journal(new Journal(disk, options, log));
    TRY_STATUS(journal->make_directory());
    TRY_STATUS(journal->lock());
    TRY(const std::vector<io::DirectoryEntry> entries, disk.list(directory));
    for (const io::DirectoryEntry& entry : entries) {
        const uint64_t generation = generation_of(entry.name).value_or(0);
        journal->generation_ = std::max(journal->generation_, generation);
    }
    journal->state_ = std::move(state);
    TRY_STATUS(journal->begin_generation());
    return journal;
}

bool Journal::exists(io::BlockingDisk& disk) {
    return disk.list(directory).has_value();
}

Status Journal::erase(io::BlockingDisk& disk) {
    const Result<std::vector<io::DirectoryEntry>> entries = disk.list(directory);
    if (!entries && entries.error().code == Errc::not_found) return {};
    if (!entries) return fail(entries.error());
    for (const io::DirectoryEntry& entry : *entries) {
        if (!generation_of(entry.name)) continue;
        TRY_STATUS(disk.remove(std::string(directory) + "/" + entry.name));
    }
    return disk.sync_directory(directory);
}

Status Journal::make_directory() {
    const Status made = disk_.make_directory(directory);
    if (!made && made.error().code == Errc::exists) return {};
    TRY_STATUS(made);
    return disk_.sync_directory("");
}

Status Journal::lock() {
    TRY(lock_, io::lock_file(disk_, lock_path));
    return {};
}

Status Journal::recover() {
    TRY(const std::vector<io::DirectoryEntry> entries, disk_.list(directory));
    std::set<uint64_t> generations;
    for (const io::DirectoryEntry& entry : entries) {
        if (const auto generation = generation_of(entry.name)) generations.insert(*generation);
    }
    if (generations.empty()) {
        // The log is made after the metadata: whoever has the one had the other.
        const Result<std::vector<io::DirectoryEntry>> log_files = disk_.list("log");
        if (log_files && !log_files->empty()) {
            return fail(Errc::corrupt,
                        "the data directory has objects, but its metadata is missing");
        }
        state_ = MetadataState::empty();
        return begin_generation();
    }
    const uint64_t newest = *generations.rbegin();
    generations.erase(newest);
    const uint64_t older = generations.empty() ? 0 : *generations.rbegin();
    return recover_from(newest, older);
}

Status Journal::recover_from(uint64_t generation, uint64_t older) {
    std::array<CopyState, copy_count> copies;
    for (size_t copy = 0; copy < copy_count; ++copy) {
        TRY(copies[copy], read_copy(generation, copy));
    }
    Result<Choice> choice = choose(copies);
    if (!choice && older != 0 && choice.error().code == Errc::corrupt &&
        copies[0].is_present != copies[1].is_present) {
        // One file alone, and it does not read: by rule 5 this generation has no record yet if the
        // other was never made, and then the one before it, whole, has everything.
        log_.warning("a metadata generation that was being made is damaged, the one before is used",
                     {{"reason", std::string_view(choice.error().context)}});
        std::array<CopyState, copy_count> before;
        for (size_t copy = 0; copy < copy_count; ++copy) {
            TRY(before[copy], read_copy(older, copy));
        }
        if (!before[0].is_usable() || !before[1].is_usable()) return fail(choice.error());
        choice = choose(before);
        if (choice) {
            choice->is_repair_needed = true;
            ++corruption_count_;
        }
    }
    if (!choice) return fail(choice.error());

    generation_ = generation;
    state_ = choice->state;
    if (!choice->damage.empty()) {
        ++corruption_count_;
        log_.error("a copy of the metadata was damaged and is replaced from the other",
                   {{"what", std::string_view(choice->damage)}, {"version", state_->version()}});
    }
    if (choice->is_repair_needed) return begin_generation();
    remove_all_but(generation_);
    return open_for_append(choice->end);
}

Result<Journal::CopyState> Journal::read_copy(uint64_t generation, size_t copy) const {
    CopyState result;
    const std::string path = path_of(generation, copy);
    const Result<std::vector<std::byte>> bytes = read_whole(disk_, path);
    if (!bytes) {
        result.is_present = bytes.error().code != Errc::not_found;
        result.error = bytes.error();
        return result;
    }
    result.is_present = true;
    Result<JournalSnapshot> snapshot = parse_snapshot(*bytes, generation);
    if (!snapshot) {
        // A newer release's file is no damage: nothing may be decided without it.
        if (snapshot.error().code == Errc::invalid) return fail(snapshot.error());
        result.error = Error{Errc::corrupt, path + ": " + snapshot.error().context};
        return result;
    }
    result.state = std::move(snapshot->state);
    result.end = snapshot->end;
    while (result.end < bytes->size()) {
        const std::optional<JournalRecord> record =
            parse_record(Bytes(*bytes).subspan(result.end), generation);
        if (!record || record->version != result.state->version() + 1) break;
        const Result<Command> command = parse_command(record->command);
        if (!command && command.error().code == Errc::invalid) return fail(command.error());
        if (!command) break;
        const Result<MetadataState::Applied> applied = result.state->apply(*command);
        if (!applied) break;
        result.state = applied->state;
        result.end += record->bytes;
        result.has_records = true;
        result.durable_version = std::max(result.durable_version, record->durable_version);
    }
    result.is_end_clean = result.end == bytes->size();
    result.is_end_torn = !result.is_end_clean && is_torn(*bytes, result.end);
    return result;
}

// See the rules in the header; each branch says which one it stands on.
Result<Journal::Choice> Journal::choose(const std::array<CopyState, copy_count>& copies) const {
    const CopyState& a = copies[0];
    const CopyState& b = copies[1];
    if (!a.is_usable() && !b.is_usable()) {
        return fail(Errc::corrupt, "both copies of the metadata are damaged (" + a.error.context +
                                       "; " + b.error.context + ")");
    }
    if (!a.is_usable()) return choose_sole(b, a);
    if (!b.is_usable()) return choose_sole(a, b);

    const CopyState& longer = a.version() < b.version() ? b : a;
    const CopyState& shorter = a.version() < b.version() ? a : b;
    const bool has_shorter_lost = shorter.version() < longer.durable_version;
    if (longer.is_rotten() && (shorter.is_rotten() || has_shorter_lost)) {
        return fail(Errc::corrupt, "both copies of the metadata have lost commands");
    }
    Choice choice;
    choice.state = longer.state;
    choice.end = longer.end;
    choice.is_repair_needed =
        a.version() != b.version() || !a.is_end_clean || !b.is_end_clean || a.end != b.end;
    if (has_shorter_lost || shorter.is_rotten() || longer.is_rotten()) {
        const bool is_longer_damaged = !has_shorter_lost && !shorter.is_rotten();
        const bool is_a_damaged = (&longer == &a) == is_longer_damaged;
        choice.damage = fmt::format("copy {} ends in damage", is_a_damaged ? 'a' : 'b');
    } else if (choice.is_repair_needed) {
        log_.warning("the copies of the metadata end differently: a power cut",
                     {{"version", longer.version()}, {"other", shorter.version()}});
    }
    return choice;
}

// One file only can be read.
Result<Journal::Choice> Journal::choose_sole(const CopyState& sole, const CopyState& other) const {
    if (!sole.is_end_clean) {
        return fail(Errc::corrupt, "one copy of the metadata cannot be read (" +
                                       other.error.context + ") and the other ends in damage");
    }
    Choice choice{sole.state, sole.end, true, ""};
    // Without records, a missing file is one that a power cut kept from being made.
    if (other.is_present || sole.has_records) choice.damage = other.error.context;
    return choice;
}

Status Journal::open_for_append(uint64_t end) {
    for (size_t copy = 0; copy < copy_count; ++copy) {
        TRY(files_[copy], disk_.open(path_of(generation_, copy), io::OpenMode::write));
    }
    end_ = end;
    allocated_bytes_ = end;
    next_generation_at_ = end + options_.records_bytes_max;
    is_closed_ = false;
    // Without the space ahead a full disk takes no commands; everything else works.
    if (const Status taken = take_space_ahead(end_); !taken) {
        log_.warning("no space ahead for the metadata",
                     {{"reason", std::string_view(taken.error().context)}});
    }
    return {};
}

Status Journal::take_space_ahead(uint64_t end) {
    if (end <= allocated_bytes_ && allocated_bytes_ > end_) return {};
    for (const std::unique_ptr<io::BlockingFile>& file : files_) {
        TRY_STATUS(file->allocate(end + options_.ahead_bytes));
    }
    allocated_bytes_ = end + options_.ahead_bytes;
    return {};
}

// Writes state_ as the next generation and goes on there.
Status Journal::begin_generation() {
    const uint64_t next = generation_ + 1;
    const std::vector<std::byte> content = encode_snapshot(*state_, next);
    for (size_t copy = 0; copy < copy_count; ++copy) {
        TRY_STATUS(write_work_file(copy, next, content));
    }
    // From here on the next generation may be what a restart finds (rule 4).
    is_closed_ = true;
    generation_ = next;
    for (size_t copy = 0; copy < copy_count; ++copy) {
        const std::string path = path_of(next, copy);
        TRY_STATUS(disk_.rename(path + ".work", path));
    }
    TRY_STATUS(disk_.sync_directory(directory));
    remove_all_but(next);
    TRY_STATUS(open_for_append(content.size()));
    next_generation_at_ = end_ + std::max<uint64_t>(options_.records_bytes_max, content.size());
    return {};
}

Result<uint64_t> Journal::write_work_file(size_t copy, uint64_t generation, Bytes content) {
    const std::string path = path_of(generation, copy) + ".work";
    const Status removed = disk_.remove(path);
    if (!removed && removed.error().code != Errc::not_found) return fail(removed.error());
    TRY(const std::unique_ptr<io::BlockingFile> file, disk_.open(path, io::OpenMode::create));
    TRY_STATUS(file->write_exactly(content, 0));
    TRY_STATUS(file->sync());
    return content.size();
}

// Older generations and work files are of no use; one that stays is removed at the next start.
void Journal::remove_all_but(uint64_t generation) {
    const Result<std::vector<io::DirectoryEntry>> entries = disk_.list(directory);
    if (!entries) return;
    for (const io::DirectoryEntry& entry : *entries) {
        const std::string path = std::string(directory) + "/" + entry.name;
        const std::optional<uint64_t> found = generation_of(entry.name);
        if (path == lock_path || found == generation) continue;
        if (!found && !entry.name.ends_with(".work")) continue;
        [[maybe_unused]] const Status removed = disk_.remove(path);
    }
}

Status Journal::append(const std::vector<Entry>& entries,
                       std::shared_ptr<const MetadataState> after) {
    ASSERT(!entries.empty() && entries.back().version == after->version());
    TRY_STATUS(begin_append(entries));
    Status written;
    for (size_t copy = 0; copy < copy_count && written; ++copy) written = write_copy(copy);
    for (size_t copy = 0; copy < copy_count && written; ++copy) written = sync_copy(copy);
    return end_append(written, std::move(after));
}

Status Journal::begin_append(const std::vector<Entry>& entries) {
    ASSERT(entries.front().version == state_->version() + 1);
    if (is_closed_) TRY_STATUS(begin_generation());
    records_ = encode_records(entries);
    // Fails before anything is written: a full disk leaves the files as they are.
    return take_space_ahead(end_ + records_.size());
}

Status Journal::write_copy(size_t copy) {
    return files_[copy]->write_exactly(records_, end_);
}

Status Journal::sync_copy(size_t copy) {
    return files_[copy]->sync();
}

Status Journal::end_append(const Status& written, std::shared_ptr<const MetadataState> after) {
    if (!written) {
        is_closed_ = true;
        return written;
    }
    end_ += records_.size();
    state_ = std::move(after);
    if (end_ < next_generation_at_) return {};

    if (const Status begun = begin_generation(); !begun) {
        // The commands are safe where they are; it is tried again when as many more have come.
        next_generation_at_ = end_ + options_.records_bytes_max;
        log_.warning("no new metadata generation could be begun",
                     {{"reason", std::string_view(begun.error().context)}});
    }
    return {};
}

std::vector<std::byte> Journal::encode_records(const std::vector<Entry>& entries) const {
    std::vector<std::byte> bytes;
    for (const Entry& entry : entries) {
        append_record(bytes, entry.command, generation_, entry.version, state_->version());
    }
    return bytes;
}

}  // namespace penstock::node
