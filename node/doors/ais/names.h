// Which bucket and object a request means: names, providers, namespaces (contract, sections 1.3
// and 1.10).
#pragma once

#include <expected>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "node/doors/ais/call.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/text.h"

namespace penstock::node::ais {

// A path or query with a broken percent escape: 400 as Go's server words it, and the connection
// ends.
std::unexpected<ApiError> refuse_escape();
// Neither a resource of the API nor an easy URL.
std::unexpected<ApiError> refuse_uri(const Call& call);
// "URL 'v1/buckets' is too short: expected 3 items, got 2"
std::unexpected<ApiError> refuse_short(const Call& call, int expected, int got);

// The provider that the request names, aliases resolved; "ais" if it names none.
std::expected<std::string_view, ApiError> provider_from(const Call& call);
// "s3" of "aws": how a provider is written in URLs.
std::string_view provider_scheme(std::string_view provider);
// "AWS backend is missing in the cluster configuration"
std::string missing_backend(std::string_view provider);

// The bucket of this name, as the query's `provider` and `namespace` qualify it. Names that no
// bucket can have are 400; buckets behind a provider other than ais are 404: none is built.
std::expected<BucketName, ApiError> bucket_from(const Call& call, std::string_view escaped_name);
// The same, but behind other providers without complaint: for calls that answer differently there.
std::expected<BucketName, ApiError> any_bucket_from(const Call& call,
                                                    std::string_view escaped_name);
// Namespace "@uuid#name" into a bucket's name.
std::expected<void, ApiError> set_namespace(std::string_view text, BucketName& into);

// "ais/@#/name/": a bucket in one word (contract, section 1.10); one slash at the end is fine.
std::expected<BucketName, ApiError> bucket_from_uname(std::string_view uname);
// {"name", "provider", "namespace": {"uuid", "name"}}, of which all but the name may be missing.
std::expected<BucketName, ApiError> bucket_from_json(const nlohmann::json& json);

// An object as the request names it.
struct ObjectTarget {
    std::shared_ptr<const Bucket> bucket;
    std::string object;

    ObjectAddress address() const { return {bucket->name, object}; }
    std::string url() const { return object_url(bucket->name, object); }
};
// 404 without the bucket, 400 for a name that cannot be stored.
std::expected<ObjectTarget, ApiError> object_from(const Call& call, std::string_view bucket,
                                                  std::string_view object);
// The bucket itself; 404 without it.
std::expected<std::shared_ptr<const Bucket>, ApiError> find_bucket(const Call& call,
                                                                   const BucketName& name);

}  // namespace penstock::node::ais
