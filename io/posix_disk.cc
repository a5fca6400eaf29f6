// The system's files. A path is resolved beneath the root and follows no symbolic link: by openat2
// where the kernel has it, part by part where it does not (Linux < 5.6, some sandboxes). The calls
// that take a name in a directory (unlink, rename, mkdir) get the directory's descriptor resolved
// that way, and do not follow a link that stands last.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "io/blocking_disk.h"
#include "io/descriptor.h"
#include "io/disk_call.h"

namespace penstock::io {
namespace {

constexpr mode_t file_permissions = 0600;  // the objects are for the node alone
constexpr mode_t directory_permissions = 0700;
constexpr uint32_t resolve_attempts_max = 16;  // openat2 says EAGAIN while something is renamed

// Repeats `call` while a signal interrupts it; its result, or -errno.
template <typename Call>
auto retried(Call call) -> decltype(call()) {
    for (;;) {
        const auto result = call();
        if (result >= 0) return result;
        if (errno != EINTR) return -errno;
    }
}

struct SplitPath {
    std::string directory;  // "" is the root
    std::string name;
};

SplitPath split_path(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return {"", path};
    return {path.substr(0, slash), path.substr(slash + 1)};
}

class PosixFile final : public BlockingFile {
public:
    PosixFile(Descriptor descriptor, std::string path, bool is_direct)
        : descriptor_(std::move(descriptor)), path_(std::move(path)), is_direct_(is_direct) {}

    Result<size_t> read(MutableBytes buffer, uint64_t offset) override {
        if (is_direct_) TRY_STATUS(check_direct(buffer, offset, DiskCallKind::read, path_));
        size_t total = 0;
        while (total < buffer.size()) {
            const MutableBytes rest = buffer.subspan(total);
            const ssize_t count = retried([&] {
                return ::pread(descriptor_.get(), rest.data(), rest.size(),
                               static_cast<off_t>(offset + total));
            });
            if (count < 0) return failure(count, DiskCallKind::read);
            if (count == 0) break;
            total += static_cast<size_t>(count);
            // A direct read stops short only at the end, and could not go on from there.
            if (is_direct_ && total % direct_alignment != 0) break;
        }
        return total;
    }

    Status write_exactly(Bytes bytes, uint64_t offset) override {
        if (is_direct_) TRY_STATUS(check_direct(bytes, offset, DiskCallKind::write, path_));
        while (!bytes.empty()) {
            const ssize_t count = retried([&] {
                return ::pwrite(descriptor_.get(), bytes.data(), bytes.size(),
                                static_cast<off_t>(offset));
            });
            if (count < 0) return failure(count, DiskCallKind::write);
            // Nothing written and no reason given: without this a full device could spin us.
            if (count == 0) return failure(-EIO, DiskCallKind::write);
            bytes = bytes.subspan(static_cast<size_t>(count));
            offset += static_cast<uint64_t>(count);
        }
        return {};
    }

    Status sync() override {
        // Not repeated on EINTR either: what a failed sync has dropped, a second one cannot bring
        // back, and the kernel does not interrupt fdatasync in the first place.
        if (::fdatasync(descriptor_.get()) != 0) return failure(-errno, DiskCallKind::sync);
        return {};
    }

    Result<uint64_t> size_bytes() override {
        struct stat facts{};
        if (::fstat(descriptor_.get(), &facts) != 0) return failure(-errno, DiskCallKind::size);
        return static_cast<uint64_t>(facts.st_size);
    }

    Status truncate(uint64_t size_bytes) override {
        const int result =
            retried([&] { return ::ftruncate(descriptor_.get(), static_cast<off_t>(size_bytes)); });
        if (result < 0) return failure(result, DiskCallKind::truncate);
        return {};
    }

    Status allocate(uint64_t size_bytes) override {
        if (size_bytes == 0) return {};
        const int result = retried([&] {
            return ::fallocate(descriptor_.get(), FALLOC_FL_KEEP_SIZE, 0,
                               static_cast<off_t>(size_bytes));
        });
        // A file system that cannot reserve space (NFS 3, some FUSE) just does not: the writes
        // will say when it is full.
        if (result == -EOPNOTSUPP) return {};
        if (result < 0) return failure(result, DiskCallKind::allocate);
        return {};
    }

