#include "node/store/level_env.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "io/base/assert.h"

namespace penstock::node {
namespace {

using leveldb::Slice;

leveldb::Status level_status(const Status& status) {
    return status ? leveldb::Status::OK() : level_status_from_error(status.error());
}

std::string directory_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

class SequentialFile final : public leveldb::SequentialFile {
public:
    explicit SequentialFile(std::unique_ptr<io::BlockingFile> file) : file_(std::move(file)) {}

    leveldb::Status Read(size_t n, Slice* result, char* scratch) override {
        const Result<size_t> count =
            file_->read({reinterpret_cast<std::byte*>(scratch), n}, offset_);
        if (!count) return level_status_from_error(count.error());
        offset_ += *count;
        *result = Slice(scratch, *count);
        return leveldb::Status::OK();
    }

    leveldb::Status Skip(uint64_t n) override {
        offset_ += n;
        return leveldb::Status::OK();
    }

private:
    std::unique_ptr<io::BlockingFile> file_;
    uint64_t offset_ = 0;
};

class RandomAccessFile final : public leveldb::RandomAccessFile {
public:
    explicit RandomAccessFile(std::unique_ptr<io::BlockingFile> file) : file_(std::move(file)) {}

    leveldb::Status Read(uint64_t offset, size_t n, Slice* result, char* scratch) const override {
        const Result<size_t> count =
            file_->read({reinterpret_cast<std::byte*>(scratch), n}, offset);
        if (!count) return level_status_from_error(count.error());
        *result = Slice(scratch, *count);
        return leveldb::Status::OK();
    }

private:
    std::unique_ptr<io::BlockingFile> file_;
};

class WritableFile final : public leveldb::WritableFile {
public:
    WritableFile(io::BlockingDisk& disk, std::unique_ptr<io::BlockingFile> file, std::string path,
                 uint64_t offset)
        : disk_(disk), file_(std::move(file)), path_(std::move(path)), offset_(offset) {
        buffer_.reserve(buffer_bytes_max);
    }

    leveldb::Status Append(const Slice& data) override {
        Bytes rest = as_bytes({data.data(), data.size()});
        while (!rest.empty()) {
            if (buffer_.empty() && rest.size() >= buffer_bytes_max) return write(rest);
            const size_t count = std::min(rest.size(), buffer_bytes_max - buffer_.size());
            buffer_.insert(buffer_.end(), rest.begin(), rest.begin() + static_cast<long>(count));
            rest = rest.subspan(count);
            if (buffer_.size() == buffer_bytes_max) {
                const leveldb::Status status = Flush();
                if (!status.ok()) return status;
            }
        }
        return leveldb::Status::OK();
    }

    leveldb::Status Flush() override {
        if (buffer_.empty()) return leveldb::Status::OK();
        const leveldb::Status status = write(buffer_);
        buffer_.clear();
        return status;
    }

    leveldb::Status Sync() override {
        const leveldb::Status status = Flush();
        if (!status.ok()) return status;
        // A manifest must not name tables whose names could still be lost.
        const bool is_manifest = path_.find("MANIFEST") != std::string::npos;
        if (is_manifest) {
            if (const Status synced = disk_.sync_directory(directory_of(path_)); !synced) {
                return level_status(synced);
            }
        }
        if (is_sync_failed_) return leveldb::Status::IOError("io_error: a sync failed before");
        const Status synced = file_->sync();
        is_sync_failed_ = !synced;
        if (!synced || is_name_durable_ || is_manifest) return level_status(synced);
        const Status named = disk_.sync_directory(directory_of(path_));
        is_name_durable_ = named.has_value();
        return level_status(named);
    }

    leveldb::Status Close() override {
        const leveldb::Status status = Flush();
        file_.reset();
        return status;
    }

private:
    static constexpr size_t buffer_bytes_max = 64 << 10;

    leveldb::Status write(Bytes bytes) {
        // After a write that failed the file's end is unknown; what is appended behind it could
        // make a record that was never written.
        if (is_write_failed_) return leveldb::Status::IOError("io_error: a write failed before");
        const Status written = file_->write_exactly(bytes, offset_);
        is_write_failed_ = !written;
        offset_ += bytes.size();
        return level_status(written);
    }

    io::BlockingDisk& disk_;
    std::unique_ptr<io::BlockingFile> file_;
    std::string path_;
    uint64_t offset_;
    std::vector<std::byte> buffer_;
    bool is_name_durable_ = false;
    bool is_write_failed_ = false;
    bool is_sync_failed_ = false;
};

class NoLogger final : public leveldb::Logger {
public:
    void Logv(const char*, std::va_list) override {}
};

class LevelEnv final : public leveldb::Env {
public:
    LevelEnv(io::BlockingDisk& disk, io::Background& background, const Clock& clock)
        : disk_(disk), background_(background), clock_(clock) {}

    leveldb::Status NewSequentialFile(const std::string& path,
                                      leveldb::SequentialFile** result) override {
        return open_for_reading<SequentialFile>(path, result);
    }
    leveldb::Status NewRandomAccessFile(const std::string& path,
                                        leveldb::RandomAccessFile** result) override {
        return open_for_reading<RandomAccessFile>(path, result);
    }

