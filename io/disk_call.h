// DiskCall: one call on a disk, as tests count, record and fail them; and what the disks share: the
// rule for paths, and which error an errno becomes. Any core and any thread may use it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock::io {

enum class DiskCallKind : uint8_t {
    open,  // of an existing file
    create,
    read,
    write,
    sync,
    size,
    truncate,
    allocate,
    lock,
    remove,
    rename,
    make_directory,
    sync_directory,
    list,
    space,
    link,
    sync_file_system,
};
constexpr size_t disk_call_kinds = 17;

const char* disk_call_name(DiskCallKind kind);

// Whether a call of this kind changes what lies on the disk or whether it survives.
bool is_changing(DiskCallKind kind);

struct DiskCall {
    DiskCallKind kind{};
    std::string path;  // of a rename: where from
    bool operator==(const DiskCall&) const = default;
};

// What records calls keeps the first ones and counts the rest: a simulation makes millions.
constexpr size_t recorded_calls_max = 100'000;

constexpr size_t path_component_bytes_max = 255;  // NAME_MAX of every file system we run on

// Paths are relative and '/'-separated, their parts neither empty nor "." nor "..", without NUL:
// `invalid` otherwise. "" is the root, allowed where a directory is meant.
Status check_path(std::string_view path, bool is_root_allowed = false);

// As error_from_errno, but what the call was wrong about (a directory where a file was meant, a
// name too long, a directory that is not empty) is `invalid`: it must not look like a device that
// failed, whose mountpath is taken out of service.
Error disk_error(int error_number, DiskCallKind kind, const std::string& path);

// What direct files ask for; `invalid` otherwise.
Status check_direct(Bytes bytes, uint64_t offset, DiskCallKind kind, const std::string& path);

}  // namespace penstock::io
