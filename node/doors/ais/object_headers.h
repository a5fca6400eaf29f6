// An object's attributes as response headers (contract, section 1.14).
#pragma once

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

// "t[ID]:mp[/path, -, -]": which node and mountpath. The device's name and kind are not known.
std::string location_text(const NodeIdentity& node);

}  // namespace penstock::node::ais
