#include "io/sim_network.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace penstock::io {
namespace {

constexpr uint64_t retransmit_ns_max = ns_per_s;
constexpr uint16_t first_free_port = 32'768;

// An unspecified address stands for the host's own.
std::string host_in(const Address& address, const std::string& own_host) {
    const std::string host = address.text.substr(0, address.text.rfind(':'));
    return host == "0.0.0.0" || host == "[::]" ? own_host : host;
}

// Every host has its own file system and its own loopback.
std::string listener_key(const std::string& own_host, const Address& address) {
    return address.is_loopback() ? own_host + "|" + address.text : address.text;
}

}  // namespace

SimNetwork::SimNetwork(SimSchedule& schedule, Random& random, const SimNetworkOptions& options,
                       std::function<void(Id)> on_change)
    : schedule_(schedule), random_(random), options_(options), on_change_(std::move(on_change)) {
    ASSERT(options.latency_ns_min <= options.latency_ns_max);
    ASSERT(options.packet_bytes_max > 0 && options.window_bytes > 0);
}

SimNetwork::Socket* SimNetwork::find(Id id) {
    const auto at = sockets_.find(id);
    return at == sockets_.end() ? nullptr : &at->second;
}
const SimNetwork::Socket* SimNetwork::find(Id id) const {
    const auto at = sockets_.find(id);
    return at == sockets_.end() ? nullptr : &at->second;
}

// --- packets ---------------------------------------------------------------------------------

void SimNetwork::travel_between(const std::string& from, const std::string& to,
                                std::function<void()> on_arrival,
                                std::function<void()> on_give_up) {
    travel({from, to, schedule_.now_ns(), options_.retransmit_ns, std::move(on_arrival),
            std::move(on_give_up)});
}

void SimNetwork::travel(Journey journey) {
    const uint64_t spread_ns = options_.latency_ns_max - options_.latency_ns_min;
    const uint64_t latency_ns = options_.latency_ns_min + random_.below(spread_ns + 1);
    schedule_.after(latency_ns,
                    [this, moving = std::move(journey)]() mutable { arrive(std::move(moving)); });
}

// Whether a packet gets through is decided when it would arrive, so a partition also loses what
// was on its way when it began.
void SimNetwork::arrive(Journey journey) {
    const bool is_lost = partitions_.contains({journey.from_host, journey.to_host}) ||
                         random_.chance(options_.loss_per_million, 1'000'000);
    if (!is_lost) {
        journey.on_arrival();
        return;
    }
    const uint64_t next_ns = schedule_.now_ns() + journey.retry_ns;
    if (next_ns - journey.started_ns > options_.give_up_ns) {
        journey.on_give_up();
        return;
    }
    journey.retry_ns = std::min(2 * journey.retry_ns, retransmit_ns_max);
    schedule_.at(next_ns,
                 [this, again = std::move(journey)]() mutable { travel(std::move(again)); });
}

// The Id is captured, never a Socket: it may be gone when the packet arrives.
void SimNetwork::send_packet(Id from, Packet packet) {
    Socket& sender = *find(from);
    const Id to = sender.peer_id;
    const uint64_t sequence = sender.sent_sequence++;
    travel_between(
        sender.host, sender.peer_host,
        [this, from, to, sequence, sent = std::move(packet)] {
            take_packet(to, from, sequence, sent);
        },
        [this, from] { break_socket(from, ETIMEDOUT); });
}

void SimNetwork::take_packet(Id to, Id from, uint64_t sequence, const Packet& packet) {
    Socket* receiver = find(to);
    if (receiver == nullptr || receiver->is_broken) {
        // Nobody is there any more: bytes are answered by a reset, an end by nothing.
        if (packet.is_end) return;
        const Socket* sender = find(from);
        if (sender != nullptr) send_reset(sender->peer_host, from);
        return;
    }
    receiver->early.emplace(sequence, packet);
    bool is_new = false;
    while (!receiver->early.empty() &&
           receiver->early.begin()->first == receiver->expected_sequence) {
        append(*receiver, receiver->early.begin()->second);
        receiver->early.erase(receiver->early.begin());
        ++receiver->expected_sequence;
        is_new = true;
    }
    if (is_new) on_change_(to);
}

void SimNetwork::append(Socket& socket, const Packet& packet) {
    if (packet.is_end) {
        socket.has_end = true;
        return;
    }
    if (socket.inbox_begin > socket.inbox.size() / 2) {
        socket.inbox.erase(0, socket.inbox_begin);
        socket.inbox_begin = 0;
    }
    socket.inbox += packet.bytes;
}

void SimNetwork::send_reset(const std::string& from_host, Id to) {
    const Socket* socket = find(to);
    if (socket == nullptr) return;
    travel_between(from_host, socket->host, [this, to] { break_socket(to, ECONNRESET); }, [] {});
}

