// Uploads: objects that come in pieces. What the store's calls for multipart uploads and appends
// take and give; DESIGN.md, "Uploads", tells how they are kept.
//
// A piece is a file of its own under a hidden name, durable before it is acknowledged. Completion
// is one record that lists those files in order: no byte is moved, and nobody sees the object
// before.
#pragma once

#include <cstdint>
#include <string>

#include "node/store/object_name.h"
#include "node/store/version.h"

namespace penstock::node {

// Of one upload: a record lists each in 64 bytes, and a record's payload has at most 1 MiB. With
// parts of up to 5 GiB an object has more than 5 TiB.
constexpr uint32_t parts_max = 10'000;
// Open in one store at once, and known to it in memory.
constexpr uint32_t uploads_max = 10'000;

// Hidden names lie in a bucket that no client can have: its number is the bucket's with this bit.
constexpr uint64_t hidden_bucket_bit = uint64_t{1} << 63;
constexpr BucketId hidden_bucket(BucketId bucket) {
    return {bucket.value | hidden_bucket_bit};
}
constexpr BucketId visible_bucket(BucketId bucket) {
    return {bucket.value & ~hidden_bucket_bit};
}

struct PartAttributes {
    uint32_t number = 0;
    uint64_t size_bytes = 0;
    uint32_t crc32c = 0;
    std::string md5;  // hexadecimal; "" unless it was asked for when the part came
    uint64_t modified_ns = 0;
    Version version;
};

struct UploadAttributes {
    std::string id;
    std::string object;
    uint64_t begun_ns = 0;
    uint64_t expires_ns = 0;  // unless another part comes
};

}  // namespace penstock::node
