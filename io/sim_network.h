// SimNetwork: byte streams between the simulated kernels of one world.
//
// It behaves as TCP does where programs can tell: bytes come in order and in other pieces than they
// were sent in, a receiver that does not read stops its sender, lost packets come later (and after
// long enough the sender gives up with ETIMEDOUT), closing with unread bytes resets. Underneath,
// packets take a random time each, overtake one another, are lost by chance, and are all lost where
// a partition lies between two hosts; a partition may be one-way.
//
// Sockets are named by ids that are never used again; io/sim_kernel.h gives them descriptors. A
// host is an address without its port. Results are Linux's: a count or -errno; -EBADF for a socket
// that is closed.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "io/base/bytes.h"
#include "io/base/random.h"
#include "io/base/units.h"
#include "io/kernel.h"
#include "io/sim_schedule.h"

namespace penstock::io {

struct SimNetworkOptions {
    uint64_t latency_ns_min = 20 * ns_per_us;
    uint64_t latency_ns_max = 200 * ns_per_us;
    uint32_t loss_per_million = 0;             // of each packet, also of acknowledgements
    uint32_t packet_bytes_max = 16'384;        // packets are cut at random lengths up to this
    uint32_t window_bytes = 256 << 10;         // sent by one side and not yet read by the other
    uint64_t retransmit_ns = 200 * ns_per_ms;  // doubles with each loss, up to a second
    uint64_t give_up_ns = 15 * ns_per_s;       // then the connection is ETIMEDOUT
};

class SimNetwork {
public:
    using Id = uint64_t;
    static constexpr Id no_socket = 0;

    // `on_change` is called with a socket on which an operation may get further than before.
    SimNetwork(SimSchedule& schedule, Random& random, const SimNetworkOptions& options,
               std::function<void(Id)> on_change);

    // The new listener, or no_socket if the address is taken. Port 0: any free one.
    Id listen(const std::string& host, const Address& address, uint32_t backlog);
    // A socket of `host` that connect() will connect to `target`.
    Id open(const std::string& host, const Address& target);
    // Begins with the first call; 0 when connected, -EAGAIN before, or why it failed.
    int32_t connect(Id id);
    // A connection out of the listener's queue, or no_socket.
    Id accept(Id id);

    int32_t receive(Id id, MutableBytes buffer);
    int32_t send(Id id, Bytes bytes);
    // Whether a receive or accept, or a send, would not be -EAGAIN.
    bool is_readable(Id id) const;
    bool is_writable(Id id) const;

    // Sent from this end and, as far as it knows, not read by the other.
    uint32_t unread_bytes(Id id) const;

    void finish_sending(Id id);  // a half close
    void shutdown(Id id);        // both directions
    void reset(Id id);           // the peer sees a reset, this end -ECONNRESET
    void close(Id id);

    Address local_address(Id id) const;
    Address peer_address(Id id) const;
    // How many bytes may be on the way from this end: a small one makes senders wait.
    void set_window(Id id, uint32_t window_bytes);

    // Packets from one host to another are lost until heal().
    void partition(const std::string& from_host, const std::string& to_host);
    void heal(const std::string& from_host, const std::string& to_host);
    void heal_all() { partitions_.clear(); }
    void set_loss(uint32_t per_million) { options_.loss_per_million = per_million; }

private:
    struct Packet {
        std::string bytes;
        bool is_end = false;
    };
    struct Socket {
        std::string host, peer_host;
        Address local, peer;
        // Listening.
        bool is_listening = false;
        uint32_t backlog = 0;
        std::deque<Id> queue;  // connected and not accepted
        // Connected or connecting.
        bool is_connecting = false;
        bool is_connected = false;
        int error = 0;           // told to the next call
        bool is_broken = false;  // after an error: everything sent fails
        Id peer_id = 0;
        uint64_t sent_sequence = 0;        // of the next packet out
        uint64_t expected_sequence = 0;    // of the next packet in
        std::map<uint64_t, Packet> early;  // came before those that go before them
        std::string inbox;                 // read up to inbox_begin
        size_t inbox_begin = 0;
        bool has_end = false;  // the peer's end lies behind the inbox
        bool is_receive_shut = false;
        bool is_send_shut = false;
        uint64_t unread_bytes = 0;  // of ours, as far as we know, not read by the peer
        uint32_t window_bytes = 0;
        size_t inbox_size() const { return inbox.size() - inbox_begin; }
    };
    // A packet's journey: what happens when it arrives, and when the sender gives it up.
    struct Journey {
        std::string from_host, to_host;
        uint64_t started_ns;
        uint64_t retry_ns;
        std::function<void()> on_arrival;
        std::function<void()> on_give_up;
    };

    Socket* find(Id id);
    const Socket* find(Id id) const;
    void travel(Journey journey);
    void arrive(Journey journey);
    void travel_between(const std::string& from, const std::string& to,
                        std::function<void()> on_arrival, std::function<void()> on_give_up);

    void arrive_at_listener(Id client);
    void send_packet(Id from, Packet packet);
    void take_packet(Id to, Id from, uint64_t sequence, const Packet& packet);
    void append(Socket& socket, const Packet& packet);
    void send_reset(const std::string& from_host, Id to);
    void send_credit(Id from, uint64_t bytes);
    void break_socket(Id id, int error);

    SimSchedule& schedule_;
    Random& random_;
    SimNetworkOptions options_;
    std::function<void(Id)> on_change_;
    std::map<Id, Socket> sockets_;
    std::map<std::string, Id> listeners_;
    std::set<std::pair<std::string, std::string>> partitions_;
    Id last_id_ = no_socket;
    uint16_t next_port_ = 32'768;
};

}  // namespace penstock::io
