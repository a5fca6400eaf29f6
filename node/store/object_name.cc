#include "node/store/object_name.h"

#include <algorithm>
#include <vector>

namespace penstock::node {
namespace {

constexpr size_t bucket_name_bytes_max = 64;

bool is_bucket_letter(char letter) {
    return (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') ||
           (letter >= '0' && letter <= '9') || letter == '_' || letter == '-' || letter == '.';
}

// True if one of the '/'-separated parts is "." or "..": such a name leaves its directory when a
// segment is extracted.
bool has_dot_component(std::string_view object) {
    while (true) {
        const size_t slash = object.find('/');
        const std::string_view component = object.substr(0, slash);
        if (component == "." || component == "..") return true;
        if (slash == std::string_view::npos) return false;
        object.remove_prefix(slash + 1);
    }
}

}  // namespace

Status check_object_name(std::string_view object) {
    if (object.empty()) return fail(Errc::invalid, "object name is empty");
    if (object.size() > object_name_bytes_max) {
        return fail(Errc::invalid, "object name has " + std::to_string(object.size()) +
                                       " bytes, more than " +
                                       std::to_string(object_name_bytes_max));
    }
    if (object.find('\0') != std::string_view::npos) {
        return fail(Errc::invalid, "object name has a NUL byte");
    }
    if (object.ends_with('/')) return fail(Errc::invalid, "object name ends in '/'");
    if (object.starts_with("~/")) return fail(Errc::invalid, "object name begins with \"~/\"");
    if (has_dot_component(object)) {
        return fail(Errc::invalid, "object name has \".\" or \"..\" as a component");
    }
    return {};
}

Status check_bucket_name(std::string_view bucket) {
    if (bucket.empty()) return fail(Errc::invalid, "bucket name is empty");
    if (bucket.size() > bucket_name_bytes_max) {
        return fail(Errc::invalid, "bucket name has " + std::to_string(bucket.size()) +
                                       " bytes, more than " +
                                       std::to_string(bucket_name_bytes_max));
    }
    if (!std::ranges::all_of(bucket, is_bucket_letter)) {
        return fail(Errc::invalid,
                    "bucket name may only have letters, digits, '_', '-' and '.' in it");
    }
    if (bucket.starts_with('.')) return fail(Errc::invalid, "bucket name begins with '.'");
    if (bucket.find("..") != std::string_view::npos) {
        return fail(Errc::invalid, "bucket name has \"..\" in it");
    }
    return {};
}

Digest128 digest_of(BucketId bucket, std::string_view object, uint64_t directory_key) {
    // The number stands before the name at a fixed width, so no two pairs give the same bytes.
    // Names that the rules allow fit on the stack; longer ones are only ever looked for.
    constexpr size_t buffer_bytes = sizeof bucket.value + object_name_bytes_max;
    std::array<std::byte, buffer_bytes> buffer;
    std::vector<std::byte> long_buffer;
    const size_t bytes = sizeof bucket.value + object.size();
    std::byte* at = buffer.data();
    if (bytes > buffer.size()) {
        long_buffer.resize(bytes);
        at = long_buffer.data();
    }
    store_le(at, bucket.value);
    std::ranges::copy(as_bytes(object), at + sizeof bucket.value);
    return xxh3_128({at, bytes}, directory_key);
}

}  // namespace penstock::node