// Tells the sender that its peer has read `bytes`.
void SimNetwork::send_credit(Id from, uint64_t bytes) {
    const Socket& reader = *find(from);
    const Id to = reader.peer_id;
    travel_between(
        reader.host, reader.peer_host,
        [this, to, bytes] {
            Socket* sender = find(to);
            if (sender == nullptr) return;
            sender->unread_bytes -= std::min(bytes, sender->unread_bytes);
            on_change_(to);
        },
        [this, to] { break_socket(to, ETIMEDOUT); });
}

void SimNetwork::break_socket(Id id, int error) {
    Socket* socket = find(id);
    if (socket == nullptr || socket->is_broken || socket->is_listening) return;
    socket->error = error;
    socket->is_broken = true;
    socket->is_connecting = false;
    socket->inbox.clear();  // as in TCP, a reset takes what was not read with it
    socket->inbox_begin = 0;
    socket->early.clear();
    on_change_(id);
}

// --- making connections ------------------------------------------------------------------------

SimNetwork::Id SimNetwork::listen(const std::string& host, const Address& address,
                                  uint32_t backlog) {
    Address bound = address;
    if (!address.is_unix()) {
        const std::string own_host = host_in(address, host);
        bound = Address{own_host + ":0"}.with_port(address.port());
        while (bound.port() == 0 ||
               (address.port() == 0 && listeners_.contains(listener_key(host, bound)))) {
            bound = bound.with_port(next_port_);
            next_port_ =
                next_port_ == UINT16_MAX ? first_free_port : static_cast<uint16_t>(next_port_ + 1);
        }
    }
    if (!listeners_.emplace(listener_key(host, bound), last_id_ + 1).second) return no_socket;
    Socket& listener = sockets_[++last_id_];
    listener.host = host;
    listener.local = bound;
    listener.is_listening = true;
    listener.backlog = backlog;
    return last_id_;
}

SimNetwork::Id SimNetwork::open(const std::string& host, const Address& target) {
    Socket& socket = sockets_[++last_id_];
    socket.host = host;
    socket.peer = target;
    socket.peer_host = target.is_loopback() ? host : host_in(target, host);
    socket.window_bytes = options_.window_bytes;
    if (target.is_unix()) {
        socket.local = Address{"unix:"};
    } else {
        socket.local = Address{host + ":0"}.with_port(next_port_);
        next_port_ =
            next_port_ == UINT16_MAX ? first_free_port : static_cast<uint16_t>(next_port_ + 1);
    }
    return last_id_;
}

int32_t SimNetwork::connect(Id id) {
    Socket* socket = find(id);
    if (socket == nullptr) return -EBADF;
    if (socket->error != 0) return -std::exchange(socket->error, 0);
    if (socket->is_connected) return 0;
    if (!socket->is_connecting) {
        socket->is_connecting = true;
        travel_between(
            socket->host, socket->peer_host, [this, id] { arrive_at_listener(id); },
            [this, id] { break_socket(id, ETIMEDOUT); });
    }
    return -EAGAIN;
}

void SimNetwork::arrive_at_listener(Id client_id) {
    Socket* client = find(client_id);
    if (client == nullptr || !client->is_connecting) return;
    const auto at = listeners_.find(listener_key(client->host, client->peer));
    const auto give_up = [this, client_id] { break_socket(client_id, ETIMEDOUT); };
    if (at == listeners_.end()) {
        travel_between(
            client->peer_host, client->host,
            [this, client_id] { break_socket(client_id, ECONNREFUSED); }, give_up);
        return;
    }
    const Id listener_id = at->second;
    if (find(listener_id)->queue.size() >= find(listener_id)->backlog) {
        // Dropped without an answer; the client asks again.
        schedule_.after(retransmit_ns_max, [this, client_id] { arrive_at_listener(client_id); });
        return;
    }
    const Id server_id = ++last_id_;
    Socket& server = sockets_[server_id];  // a map: `client` stays valid
    Socket& listener = *find(listener_id);
    server.host = listener.host;
    server.peer_host = client->host;
    server.local = listener.local;
    server.peer = client->local;
    server.is_connected = true;
    server.peer_id = client_id;
    server.window_bytes = options_.window_bytes;
    client->peer_id = server_id;
    listener.queue.push_back(server_id);
    on_change_(listener_id);
    travel_between(
        server.host, server.peer_host,
        [this, client_id] {
            Socket* connected = find(client_id);
            if (connected == nullptr || !connected->is_connecting) return;
            connected->is_connecting = false;
            connected->is_connected = true;
            on_change_(client_id);
        },
        give_up);
}

SimNetwork::Id SimNetwork::accept(Id id) {
    Socket* listener = find(id);
    if (listener == nullptr || listener->queue.empty()) return no_socket;
    const Id accepted = listener->queue.front();
    listener->queue.pop_front();
    return accepted;
}

// --- bytes ---------------------------------------------------------------------------------------

