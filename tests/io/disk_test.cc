// One suite for every disk: the kernel's on both backends, the one in memory with and without
// delays, and the fault layer when it has no faults.
#include "io/disk.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <memory>
#include <semaphore>
#include <string>

#include "io/base/units.h"
#include "io/fault_disk.h"
#include "io/memory_disk.h"
#include "io/residency.h"
#include "io/sim_kernel.h"
#include "tests/temporary_directory.h"

namespace penstock::io {
namespace {

using testing::ElementsAre;

// Null where the system has no such backend.
std::unique_ptr<Kernel> make_kernel(const char* backend) {
    auto kernel = std::string(backend) == "uring" ? make_uring_kernel({}) : make_epoll_kernel({});
    return kernel ? std::move(*kernel) : nullptr;
}
std::unique_ptr<Kernel> make_any_kernel() {
    auto kernel = make_kernel("uring");
    return kernel ? std::move(kernel) : make_kernel("epoll");
}

// A reactor and a pool. The pool goes first, because its threads post to the reactor.
struct Loop {
    explicit Loop(std::unique_ptr<Kernel> kernel) {
        if (kernel) reactor = std::make_unique<Reactor>(std::move(kernel), ReactorOptions{});
    }
    std::unique_ptr<Reactor> reactor;
    std::unique_ptr<Pool> pool = make_thread_pool(2);
};

// The same in virtual time, on one thread.
struct SimLoop {
    SimWorld world{1};
    std::unique_ptr<Reactor> reactor =
        std::make_unique<Reactor>(make_sim_kernel(world), ReactorOptions{});
    std::unique_ptr<Pool> pool = make_inline_pool();
};

template <const char* backend>
struct KernelCase {
    TemporaryDirectory directory;
    std::unique_ptr<BlockingDisk> blocking = *make_posix_disk(directory.path());
    Loop loop{make_kernel(backend)};
    std::unique_ptr<Disk> disk =
        loop.reactor ? make_kernel_disk(*loop.reactor, *loop.pool, *blocking) : nullptr;
};
constexpr char uring[] = "uring";
constexpr char epoll[] = "epoll";

// Files that are not the system's: everything is a job.
struct KernelOverMemoryCase {
    MemoryStorage storage;
    std::unique_ptr<BlockingDisk> blocking = storage.make_blocking_disk();
    Loop loop{make_any_kernel()};
    std::unique_ptr<Disk> disk = make_kernel_disk(*loop.reactor, *loop.pool, *blocking);
};

template <uint64_t delay_ns_max, uint32_t resident_percent>
struct MemoryCase {
    MemoryStorage storage;
    SimLoop loop;
    std::unique_ptr<Disk> disk =
        storage.make_disk(*loop.reactor, *loop.pool,
                          {.delay_ns_max = delay_ns_max, .resident_percent = resident_percent});
};

struct FaultCase {
    KernelCase<uring> inner;
    Loop& loop = inner.loop;
    FaultPlan plan;
    std::unique_ptr<Disk> disk = inner.disk ? make_fault_disk(*inner.disk, plan) : nullptr;
};

template <typename Case>
class DiskTest : public testing::Test {
protected:
    void SetUp() override {
        if (!case_.disk) GTEST_SKIP() << "the system refuses this backend";
    }
    Disk& disk() { return *case_.disk; }
    template <typename T>
    T run(Task<T> task) {
        return case_.loop.reactor->run_until_done(std::move(task));
    }
    std::unique_ptr<File> open(const std::string& path, OpenMode mode = OpenMode::read) {
        auto file = run(disk().open(path, mode));
        EXPECT_TRUE(file) << file.error().context;
        return file ? std::move(*file) : nullptr;
    }
    std::unique_ptr<File> put(const std::string& path, std::string_view text) {
        auto file = open(path, OpenMode::create);
        EXPECT_TRUE(run(file->write_exactly(as_bytes(text), 0)));
        return file;
    }
    std::string get(const std::string& path) {
        const auto file = open(path);
        std::string text(*run(file->size_bytes()), '?');
        EXPECT_TRUE(run(file->read_exactly(std::as_writable_bytes(std::span(text)), 0)));
        return text;
    }
    static Errc code_of(const auto& result) {
        EXPECT_FALSE(result.has_value());
        return result ? Errc::closed : result.error().code;
    }

