// FileMapping: a file of another process mapped into this one, for reading; unmapped when it goes.
// A value with one owner; any thread.
#pragma once

#include <cstdint>
#include <utility>

#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock::io {

class FileMapping {
public:
    enum class Use : uint8_t {
        sealed,  // all of it, soon; `corrupt` unless it is sealed memory, which nobody can change
        file,    // as the caller goes along
    };

    FileMapping() = default;
    // The file's first `size_bytes`; the descriptor stays the caller's and need not stay open.
    // `corrupt` if the file is shorter, or sealed memory longer.
    static Result<FileMapping> map(int descriptor, uint64_t size_bytes, Use use);
    FileMapping(FileMapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    FileMapping& operator=(FileMapping&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~FileMapping();

    Bytes bytes() const { return bytes_; }

private:
    explicit FileMapping(Bytes bytes) : bytes_(bytes) {}

    Bytes bytes_;
};

}  // namespace penstock::io
