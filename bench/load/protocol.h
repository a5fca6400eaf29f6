// Protocol: an operation as bytes on a connection, and replies out of them. It knows its wire and
// neither sockets nor clocks.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bench/load/options.h"
#include "bench/load/workload.h"
#include "io/base/bytes.h"

namespace penstock::bench {

// What goes out for one operation: `head`, and behind it so many bytes of the content.
struct Request {
    std::string head;
    uint64_t content_bytes = 0;
};

struct Reply {
    uint32_t id = 0;  // of its request, where the protocol has ids
    bool is_error = false;
    bool closes = false;  // no request may follow on this connection
    uint64_t bytes = 0;   // of its content, which may have come as a descriptor
    // Of what came as a descriptor: the server holds it until it is released.
    std::optional<uint64_t> lease;
    std::string_view error;  // what it says, until the visit returns
};

// The replies of one connection, in order.
class ReplyReader {
public:
    virtual ~ReplyReader() = default;
    // Reads off the front of `bytes` what it can and gives how much that was: what is left is to be
    // shown again, with more behind it. nullopt: this is no reply of the protocol.
    virtual std::optional<size_t> read(Bytes bytes,
                                       const std::function<void(const Reply&)>& on_reply) = 0;
    // Nothing of a reply has come that is not finished.
    virtual bool is_between_replies() const = 0;
};

class Protocol {
public:
    virtual ~Protocol() = default;
    // Requests that may be under way on a connection at once.
    virtual uint32_t depth_max() const = 0;
    // `id` is below depth_max().
    virtual void write(const Operation& operation, uint32_t id, Request& request) const = 0;
    virtual void write_create_bucket(uint32_t id, Request& request) const = 0;
    // A message without an answer, behind `head`.
    virtual void write_release(uint64_t /*lease*/, std::string& /*head*/) const {}
    virtual std::unique_ptr<ReplyReader> make_reader() const = 0;
};

// `options` must outlive it.
std::unique_ptr<Protocol> make_protocol(const Options& options);
std::unique_ptr<Protocol> make_http_protocol(const Options& options);
std::unique_ptr<Protocol> make_rpc_protocol(const Options& options);

}  // namespace penstock::bench