    Case case_;
};

using Cases = testing::Types<KernelCase<uring>, KernelCase<epoll>, KernelOverMemoryCase,
                             MemoryCase<0, 100>, MemoryCase<100'000, 50>, FaultCase>;
TYPED_TEST_SUITE(DiskTest, Cases);

TYPED_TEST(DiskTest, WhatIsWrittenIsRead) {
    this->put("a", "hello");
    EXPECT_EQ(this->get("a"), "hello");
}

TYPED_TEST(DiskTest, ReadingPastTheEndIsCorrupt) {
    const auto file = this->put("a", "0123456789");
    std::array<std::byte, 11> buffer;
    EXPECT_EQ(this->code_of(this->run(file->read_exactly(buffer, 0))), Errc::corrupt);
    EXPECT_EQ(this->code_of(this->run(file->read_exactly(buffer, 1000))), Errc::corrupt);
    EXPECT_TRUE(this->run(file->read_exactly(std::span(buffer).first(10), 0)));
    EXPECT_TRUE(this->run(file->read_exactly({}, 10)));
}

TYPED_TEST(DiskTest, ReadsWithoutWaitingGiveWhatIsResident) {
    const auto file = this->put("a", "0123456789");
    std::array<std::byte, 4> buffer;
    EXPECT_EQ(file->try_read(buffer, 10), 0U);
    size_t most = 0;
    for (uint32_t round = 0; round < 100 && most < buffer.size(); ++round) {
        const size_t count = file->try_read(buffer, 6);
        ASSERT_LE(count, buffer.size());
        EXPECT_EQ(as_text(std::span(buffer).first(count)),
                  std::string_view("6789").substr(0, count));
        most = std::max(most, count);
    }
    // No file that is not the system's is read inline by the kernel's disk.
    EXPECT_EQ(most, (std::is_same_v<TypeParam, KernelOverMemoryCase> ? 0U : 4U));
    EXPECT_LE(file->try_read(buffer, 7), 3U);
}

TYPED_TEST(DiskTest, BringingInIsAHint) {
    const auto file = this->put("a", std::string(1_MiB, 'a'));
    ASSERT_TRUE(this->run(file->sync()));
    const int descriptor = file->descriptor();
    if (descriptor >= 0) posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    this->run(file->bring_in(0, 1_MiB));
    if (descriptor >= 0) EXPECT_TRUE(is_resident(descriptor, 0, 1_MiB));
    this->run(file->bring_in(0, 2_MiB));  // past the end
    EXPECT_EQ(this->get("a"), std::string(1_MiB, 'a'));
}

TYPED_TEST(DiskTest, LargeWritesAndReadsAreWhole) {
    std::string text(5_MiB + 123, '?');
    Random random(3);
    for (char& letter : text) letter = static_cast<char>(random.below(256));
    this->put("a", text);
    EXPECT_EQ(this->get("a"), text);
    const auto file = this->open("a");
    std::string middle(1_MiB, '?');
    ASSERT_TRUE(
        this->run(file->read_exactly(std::as_writable_bytes(std::span(middle)), 2_MiB + 1)));
    EXPECT_EQ(middle, text.substr(2_MiB + 1, 1_MiB));
}

TYPED_TEST(DiskTest, DirectFilesAreReadAndWrittenAligned) {
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(direct_alignment, 16'384));
    const MutableBytes aligned(memory, 16'384);
    std::ranges::fill(aligned, std::byte{'d'});
    {
        const auto file = this->open("a", OpenMode::create_direct);
        ASSERT_TRUE(this->run(file->allocate(16'384)));
        EXPECT_TRUE(this->run(file->write_exactly(aligned, 0)));
        EXPECT_EQ(this->code_of(this->run(file->write_exactly(aligned.first(9), 0))),
                  Errc::invalid);
        ASSERT_TRUE(this->run(file->truncate(10'000)));
        ASSERT_TRUE(this->run(file->sync()));
    }
    EXPECT_EQ(this->get("a"), std::string(10'000, 'd'));
    const auto file = this->open("a", OpenMode::read_direct);
    std::ranges::fill(aligned, std::byte{'?'});
    EXPECT_EQ(file->try_read(aligned.first(4096), 0), 0U);
    EXPECT_TRUE(this->run(file->read_exactly(aligned.first(8192), 0)));
    EXPECT_EQ(as_text(aligned.first(8192)), std::string(8192, 'd'));
    EXPECT_EQ(this->code_of(this->run(file->read_exactly(aligned, 0))), Errc::corrupt);
    EXPECT_EQ(this->code_of(this->run(file->read_exactly(aligned.first(9), 0))), Errc::invalid);
    std::free(memory);
}

TYPED_TEST(DiskTest, NamesAreMadeListedMovedAndRemoved) {
    ASSERT_TRUE(this->run(this->disk().make_directory("d")));
    ASSERT_TRUE(this->run(this->put("d/a", "x")->sync()));
    ASSERT_TRUE(this->run(this->disk().rename("d/a", "d/b")));
    ASSERT_TRUE(this->run(this->disk().sync_directory("d")));
    EXPECT_THAT(*this->run(this->disk().list("d")), ElementsAre(DirectoryEntry{"b", false}));
    EXPECT_THAT(*this->run(this->disk().list("")), ElementsAre(DirectoryEntry{"d", true}));
    ASSERT_TRUE(this->run(this->disk().remove("d/b")));
    ASSERT_TRUE(this->run(this->disk().remove("d")));
    EXPECT_EQ(this->code_of(this->run(this->disk().open("d/b", OpenMode::read))), Errc::not_found);
    EXPECT_GT(this->run(this->disk().space())->available_bytes, 0U);
}

TYPED_TEST(DiskTest, AFileMayHaveTwoNames) {
    BlockingDisk& disk = this->disk().blocking();
    ASSERT_TRUE(this->run(this->disk().make_directory("d")));
    ASSERT_TRUE(this->run(this->put("a", "content")->sync()));
    ASSERT_TRUE(disk.link("a", "d/b"));
    ASSERT_TRUE(disk.sync_file_system());
    EXPECT_EQ(this->get("d/b"), "content");
    EXPECT_EQ(this->code_of(disk.link("a", "d/b")), Errc::exists);
    EXPECT_EQ(this->code_of(disk.link("nothing", "d/c")), Errc::not_found);
    EXPECT_EQ(this->code_of(disk.link("a", "../c")), Errc::invalid);
    ASSERT_TRUE(this->run(this->disk().remove("a")));
    EXPECT_EQ(this->get("d/b"), "content");
}

TYPED_TEST(DiskTest, SizesFollowTruncationAndNotAllocation) {
    const auto file = this->put("a", "0123456789");
    ASSERT_TRUE(this->run(file->allocate(100'000)));
    EXPECT_EQ(*this->run(file->size_bytes()), 10U);
    ASSERT_TRUE(this->run(file->truncate(4)));
    EXPECT_EQ(*this->run(file->size_bytes()), 4U);
    EXPECT_EQ(this->get("a"), "0123");
}

Task<Result<std::vector<DirectoryEntry>>> list_on_pool(Disk& disk) {
    co_return co_await disk.pool().run(disk.reactor(), [&] { return disk.blocking().list(""); });
}

TYPED_TEST(DiskTest, TheWaitingFormSeesTheSameFiles) {
    this->put("a", "x");
    EXPECT_THAT(*this->run(list_on_pool(this->disk())), ElementsAre(DirectoryEntry{"a", false}));
}

Task<Status> write_pieces(File& file, uint32_t begin, uint32_t end) {
    for (uint32_t index = begin; index < end; ++index) {
        const std::string piece(4096, static_cast<char>('a' + index % 26));
        CO_TRY_STATUS(co_await file.write_exactly(as_bytes(piece), index * 4096ULL));
        if (index % 8 == 7) CO_TRY_STATUS(co_await file.sync());
    }
    co_return Status();
}

Task<void> count_done(Task<Status> work, uint32_t& done, uint32_t& good) {
    const Status status = co_await work;
    ++done;
    good += status ? 1 : 0;
}

TYPED_TEST(DiskTest, ManyTasksMayUseOneFileAtOnce) {
    const auto file = this->open("a", OpenMode::create);
    uint32_t done = 0;
    uint32_t good = 0;
    for (uint32_t task = 0; task < 8; ++task) {
        start_detached(count_done(write_pieces(*file, task * 16, task * 16 + 16), done, good));
    }
    while (done < 8) this->case_.loop.reactor->turn(1'000'000);
    EXPECT_EQ(good, 8U);
    const std::string text = this->get("a");
    ASSERT_EQ(text.size(), 128U * 4096);
    for (uint32_t index = 0; index < 128; ++index) {
        EXPECT_EQ(text[index * 4096 + 100], 'a' + index % 26);
    }
}

// A kernel that does file operations as its script says: short, interrupted, failing.
class ScriptedKernel final : public Kernel {
public:
    // For each operation in turn: a negative errno, or how many bytes it moves at most. When the
    // script is at its end, operations do all they are asked.
    std::deque<int32_t> script;
    uint32_t operation_count = 0;

    const char* name() const override { return "scripted"; }
    const Clock& clock() const override { return clock_; }
    uint32_t turn(uint64_t) override {
        const std::deque<Operation*> started = std::exchange(started_, {});
        for (Operation* operation : started) {
            operation->result = perform(*operation);
            operation->is_pending = false;
            operation->on_done(*operation);
        }
        return static_cast<uint32_t>(started.size());
    }
    void wake() override {}
    void start(Operation& operation) override {
        operation.is_pending = true;
        started_.push_back(&operation);
    }
    void cancel(Operation&) override {}
    uint32_t pending_count() const override { return static_cast<uint32_t>(started_.size()); }
    int32_t listen(const Address&, uint32_t) override { return -ENOSYS; }
    int32_t open_connection(const Address&) override { return -ENOSYS; }
    Address local_address(int) const override { return {}; }
    Address peer_address(int) const override { return {}; }
    std::optional<uint32_t> peer_user(int) const override { return std::nullopt; }
    void shutdown(int) override {}
    void finish_sending(int) override {}
    uint32_t unread_bytes(int) const override { return 0; }
    void close(int descriptor) override { ::close(descriptor); }
    void forget(int) override {}
    int32_t try_read(int file, MutableBytes buffer, uint64_t offset) override {
        const auto half = buffer.first(buffer.size() / 2);
        return static_cast<int32_t>(
            ::pread(file, half.data(), half.size(), static_cast<off_t>(offset)));
    }
    int32_t try_receive(int, MutableBytes) override { return -ENOSYS; }
    int32_t try_send(int, Bytes, bool) override { return -ENOSYS; }
    int32_t try_send_descriptor(int, Bytes, int) override { return -ENOSYS; }
    int32_t try_send_file(int, int, uint64_t, uint32_t) override { return -ENOSYS; }

private:
    int32_t perform(const Operation& operation) {
        ++operation_count;
        size_t size = operation.size;
        if (!script.empty()) {
            const int32_t step = script.front();
            script.pop_front();
            if (step < 0) return step;
            size = std::min(size, static_cast<size_t>(step));
        }
        const auto offset = static_cast<off_t>(operation.offset);
        switch (operation.kind) {
            case OperationKind::read:
                return static_cast<int32_t>(
                    ::pread(operation.descriptor, operation.data, size, offset));
            case OperationKind::write:
                return static_cast<int32_t>(
                    ::pwrite(operation.descriptor, operation.data, size, offset));
            case OperationKind::sync_data:
                return ::fdatasync(operation.descriptor);
            default:
                return -ENOSYS;
        }
    }

    SystemClock clock_;
    std::deque<Operation*> started_;
};

class KernelDiskTest : public testing::Test {
protected:
    KernelDiskTest() {
        auto kernel = std::make_unique<ScriptedKernel>();
        kernel_ = kernel.get();
        reactor_ = std::make_unique<Reactor>(std::move(kernel), ReactorOptions{});
        disk_ = make_kernel_disk(*reactor_, *pool_, *blocking_);
        file_ = std::move(*reactor_->run_until_done(disk_->open("a", OpenMode::create)));
    }
    Status write(std::string_view text, uint64_t offset = 0) {
        return reactor_->run_until_done(file_->write_exactly(as_bytes(text), offset));
    }
    Status read(std::string& text) {
        return reactor_->run_until_done(
            file_->read_exactly(std::as_writable_bytes(std::span(text)), 0));
    }

    TemporaryDirectory directory_;
    std::unique_ptr<BlockingDisk> blocking_ = *make_posix_disk(directory_.path());
    std::unique_ptr<Pool> pool_ = make_inline_pool();
    ScriptedKernel* kernel_ = nullptr;
    std::unique_ptr<Reactor> reactor_;
    std::unique_ptr<Disk> disk_;
    std::unique_ptr<File> file_;
};

TEST_F(KernelDiskTest, ShortAndInterruptedOperationsAreContinued) {
    kernel_->script = {3, -EINTR, 1, -EAGAIN, 2};
    ASSERT_TRUE(write("0123456789"));
    EXPECT_EQ(kernel_->operation_count, 6U);
    std::string text(10, '?');
    kernel_->script = {-EAGAIN, 1, -EINTR, 2};
    ASSERT_TRUE(read(text));
    EXPECT_EQ(text, "0123456789");
}

TEST_F(KernelDiskTest, ErrorsEndAnOperationWithTheirMeaning) {
    kernel_->script = {4, -ENOSPC};
    EXPECT_EQ(write("0123456789").error().code, Errc::full);
    kernel_->script = {-EIO};
    EXPECT_EQ(write("0123456789").error().code, Errc::io_error);
    kernel_->script = {0};
    EXPECT_EQ(write("0123456789").error().code, Errc::io_error);
    std::string text(4, '?');
    kernel_->script = {-EIO};
    EXPECT_EQ(read(text).error().code, Errc::io_error);
}

TEST_F(KernelDiskTest, AnOperationThatIsOnlyEverPutOffFailsInTheEnd) {
    kernel_->script.assign(10'000, -EAGAIN);
    EXPECT_EQ(write("x").error().code, Errc::io_error);
    EXPECT_LT(kernel_->operation_count, 1000U);
}

TEST_F(KernelDiskTest, AFailedSyncIsNotTriedAgain) {
    for (const int32_t error : {-EIO, -EINTR, -EAGAIN, -ENOSPC}) {
        kernel_->script = {error};
        kernel_->operation_count = 0;
        EXPECT_FALSE(reactor_->run_until_done(file_->sync()));
        EXPECT_EQ(kernel_->operation_count, 1U);
    }
}

// What an asynchronous disk in memory adds to the model of the power cut.

Task<void> note_status(Task<Status> work, std::optional<Status>& to) {
    to = co_await work;
}

class MemoryDiskInFlightTest : public testing::Test {
protected:
    std::string after_cut() {
        const auto bytes = storage_.crash_losing_all().read_file("a");
        return bytes ? std::string(as_text(*bytes)) : "<missing>";
    }
    void finish(std::optional<Status>& status) {
        while (!status) reactor().turn(1'000'000);
    }
    Reactor& reactor() { return *loop_.reactor; }
    std::unique_ptr<File> create() {
        auto file = reactor().run_until_done(disk_->open("a", OpenMode::create));
        EXPECT_TRUE(reactor().run_until_done(disk_->sync_directory("")));
        return std::move(*file);
    }

    MemoryStorage storage_;
    SimLoop loop_;
    std::unique_ptr<Disk> disk_ = storage_.make_disk(reactor(), *loop_.pool);
};

TEST_F(MemoryDiskInFlightTest, ASyncCoversOnlyWhatWasDoneWhenItBegan) {
    const auto file = create();
    ASSERT_TRUE(reactor().run_until_done(file->write_exactly(as_bytes("1"), 0)));
    std::optional<Status> synced;
    std::optional<Status> written;
    start_detached(note_status(file->sync(), synced));
    start_detached(note_status(file->write_exactly(as_bytes("2"), 1), written));
    EXPECT_EQ(after_cut(), "");  // not yet durable: the sync goes on
    finish(synced);
    finish(written);
    EXPECT_EQ(after_cut(), "1");
    ASSERT_TRUE(reactor().run_until_done(file->sync()));
    EXPECT_EQ(after_cut(), "12");
}

TEST_F(MemoryDiskInFlightTest, ASyncThatBeginsDuringAWriteDoesNotCoverIt) {
    const auto file = create();
    std::optional<Status> synced;
    std::optional<Status> written;
    start_detached(note_status(file->write_exactly(as_bytes("1"), 0), written));
    start_detached(note_status(file->sync(), synced));
    finish(synced);
    finish(written);
    EXPECT_EQ(after_cut(), "");
    EXPECT_TRUE(storage_.has_pending());
}

TEST_F(MemoryDiskInFlightTest, WhatWasGoingOnWhenThePowerWentFails) {
    const auto file = create();
    std::optional<Status> synced;
    ASSERT_TRUE(reactor().run_until_done(file->write_exactly(as_bytes("1"), 0)));
    start_detached(note_status(file->sync(), synced));
    storage_.power_off();
    finish(synced);
    ASSERT_FALSE(*synced);
    EXPECT_EQ(synced->error().code, Errc::io_error);
    EXPECT_EQ(after_cut(), "");
}

// A file whose close waits until it is let go, as on a device that hangs.
class HangingDisk final : public BlockingDisk {
public:
    explicit HangingDisk(BlockingDisk& real) : real_(real) {}
    std::binary_semaphore let_go{0};
    std::atomic<bool> is_closed = false;

    Result<std::unique_ptr<BlockingFile>> open(const std::string& path, OpenMode mode) override {
        TRY(std::unique_ptr<BlockingFile> file, real_.open(path, mode));
        return std::make_unique<HangingFile>(*this, std::move(file));
    }
    Status remove(const std::string& path) override { return real_.remove(path); }
    Status rename(const std::string& from, const std::string& to) override {
        return real_.rename(from, to);
    }
    Status link(const std::string& from, const std::string& to) override {
        return real_.link(from, to);
    }
    Status make_directory(const std::string& path) override { return real_.make_directory(path); }
    Status sync_directory(const std::string& path) override { return real_.sync_directory(path); }
    Status sync_file_system() override { return real_.sync_file_system(); }
    Result<std::vector<DirectoryEntry>> list(const std::string& path) override {
        return real_.list(path);
    }
    Result<DiskSpace> space() override { return real_.space(); }

private:
    class HangingFile final : public BlockingFile {
    public:
        HangingFile(HangingDisk& disk, std::unique_ptr<BlockingFile> file)
            : disk_(disk), file_(std::move(file)) {}
        ~HangingFile() override {
            disk_.let_go.acquire();
            disk_.is_closed = true;
        }
        Result<size_t> read(MutableBytes buffer, uint64_t offset) override {
            return file_->read(buffer, offset);
        }
        Status write_exactly(Bytes bytes, uint64_t offset) override {
            return file_->write_exactly(bytes, offset);
        }
        Status sync() override { return file_->sync(); }
        Result<uint64_t> size_bytes() override { return file_->size_bytes(); }
        Status truncate(uint64_t size_bytes) override { return file_->truncate(size_bytes); }
        Status allocate(uint64_t size_bytes) override { return file_->allocate(size_bytes); }
        Status lock_exclusively() override { return file_->lock_exclusively(); }
        int descriptor() const override { return file_->descriptor(); }

    private:
        HangingDisk& disk_;
        std::unique_ptr<BlockingFile> file_;
    };

    BlockingDisk& real_;
};

TEST(KernelDiskClosingTest, ClosingAFileDoesNotHoldUpTheCore) {
    const TemporaryDirectory directory;
    const auto real = *make_posix_disk(directory.path());
    HangingDisk hanging(*real);
    Loop loop(make_any_kernel());
    const auto disk = make_kernel_disk(*loop.reactor, *loop.pool, hanging);
    auto file = loop.reactor->run_until_done(disk->open("f", OpenMode::create));
    ASSERT_TRUE(file);
    file->reset();  // would never return
    EXPECT_FALSE(hanging.is_closed);
    hanging.let_go.release();
    loop.pool.reset();
    EXPECT_TRUE(hanging.is_closed);
}

}  // namespace
}  // namespace penstock::io