    Status lock_exclusively() override {
        const int result = retried([&] { return ::flock(descriptor_.get(), LOCK_EX | LOCK_NB); });
        if (result == -EWOULDBLOCK) {
            return fail(Errc::unavailable, "lock " + path_ + ": another process holds it");
        }
        if (result < 0) return failure(result, DiskCallKind::lock);
        return {};
    }

    int descriptor() const override { return descriptor_.get(); }

private:
    std::unexpected<Error> failure(ssize_t result, DiskCallKind kind) const {
        return fail(disk_error(static_cast<int>(-result), kind, path_));
    }

    Descriptor descriptor_;
    std::string path_;
    bool is_direct_;
};

class PosixDisk final : public BlockingDisk {
public:
    PosixDisk(Descriptor root, std::string root_path, const PosixDiskOptions& options)
        : root_(std::move(root)), root_path_(std::move(root_path)) {
        has_openat2_ =
            options.may_use_openat2 && resolve_at_once(".", O_PATH | O_CLOEXEC, 0).is_open();
    }

    Result<std::unique_ptr<BlockingFile>> open(const std::string& path, OpenMode mode) override;
    Status remove(const std::string& path) override;
    Status rename(const std::string& from, const std::string& to) override;
    Status link(const std::string& from, const std::string& to) override;
    Status make_directory(const std::string& path) override;
    Status sync_directory(const std::string& path) override;
    Status sync_file_system() override;
    Result<std::vector<DirectoryEntry>> list(const std::string& path) override;
    Result<DiskSpace> space() override;

private:
    // The descriptor of `path`, or -1 with errno.
    Descriptor resolve(const std::string& path, int flags, mode_t permissions) const;
    Descriptor resolve_at_once(const char* path, int flags, mode_t permissions) const;
    Descriptor resolve_by_parts(const std::string& path, int flags, mode_t permissions) const;
    Descriptor resolve_directory(const std::string& path) const {
        return resolve(path.empty() ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    }

    std::unexpected<Error> failure(int error_number, DiskCallKind kind,
                                   const std::string& path) const {
        return fail(disk_error(error_number, kind, root_path_ + "/" + path));
    }

    Descriptor root_;
    std::string root_path_;
    bool has_openat2_ = false;
};

Descriptor PosixDisk::resolve(const std::string& path, int flags, mode_t permissions) const {
    if (has_openat2_) return resolve_at_once(path.c_str(), flags, permissions);
    return resolve_by_parts(path, flags, permissions);
}

Descriptor PosixDisk::resolve_at_once(const char* path, int flags, mode_t permissions) const {
    open_how how{};
    how.flags = static_cast<uint64_t>(flags);
    how.mode = permissions;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    for (uint32_t attempt = 1;; ++attempt) {
        const long result = ::syscall(SYS_openat2, root_.get(), path, &how, sizeof how);
        if (result >= 0) return Descriptor(static_cast<int>(result));
        const bool is_passing = errno == EINTR || errno == EAGAIN;
        if (!is_passing || attempt == resolve_attempts_max) return Descriptor();
    }
}

Descriptor PosixDisk::resolve_by_parts(const std::string& path, int flags,
                                       mode_t permissions) const {
    Descriptor directory;
    int at = root_.get();
    std::string_view rest = path;
    for (size_t slash = rest.find('/'); slash != rest.npos; slash = rest.find('/')) {
        const std::string part(rest.substr(0, slash));
        const int next = retried([&] {
            return ::openat(at, part.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        });
        if (next < 0) return Descriptor();
        directory = Descriptor(next);
        at = directory.get();
        rest.remove_prefix(slash + 1);
    }
    const std::string last(rest);
    const int result =
        retried([&] { return ::openat(at, last.c_str(), flags | O_NOFOLLOW, permissions); });
    return Descriptor(result < 0 ? -1 : result);
}

int flags_of(OpenMode mode) {
    switch (mode) {
        case OpenMode::read:
            return O_RDONLY;
        case OpenMode::write:
            return O_RDWR;
        case OpenMode::create:
            return O_RDWR | O_CREAT | O_EXCL;
        case OpenMode::write_direct:
            return O_RDWR | O_DIRECT;
        case OpenMode::create_direct:
            return O_RDWR | O_CREAT | O_EXCL | O_DIRECT;
        case OpenMode::read_direct:
            return O_RDONLY | O_DIRECT;
    }
    return O_RDONLY;
}

Result<std::unique_ptr<BlockingFile>> PosixDisk::open(const std::string& path, OpenMode mode) {
    TRY_STATUS(check_path(path));
    const int flags = flags_of(mode) | O_CLOEXEC;
    const bool is_create = (flags & O_CREAT) != 0;
    const DiskCallKind kind = is_create ? DiskCallKind::create : DiskCallKind::open;
    const mode_t permissions = is_create ? file_permissions : 0;

    Descriptor descriptor = resolve(path, flags, permissions);
    if (!descriptor.is_open() && errno == EINVAL && (flags & O_DIRECT) != 0) {
        // tmpfs before Linux 6.6 and a few others know no direct files: go through the page cache.
        // Some of them refuse only after the name was made, which then is ours to open.
        descriptor = resolve(path, flags & ~O_DIRECT, permissions);
        if (!descriptor.is_open() && errno == EEXIST)
            descriptor = resolve(path, O_RDWR | O_CLOEXEC, 0);
    }
    if (!descriptor.is_open()) return failure(errno, kind, path);

    struct stat facts{};
    if (::fstat(descriptor.get(), &facts) != 0) return failure(errno, kind, path);
    if (!S_ISREG(facts.st_mode)) return failure(EISDIR, kind, path);
    const bool is_direct = (flags & O_DIRECT) != 0;
    return std::make_unique<PosixFile>(std::move(descriptor), root_path_ + "/" + path, is_direct);
}

Status PosixDisk::remove(const std::string& path) {
    TRY_STATUS(check_path(path));
    const SplitPath split = split_path(path);
    const Descriptor directory = resolve_directory(split.directory);
    if (!directory.is_open()) return failure(errno, DiskCallKind::remove, path);
    if (::unlinkat(directory.get(), split.name.c_str(), 0) == 0) return {};
    if (errno != EISDIR) return failure(errno, DiskCallKind::remove, path);
    if (::unlinkat(directory.get(), split.name.c_str(), AT_REMOVEDIR) == 0) return {};
    return failure(errno, DiskCallKind::remove, path);
}

Status PosixDisk::rename(const std::string& from, const std::string& to) {
    TRY_STATUS(check_path(from));
    TRY_STATUS(check_path(to));
    const SplitPath split_from = split_path(from);
    const SplitPath split_to = split_path(to);
    const Descriptor directory_from = resolve_directory(split_from.directory);
    if (!directory_from.is_open()) return failure(errno, DiskCallKind::rename, from);
    const Descriptor directory_to = resolve_directory(split_to.directory);
    if (!directory_to.is_open()) return failure(errno, DiskCallKind::rename, to);
    if (::renameat(directory_from.get(), split_from.name.c_str(), directory_to.get(),
                   split_to.name.c_str()) == 0) {
        return {};
    }
    return failure(errno, DiskCallKind::rename, from);
}

Status PosixDisk::link(const std::string& from, const std::string& to) {
    const bool is_foreign = from.starts_with('/');
    if (!is_foreign) TRY_STATUS(check_path(from));
    TRY_STATUS(check_path(to));
    const SplitPath split_from = split_path(from);
    const SplitPath split_to = split_path(to);
    Descriptor directory_from;
    if (!is_foreign) {
        directory_from = resolve_directory(split_from.directory);
        if (!directory_from.is_open()) return failure(errno, DiskCallKind::link, from);
    }
    const Descriptor directory_to = resolve_directory(split_to.directory);
    if (!directory_to.is_open()) return failure(errno, DiskCallKind::link, to);
    const int result = ::linkat(is_foreign ? AT_FDCWD : directory_from.get(),
                                is_foreign ? from.c_str() : split_from.name.c_str(),
                                directory_to.get(), split_to.name.c_str(), 0);
    if (result == 0) return {};
    switch (errno) {
        case EXDEV:
        case EPERM:  // no hard links here, or `protected_hardlinks` and somebody else's file
        case EMLINK:
        case EOPNOTSUPP:
            return fail(Errc::not_implemented, "link " + from + ": not on this file system");
        default:
            return failure(errno, DiskCallKind::link, from);
    }
}

Status PosixDisk::make_directory(const std::string& path) {
    TRY_STATUS(check_path(path));
    const SplitPath split = split_path(path);
    const Descriptor directory = resolve_directory(split.directory);
    if (!directory.is_open()) return failure(errno, DiskCallKind::make_directory, path);
    if (::mkdirat(directory.get(), split.name.c_str(), directory_permissions) == 0) return {};
    return failure(errno, DiskCallKind::make_directory, path);
}

Status PosixDisk::sync_directory(const std::string& path) {
    TRY_STATUS(check_path(path, true));
    const Descriptor directory = resolve_directory(path);
    if (!directory.is_open()) return failure(errno, DiskCallKind::sync_directory, path);
    if (::fsync(directory.get()) != 0) return failure(errno, DiskCallKind::sync_directory, path);
    return {};
}

Status PosixDisk::sync_file_system() {
    // On a descriptor that is a mere path syncfs says EBADF.
    const Descriptor directory = resolve_directory("");
    if (!directory.is_open()) return failure(errno, DiskCallKind::sync_file_system, "");
    if (::syncfs(directory.get()) != 0) return failure(errno, DiskCallKind::sync_file_system, "");
    return {};
}

// What getdents64 fills its buffer with; <dirent.h> would allocate and hide errors in errno.
struct SystemEntry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[1];
};
constexpr size_t system_entry_name_at = 19;
static_assert(offsetof(SystemEntry, name) == system_entry_name_at);
constexpr uint8_t type_unknown = 0;    // DT_UNKNOWN: the file system keeps no types here
constexpr uint8_t type_directory = 4;  // DT_DIR

bool is_directory_at(int directory, const char* name) {
    struct stat facts{};
    return ::fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(facts.st_mode);
}

void append_entries(int directory, Bytes bytes, std::vector<DirectoryEntry>& entries) {
    while (!bytes.empty()) {
        const auto size = load_le<uint16_t>(bytes.data() + offsetof(SystemEntry, size));
        const auto type = load_le<uint8_t>(bytes.data() + offsetof(SystemEntry, type));
        const char* name = reinterpret_cast<const char*>(bytes.data()) + system_entry_name_at;
        bytes = bytes.subspan(size);
        if (std::string_view(name) == "." || std::string_view(name) == "..") continue;
        const bool is_directory =
            type == type_directory || (type == type_unknown && is_directory_at(directory, name));
        entries.push_back({name, is_directory});
    }
}

Result<std::vector<DirectoryEntry>> PosixDisk::list(const std::string& path) {
    TRY_STATUS(check_path(path, true));
    const Descriptor directory = resolve_directory(path);
    if (!directory.is_open()) return failure(errno, DiskCallKind::list, path);

    std::vector<DirectoryEntry> entries;
    std::vector<std::byte> buffer(64 * 1024);
    for (;;) {
        const long count = retried([&] {
            return ::syscall(SYS_getdents64, directory.get(), buffer.data(), buffer.size());
        });
        if (count < 0) return failure(static_cast<int>(-count), DiskCallKind::list, path);
        if (count == 0) break;
        append_entries(directory.get(), Bytes(buffer).first(static_cast<size_t>(count)), entries);
    }
    std::ranges::sort(entries, {}, &DirectoryEntry::name);
    return entries;
}

Result<DiskSpace> PosixDisk::space() {
    struct statvfs facts{};
    const int result = retried([&] { return ::fstatvfs(root_.get(), &facts); });
    if (result < 0) return failure(-result, DiskCallKind::space, "");
    return DiskSpace{.total_bytes = facts.f_blocks * facts.f_frsize,
                     .available_bytes = facts.f_bavail * facts.f_frsize,
                     .total_files = facts.f_files,
                     .available_files = facts.f_favail};
}

}  // namespace

Result<std::unique_ptr<BlockingDisk>> make_posix_disk(std::string root_path,
                                                      const PosixDiskOptions& options) {
    Descriptor root(::open(root_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root.is_open()) return fail(error_from_errno(errno, "open directory", root_path));
    return std::make_unique<PosixDisk>(std::move(root), std::move(root_path), options);
}

}  // namespace penstock::io