    leveldb::Status NewWritableFile(const std::string& path,
                                    leveldb::WritableFile** result) override {
        *result = nullptr;
        auto file = disk_.open(path, io::OpenMode::create);
        if (!file && file.error().code == Errc::exists) {
            if (const Status removed = disk_.remove(path); !removed) return level_status(removed);
            file = disk_.open(path, io::OpenMode::create);
        }
        if (!file) return level_status_from_error(file.error());
        *result = new WritableFile(disk_, std::move(*file), path, 0);
        return leveldb::Status::OK();
    }

    leveldb::Status NewAppendableFile(const std::string& path,
                                      leveldb::WritableFile** result) override {
        *result = nullptr;
        auto file = disk_.open(path, io::OpenMode::write);
        if (!file && file.error().code == Errc::not_found) return NewWritableFile(path, result);
        if (!file) return level_status_from_error(file.error());
        const Result<uint64_t> size = (*file)->size_bytes();
        if (!size) return level_status_from_error(size.error());
        *result = new WritableFile(disk_, std::move(*file), path, *size);
        return leveldb::Status::OK();
    }

    bool FileExists(const std::string& path) override {
        return disk_.open(path, io::OpenMode::read).has_value();
    }

    leveldb::Status GetChildren(const std::string& path,
                                std::vector<std::string>* result) override {
        result->clear();
        const auto entries = disk_.list(path);
        if (!entries) return level_status_from_error(entries.error());
        for (const io::DirectoryEntry& entry : *entries) result->push_back(entry.name);
        return leveldb::Status::OK();
    }

    leveldb::Status RemoveFile(const std::string& path) override {
        return level_status(disk_.remove(path));
    }

    leveldb::Status CreateDir(const std::string& path) override {
        Status status = disk_.make_directory(path);
        if (!status && status.error().code == Errc::exists) return leveldb::Status::OK();
        if (status) status = disk_.sync_directory(directory_of(path));
        return level_status(status);
    }
    leveldb::Status RemoveDir(const std::string& path) override {
        return level_status(disk_.remove(path));
    }

    leveldb::Status GetFileSize(const std::string& path, uint64_t* size_bytes) override {
        const auto file = disk_.open(path, io::OpenMode::read);
        if (!file) return level_status_from_error(file.error());
        const Result<uint64_t> size = (*file)->size_bytes();
        if (!size) return level_status_from_error(size.error());
        *size_bytes = *size;
        return leveldb::Status::OK();
    }

    leveldb::Status RenameFile(const std::string& from, const std::string& to) override {
        Status status = disk_.rename(from, to);
        if (status) status = disk_.sync_directory(directory_of(to));
        return level_status(status);
    }

    leveldb::Status LockFile(const std::string&, leveldb::FileLock** lock) override {
        *lock = new leveldb::FileLock();
        return leveldb::Status::OK();
    }
    leveldb::Status UnlockFile(leveldb::FileLock* lock) override {
        delete lock;
        return leveldb::Status::OK();
    }

    void Schedule(void (*function)(void*), void* argument) override {
        background_.submit([function, argument] { function(argument); });
    }
    void StartThread(void (*function)(void*), void* argument) override {
        Schedule(function, argument);
    }

    leveldb::Status GetTestDirectory(std::string*) override {
        return leveldb::Status::NotSupported("GetTestDirectory");
    }
    leveldb::Status NewLogger(const std::string&, leveldb::Logger** result) override {
        *result = new NoLogger();
        return leveldb::Status::OK();
    }

    uint64_t NowMicros() override { return clock_.monotonic_ns() / 1000; }
    void SleepForMicroseconds(int micros) override {
        background_.sleep_ns(uint64_t{1000} * static_cast<uint64_t>(std::max(micros, 0)));
    }

private:
    template <typename File, typename Base>
    leveldb::Status open_for_reading(const std::string& path, Base** result) {
        *result = nullptr;
        auto file = disk_.open(path, io::OpenMode::read);
        if (!file) return level_status_from_error(file.error());
        *result = new File(std::move(*file));
        return leveldb::Status::OK();
    }

    io::BlockingDisk& disk_;
    io::Background& background_;
    const Clock& clock_;
};

}  // namespace

leveldb::Status level_status_from_error(const Error& error) {
    // LevelDB asks only for these kinds; the code goes along as the text's first word.
    if (error.code == Errc::not_found) return leveldb::Status::NotFound(error.context);
    if (error.code == Errc::corrupt) return leveldb::Status::Corruption(error.context);
    return leveldb::Status::IOError(errc_name(error.code), error.context);
}

Error error_from_level_status(const leveldb::Status& status, const char* operation) {
    ASSERT(!status.ok());
    const std::string text = status.ToString();
    const std::string context = std::string(operation) + " catalogue: " + text;
    // A file that LevelDB knows of and that is gone is damage, too.
    if (status.IsCorruption() || status.IsNotFound()) return {Errc::corrupt, context};
    for (const Errc code : {Errc::full, Errc::unavailable, Errc::closed, Errc::timed_out}) {
        if (text.find(std::string("IO error: ") + errc_name(code) + ": ") == 0) {
            return {code, context};
        }
    }
    return {Errc::io_error, context};
}

std::unique_ptr<leveldb::Env> make_level_env(io::BlockingDisk& disk, io::Background& background,
                                             const Clock& clock) {
    return std::make_unique<LevelEnv>(disk, background, clock);
}

}  // namespace penstock::node
