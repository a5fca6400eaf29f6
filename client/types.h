// What the client's calls take and give. Plain values; those that own memory say so.
//
// Errors are penstock::Error (io/base/result.h). What their codes mean here:
//   not_found         the object, member or bucket does not exist (the text says which)
//   exists            the bucket does exist
//   invalid           the arguments are wrong; also what the node does not take
//   denied            access rights, the lack of a token that counts, or this kind of connection,
//                     do not allow it
//   condition_failed  PutOptions' condition does not hold
//   too_large         a limit of the node is exceeded; the text names it
//   not_implemented   the node, or this kind of address, cannot do it
//   corrupt           stored bytes, or bytes on their way, failed their check, after all attempts
//   full              no space is left on the node
//   unavailable       the node is busy or stopping, or cannot be reached, after all attempts
//   timed_out         the time was up. A change may have been made all the same
//   closed            the connection ended within a call, after all attempts. As timed_out
//   io_error          the node failed; its log says how
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"
#include "io/file_mapping.h"

namespace penstock::client {

struct Options {
    // Of one call with all its attempts, waiting for a free connection included. A call that moves
    // more than one message (large objects, long batches) has it anew for each one.
    uint64_t timeout_ms = 60'000;
    // How often a call is tried at most; at least 1. It is tried again when the connection failed,
    // the reply was cut off or damaged, or the node was busy, and only if that cannot do anything
    // twice: calls that read; put, delete_object and create_bucket, of which a second attempt finds
    // what the first one did; parts of an upload. A call that did not reach the node at all (nobody
    // listened) is always tried again.
    uint32_t attempts_max = 4;
    // Before the second attempt; doubled before each further one, up to a second, and varied.
    uint64_t backoff_ms = 10;
    // Connections at most; at least 1. Each call has one for itself while it lasts.
    uint32_t connections_max = 8;
    // Shown to the node on each connection, or over HTTP with each request (penstock token new);
    // "": none. Travels in the clear over tcp:// and http://.
    std::string token = {};
    // Over tls:// and https://: a PEM file of the authorities that are believed, or of the node's
    // own certificate; "": the system's authorities.
    std::string ca_file = {};
};

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct PutOptions {
    Metadata metadata = {};       // kept with the object
    bool if_absent = false;       // `condition_failed` if the object exists
    std::string if_version = {};  // `condition_failed` if this is not the object's version
};

struct ReadOptions {
    uint64_t offset = 0;           // the first byte that is wanted; may lie behind the end
    uint64_t length = UINT64_MAX;  // at most so many
    std::string_view member = {};  // of the shard that the object is; "" for the object itself
};

struct ObjectInfo {
    uint64_t size_bytes = 0;
    std::string version;         // changes with every change of the object; the same over HTTP
    std::string checksum_type;   // "crc32c", "xxhash", ...; "" if the bucket keeps none
    std::string checksum_value;  // hexadecimal
    Metadata metadata;           // of stat() alone
    uint64_t modified_ns = 0;    // since 1970; of stat() alone, 0 where it is not known
};

struct ListEntry {
    std::string name;
    uint64_t size_bytes = 0;
    std::string version;  // "" over HTTP, whose listings have none
};
struct ListPage {
    std::vector<ListEntry> entries;  // by name
    std::string token;               // for the next page; empty after the last one
};

// Memory that nobody wrote zeros into. Its bytes move with it.
class Buffer {
public:
    Buffer() = default;
    // Empty if there is no such memory.
    explicit Buffer(size_t size)
        : bytes_(new(std::nothrow) std::byte[size]), size_(bytes_ ? size : 0) {}
    MutableBytes bytes() const { return {bytes_.get(), size_}; }
    size_t size() const { return size_; }

private:
    std::unique_ptr<std::byte[]> bytes_;
    size_t size_ = 0;
};

// The bytes of an object or of a part of it, with the memory that they lie in.
class Content {
public:
    Content() = default;
    // `bytes` lie in the buffer.
    Content(Buffer buffer, Bytes bytes) : buffer_(std::move(buffer)), bytes_(bytes) {}
    Bytes bytes() const { return bytes_; }
    std::string_view text() const { return as_text(bytes_); }
    size_t size() const { return bytes_.size(); }
    // The memory alone; views of it stay good as long as that lives.
    Buffer take_buffer() { return std::move(buffer_); }

private:
    Buffer buffer_;
    Bytes bytes_;
};

// One item of a batch: an object, or a member of a shard.
struct BatchItem {
    std::string_view name;
    std::string_view member = {};
};

// The contents of many objects, in the order in which they were asked for: views of one buffer, or
// of memory that the node handed over. Used again for the next batch it needs no new buffer.
class Batch {
public:
    size_t size() const { return items_.size(); }
    // Good until the batch is used again or goes.
    Bytes operator[](size_t index) const { return items_[index]; }
    auto begin() const { return items_.begin(); }
    auto end() const { return items_.end(); }

private:
    friend class RpcCalls;
    friend class HttpCalls;
    std::vector<Buffer> buffers_;  // the replies' own bytes
    std::vector<io::FileMapping> mappings_;
    std::vector<Bytes> items_;
};

// A large object's own file on the node, or sealed memory with a small one: it stays whole, even if
// the object is deleted or replaced, until this goes.
class SharedObject {
public:
    SharedObject() = default;
    SharedObject(io::FileMapping mapping, Bytes bytes)
        : mapping_(std::move(mapping)), bytes_(bytes) {}
    Bytes bytes() const { return bytes_; }

private:
    io::FileMapping mapping_;
    Bytes bytes_;
};

}  // namespace penstock::client
