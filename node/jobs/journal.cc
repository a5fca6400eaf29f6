#include "node/jobs/journal.h"

#include <algorithm>
#include <utility>

#include "io/base/units.h"

namespace penstock::node {
namespace {

constexpr const char* directory = "jobs";
constexpr const char* path = "jobs/journal";
constexpr const char* work_path = "jobs/journal.work";
constexpr uint64_t file_bytes_max = 1_GiB;

Result<std::vector<std::byte>> read_whole(io::BlockingFile& file) {
    TRY(const uint64_t size, file.size_bytes());
    if (size > file_bytes_max) return fail(Errc::corrupt, "the jobs' journal is above 1 GiB");
    std::vector<std::byte> bytes(size);
    size_t done = 0;
    while (done < bytes.size()) {
        TRY(const size_t count, file.read(MutableBytes(bytes).subspan(done), done));
        if (count == 0) return fail(Errc::corrupt, "the jobs' journal ends early");
        done += count;
    }
    return bytes;
}

const std::string& id_of(const JobRecord& record) {
    return std::visit([](const auto& one) -> const std::string& { return one.id; }, record);
}

}  // namespace

Result<std::unique_ptr<JobJournal>> JobJournal::open(io::BlockingDisk& disk, const Log& log) {
    std::unique_ptr<JobJournal> journal(new JobJournal(disk, log));
    TRY_STATUS(journal->read());
    return journal;
}

std::unique_ptr<JobJournal> JobJournal::make(io::BlockingDisk& disk, const Log& log) {
    return std::unique_ptr<JobJournal>(new JobJournal(disk, log));
}

Status JobJournal::erase(io::BlockingDisk& disk) {
    const Status removed = disk.remove(path);
    if (!removed && removed.error().code == Errc::not_found) return {};
    TRY_STATUS(removed);
    return disk.sync_directory(directory);
}

Status JobJournal::read() {
    Result<std::unique_ptr<io::BlockingFile>> file = disk_.open(path, io::OpenMode::write);
    if (!file && file.error().code == Errc::not_found) return {};
    if (!file) return fail(file.error());
    const Result<std::vector<std::byte>> bytes = read_whole(**file);
    const Result<uint64_t> header = bytes ? parse_job_header(*bytes) : fail(bytes.error());
    if (!header && header.error().code == Errc::invalid) return fail(header.error());
    if (!header) {
        ++corruption_count_;
        log_.error("a journal of jobs cannot be read",
                   {{"reason", std::string_view(header.error().context)}});
        return {};
    }
    generation_ = *header;
    size_t at = job_header_bytes;
    while (at < bytes->size()) {
        std::optional<ParsedJobRecord> parsed = parse_job_record(Bytes(*bytes).subspan(at));
        if (!parsed) break;
        take(std::move(parsed->record));
        at += parsed->bytes;
    }
    numbers_.clear();
    end_ = rewritten_bytes_ = at;
    if (at == bytes->size()) {
        file_ = std::move(*file);
        return {};
    }
    // A torn end is what a power cut leaves of a record that nobody was told of.
    log_.warning("the jobs' journal ends in a record that is not whole",
                 {{"at", uint64_t{at}}, {"bytes", uint64_t{bytes->size()}}});
    return {};
}

void JobJournal::take(JobRecord record) {
    const auto known = numbers_.find(id_of(record));
    if (auto* begun = std::get_if<JobBegun>(&record)) {
        // Again: a rewrite had it already while it waited to be written.
        if (known != numbers_.end()) return;
        numbers_.emplace(begun->id, found_.size());
        found_.push_back({.begun = std::move(*begun), .position = {}, .progress = {}, .ended = {}});
        return;
    }
    if (known == numbers_.end()) return;
    JournaledJob& job = found_[known->second];
    if (auto* moved = std::get_if<JobMoved>(&record)) {
        job.position = std::move(moved->position);
        job.progress = std::move(moved->progress);
    } else if (auto* ended = std::get_if<JobEnded>(&record)) {
        job.progress = ended->progress;
        job.ended = std::move(*ended);
    }
}

bool JobJournal::needs_rewrite() const {
    return file_ == nullptr || end_ > std::max(grown_bytes_min, 2 * rewritten_bytes_);
}

Status JobJournal::append(Bytes records, bool syncs) {
    ASSERT(file_ != nullptr);
    Status written = file_->write_exactly(records, end_);
    if (written && syncs) written = file_->sync();
    if (!written) {
        file_.reset();
        return written;
    }
    end_ += records.size();
    return {};
}

// Whoever made the directory may have died, or failed, before its name was durable.
Status JobJournal::make_directory() {
    if (is_directory_durable_) return {};
    const Status made = disk_.make_directory(directory);
    if (!made && made.error().code != Errc::exists) return made;
    TRY_STATUS(disk_.sync_directory(""));
    is_directory_durable_ = true;
    return {};
}

Status JobJournal::rewrite(Bytes records, uint64_t generation) {
    file_.reset();
    TRY_STATUS(make_directory());
    if (const Status removed = disk_.remove(work_path);
        !removed && removed.error().code != Errc::not_found) {
        return removed;
    }
    std::vector<std::byte> header;
    append_job_header(header, generation);
    TRY(std::unique_ptr<io::BlockingFile> file, disk_.open(work_path, io::OpenMode::create));
    TRY_STATUS(file->write_exactly(header, 0));
    if (!records.empty()) TRY_STATUS(file->write_exactly(records, header.size()));
    TRY_STATUS(file->sync());
    TRY_STATUS(disk_.rename(work_path, path));
    TRY_STATUS(disk_.sync_directory(directory));
    file_ = std::move(file);
    generation_ = generation;
    end_ = rewritten_bytes_ = header.size() + records.size();
    return {};
}

}  // namespace penstock::node
