// What clients are told when something is refused or fails: our errors in AIStore's words
// (contract, section 1.6). Clients classify them by status, `tcode` and regular expressions over
// the message, so the texts are part of the interface.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "io/base/result.h"
#include "node/doors/ais/call.h"

namespace penstock::node::ais {

[[nodiscard]] std::unexpected<ApiError> refuse(uint16_t status, std::string_view tcode,
                                               std::string message);
// 501 in the contract's form: an endpoint or an option that is not built yet.
[[nodiscard]] std::unexpected<ApiError> refuse_not_built(std::string_view what);
[[nodiscard]] std::unexpected<ApiError> refuse_method(std::string_view allowed);

// "ais://b"; with a namespace "ais://b (namespace @#ns)", because clients take a '/' right behind
// the name for the beginning of an object's.
std::string bucket_url(const BucketName& bucket);
std::string object_url(const BucketName& bucket, std::string_view object);

ApiError bucket_missing(const BucketName& bucket);
ApiError object_missing(const NodeIdentity& node, const BucketName& bucket,
                        std::string_view object);

// A failed call on the object service. `subject` is the URL of what it was about.
ApiError api_error(const Error& error, std::string_view subject);

// Whether a `corrupt` is about what the shard's writer made of it, not about bytes of ours that
// fail their check: the service's text says so.
bool is_shard_damage(const Error& error);

// The ids that this node has in the cluster map: as the target that stores, which is the node's
// own, and as the gateway.
std::string gateway_id(const NodeIdentity& node);

io::http::Response error_response(const io::http::Request& request, const NodeIdentity& node,
                                  const ApiError& error);
// The same without a request: its head was refused before it was one.
io::http::Response error_response(io::BufferPool& buffers, const NodeIdentity& node,
                                  const ApiError& error);

}  // namespace penstock::node::ais
