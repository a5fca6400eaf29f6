// The store on a real disk and several cores.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "io/cores.h"
#include "io/disk.h"
#include "node/store/store.h"
#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

uint64_t cpu_us() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto us = [](const timeval& time) {
        return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_usec);
    };
    return us(usage.ru_utime) + us(usage.ru_stime);
}

class StoreDiskTest : public ::testing::TestWithParam<uint32_t> {
protected:
    void SetUp() override {
        directory_ = ::testing::TempDir() + "/log-store-" + std::to_string(getpid());
        std::filesystem::create_directories(directory_);
        posix_ = *io::make_posix_disk(directory_);
        io::CoresOptions options;
        options.count = GetParam();
        options.spin_ns = 0;
        cores_ = *io::Cores::start(options, log_);
        for (uint32_t core = 0; core < cores_->count(); ++core) {
            disks_.push_back(io::make_kernel_disk(cores_->reactor(core), cores_->pool(), *posix_));
        }
        open();
    }
    void TearDown() override {
        close();
        for (uint32_t core = 0; core < cores_->count(); ++core) {
            cores_->run_on(core, [this, core] { return drop_disk(core); });
        }
        cores_->stop();
        cores_.reset();
        std::filesystem::remove_all(directory_);
    }

    io::Task<void> drop_disk(uint32_t core) {
        disks_[core].reset();
        co_return;
    }
    void open() {
        std::vector<StoreCore> cores;
        for (uint32_t core = 0; core < cores_->count(); ++core) {
            cores.push_back({&cores_->reactor(core), &cores_->buffers(core), disks_[core].get()});
        }
        auto opened = cores_->run_on(0, [&] { return Store::open(cores, {}, log_); });
        ASSERT_TRUE(opened) << opened.error().context;
        store_ = std::move(*opened);
    }
    void close() {
        cores_->run_on(0, [this] { return close_on_home(); });
    }
    io::Task<void> close_on_home() {
        co_await store_->stop();
        store_.reset();
    }

    static ObjectName name(std::string_view object) { return {{1}, "bucket", object}; }

    io::Task<uint64_t> write_many(uint32_t core, uint32_t writer, uint32_t count, size_t size) {
        const std::string content = content_of(writer, size);
        uint64_t done = 0;
        for (uint32_t index = 0; index < count; ++index) {
            const std::string object = "w" + std::to_string(writer) + "/" + std::to_string(index);
            auto put = co_await store_->put(
                core, name(object), io::Body::copy_of(cores_->buffers(core), as_bytes(content)),
                {});
            if (put) ++done;
        }
        co_return done;
    }
    io::Task<uint64_t> write_large(std::string content) {
        auto source = std::make_unique<PiecewiseSource>(cores_->buffers(0), content, true);
        const auto put = co_await store_->put(0, name("large"), io::Body(std::move(source)), {});
        co_return put ? 1U : 0U;
    }
    // `writers` at once on one core.
    io::Task<uint64_t> write_at_once(uint32_t core, uint32_t writers, uint32_t count, size_t size) {
        uint64_t total = 0;
        uint32_t left = writers;
        io::Event all(cores_->reactor(core));
        for (uint32_t writer = 0; writer < writers; ++writer) {
            io::start_detached([](StoreDiskTest& test, uint32_t on, uint32_t which, uint32_t number,
                                  size_t bytes, uint64_t& sum, uint32_t& running,
                                  io::Event& done) -> io::Task<void> {
                sum += co_await test.write_many(on, on * 1000 + which, number, bytes);
                if (--running == 0) done.set();
            }(*this, core, writer, count, size, total, left, all));
        }
        co_await all.wait();
        co_return total;
    }
    // "", or the first thing that was wrong. A content is one letter, many times.
    io::Task<std::string> change_and_read(uint32_t core) {
        constexpr uint32_t rounds = 200;
        Random random(core + 1);
        for (uint32_t round = 0; round < rounds; ++round) {
            const std::string object = "shared" + std::to_string(random.below(8));
            switch (random.below(5)) {
                case 0:
                case 1: {
                    const auto letter = static_cast<char>('a' + random.below(26));
                    const std::string content(1 + random.below(5000), letter);
                    const auto put = co_await store_->put(
                        core, name(object),
                        io::Body::copy_of(cores_->buffers(core), as_bytes(content)), {});
                    if (!put) co_return "put: " + put.error().context;
                    break;
                }
                case 2: {
                    const auto removed =
                        co_await store_->remove(core, name(object), {}, Durability::group);
                    if (!removed && removed.error().code != Errc::not_found) {
                        co_return "remove: " + removed.error().context;
                    }
                    break;
                }
                case 3: {
                    const auto page = co_await store_->list(core, {1}, {.prefix = "shared"});
                    if (!page) co_return "list: " + page.error().context;
                    if (page->entries.size() > 8) co_return "list: too many names";
                    break;
                }
                default: {
                    auto opened = co_await store_->get(core, name(object), {});
                    if (!opened && opened.error().code == Errc::not_found) break;
                    if (!opened) co_return "get: " + opened.error().context;
                    auto chunk = co_await opened->body.read_all(cores_->reactor(core),
                                                                cores_->buffers(core), 1 << 20);
                    if (!chunk) co_return "read: " + chunk.error().context;
                    const std::string_view text = as_text(chunk->bytes());
                    if (text.empty() || text.find_first_not_of(text[0]) != text.npos) {
                        co_return "torn content";
                    }
                }
            }
        }
        co_return "";
    }
    io::Task<std::string> get(uint32_t core, std::string object, ReadRange range = {}) {
        auto opened = co_await store_->get(core, name(object), range);
        if (!opened) co_return "error: " + opened.error().context;
        is_file_range_ = opened->body.is_file_range();
        auto source = opened->body.into_source(cores_->reactor(core), cores_->buffers(core));
        std::string content;
        for (;;) {
            auto chunk = co_await source->next();
            if (!chunk) co_return "error: " + chunk.error().context;
            if (chunk->is_empty()) co_return content;
            content += as_text(chunk->bytes());
        }
    }

