#include "node/jobs/journal_format.h"

#include <algorithm>
#include <utility>

#include "io/base/checksum.h"
#include "node/metadata/commands.h"

namespace penstock::node {
namespace {

constexpr uint64_t header_magic = 0x314C4E524A425350;  // "PSBJRNL1"
constexpr uint32_t record_magic = 0x424F4A50;          // "PJOB"
constexpr uint32_t format_version = 2;
constexpr uint32_t format_of_one_copy = 1;
constexpr size_t record_header_bytes = 16;
constexpr size_t id_bytes_max = 64;
constexpr uint8_t copy_is_dry_run = 1;
constexpr uint8_t copy_synchronizes = 2;

enum class RecordType : uint8_t { begun = 1, moved = 2, ended = 3 };

// -------------------------------------------------------------------------------------------------
// Writing

void append_flag(std::vector<std::byte>& to, bool flag) {
    append_le(to, static_cast<uint8_t>(flag));
}

void append_spec(std::vector<std::byte>& to, const JobSpec& spec) {
    append_le(to, std::to_underlying(spec.kind));
    append_text(to, spec.owner);
    append_name(to, spec.bucket);
    append_le(to, std::to_underlying(spec.selection.kind));
    append_text(to, spec.selection.text);
    append_flag(to, spec.selection.is_recursive);
    append_le(to, static_cast<uint32_t>(spec.selection.names.size()));
    for (const std::string& name : spec.selection.names) append_text(to, name);
    append_name(to, spec.copy.to);
    append_text(to, spec.copy.prepend);
    append_le(to, static_cast<uint32_t>(spec.copy.extensions.size()));
    for (const auto& [from, into] : spec.copy.extensions) {
        append_text(to, from);
        append_text(to, into);
    }
    append_le(to, static_cast<uint8_t>((spec.copy.is_dry_run ? copy_is_dry_run : 0) |
                                       (spec.copy.synchronizes ? copy_synchronizes : 0)));
    append_text(to, spec.promote.source);
    append_text(to, spec.promote.name);
    append_flag(to, spec.promote.is_recursive);
    append_flag(to, spec.promote.overwrites);
    append_flag(to, spec.promote.deletes_source);
    append_le(to, spec.worker_count);
    if (spec.kind != JobKind::rechunk) return;
    append_le(to, spec.rechunk.above_bytes);
    append_le(to, spec.rechunk.part_bytes);
}

void append_progress(std::vector<std::byte>& to, const JobProgress& progress) {
    append_le(to, progress.objects);
    append_le(to, progress.bytes);
    append_le(to, progress.error_count);
    append_le(to, static_cast<uint32_t>(progress.errors.size()));
    for (const JobError& error : progress.errors) {
        append_text(to, error.object);
        append_text(to, error.text);
    }
}

struct Writer {
    std::vector<std::byte>& to;

