// The real disk: reads, writes and syncs on the reactor's kernel; everything else, and all of a
// file that is not the system's, as one job each on the pool.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/base/units.h"
#include "io/disk.h"
#include "io/disk_call.h"
#include "io/internal/system_calls.h"

namespace penstock::io {
namespace {

// One operation moves at most this much: its result must fit 31 bits, and stay aligned.
constexpr size_t operation_bytes_max = 1_GiB;
// The kernel may say "again" without having done anything. A device that says only that is broken.
constexpr uint32_t fruitless_attempts_max = 100;

// Closes a file on the pool: the last close of one that was unlinked gives its blocks back, and
// that of one that was written may write it out; either waits for the device.
class Closing final : public Pool::Job {
public:
    static void start(Pool& pool, std::unique_ptr<BlockingFile> file) {
        pool.submit(*new Closing(std::move(file)));
    }

private:
    explicit Closing(std::unique_ptr<BlockingFile> file) : file_(std::move(file)) {
        run = [](Pool::Job& job) { delete static_cast<Closing*>(&job); };
    }
    std::unique_ptr<BlockingFile> file_;
};

class KernelFile final : public File {
public:
    KernelFile(Reactor& reactor, Pool& pool, std::unique_ptr<BlockingFile> file, std::string path,
               OpenMode mode)
        : reactor_(reactor),
          pool_(pool),
          file_(std::move(file)),
          path_(std::move(path)),
          is_direct_(is_direct(mode)) {}
    ~KernelFile() override { Closing::start(pool_, std::move(file_)); }

    void read_ahead(bool is_wanted) override;
    Task<void> bring_in(uint64_t offset, uint64_t size) override;
    size_t try_read(MutableBytes buffer, uint64_t offset) override;
    Task<Status> read_exactly(MutableBytes buffer, uint64_t offset) override;
    Task<Status> write_exactly(Bytes bytes, uint64_t offset) override;
    Task<Status> sync() override;
    Task<Result<uint64_t>> size_bytes() override;
    Task<Status> truncate(uint64_t size_bytes) override;
    Task<Status> allocate(uint64_t size_bytes) override;
    int descriptor() const override { return file_->descriptor(); }

private:
    bool has_descriptor() const { return file_->descriptor() >= 0; }
    Task<Status> read_on_pool(MutableBytes buffer, uint64_t offset);
    // Whether an operation that ended so may be tried once more; counts the attempts.
    static bool is_passing(int32_t result, uint32_t& attempts) {
        return (result == -EINTR || result == -EAGAIN) && ++attempts < fruitless_attempts_max;
    }
    std::unexpected<Error> failure(int32_t result, DiskCallKind kind) const {
        return fail(disk_error(-result, kind, path_));
    }
    std::unexpected<Error> ends_early() const {
        return fail(Errc::corrupt, "read " + path_ + ": the file ends early");
    }

