#include "node/store/file_cache.h"

#include <algorithm>

#include "node/store/object_file.h"
#include "node/store/segment.h"

namespace penstock::node {

std::shared_ptr<OpenFile> FileCache::find(const FileId& key) {
    const auto found = files_.find(key);
    if (found == files_.end()) return nullptr;
    found->second->last_use = ++uses_;
    return found->second;
}

io::Task<Result<std::shared_ptr<OpenFile>>> FileCache::open_segment(uint32_t number) {
    co_return co_await open(segment_file_id(number), segment_path(number));
}

io::Task<Result<std::shared_ptr<OpenFile>>> FileCache::open_object(FileId id) {
    co_return co_await open(id, object_file_path(id));
}

io::Task<Result<std::shared_ptr<OpenFile>>> FileCache::open(FileId key, std::string path) {
    if (std::shared_ptr<OpenFile> opened = find(key)) co_return opened;
    Result<std::unique_ptr<io::File>> result = co_await disk_.open(path, io::OpenMode::read);
    if (!result && result.error().code == Errc::unavailable && !files_.empty()) {
        // No descriptors left: those kept for later are given back.
        files_.clear();
        result = co_await disk_.open(path, io::OpenMode::read);
    }
    CO_TRY(std::unique_ptr<io::File> file, std::move(result));
    // Somebody else may have opened it meanwhile: marks must not be split over two.
    if (std::shared_ptr<OpenFile> opened = find(key)) co_return opened;
    make_room();
    auto opened = std::make_shared<OpenFile>();
    opened->file = std::move(file);
    opened->last_use = ++uses_;
    files_[key] = opened;
    co_return opened;
}

void FileCache::make_room() {
    if (files_.size() < files_max_) return;
    const auto oldest = std::ranges::min_element(
        files_, {}, [](const auto& entry) { return entry.second->last_use; });
    files_.erase(oldest);
}

}  // namespace penstock::node
