// Adoption of a directory: each file becomes an object by a hard link, or, where the file system
// has no such link, by a copy. Either way it is read once.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <vector>

#include "io/base/units.h"
#include "node/offline/entry_text.h"
#include "node/offline/session.h"

namespace penstock::node {
namespace {

namespace fs = std::filesystem;

constexpr size_t batch_files = 1024;
// One sync of the file system serves all adoptions that wait for it: many, therefore.
constexpr uint32_t in_flight_files = 4096;
constexpr uint32_t piece_bytes = 256 << 10;

struct FoundFile {
    std::string path;
    std::string name;  // below the source
    uint64_t size_bytes = 0;
    uint64_t modified_ns = 0;
};

// Files below a directory, in no order; neither links nor what lies in `left_out`. On the pool.
class FileWalk {
public:
    FileWalk(std::string root, fs::path left_out)
        : root_(std::move(root)), left_out_(std::move(left_out)) {}

    // None: that was all.
    Result<std::vector<FoundFile>> next() {
        std::error_code error;
        if (!is_begun_) {
            at_ = fs::recursive_directory_iterator(root_, error);
            is_begun_ = true;
        }
        std::vector<FoundFile> found;
        while (!error && at_ != fs::recursive_directory_iterator() && found.size() < batch_files) {
            look_at(*at_, found);
            at_.increment(error);
        }
        if (error) return fail(Errc::io_error, "read directory " + root_ + ": " + error.message());
        return found;
    }

private:
    void look_at(const fs::directory_entry& entry, std::vector<FoundFile>& found) {
        std::error_code error;
        const fs::file_status status = entry.symlink_status(error);
        if (error) return;
        if (fs::is_directory(status) && fs::equivalent(entry.path(), left_out_, error)) {
            at_.disable_recursion_pending();
        }
        if (!fs::is_regular_file(status)) return;
        FoundFile file;
        file.path = entry.path().string();
        file.name = entry.path().lexically_relative(root_).string();
        file.size_bytes = entry.file_size(error);
        const auto modified = std::chrono::file_clock::to_sys(entry.last_write_time(error));
        if (error) return;
        const auto since =
            std::chrono::duration_cast<std::chrono::nanoseconds>(modified.time_since_epoch());
        file.modified_ns = since.count() > 0 ? static_cast<uint64_t>(since.count()) : 0;
        found.push_back(std::move(file));
    }

    std::string root_;
    fs::path left_out_;
    fs::recursive_directory_iterator at_;
    bool is_begun_ = false;
};

// A file's content, read on the pool.
class FileSource final : public io::Source {
public:
    FileSource(Session& session, std::unique_ptr<io::BlockingFile> file, uint64_t size)
        : session_(session), file_(std::move(file)), size_(size) {}

    io::Task<Result<io::Chunk>> next() override {
        io::Chunk chunk{session_.buffers().take(piece_bytes), 0, 0};
        const MutableBytes room =
            chunk.buffer.bytes().first(std::min<uint64_t>(piece_bytes, size_ - offset_));
        if (room.empty()) co_return chunk;
        CO_TRY(const size_t count, co_await session_.pool().run(session_.reactor(), [this, room] {
            return file_->read(room, offset_);
        }));
        chunk.size = static_cast<uint32_t>(count);
        offset_ += count;
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return size_ - offset_; }

private:
    Session& session_;
    std::unique_ptr<io::BlockingFile> file_;
    uint64_t size_;
    uint64_t offset_ = 0;
};

class Adopt {
public:
    Adopt(Session& session, const AdoptOptions& options, std::string root,
          std::unique_ptr<io::BlockingDisk> source)
        : session_(session),
          options_(options),
          walk_(root, session.storage().path()),
          root_(std::move(root)),
          source_(std::move(source)),
          flights_(session.reactor(), in_flight_files, UINT64_MAX / 2) {}