    Log log_ = Log::quiet();
    std::string directory_;
    std::unique_ptr<io::BlockingDisk> posix_;
    std::unique_ptr<io::Cores> cores_;
    std::vector<std::unique_ptr<io::Disk>> disks_;
    std::unique_ptr<Store> store_;
    bool is_file_range_ = false;
};

TEST_P(StoreDiskTest, WritersOnEveryCoreShareTheLogAndNothingIsLost) {
    constexpr uint32_t writers = 32;
    constexpr uint32_t count = 60;
    constexpr size_t size = 4096;
    const uint64_t before_us = cpu_us();
    uint64_t done = 0;
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        done +=
            cores_->run_on(core, [&, core] { return write_at_once(core, writers, count, size); });
    }
    EXPECT_EQ(done, uint64_t{writers} * count * cores_->count());
    printf("%u cores: %.1f us of CPU for each durable put of 4 KiB, %u at once\n", cores_->count(),
           static_cast<double>(cpu_us() - before_us) / static_cast<double>(done), writers);
    close();
    open();
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        for (uint32_t writer = 0; writer < writers; ++writer) {
            const uint32_t who = core * 1000 + writer;
            const std::string object = "w" + std::to_string(who) + "/59";
            const uint32_t reader = (core + 1) % cores_->count();
            EXPECT_EQ(cores_->run_on(reader, [&] { return get(reader, object); }),
                      content_of(who, size));
        }
    }
}

// Also run under ThreadSanitizer: writers, readers and listings on all cores at the same names.
TEST_P(StoreDiskTest, CoresChangeAndReadTheSameNamesAtOnce) {
    std::vector<std::jthread> callers;
    for (uint32_t core = 0; core < cores_->count(); ++core) {
        callers.emplace_back([this, core] {
            EXPECT_EQ(cores_->run_on(core, [this, core] { return change_and_read(core); }), "");
        });
    }
    callers.clear();
    EXPECT_EQ(cores_->run_on(0, [this] { return change_and_read(0); }), "");
}