int32_t SimNetwork::receive(Id id, MutableBytes buffer) {
    Socket* socket = find(id);
    if (socket == nullptr) return -EBADF;
    if (socket->error != 0) return -std::exchange(socket->error, 0);
    if (socket->is_listening || (!socket->is_connected && !socket->is_broken)) return -ENOTCONN;
    const size_t count = std::min(buffer.size(), socket->inbox_size());
    if (count == 0) {
        const bool is_over = socket->has_end || socket->is_receive_shut || socket->is_broken;
        return is_over || buffer.empty() ? 0 : -EAGAIN;
    }
    std::memcpy(buffer.data(), socket->inbox.data() + socket->inbox_begin, count);
    socket->inbox_begin += count;
    send_credit(id, count);
    return static_cast<int32_t>(count);
}

int32_t SimNetwork::send(Id id, Bytes bytes) {
    Socket* socket = find(id);
    if (socket == nullptr) return -EBADF;
    if (socket->error != 0) return -std::exchange(socket->error, 0);
    if (socket->is_send_shut || socket->is_broken) return -EPIPE;
    if (!socket->is_connected) return -ENOTCONN;
    if (bytes.empty()) return 0;
    const uint64_t window = socket->window_bytes;
    const uint64_t room = window - std::min(window, socket->unread_bytes);
    if (room == 0) return -EAGAIN;
    Bytes rest = bytes.first(static_cast<size_t>(std::min<uint64_t>(room, bytes.size())));
    const auto sent = static_cast<int32_t>(rest.size());
    while (!rest.empty()) {
        const uint64_t cut = 1 + random_.below(options_.packet_bytes_max);
        const Bytes piece = rest.first(static_cast<size_t>(std::min<uint64_t>(cut, rest.size())));
        send_packet(id, {std::string(as_text(piece)), false});
        rest = rest.subspan(piece.size());
    }
    socket->unread_bytes += static_cast<uint64_t>(sent);
    return sent;
}

bool SimNetwork::is_readable(Id id) const {
    const Socket* socket = find(id);
    if (socket == nullptr) return true;
    if (socket->is_listening) return !socket->queue.empty();
    return socket->inbox_size() > 0 || socket->has_end || socket->is_receive_shut ||
           socket->is_broken;
}

bool SimNetwork::is_writable(Id id) const {
    const Socket* socket = find(id);
    if (socket == nullptr || socket->is_broken || socket->is_send_shut) return true;
    return socket->is_connected && socket->unread_bytes < socket->window_bytes;
}

// --- ends ----------------------------------------------------------------------------------------

uint32_t SimNetwork::unread_bytes(Id id) const {
    const Socket* socket = find(id);
    return socket == nullptr ? 0 : static_cast<uint32_t>(socket->unread_bytes);
}

void SimNetwork::finish_sending(Id id) {
    Socket* socket = find(id);
    if (socket == nullptr || !socket->is_connected || socket->is_send_shut) return;
    socket->is_send_shut = true;
    if (!socket->is_broken) send_packet(id, {"", true});
}

void SimNetwork::shutdown(Id id) {
    Socket* socket = find(id);
    if (socket == nullptr) return;
    finish_sending(id);
    socket->is_receive_shut = true;
    on_change_(id);
}

void SimNetwork::reset(Id id) {
    Socket* socket = find(id);
    if (socket == nullptr || !socket->is_connected) return;
    send_reset(socket->host, socket->peer_id);
    break_socket(id, ECONNRESET);
}

void SimNetwork::close(Id id) {
    Socket* socket = find(id);
    if (socket == nullptr) return;
    if (socket->is_listening) {
        for (const Id waiting : std::exchange(socket->queue, {})) {
            reset(waiting);
            sockets_.erase(waiting);
        }
        std::erase_if(listeners_, [id](const auto& entry) { return entry.second == id; });
    } else if (socket->is_connected && !socket->is_broken) {
        if (socket->inbox_size() > 0) {
            send_reset(socket->host, socket->peer_id);
        } else {
            finish_sending(id);
        }
    }
    sockets_.erase(id);
}

Address SimNetwork::local_address(Id id) const {
    const Socket* socket = find(id);
    return socket == nullptr ? Address() : socket->local;
}
Address SimNetwork::peer_address(Id id) const {
    const Socket* socket = find(id);
    return socket == nullptr || !socket->is_connected ? Address() : socket->peer;
}
void SimNetwork::set_window(Id id, uint32_t window_bytes) {
    ASSERT(window_bytes > 0);
    if (Socket* socket = find(id); socket != nullptr) socket->window_bytes = window_bytes;
}

void SimNetwork::partition(const std::string& from_host, const std::string& to_host) {
    partitions_.emplace(from_host, to_host);
}
void SimNetwork::heal(const std::string& from_host, const std::string& to_host) {
    partitions_.erase({from_host, to_host});
}

}  // namespace penstock::io