    RecordType operator()(const JobBegun& begun) const {
        append_text(to, begun.id);
        append_le(to, begun.started_ns);
        append_le(to, begun.bucket.value);
        append_le(to, begun.to.value);
        append_spec(to, begun.spec);
        return RecordType::begun;
    }
    RecordType operator()(const JobMoved& moved) const {
        append_text(to, moved.id);
        append_text(to, moved.position);
        append_progress(to, moved.progress);
        return RecordType::moved;
    }
    RecordType operator()(const JobEnded& ended) const {
        append_text(to, ended.id);
        append_le(to, std::to_underlying(ended.state));
        append_le(to, ended.ended_ns);
        append_text(to, ended.reason);
        append_progress(to, ended.progress);
        return RecordType::ended;
    }
};

// -------------------------------------------------------------------------------------------------
// Reading: each function is true, or nothing that it read counts.

template <typename T>
bool read_number(ByteReader& from, T& into) {
    const std::optional<T> value = from.read_le<T>();
    if (value) into = *value;
    return value.has_value();
}

bool read_string(ByteReader& from, std::string& into, size_t bytes_max = job_text_bytes_max) {
    std::optional<std::string> text = read_text(from, bytes_max);
    if (text) into = std::move(*text);
    return text.has_value();
}

bool read_flag(ByteReader& from, bool& into) {
    const std::optional<uint8_t> value = from.read_le<uint8_t>();
    if (!value || *value > 1) return false;
    into = *value == 1;
    return true;
}

template <typename T>
bool read_enum(ByteReader& from, T& into, T first, T last) {
    const std::optional<uint8_t> value = from.read_le<uint8_t>();
    if (!value || *value < std::to_underlying(first) || *value > std::to_underlying(last)) {
        return false;
    }
    into = static_cast<T>(*value);
    return true;
}

bool read_bucket(ByteReader& from, BucketName& into) {
    std::optional<BucketName> name = read_name(from);
    if (name) into = std::move(*name);
    return name.has_value();
}

// A count of things that have 4 bytes each at least, so it bounds what is taken ahead.
bool read_count(ByteReader& from, uint32_t& into) {
    return read_number(from, into) && into <= from.rest().size() / 4;
}

bool read_names(ByteReader& from, std::vector<std::string>& into) {
    uint32_t count = 0;
    if (!read_count(from, count)) return false;
    into.resize(count);
    return std::ranges::all_of(into,
                               [&from](std::string& name) { return read_string(from, name); });
}

bool read_extensions(ByteReader& from, CopyOptions& into) {
    uint32_t count = 0;
    if (!read_count(from, count)) return false;
    into.extensions.resize(count);
    return std::ranges::all_of(into.extensions, [&from](auto& pair) {
        return read_string(from, pair.first) && read_string(from, pair.second);
    });
}

bool read_copy_mode(ByteReader& from, CopyOptions& into) {
    uint8_t mode = 0;
    if (!read_number(from, mode) || mode > (copy_is_dry_run | copy_synchronizes)) return false;
    into.is_dry_run = (mode & copy_is_dry_run) != 0;
    into.synchronizes = (mode & copy_synchronizes) != 0;
    return true;
}

bool read_rechunk(ByteReader& from, JobSpec& spec) {
    if (spec.kind != JobKind::rechunk) return true;
    return read_number(from, spec.rechunk.above_bytes) &&
           read_number(from, spec.rechunk.part_bytes);
}

bool read_spec(ByteReader& from, JobSpec& spec) {
    return read_enum(from, spec.kind, JobKind::delete_objects, JobKind::rechunk) &&
           read_string(from, spec.owner) && read_bucket(from, spec.bucket) &&
           read_enum(from, spec.selection.kind, Selection::Kind::all, Selection::Kind::prefix) &&
           read_string(from, spec.selection.text) && read_flag(from, spec.selection.is_recursive) &&
           read_names(from, spec.selection.names) && read_bucket(from, spec.copy.to) &&
           read_string(from, spec.copy.prepend) && read_extensions(from, spec.copy) &&
           read_copy_mode(from, spec.copy) && read_string(from, spec.promote.source) &&
           read_string(from, spec.promote.name) && read_flag(from, spec.promote.is_recursive) &&
           read_flag(from, spec.promote.overwrites) &&
           read_flag(from, spec.promote.deletes_source) && read_number(from, spec.worker_count) &&
           read_rechunk(from, spec);
}

bool read_progress(ByteReader& from, JobProgress& progress) {
    uint32_t count = 0;
    if (!read_number(from, progress.objects) || !read_number(from, progress.bytes) ||
        !read_number(from, progress.error_count) || !read_count(from, count) ||
        count > job_errors_max) {
        return false;
    }
    progress.errors.resize(count);
    return std::ranges::all_of(progress.errors, [&from](JobError& error) {
        return read_string(from, error.object) && read_string(from, error.text);
    });
}

std::optional<JobRecord> read_begun(ByteReader& from) {
    JobBegun begun;
    const bool is_whole = read_string(from, begun.id, id_bytes_max) &&
                          read_number(from, begun.started_ns) &&
                          read_number(from, begun.bucket.value) &&
                          read_number(from, begun.to.value) && read_spec(from, begun.spec);
    if (!is_whole) return std::nullopt;
    return begun;
}

std::optional<JobRecord> read_moved(ByteReader& from) {
    JobMoved moved;
    const bool is_whole = read_string(from, moved.id, id_bytes_max) &&
                          read_string(from, moved.position) && read_progress(from, moved.progress);
    if (!is_whole) return std::nullopt;
    return moved;
}

std::optional<JobRecord> read_ended(ByteReader& from) {
    JobEnded ended;
    const bool is_whole = read_string(from, ended.id, id_bytes_max) &&
                          read_enum(from, ended.state, JobState::finished, JobState::stopped) &&
                          read_number(from, ended.ended_ns) && read_string(from, ended.reason) &&
                          read_progress(from, ended.progress);
    if (!is_whole) return std::nullopt;
    return ended;
}

std::optional<JobRecord> read_record(uint8_t type, ByteReader& from) {
    switch (static_cast<RecordType>(type)) {
        case RecordType::begun:
            return read_begun(from);
        case RecordType::moved:
            return read_moved(from);
        case RecordType::ended:
            return read_ended(from);
    }
    return std::nullopt;
}

}  // namespace

Status check_spec(const JobSpec& spec) {
    size_t bytes = 0;
    for (const std::string& name : spec.selection.names) {
        TRY_STATUS(check_object_name(name));
        bytes += name.size() + 4;
    }
    for (const auto& [from, into] : spec.copy.extensions) {
        if (from.size() > job_text_bytes_max || into.size() > job_text_bytes_max) {
            return fail(Errc::too_large, "an extension is longer than 8 KiB");
        }
        bytes += from.size() + into.size() + 8;
    }
    if (bytes > selection_bytes_max) {
        return fail(Errc::too_large, "the names of a job are more than 8 MiB");
    }
    for (const std::string* text : {&spec.owner, &spec.selection.text, &spec.copy.prepend,
                                    &spec.promote.source, &spec.promote.name}) {
        if (text->size() > job_text_bytes_max) {
            return fail(Errc::too_large, "a text of the job is longer than 8 KiB");
        }
    }
    return {};
}

void append_job_header(std::vector<std::byte>& to, uint64_t generation) {
    const size_t at = to.size();
    append_le(to, header_magic);
    append_le(to, format_version);
    append_le(to, generation);
    append_le(to, crc32c(Bytes(to).subspan(at)));
    ASSERT(to.size() - at == job_header_bytes);
}

void append_job_record(std::vector<std::byte>& to, const JobRecord& record) {
    std::vector<std::byte> payload;
    const RecordType type = std::visit(Writer{payload}, record);
    ASSERT(payload.size() <= job_payload_bytes_max);
    const size_t at = to.size();
    append_le(to, record_magic);
    append_le(to, static_cast<uint32_t>(payload.size()));
    append_le(to, static_cast<uint32_t>(std::to_underlying(type)));
    const uint32_t crc = crc32c(payload, crc32c(Bytes(to).subspan(at)));
    append_le(to, crc);
    to.insert(to.end(), payload.begin(), payload.end());
}

Result<uint64_t> parse_job_header(Bytes file) {
    ByteReader from(file);
    const std::optional<uint64_t> magic = from.read_le<uint64_t>();
    const std::optional<uint32_t> format = from.read_le<uint32_t>();
    const std::optional<uint64_t> generation = from.read_le<uint64_t>();
    const std::optional<uint32_t> crc = from.read_le<uint32_t>();
    if (!crc || magic != header_magic || crc != crc32c(file.first(job_header_bytes - 4))) {
        return fail(Errc::corrupt, "the jobs' journal: its head is damaged");
    }
    const bool is_of_one_copy = format == format_of_one_copy && generation == 0;
    if (format != format_version && !is_of_one_copy) {
        return fail(Errc::invalid, "the jobs' journal: written by a newer release");
    }
    return *generation;
}

std::optional<ParsedJobRecord> parse_job_record(Bytes rest) {
    ByteReader from(rest);
    const std::optional<uint32_t> magic = from.read_le<uint32_t>();
    const std::optional<uint32_t> size = from.read_le<uint32_t>();
    const std::optional<uint32_t> type = from.read_le<uint32_t>();
    const std::optional<uint32_t> crc = from.read_le<uint32_t>();
    if (!crc || magic != record_magic || *size > job_payload_bytes_max || *type > 0xFF) {
        return std::nullopt;
    }
    const std::optional<Bytes> payload = from.read_bytes(*size);
    if (!payload || *crc != crc32c(*payload, crc32c(rest.first(record_header_bytes - 4)))) {
        return std::nullopt;
    }
    ByteReader fields(*payload);
    std::optional<JobRecord> record = read_record(static_cast<uint8_t>(*type), fields);
    if (!record || !fields.is_empty()) return std::nullopt;
    return ParsedJobRecord{std::move(*record), record_header_bytes + *size};
}

}  // namespace penstock::node
