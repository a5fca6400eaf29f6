// Dataset: a folder of small files, grouped into samples, packed into WebDataset-style shards.
//
// A sample is all files of one stem: picture, captions, sounds in many languages. In the source the
// parts of sample "animals/frog" are "animals/frog.png", "animals/frog.txt",
// "animals/frog_desc.ogg", "animals/frog_desc_de.ogg". In a shard a member is named KEY.EXTENSION
// with the part of the name behind the stem as the extension ("animals/frog.desc_de.ogg"):
// WebDataset readers split a name at the first dot of its base name and so see one sample.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock::bench {

struct SourceFile {
    std::string name;    // relative to the source folder: the object's name
    std::string member;  // in a shard
    std::vector<std::byte> content;
};

struct Sample {
    std::string key;
    std::vector<uint32_t> files;  // positions in Dataset::files
    uint32_t shard = 0;           // position in Dataset::shards
};

struct Shard {
    std::string name;
    std::vector<std::byte> content;
};

struct Dataset {
    std::vector<SourceFile> files;  // by name
    std::vector<Sample> samples;    // by key
    std::vector<Shard> shards;
    uint64_t content_bytes = 0;
};

// The stem and the extension of a file's base name: ("frog", "desc_de.ogg").
std::pair<std::string, std::string> split_stem(std::string_view base_name);

// Reads all files below `directory` into memory and groups them.
Result<Dataset> load_dataset(const std::string& directory);
// Fills dataset.shards: whole samples in order of their keys, a new shard after `shard_bytes`.
void pack_shards(Dataset& dataset, uint64_t shard_bytes);

}  // namespace penstock::bench
