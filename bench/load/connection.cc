#include "bench/load/connection.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "archive/tar_writer.h"
#include "io/base/random.h"

namespace penstock::bench {
namespace {

constexpr size_t content_bytes = 4 << 20;
constexpr size_t pieces_max = 64;

void fill_randomly(MutableBytes bytes, Random& random) {
    for (size_t at = 0; at + 8 <= bytes.size(); at += 8) store_le(bytes.data() + at, random.next());
}

}  // namespace

Content::Content(const Options& options) {
    Random random(options.seed);
    if (!options.has(Op::member)) {
        bytes_.resize(std::clamp<uint64_t>(options.sizes.max(), 1, content_bytes));
        fill_randomly(bytes_, random);
        return;
    }
    bytes_.resize(shard_bytes(options));
    MutableBytes rest(bytes_);
    for (uint32_t member = 0; member < options.members; ++member) {
        const uint64_t size = options.sizes.of(member);
        const std::string name = member_name(member);
        rest = archive::put_tar_header(rest, {name, size, 0});
        fill_randomly(rest.first(size), random);
        rest = rest.subspan(size + archive::tar_padding_bytes(size));
    }
}

Bytes Content::from(uint64_t offset) const {
    return Bytes(bytes_).subspan(offset % bytes_.size());
}

Result<ServerAddress> ServerAddress::of(const Target& target) {
    ServerAddress address;
    if (target.is_unix) {
        auto& path = reinterpret_cast<sockaddr_un&>(address.storage);
        if (target.host.size() >= sizeof path.sun_path) {
            return fail(Errc::invalid, "the socket's path is too long");
        }
        path.sun_family = AF_UNIX;
        std::memcpy(path.sun_path, target.host.c_str(), target.host.size() + 1);
        address.size = sizeof path;
        return address;
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = getaddrinfo(target.host.c_str(), nullptr, &hints, &found);
    if (error != 0) return fail(Errc::invalid, target.host + ": " + gai_strerror(error));
    std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    address.size = found->ai_addrlen;
    freeaddrinfo(found);
    const auto port = htons(target.port);
    if (address.storage.ss_family == AF_INET6) {
        reinterpret_cast<sockaddr_in6&>(address.storage).sin6_port = port;
    } else {
        reinterpret_cast<sockaddr_in&>(address.storage).sin_port = port;
    }
    return address;
}

io::Descriptor ServerAddress::connect() const {
    io::Descriptor socket(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval timeout{.tv_sec = 5, .tv_usec = 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    const auto* address = reinterpret_cast<const sockaddr*>(&storage);
    return ::connect(socket.get(), address, size) == 0 ? std::move(socket) : io::Descriptor();
}

Connection::Connection(const ServerAddress& address, const Protocol& protocol,
                       const Content& content)
    : address_(address),
      protocol_(protocol),
      content_(content),
      is_unix_(address.storage.ss_family == AF_UNIX) {
    flights_.resize(protocol.depth_max());
    is_flying_.resize(protocol.depth_max());
    for (uint32_t id = protocol.depth_max(); id > 0; --id) free_ids_.push_back(id - 1);
}

bool Connection::open() {
    close();
    socket_ = io::Descriptor(
        ::socket(address_.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_.is_open()) return false;
    const int on = 1;
    setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto* address = reinterpret_cast<const sockaddr*>(&address_.storage);
    if (::connect(socket_.get(), address, address_.size) == 0 || errno == EINPROGRESS) return true;
    close();
    return false;
}

void Connection::close() {
    socket_ = io::Descriptor();
    replies_ = protocol_.make_reader();
    rest_.clear();
    releases_.clear();
    answered_ = 0;
}

void Connection::add(const Operation& operation, const Flight& flight) {
    const uint32_t id = free_ids_.back();
    out_.emplace_back();
    protocol_.write(operation, id, out_.back());
    if (!releases_.empty()) {
        out_.back().head.insert(0, releases_);
        releases_.clear();
    }
    queue(id, flight);
}

void Connection::add_create_bucket(const Flight& flight) {
    const uint32_t id = free_ids_.back();
    out_.emplace_back();
    protocol_.write_create_bucket(id, out_.back());
    queue(id, flight);
}

void Connection::queue(uint32_t id, const Flight& flight) {
    free_ids_.pop_back();
    flights_[id] = flight;
    is_flying_[id] = true;
    ++in_flight_;
    if (protocol_.depth_max() == 1) last_ = out_.back();
}

Connection::Sent Connection::send() {
    while (!out_.empty()) {
        iovec pieces[pieces_max];
        size_t count = 0;
        uint64_t skipped = sent_bytes_;
        for (const Request& request : out_) {
            if (count + 2 > pieces_max) break;
            if (skipped < request.head.size()) {
                pieces[count++] = {const_cast<char*>(request.head.data()) + skipped,
                                   request.head.size() - skipped};
                skipped = request.head.size();
            }
            uint64_t offset = skipped - request.head.size();
            skipped = 0;
            while (offset < request.content_bytes && count < pieces_max) {
                Bytes piece = content_.from(offset);
                piece =
                    piece.first(std::min<uint64_t>(piece.size(), request.content_bytes - offset));
                pieces[count++] = {const_cast<std::byte*>(piece.data()), piece.size()};
                offset += piece.size();
            }
            if (offset < request.content_bytes) break;
        }
        msghdr message{};
        message.msg_iov = pieces;
        message.msg_iovlen = count;
        const ssize_t done = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
        if (done < 0) return errno == EAGAIN || errno == ENOTCONN ? Sent::blocked : Sent::broken;
        sent(static_cast<size_t>(done));
    }
    return Sent::all;
}

void Connection::sent(size_t count) {
    sent_bytes_ += count;
    while (!out_.empty()) {
        const uint64_t size = out_.front().head.size() + out_.front().content_bytes;
        if (sent_bytes_ < size) return;
        sent_bytes_ -= size;
        out_.pop_front();
    }
}

// A descriptor that comes along is what was asked for; nobody looks into it.
ssize_t Connection::receive_some(MutableBytes room) {
    if (!is_unix_) return ::recv(socket_.get(), room.data(), room.size(), 0);
    constexpr size_t descriptors_max = 16;
    iovec part{room.data(), room.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (count < 0) return count;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const size_t descriptors = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < descriptors; ++index) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(header) + index * sizeof number, sizeof number);
            io::Descriptor closed(number);
        }
    }
    return count;
}

bool Connection::receive(std::vector<std::byte>& buffer,
                         const std::function<void(const Reply&, const Flight&)>& on_reply) {
    constexpr size_t room_min = 256 << 10;
    if (buffer.size() < rest_.size() + room_min) buffer.resize(rest_.size() + room_min);
    std::ranges::copy(rest_, buffer.begin());
    const ssize_t count = receive_some(MutableBytes(buffer).subspan(rest_.size()));
    if (count <= 0) return count < 0 && errno == EAGAIN;
    const Bytes bytes = Bytes(buffer).first(rest_.size() + static_cast<size_t>(count));
    bool is_good = true, closes = false;
    const std::optional<size_t> used = replies_->read(bytes, [&](const Reply& reply) {
        if (reply.id >= flights_.size() || !is_flying_[reply.id]) {
            is_good = false;
            return;
        }
        is_flying_[reply.id] = false;
        free_ids_.push_back(reply.id);
        --in_flight_;
        ++answered_;
        closes = closes || reply.closes;
        if (reply.lease) protocol_.write_release(*reply.lease, releases_);
        const Flight flight = flights_[reply.id];  // its id may be taken again at once
        on_reply(reply, flight);
    });
    if (!used || !is_good || closes) return false;
    rest_.assign(bytes.begin() + static_cast<ptrdiff_t>(*used), bytes.end());
    return true;
}

bool Connection::resume() {
    const bool may_be_unseen =
        protocol_.depth_max() == 1 && answered_ > 0 && replies_->is_between_replies();
    if (in_flight_ > 0 && !may_be_unseen) return false;
    out_.clear();
    sent_bytes_ = 0;
    if (in_flight_ > 0) out_.push_back(last_);
    return open();
}

std::vector<Flight> Connection::take_flights() {
    std::vector<Flight> flights;
    for (uint32_t id = 0; id < flights_.size(); ++id) {
        if (!is_flying_[id]) continue;
        flights.push_back(flights_[id]);
        is_flying_[id] = false;
        free_ids_.push_back(id);
    }
    in_flight_ = 0;
    out_.clear();
    sent_bytes_ = 0;
    return flights;
}

}  // namespace penstock::bench
