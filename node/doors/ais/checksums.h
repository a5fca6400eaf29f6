// Checksums by the names that AIStore's clients give them (contract, section 1.14).
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "io/http/head.h"
#include "node/doors/ais/call.h"
#include "node/metadata/bucket.h"

namespace penstock::node::ais {

// `xxhash` and `xxhash2` are the same digest.
std::optional<ChecksumType> checksum_type_from(std::string_view name);
// The bucket's own word for its type: the two names of XXH64 differ in nothing else.
std::string_view checksum_name(const BucketProperties& properties, ChecksumType type);

// What the client says about the body: nothing, a digest, or what is wrong with it.
std::expected<std::optional<ContentChecksum>, ApiError> expected_checksum(
    const io::http::RequestHead& head);

}  // namespace penstock::node::ais
