#include "io/disk_call.h"

#include <cerrno>

#include "io/blocking_disk.h"

namespace penstock::io {
namespace {

Status check_component(std::string_view component, std::string_view path) {
    if (component.empty() || component == "." || component == "..") {
        return fail(Errc::invalid, "path " + std::string(path) + ": has an empty or dotted part");
    }
    if (component.size() > path_component_bytes_max) {
        return fail(Errc::invalid, "path " + std::string(path) + ": has a part that is too long");
    }
    return {};
}

}  // namespace

const char* disk_call_name(DiskCallKind kind) {
    switch (kind) {
        case DiskCallKind::open:
            return "open";
        case DiskCallKind::create:
            return "create";
        case DiskCallKind::read:
            return "read";
        case DiskCallKind::write:
            return "write";
        case DiskCallKind::sync:
            return "sync";
        case DiskCallKind::size:
            return "size";
        case DiskCallKind::truncate:
            return "truncate";
        case DiskCallKind::allocate:
            return "allocate";
        case DiskCallKind::lock:
            return "lock";
        case DiskCallKind::remove:
            return "remove";
        case DiskCallKind::rename:
            return "rename";
        case DiskCallKind::make_directory:
            return "make_directory";
        case DiskCallKind::sync_directory:
            return "sync_directory";
        case DiskCallKind::list:
            return "list";
        case DiskCallKind::space:
            return "space";
        case DiskCallKind::link:
            return "link";
        case DiskCallKind::sync_file_system:
            return "sync_file_system";
    }
    return "unknown";
}

bool is_changing(DiskCallKind kind) {
    switch (kind) {
        case DiskCallKind::open:
        case DiskCallKind::read:
        case DiskCallKind::size:
        case DiskCallKind::lock:
        case DiskCallKind::list:
        case DiskCallKind::space:
            return false;
        default:
            return true;
    }
}

Status check_path(std::string_view path, bool is_root_allowed) {
    if (path.empty() && is_root_allowed) return {};
    if (path.find('\0') != std::string_view::npos) {
        return fail(Errc::invalid, "path with a NUL");
    }
    for (std::string_view rest = path;;) {
        const size_t slash = rest.find('/');
        TRY_STATUS(check_component(rest.substr(0, slash), path));
        if (slash == std::string_view::npos) return {};
        rest.remove_prefix(slash + 1);
    }
}

Error disk_error(int error_number, DiskCallKind kind, const std::string& path) {
    Error error = error_from_errno(error_number, disk_call_name(kind), path.empty() ? "." : path);
    switch (error_number) {
        case EISDIR:
        case ENOTDIR:
        case ENOTEMPTY:
        case ENAMETOOLONG:
        case EINVAL:
        case ELOOP:
        case EXDEV:
            error.code = Errc::invalid;
            break;
        default:
            break;
    }
    return error;
}

Status check_direct(Bytes bytes, uint64_t offset, DiskCallKind kind, const std::string& path) {
    const auto address = reinterpret_cast<uintptr_t>(bytes.data());
    if ((address | bytes.size() | offset) % direct_alignment == 0) return {};
    return fail(Errc::invalid, std::string(disk_call_name(kind)) + " " + path +
                                   ": not aligned, as direct files ask");
}

}  // namespace penstock::io
