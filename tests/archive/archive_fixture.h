// What the archive's tests share: a folder that goes away, commands run in it, and a shard's index
// from its bytes.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "archive/shard_index.h"
#include "archive/tar_scanner.h"
#include "tests/temporary_directory.h"

namespace penstock::archive {

class ScratchFolder {
public:
    std::filesystem::path path() const { return path_; }
    bool run(const std::string& command) const {
        const std::string line = "cd " + path_.string() + " && { " + command + "; } >log 2>&1";
        return std::system(line.c_str()) == 0;
    }
    void write(const std::string& name, std::string_view content) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary) << content;
    }
    std::string read(const std::string& name) const {
        std::ifstream file(path_ / name, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

private:
    TemporaryDirectory directory_;
    std::filesystem::path path_ = directory_.path();
};

inline std::vector<std::byte> scan(std::string_view shard, size_t piece_bytes = SIZE_MAX,
                                   const TarLimits& limits = {}) {
    TarScanner scanner(limits);
    for (size_t at = 0; at < shard.size();) {
        const std::string_view piece = shard.substr(at, piece_bytes);
        scanner.feed(as_bytes(piece));
        at += piece.size();
    }
    return scanner.finish();
}

inline ShardIndex index_of(std::string_view shard, const TarLimits& limits = {}) {
    Result<ShardIndex> index = ShardIndex::open(scan(shard, SIZE_MAX, limits));
    EXPECT_TRUE(index.has_value()) << index.error().context;
    return std::move(*index);
}

// Every member's name and content.
inline std::map<std::string, std::string> members_of(const ShardIndex& index,
                                                     std::string_view shard) {
    std::map<std::string, std::string> members;
    for (uint32_t position = 0; position < index.member_count(); ++position) {
        const Member member = index.member(position);
        members[std::string(member.name)] = shard.substr(member.offset, member.size);
    }
    return members;
}

}  // namespace penstock::archive
