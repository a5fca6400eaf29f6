// One page of a listing, as MessagePack or JSON (contract, section 6). Both are written straight
// into the buffers that go out: a million names a second is the aim, and an object for each entry
// would alone cost more than that.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "node/doors/ais/chunk_writer.h"
#include "node/doors/ais/list_request.h"
#include "node/metadata/bucket.h"

namespace penstock::node::ais {

// Bits of an entry's `flags`.
enum EntryFlag : uint32_t {
    entry_cached = 64,
    entry_in_archive = 128,
    entry_directory = 256,
    entry_archive = 512,
    entry_chunked = 8192,  // it was uploaded in parts
};

// One entry: an object, a directory, or a member of a shard ("object/member"). Views.
struct ListRow {
    std::string_view object;
    std::string_view member;
    uint64_t size_bytes = 0;
    uint32_t flags = entry_cached;
    const ObjectAttributes* attributes = nullptr;  // null: none of their columns is written
};

struct ListAnswer {
    std::string uuid;
    std::string token;  // "": the last page
    std::vector<ListRow> rows;
};

// What the columns are made of beside the rows.
struct ListContext {
    const ListColumns& columns;
    const BucketProperties& properties;
    std::string_view time_format;
    std::string_view location;  // of every object: one node, one mountpath
};

io::Body write_msgpack(io::BufferPool& pool, const ListAnswer& answer, const ListContext& context);
io::Body write_json(io::BufferPool& pool, const ListAnswer& answer, const ListContext& context);

}  // namespace penstock::node::ais
