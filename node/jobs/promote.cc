// Adopting files of the server as objects (AIStore's promote): they are read below one directory
// and put like any other. Symbolic links are never followed, and what is no file is passed over.
#include <algorithm>
#include <filesystem>

#include "io/base/units.h"
#include "node/jobs/run.h"

namespace penstock::node {
namespace {

namespace fs = std::filesystem;

constexpr size_t files_max = 1'000'000;
constexpr size_t depth_max = 64;
constexpr size_t at_once_max = 16;
constexpr uint32_t piece_bytes = 256 << 10;

bool is_inside(const std::string& relative) {
    const fs::path path(relative);
    if (path.is_absolute()) return false;
    return std::ranges::none_of(path, [](const fs::path& part) { return part == ".."; });
}

struct Found {
    std::string file;  // relative to the root
    std::string object;
};

// A file of the server as a body.
class FileSource final : public io::Source {
public:
    FileSource(io::Reactor& reactor, io::BufferPool& buffers, io::Pool& pool,
               std::unique_ptr<io::BlockingFile> file, uint64_t size)
        : reactor_(reactor), buffers_(buffers), pool_(pool), file_(std::move(file)), left_(size) {}

    io::Task<Result<io::Chunk>> next() override {
        if (left_ == 0) co_return io::Chunk();
        io::Chunk chunk{buffers_.take(piece_bytes), 0, 0};
        const auto wanted = static_cast<size_t>(std::min<uint64_t>(left_, piece_bytes));
        CO_TRY(const size_t count, co_await pool_.run(reactor_, [&] {
            return file_->read(chunk.buffer.bytes().first(wanted), offset_);
        }));
        if (count == 0) co_return fail(Errc::closed, "the file became shorter");
        chunk.size = static_cast<uint32_t>(count);
        offset_ += count;
        left_ -= count;
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return left_; }

private:
    io::Reactor& reactor_;
    io::BufferPool& buffers_;
    io::Pool& pool_;
    std::unique_ptr<io::BlockingFile> file_;
    uint64_t offset_ = 0;
    uint64_t left_;
};

class Promotion {
public:
    explicit Promotion(JobRun& run)
        : run_(run),
          options_(run.spec().promote),
          slots_(run.reactor(), at_once_max),
          all_done_(run.reactor()) {}

    io::Task<Status> run() {
        CO_TRY_STATUS(co_await run_.pool().run(run_.reactor(), [this] { return find(); }));
        left_ = found_.size();
        for (const Found& found : found_) {
            co_await slots_.acquire();
            if (status_) status_ = run_.may_go_on();
            io::start_detached(promote_in(found));
        }
        if (!found_.empty()) co_await all_done_.wait();
        co_return status_;
    }

private:
    // On the pool.
    Status find() {
        TRY(disk_, io::make_posix_disk(run_.options().promote_root));
        std::error_code error;
        const fs::path root(run_.options().promote_root);
        const fs::file_status status = fs::symlink_status(root / options_.source, error);
        if (fs::is_regular_file(status)) {
            found_.push_back({options_.source, options_.name});
            return {};
        }
        if (!fs::is_directory(status)) return fail(Errc::not_found, "no file or directory");
        TRY_STATUS(find_below(options_.source, options_.name, 0));
        return {};
    }

    Status find_below(const std::string& directory, const std::string& name, size_t depth) {
        if (depth > depth_max) return fail(Errc::invalid, "directories are nested too deeply");
        TRY(const std::vector<io::DirectoryEntry> entries, disk_->list(directory));
        for (const io::DirectoryEntry& entry : entries) {
            const std::string path = directory.empty() ? entry.name : directory + "/" + entry.name;
            if (entry.is_directory) {
                if (!options_.is_recursive) continue;
                TRY_STATUS(find_below(path, name + entry.name + "/", depth + 1));
                continue;
            }
            std::error_code error;
            const fs::path whole = fs::path(run_.options().promote_root) / path;
            if (!fs::is_regular_file(fs::symlink_status(whole, error))) continue;
            if (found_.size() == files_max) {
                return fail(Errc::too_large, "more than 1000000 files below one directory");
            }
            found_.push_back({path, name + entry.name});
        }
        return {};
    }

    io::Task<void> promote_in(const Found& found) {
        if (status_) {
            const Result<uint64_t> promoted = co_await promote_one(found);
            if (promoted) {
                run_.done(1, *promoted);
            } else if (promoted.error().code != Errc::condition_failed) {
                const Status goes_on = run_.failed(found.object, promoted.error());
                if (!goes_on && status_) status_ = goes_on;
            }
        }
        slots_.release();
        if (--left_ == 0) all_done_.set();
    }

    // `condition_failed`: there is such an object, which is not to be replaced.
    io::Task<Result<uint64_t>> promote_one(const Found& found) {
        CO_TRY(const BucketName bucket, run_.bucket());
        std::unique_ptr<io::BlockingFile> file;
        CO_TRY(const uint64_t size,
               co_await run_.pool().run(run_.reactor(), [&]() -> Result<uint64_t> {
                   TRY(file, disk_->open(found.file, io::OpenMode::read));
                   return file->size_bytes();
               }));
        PutRequest request;
        if (!options_.overwrites) request.condition.kind = Condition::Kind::absent;
        io::Body body(std::make_unique<FileSource>(run_.reactor(), run_.buffers(), run_.pool(),
                                                   std::move(file), size));
        CO_TRY_STATUS(co_await run_.service().put(JobRun::core, {bucket, found.object},
                                                  std::move(body), std::move(request)));
        if (options_.deletes_source) {
            CO_TRY_STATUS(co_await run_.pool().run(run_.reactor(),
                                                   [&] { return disk_->remove(found.file); }));
        }
        co_return size;
    }

    JobRun& run_;
    const PromoteOptions& options_;
    std::unique_ptr<io::BlockingDisk> disk_;
    std::vector<Found> found_;
    io::Semaphore slots_;
    io::Event all_done_;
    size_t left_ = 0;
    Status status_;
};

}  // namespace

Result<bool> check_promote(const std::string& root, const std::string& source) {
    if (!is_inside(source)) {
        return fail(Errc::invalid, "the source is not below the promote directory");
    }
    std::error_code error;
    const fs::file_status status = fs::symlink_status(fs::path(root) / source, error);
    if (fs::is_regular_file(status) || fs::is_directory(status)) return fs::is_directory(status);
    return fail(Errc::not_found, "no such file or directory");
}

io::Task<Status> promote_files(JobRun& run) {
    Promotion promotion(run);
    co_return co_await promotion.run();
}

}  // namespace penstock::node
