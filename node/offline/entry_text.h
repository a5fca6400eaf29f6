// EntryText: what an exported TAR says about an object or a bucket beside its name and content, as
// the PAX comment of its entry: one line of words that survive every tool.
//
//     penstock1 KEY=VALUE ...        bytes other than A-Z a-z 0-9 - . _ ~ / : are %XX
//
//     bucket      PROVIDER/UUID/NAMESPACE/NAME, each encoded
//     object      the object's name; without it the entry is about the bucket
//     version display modified_ns    numbers; the version as MAP.SEQUENCE
//     checksum    TYPE:HEX
//     meta.KEY    custom metadata
//     versioned durability access features other   of a bucket; so is checksum=TYPE
//
// Words with another key are passed over. Parsing takes any bytes; pure functions, for any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "node/metadata/bucket.h"

namespace penstock::node {

struct EntryText {
    BucketName bucket;
    std::optional<std::string> object;
    // Of an object.
    Version version;
    uint64_t display_version = 0;
    uint64_t modified_ns = 0;
    ContentChecksum checksum;
    CustomMetadata custom;
    // Of a bucket.
    BucketProperties properties;
};

std::string format_entry_text(const EntryText& entry);
// nullopt: not ours, or damaged.
std::optional<EntryText> parse_entry_text(std::string_view text);

// "BUCKET", or "PROVIDER/@UUID#NAMESPACE/BUCKET" for one that is not a plain bucket of this
// cluster.
std::string bucket_path(const BucketName& bucket);

}  // namespace penstock::node
