// ContentHash: the checksum of a whole content that clients ask for, taken as the bytes pass by.
#pragma once

#include <optional>

#include "io/base/bytes.h"
#include "io/base/checksum_stream.h"
#include "node/store/store.h"

namespace penstock::node {

class ContentHash {
public:
    explicit ContentHash(ChecksumType type);

    void add(Bytes bytes);
    // Once, after the last byte; big-endian, as AIStore writes its checksums.
    ContentChecksum finish();

private:
    ChecksumType type_;
    uint32_t crc_ = 0;
    std::optional<Xxh64Stream> xxhash_;
    std::optional<DigestStream> digest_;
};

// The checksum of a content that is to be kept, and a look at the client's own, which may be of
// another type.
class ContentProof {
public:
    ContentProof(ChecksumType kept, const std::optional<ContentChecksum>& expected);

    void add(Bytes bytes);
    // Once, after the last byte. `invalid` if the client's is another one.
    Result<ContentChecksum> finish();

private:
    std::optional<ContentChecksum> expected_;
    ContentHash hash_;
    std::optional<ContentHash> expected_hash_;  // of another type than the one that is kept
};

}  // namespace penstock::node
