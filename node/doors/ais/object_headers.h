// An object's attributes as response headers (contract, section 1.14).
#pragma once

#include <expected>
#include <string>

#include "io/http/head.h"
#include "node/doors/ais/call.h"
#include "node/metadata/bucket.h"

namespace penstock::node::ais {

void add_checksum(io::http::ResponseHead& head, const Bucket& bucket,
                  const ObjectAttributes& attributes);
// One line for each pair.
void add_custom(io::http::ResponseHead& head, const ObjectAttributes& attributes);
void add_version(io::http::ResponseHead& head, const Bucket& bucket,
                 const ObjectAttributes& attributes);
void add_validators(io::http::ResponseHead& head, const ObjectAttributes& attributes);
// All of them and the time of access, which is that of the last change here.
void add_attributes(io::http::ResponseHead& head, const Bucket& bucket,
                    const ObjectAttributes& attributes);

// What a client sent to be kept with an object: its custom metadata, and its Content-Type where
// that says anything. 400 for pairs that no header carries, and for too many.
std::expected<CustomMetadata, ApiError> custom_from_headers(const io::http::RequestHead& head);
std::expected<void, ApiError> check_custom(const CustomMetadata& custom);

// Under which the Content-Type of an upload is kept, as the reference does for remote objects.
constexpr std::string_view content_type_key = "content-type";
// As it was uploaded, or "application/octet-stream".
std::string_view content_type_of(const ObjectAttributes& attributes);

// "t[ID]:mp[/path, -, -]": which node and mountpath. The device's name and kind are not known.
std::string location_text(const NodeIdentity& node);

}  // namespace penstock::node::ais
