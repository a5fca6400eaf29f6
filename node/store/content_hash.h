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

}  // namespace penstock::node
