// ContentHash: the checksum of a whole content that clients ask for, taken as the bytes pass by.
#pragma once

#include <memory>

#include "io/base/bytes.h"
#include "node/store/store.h"

namespace penstock::node {

class ContentHash {
public:
    explicit ContentHash(ChecksumType type);
    ~ContentHash();
    ContentHash(ContentHash&&) noexcept;
    ContentHash& operator=(ContentHash&&) noexcept;

    void add(Bytes bytes);
    // After the last byte; big-endian, as AIStore writes its checksums.
    ContentChecksum finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock::node
