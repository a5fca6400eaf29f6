#include "node/doors/ais/access.h"

#include <fmt/format.h>

namespace penstock::node::ais {
namespace {

constexpr std::string_view access_names[] = {
    "GET",           "HEAD-OBJECT",  "PUT",           "APPEND",
    "DELETE-OBJECT", "MOVE-OBJECT",  "PROMOTE",       "UPDATE-OBJECT",
    "HEAD-BUCKET",   "LIST-OBJECTS", "PATCH",         "SET-BUCKET-ACL",
    "LIST-BUCKETS",  "SHOW-CLUSTER", "CREATE-BUCKET", "DESTROY-BUCKET",
    "MOVE-BUCKET",   "ADMIN",
};

std::string allowed_names(uint64_t access) {
    std::string names;
    for (size_t bit = 0; bit < std::size(access_names); ++bit) {
        if ((access >> bit & 1) == 0) continue;
        if (!names.empty()) names += ',';
        names += access_names[bit];
    }
    return names;
}

}  // namespace

std::string_view object_operation(io::http::Method method) {
    using io::http::Method;
    switch (method) {
        case Method::get:
            return "GET";
        case Method::head:
            return "HEAD-OBJECT";
        case Method::put:
            return "PUT";
        case Method::del:
            return "DELETE-OBJECT";
        case Method::patch:
            return "UPDATE-OBJECT";
        default:
            return "MOVE-OBJECT";
    }
}

ApiError access_denied(const Bucket& bucket, std::string_view operation) {
    return {403,
            "ErrBucketAccessDenied",
            fmt::format("bucket {}://{}(0x{:x}): {} access denied (allowed: [{}])",
                        bucket.name.provider, bucket.name.name, bucket.id.value, operation,
                        allowed_names(bucket.properties.access)),
            {},
            false,
            false};
}

}  // namespace penstock::node::ais
