// One connection's messages of MessagePack-RPC: requests out, whole replies in. A reply that is cut
// off, damaged or somebody else's is an error of the connection and never taken for the call's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/message.h"
#include "client/types.h"
#include "io/channel.h"

namespace penstock::client {

// No reply is longer: what a broken server can make us hold.
constexpr size_t reply_bytes_max = 64 << 20;

struct RpcRequest {
    std::string_view method;
    std::string arguments;  // one packed map, without the value behind its last key if `data` is it
    Bytes data = {};
    bool has_data = false;      // `data` is the last argument
    bool expects_data = false;  // the result holds data and their CRC-32C, which is checked
};

struct RpcReply {
    Bytes message;  // the whole message
    uint64_t id = 0;
    Bytes result;                // one packed value; empty if it is an error
    std::optional<Error> error;  // as the node says it
};

// What arrives on one channel. Descriptors come with the first byte of the reply that they belong
// to, so they are all here when that reply is whole.
class Inbox {
public:
    explicit Inbox(io::Channel& channel, Buffer buffer = {})
        : channel_(channel), buffer_(std::move(buffer)) {}

    // The next reply; its views are good until the next call. `closed`, `timed_out`, `corrupt`
    // (which no reply of ours can be).
    io::Task<Result<RpcReply>> next(uint64_t deadline_ns);
    bool is_empty() const { return begin_ == end_; }
    Buffer take_buffer() { return std::move(buffer_); }
    std::vector<io::Descriptor>& descriptors() { return descriptors_; }

private:
    Status make_room();

    io::Channel& channel_;
    Buffer buffer_;
    size_t begin_ = 0;  // of the next message
    size_t end_ = 0;    // of what has arrived
    MessageEnd message_end_;
    std::vector<io::Descriptor> descriptors_;
};

// Reads the envelope of one whole message. `corrupt` if it is no reply.
Result<RpcReply> read_reply(Bytes message);

// The value of `key` in a packed map; nullopt if it is not there or this is no map.
std::optional<Unpacker> find(Bytes map, std::string_view key);
// `data` of a result, if it is as its CRC-32C says; `corrupt` otherwise.
Result<Bytes> checked_data(Bytes result);

// The bytes before the request's data; `id` is what its reply will have.
std::string request_head(const RpcRequest& request, uint32_t id);
io::Task<Status> send_request(io::Channel& channel, const RpcRequest& request, uint32_t id,
                              uint64_t deadline_ns);

}  // namespace penstock::client
