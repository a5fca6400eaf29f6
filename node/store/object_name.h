// ObjectName: which object, inside the store. Buckets are numbers here: what they are called, and
// that one was renamed or destroyed, is the metadata's business (node/metadata).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/base/checksum.h"
#include "io/base/result.h"

namespace penstock::node {

// Given once and never again, so bytes of a destroyed bucket cannot come back under a new one.
struct BucketId {
    uint64_t value = 0;
    auto operator<=>(const BucketId&) const = default;
};

// Views: whoever passes it keeps the text alive until the call, or its task, is done.
struct ObjectName {
    BucketId bucket;
    // What the bucket is called now: for the log's entry names only, never compared.
    std::string_view bucket_label;
    std::string_view object;
};

constexpr size_t object_name_bytes_max = 4096;

// `invalid` with a sentence, unless the name can be stored: 1 to 4,096 bytes, no NUL, no "." or
// ".." as a component, not ending in '/', not beginning with "~/". Any other bytes are fine, UTF-8
// or not.
Status check_object_name(std::string_view object);
// 1 to 64 of [A-Za-z0-9_.-], no "..", not beginning with '.'.
Status check_bucket_name(std::string_view bucket);

// The locator's key: 128 bits over bucket id and name, keyed by a secret of this data directory so
// that no client can choose names that collide.
Digest128 digest_of(BucketId bucket, std::string_view object, uint64_t directory_key);

}  // namespace penstock::node
