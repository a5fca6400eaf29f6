// FileCache: the open segments and object files of one core, so that a hot GET is one pread.
//
// What is thrown out stays open for whoever still reads it, and its bytes stay where they are even
// if the file was removed: a slow client gets the version that it asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "io/disk.h"
#include "node/store/attributes.h"
#include "node/store/blocks.h"

namespace penstock::node {

struct OpenFile {
    std::unique_ptr<io::File> file;
    // Of an object file, once a read needed them:
    std::vector<uint32_t> blocks;  // the checksum of each
    bool has_blocks = false;
    VerifiedMarks verified;
    uint64_t last_use = 0;
};

// Segments have epoch 0, which no object file has.
constexpr FileId segment_file_id(uint32_t number) {
    return {0, number};
}

class FileCache {
public:
    FileCache(io::Disk& disk, size_t files_max) : disk_(disk), files_max_(files_max) {}

    // Null if it is not open.
    std::shared_ptr<OpenFile> find_segment(uint32_t number) {
        return find(segment_file_id(number));
    }
    io::Task<Result<std::shared_ptr<OpenFile>>> open_segment(uint32_t number);
    io::Task<Result<std::shared_ptr<OpenFile>>> open_object(FileId id);
    void drop(const FileId& id) { files_.erase(id); }
    void clear() { files_.clear(); }
    size_t count() const { return files_.size(); }

private:
    struct Hash {
        size_t operator()(const FileId& id) const {
            return id.number * 0x9E3779B97F4A7C15 ^ id.epoch;
        }
    };

    std::shared_ptr<OpenFile> find(const FileId& key);
    io::Task<Result<std::shared_ptr<OpenFile>>> open(FileId key, std::string path);
    void make_room();

    io::Disk& disk_;
    size_t files_max_;
    uint64_t uses_ = 0;
    std::unordered_map<FileId, std::shared_ptr<OpenFile>, Hash> files_;
};

}  // namespace penstock::node