    Reactor& reactor_;
    Pool& pool_;
    std::unique_ptr<BlockingFile> file_;
    std::string path_;
    bool is_direct_;
    bool reads_ahead_ = true;
};

void KernelFile::read_ahead(bool is_wanted) {
    if (is_direct_ || !has_descriptor() || reads_ahead_ == is_wanted) return;
    reads_ahead_ = is_wanted;
    internal::advise_read_ahead(file_->descriptor(), is_wanted);
}

Task<void> KernelFile::bring_in(uint64_t offset, uint64_t size) {
    if (is_direct_ || !has_descriptor()) co_return;
    const int descriptor = file_->descriptor();
    co_await pool_.run(reactor_, [=] {
        internal::bring_in(descriptor, offset, size);
        return Status();
    });
}

size_t KernelFile::try_read(MutableBytes buffer, uint64_t offset) {
    ASSERT(reactor_.is_current_thread());
    // A direct file has no resident pages: a read of it would wait for the device.
    if (is_direct_ || !has_descriptor()) return 0;
    size_t count = 0;
    while (count < buffer.size()) {
        const MutableBytes left = buffer.subspan(count);
        const MutableBytes part = left.first(std::min(left.size(), operation_bytes_max));
        const int32_t result =
            reactor_.kernel().try_read(file_->descriptor(), part, offset + count);
        if (result <= 0) break;
        count += static_cast<size_t>(result);
    }
    return count;
}

Task<Status> KernelFile::read_exactly(MutableBytes buffer, uint64_t offset) {
    ASSERT(reactor_.is_current_thread());
    if (is_direct_) CO_TRY_STATUS(check_direct(buffer, offset, DiskCallKind::read, path_));
    if (!has_descriptor()) co_return co_await read_on_pool(buffer, offset);

    uint32_t attempts = 0;
    while (!buffer.empty()) {
        const MutableBytes part = buffer.first(std::min(buffer.size(), operation_bytes_max));
        const int32_t result = co_await reactor_.read(file_->descriptor(), part, offset);
        if (is_passing(result, attempts)) {
            co_await reactor_.yield();
            continue;
        }
        if (result < 0) co_return failure(result, DiskCallKind::read);
        if (result == 0) co_return ends_early();

        const auto count = static_cast<size_t>(result);
        ASSERT(count <= part.size());
        buffer = buffer.subspan(count);
        offset += count;
        attempts = 0;
        // A direct read stops unaligned only at the end, and could not go on from there.
        if (is_direct_ && !buffer.empty() && count % direct_alignment != 0) co_return ends_early();
    }
    co_return Status();
}

Task<Status> KernelFile::read_on_pool(MutableBytes buffer, uint64_t offset) {
    CO_TRY(const size_t count, co_await pool_.run(reactor_, [this, buffer, offset] {
        return file_->read(buffer, offset);
    }));
    if (count < buffer.size()) co_return ends_early();
    co_return Status();
}

Task<Status> KernelFile::write_exactly(Bytes bytes, uint64_t offset) {
    ASSERT(reactor_.is_current_thread());
    if (is_direct_) CO_TRY_STATUS(check_direct(bytes, offset, DiskCallKind::write, path_));
    if (!has_descriptor()) {
        co_return co_await pool_.run(
            reactor_, [this, bytes, offset] { return file_->write_exactly(bytes, offset); });
    }
    uint32_t attempts = 0;
    while (!bytes.empty()) {
        const Bytes part = bytes.first(std::min(bytes.size(), operation_bytes_max));
        const int32_t result = co_await reactor_.write(file_->descriptor(), part, offset);
        if (is_passing(result, attempts)) {
            co_await reactor_.yield();
            continue;
        }
        if (result < 0) co_return failure(result, DiskCallKind::write);
        // Nothing written and no reason given.
        if (result == 0) co_return failure(-EIO, DiskCallKind::write);

        const auto count = static_cast<size_t>(result);
        ASSERT(count <= part.size());
        bytes = bytes.subspan(count);
        offset += count;
        attempts = 0;
    }
    co_return Status();
}

// Never tried again, whatever the errno: what a failed sync dropped, a second one reports as
// durable.
Task<Status> KernelFile::sync() {
    ASSERT(reactor_.is_current_thread());
    if (!has_descriptor()) {
        co_return co_await pool_.run(reactor_, [this] { return file_->sync(); });
    }
    const int32_t result = co_await reactor_.sync_data(file_->descriptor());
    if (result < 0) co_return failure(result, DiskCallKind::sync);
    co_return Status();
}

Task<Result<uint64_t>> KernelFile::size_bytes() {
    ASSERT(reactor_.is_current_thread());
    // An open file's inode is in memory: asking for its size does not wait.
    if (has_descriptor()) co_return file_->size_bytes();
    co_return co_await pool_.run(reactor_, [this] { return file_->size_bytes(); });
}

Task<Status> KernelFile::truncate(uint64_t size_bytes) {
    ASSERT(reactor_.is_current_thread());
    co_return co_await pool_.run(reactor_,
                                 [this, size_bytes] { return file_->truncate(size_bytes); });
}

Task<Status> KernelFile::allocate(uint64_t size_bytes) {
    ASSERT(reactor_.is_current_thread());
    co_return co_await pool_.run(reactor_,
                                 [this, size_bytes] { return file_->allocate(size_bytes); });
}

// The strings that the jobs refer to lie in the coroutines' frames, which wait for them.
class KernelDisk final : public Disk {
public:
    KernelDisk(Reactor& reactor, Pool& pool, BlockingDisk& blocking)
        : reactor_(reactor), pool_(pool), blocking_(blocking) {}

    Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override {
        ASSERT(reactor_.is_current_thread());
        CO_TRY(auto file, co_await pool_.run(reactor_, [this, &path, mode] {
            return blocking_.open(path, mode);
        }));
        co_return std::make_unique<KernelFile>(reactor_, pool_, std::move(file), std::move(path),
                                               mode);
    }
    Task<Status> remove(std::string path) override {
        ASSERT(reactor_.is_current_thread());
        co_return co_await pool_.run(reactor_, [this, &path] { return blocking_.remove(path); });
    }
    Task<Status> rename(std::string from, std::string to) override {
        ASSERT(reactor_.is_current_thread());
        co_return co_await pool_.run(reactor_,
                                     [this, &from, &to] { return blocking_.rename(from, to); });
    }
    Task<Status> make_directory(std::string path) override {
        ASSERT(reactor_.is_current_thread());
        co_return co_await pool_.run(reactor_,
                                     [this, &path] { return blocking_.make_directory(path); });
    }
    Task<Status> sync_directory(std::string path) override {
        ASSERT(reactor_.is_current_thread());
        co_return co_await pool_.run(reactor_,
                                     [this, &path] { return blocking_.sync_directory(path); });
    }
    Task<Result<std::vector<DirectoryEntry>>> list(std::string path) override {
        ASSERT(reactor_.is_current_thread());
        co_return co_await pool_.run(reactor_, [this, &path] { return blocking_.list(path); });
    }
    Task<Result<DiskSpace>> space() override {
        ASSERT(reactor_.is_current_thread());
        co_return co_await pool_.run(reactor_, [this] { return blocking_.space(); });
    }

    BlockingDisk& blocking() override { return blocking_; }
    Pool& pool() override { return pool_; }
    Reactor& reactor() override { return reactor_; }

private:
    Reactor& reactor_;
    Pool& pool_;
    BlockingDisk& blocking_;
};

}  // namespace

std::unique_ptr<Disk> make_kernel_disk(Reactor& reactor, Pool& pool, BlockingDisk& blocking) {
    return std::make_unique<KernelDisk>(reactor, pool, blocking);
}

}  // namespace penstock::io
