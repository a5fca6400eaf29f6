// Checksums of content that passes by in pieces: XXH64, and the digests that S3 and AIStore clients
// ask for.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "io/base/bytes.h"

namespace penstock {

// crc32c() takes pieces by itself (io/base/checksum.h).
class Xxh64Stream {
public:
    Xxh64Stream();
    ~Xxh64Stream();
    Xxh64Stream(Xxh64Stream&&) noexcept;
    Xxh64Stream& operator=(Xxh64Stream&&) noexcept;

    void add(Bytes bytes);
    uint64_t finish() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

class DigestStream {
public:
    enum class Kind : uint8_t { md5, sha256, sha512 };
    struct Digest {
        std::array<std::byte, 64> bytes{};
        uint8_t size = 0;
    };

    explicit DigestStream(Kind kind);
    ~DigestStream();
    DigestStream(DigestStream&&) noexcept;
    DigestStream& operator=(DigestStream&&) noexcept;

    void add(Bytes bytes);
    // Once, after the last byte.
    Digest finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

// Whether both are the same, in a time that does not depend on where they differ. Of one size.
bool is_same_secret(Bytes left, Bytes right);

}  // namespace penstock
