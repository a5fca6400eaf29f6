// A directory of the real disk for one test.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "io/base/assert.h"

namespace penstock {

// Empty at first; goes away, with all that is in it, with the object.
class TemporaryDirectory {
public:
    explicit TemporaryDirectory(
        const std::filesystem::path& where = std::filesystem::temp_directory_path()) {
        std::string pattern = (where / "penstock-test-XXXXXX").string();
        ASSERT(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace penstock