    io::Task<Status> run() {
        Status status;
        while (status) {
            Result<std::vector<FoundFile>> files =
                co_await session_.pool().run(session_.reactor(), [this] { return walk_.next(); });
            if (!files) status = fail(files.error());
            if (!status || files->empty()) break;
            for (FoundFile& file : *files) {
                status = co_await take(std::move(file));
                if (status) status = flights_.status();
                if (!status) break;
            }
        }
        co_await flights_.settle();
        co_return status ? flights_.status() : status;
    }

private:
    io::Task<Status> take(FoundFile file) {
        BucketName bucket{"ais", "", "", options_.bucket};
        std::string object = file.name;
        if (bucket.name.empty()) {
            const size_t slash = file.name.find('/');
            if (slash == std::string::npos) {
                session_.problem(file.name, "it lies in no bucket's directory: give a bucket");
                co_return Status();
            }
            bucket.name = file.name.substr(0, slash);
            object = file.name.substr(slash + 1);
        }
        if (session_.service().find_bucket(Session::core, bucket) == nullptr) {
            Status made = check_bucket_name(bucket.name);
            if (made) made = co_await session_.service().create_bucket(Session::core, bucket, {});
            if (!made && !is_about_one(made.error().code)) co_return made;
            if (!made) {
                session_.problem(file.name, made.error().context);
                co_return Status();
            }
        }
        co_await flights_.take_off(1);
        io::start_detached(adopt(std::move(file), std::move(bucket), std::move(object)));
        co_return Status();
    }

    io::Task<void> adopt(FoundFile file, BucketName bucket, std::string object) {
        const ObjectAddress at{bucket, object};
        if (options_.skips_what_is_there && co_await has_already(at, file)) {
            session_.summary().skipped += 1;
            flights_.land(1);
            co_return;
        }
        Result<ObjectAttributes> done = fail(Errc::not_implemented, "to be copied");
        if (file.size_bytes >= options_.copy_below_bytes) {
            PutRequest request;
            request.modified_ns = file.modified_ns;
            done =
                co_await session_.service().adopt(Session::core, at, file.path, std::move(request));
        }
        if (!done && done.error().code == Errc::not_implemented) {
            done = co_await copy(at, file);
            if (done) session_.summary().copied += 1;
        }
        if (done) {
            session_.done(file.size_bytes);
        } else if (is_about_one(done.error().code)) {
            session_.problem(bucket_path(bucket) + "/" + object, done.error().context);
        } else {
            flights_.fail_with(done.error());
        }
        flights_.land(1);
    }

    io::Task<Result<ObjectAttributes>> copy(const ObjectAddress& at, const FoundFile& file) {
        Result<std::unique_ptr<io::BlockingFile>> opened = co_await session_.pool().run(
            session_.reactor(),
            [this, &file] { return source_->open(file.name, io::OpenMode::read); });
        if (!opened) co_return std::unexpected(opened.error());
        PutRequest request;
        request.modified_ns = file.modified_ns;
        co_return co_await session_.service().put(
            Session::core, at,
            io::Body(std::make_unique<FileSource>(session_, std::move(*opened), file.size_bytes)),
            std::move(request));
    }

    io::Task<bool> has_already(const ObjectAddress& at, const FoundFile& file) {
        const Result<ObjectAttributes> found = co_await session_.service().stat(Session::core, at);
        co_return found && found->size_bytes == file.size_bytes &&
            found->modified_ns == file.modified_ns;
    }

    Session& session_;
    const AdoptOptions& options_;
    FileWalk walk_;
    std::string root_;
    std::unique_ptr<io::BlockingDisk> source_;
    Flights flights_;
};

}  // namespace
}  // namespace penstock::node

namespace penstock {

Result<OfflineSummary> adopt_files(const OfflineOptions& options, const AdoptOptions& adopt) {
    std::error_code error;
    const std::filesystem::path root = std::filesystem::canonical(adopt.source, error);
    if (error || !std::filesystem::is_directory(root, error)) {
        return fail(Errc::not_found, adopt.source + " is no directory");
    }
    TRY(std::unique_ptr<io::BlockingDisk> source, io::make_posix_disk(root.string()));
    TRY(const std::unique_ptr<node::Session> session, node::Session::open(options, false));
    node::Adopt job(*session, adopt, root.string(), std::move(source));
    return session->run([&job] { return job.run(); });
}

}  // namespace penstock
