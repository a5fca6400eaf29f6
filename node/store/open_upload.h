// OpenUpload: what the home core knows of an upload that is going on, and how its records say it.
//
// An upload is hidden names in a bucket of its own (upload.h): "ID", whose record says which object
// it is for, and "ID/NNNNN" for each part, whose record names the part's files. What is here is
// derived from those records; after a restart they are read again when somebody asks.
//
// Of an upload whose bucket asked for stripes when it began each part is striped (stripe.h), also a
// small one: so its object is either all extents or all stripes.
//
// Who owns the files, or stripes: the parts, until the completion's record is durable. That record
// and the removal of "ID" are one change (RecordLog::prepare_two), so a part whose "ID" is gone
// owns nothing any more. An abort removes the parts and their files first and "ID" last.
//
// Belongs to the mountpath's home core.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/store/attributes.h"
#include "node/store/object_name.h"
#include "node/store/upload.h"

namespace penstock::node {

// In a part's own metadata.
constexpr const char* part_md5_key = "md5";

struct UploadPart {
    std::vector<Extent> extents;  // one, but for what an append found in the object
    std::shared_ptr<const StripeLayouts> stripes;  // one, in an upload that is striped
    PartAttributes attributes;
};

struct OpenUpload {
    BucketId bucket;  // of the object
    std::string label;
    std::string object;
    std::string id;
    CustomMetadata custom;
    bool is_append = false;
    bool is_striped = false;
    uint64_t begun_ns = 0;
    std::map<uint32_t, UploadPart> parts;
    uint32_t incoming = 0;   // parts on their way
    bool is_ending = false;  // no more of them
    bool has_ended = false;
    // A completion failed and may be in the log all the same: its files must not be removed.
    bool is_doubtful = false;
};

// What an upload's own record keeps.
CustomMetadata metadata_of(const OpenUpload& upload);
// False: it is no upload's.
bool take_metadata(CustomMetadata metadata, OpenUpload& upload);

// "ID/00007".
std::string part_name(std::string_view id, uint32_t number);
struct HiddenName {
    std::string_view id;
    std::optional<uint32_t> part;  // nullopt: the upload itself
};
std::optional<HiddenName> parse_hidden_name(std::string_view name);

// An append's handle, "ID-7": the upload, and how many parts it has.
std::string append_handle(std::string_view id, uint32_t count);
struct AppendHandle {
    std::string_view id;
    uint32_t count = 0;
};
std::optional<AppendHandle> parse_append_handle(std::string_view handle);

ContentChecksum checksum_of_crc(uint32_t crc);
// 0 if it is of another type.
uint32_t crc_from(const ContentChecksum& checksum);

bool is_upload_id(std::string_view text);

}  // namespace penstock::node
