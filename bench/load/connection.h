// Connection: one non-blocking socket of the load generator and what is under way on it.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "bench/load/protocol.h"
#include "io/descriptor.h"

namespace penstock::bench {

// What is put: as many bytes as are asked for, the same for every object. Of a shard, all of it.
class Content {
public:
    explicit Content(const Options& options);
    // So many of the bytes from `offset` on as lie in one piece.
    Bytes from(uint64_t offset) const;

private:
    std::vector<std::byte> bytes_;
};

struct ServerAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
    // `invalid`: the host is not known.
    static Result<ServerAddress> of(const Target& target);
    // Connects once, waiting for it; a closed descriptor, and errno, if that fails.
    io::Descriptor connect() const;
};

struct Flight {
    uint64_t since_ns = 0;  // when it was to begin
    uint64_t bytes = 0;     // that must come back
    Op op = Op::get;
};

class Connection {
public:
    Connection(const ServerAddress& address, const Protocol& protocol, const Content& content);

    // Begins to connect. False: it cannot.
    bool open();
    void close();
    bool is_open() const { return socket_.is_open(); }
    int descriptor() const { return socket_.get(); }

    bool has_room() const { return in_flight_ < protocol_.depth_max(); }
    uint32_t in_flight() const { return in_flight_; }
    // has_room() holds.
    void add(const Operation& operation, const Flight& flight);
    void add_create_bucket(const Flight& flight);

    enum class Sent : uint8_t { all, blocked, broken };
    // Sends what waits. After `blocked` the socket is to be watched for room.
    Sent send();
    // Receives once into `buffer`, which all connections of a thread share, and hands out each
    // reply with its flight. False: the connection is over.
    bool receive(std::vector<std::byte>& buffer,
                 const std::function<void(const Reply&, const Flight&)>& on_reply);
    // After it was over: sends again what had no answer yet, if the peer may not have seen it: a
    // server may close an idle connection while a request is on its way. False: it cannot be told.
    bool resume();
    // Takes what has no answer.
    std::vector<Flight> take_flights();

private:
    void queue(uint32_t id, const Flight& flight);
    ssize_t receive_some(MutableBytes room);
    void sent(size_t count);

    const ServerAddress& address_;
    const Protocol& protocol_;
    const Content& content_;
    const bool is_unix_;
    io::Descriptor socket_;
    std::unique_ptr<ReplyReader> replies_;
    std::vector<std::byte> rest_;  // received, and no whole reply yet

    // What waits to be sent: heads, each with content behind it, from sent_bytes_ of the first on.
    std::deque<Request> out_;
    uint64_t sent_bytes_ = 0;
    Request last_;          // the last request, where there is one at a time
    std::string releases_;  // of leases: they go out with the next request

    std::vector<Flight> flights_;  // by id
    std::vector<bool> is_flying_;
    std::vector<uint32_t> free_ids_;
    uint32_t in_flight_ = 0;
    uint64_t answered_ = 0;  // since it was opened
};

}  // namespace penstock::bench