TEST_P(StoreDiskTest, LargeObjectsAreReadFromEveryCoreAndThenAsFileRanges) {
    for (const size_t size : {150'000UZ, 7'000'000UZ}) {
        const std::string content = content_of(size, size);
        EXPECT_EQ(cores_->run_on(0, [&] { return write_large(content); }), 1U);
        for (uint32_t core = 0; core < cores_->count(); ++core) {
            EXPECT_EQ(cores_->run_on(core, [&] { return get(core, "large"); }) == content, true);
            // Written past the page cache, read once through it, verified: now its own pages go.
            EXPECT_EQ(cores_->run_on(core, [&] { return get(core, "large"); }) == content, true);
            EXPECT_TRUE(is_file_range_);
            EXPECT_EQ(cores_->run_on(core, [&] { return get(core, "large", {1000, 5000}); }),
                      content.substr(1000, 5000));
        }
    }
}

TEST_P(StoreDiskTest, LargePayloadsAreSentFromTheirSegmentOnceVerified) {
    constexpr size_t size = 100'000;
    // Odd neighbours: the payloads begin with a page all the same.
    for (uint32_t writer = 0; writer < 3; ++writer) {
        EXPECT_EQ(cores_->run_on(0, [&] { return write_many(0, writer, 1, size); }), 1U);
        EXPECT_EQ(cores_->run_on(0, [&] { return write_many(0, 10 + writer, 1, 700 + writer); }),
                  1U);
    }
    for (int opened_before = 0; opened_before < 2; ++opened_before) {
        for (uint32_t core = 0; core < cores_->count(); ++core) {
            for (uint32_t writer = 0; writer < 3; ++writer) {
                const std::string object = "w" + std::to_string(writer) + "/0";
                const std::string content = content_of(writer, size);
                const auto read = [&](ReadRange range) {
                    return cores_->run_on(core, [&] { return get(core, object, range); });
                };
                EXPECT_EQ(read({}) == content, true);
                EXPECT_FALSE(is_file_range_) << "not verified yet";
                EXPECT_EQ(read({}) == content, true);
                EXPECT_TRUE(is_file_range_);
                EXPECT_EQ(read({8192, 60'000}) == content.substr(8192, 60'000), true);
                EXPECT_TRUE(is_file_range_);
                EXPECT_EQ(read({8191, 60'000}) == content.substr(8191, 60'000), true);
                EXPECT_FALSE(is_file_range_) << "it does not begin with a page";
            }
        }
        close();
        open();
    }
}

TEST_P(StoreDiskTest, ADamagedPayloadIsNotSentAfterItLeftTheCache) {
    struct Case {
        size_t size;
        const char* folder;  // where its content lies
        const char* error;
    };
    for (const Case& object : {Case{100'000, "/log", "error: damaged content"},
                               Case{1'000'000, "/objects", "error: a damaged block"}}) {
        const auto put = [&] { return write_many(0, 1, 1, object.size); };
        EXPECT_EQ(cores_->run_on(0, put), 1U);
        const auto read = [&] { return cores_->run_on(0, [&] { return get(0, "w1/0"); }); };
        for (int round = 0; round < 2; ++round) {
            EXPECT_EQ(read() == content_of(1, object.size), true);
        }
        EXPECT_TRUE(is_file_range_);

        for (const auto& entry : std::filesystem::directory_iterator(directory_ + object.folder)) {
            const int file = ::open(entry.path().c_str(), O_RDWR | O_CLOEXEC);
            ASSERT_GE(file, 0);
            constexpr off_t inside = 50'000;
            char byte = 0;
            ASSERT_EQ(pread(file, &byte, 1, inside), 1);
            byte = static_cast<char>(byte ^ 1);
            ASSERT_EQ(pwrite(file, &byte, 1, inside), 1);
            ASSERT_EQ(fdatasync(file), 0);
            ASSERT_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
            ::close(file);
        }
        EXPECT_TRUE(read().starts_with(object.error)) << read();
    }
}

INSTANTIATE_TEST_SUITE_P(Cores, StoreDiskTest, ::testing::Values(1U, 2U));

}  // namespace
}  // namespace penstock::node
