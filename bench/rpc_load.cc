// rpc_load ADDRESS BUCKET OPERATION OBJECTS SIZE DEPTH SECONDS: loads a node over MessagePack-RPC
// on one connection with DEPTH requests under way, and prints "OBJECTS_MOVED SECONDS".
//
//   put       puts OBJECTS objects of SIZE bytes, named o000000 and on, once; SECONDS is ignored
//   get       one object a request, names in turn
//   get_many  256 random ones a request
//   fd        as get_many, 64 a request, as descriptors; each lease is released
//
// It spends as little as it can, so that the node is what is measured: requests are made before the
// clock starts, and of a reply it checks its length and that it is no error.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/random.h"
#include "io/descriptor.h"
#include "io/kernel.h"
#include "node/doors/rpc/message.h"

namespace penstock::bench {
namespace {

constexpr size_t variants = 128;  // different requests; ids 0 to 127 take one byte
constexpr size_t many_items = 256;
constexpr size_t descriptor_items = 64;

[[noreturn]] void give_up(const char* what) {
    std::perror(what);
    std::exit(1);
}

struct Options {
    std::string address, bucket, operation;
    size_t objects = 0, size = 0, depth = 0;
    double seconds = 0;
};

io::Descriptor connect_to(const std::string& address) {
    sockaddr_storage storage{};
    socklen_t size = 0;
    if (address.starts_with("unix:")) {
        auto& name = reinterpret_cast<sockaddr_un&>(storage);
        name.sun_family = AF_UNIX;
        const std::string path = address.substr(5);
        std::memcpy(name.sun_path, path.c_str(), std::min(path.size() + 1, sizeof name.sun_path));
        size = sizeof name;
    } else {
        auto& name = reinterpret_cast<sockaddr_in&>(storage);
        name.sin_family = AF_INET;
        name.sin_port = htons(io::Address{address}.port());
        inet_pton(AF_INET, address.substr(0, address.rfind(':')).c_str(), &name.sin_addr);
        size = sizeof name;
    }
    io::Descriptor connection(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(connection.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0) {
        give_up("connect");
    }
    const int on = 1;
    setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connection;
}

// Just enough MessagePack for requests of known shape.
class Request {
public:
    Request(size_t id, std::string_view method, uint8_t pairs) {
        byte(0x94).byte(0).byte(static_cast<uint8_t>(id)).text(method).byte(0x91);
        byte(static_cast<uint8_t>(0x80 | pairs));
    }
    Request& byte(uint8_t value) {
        bytes_ += static_cast<char>(value);
        return *this;
    }
    Request& text(std::string_view value) {
        byte(static_cast<uint8_t>(0xa0 | value.size()));
        bytes_ += value;
        return *this;
    }
    Request& number(uint8_t head, uint64_t value, int count) {
        byte(head);
        for (int at = count - 1; at >= 0; --at) byte(static_cast<uint8_t>(value >> (8 * at)));
        return *this;
    }
    Request& data(std::string_view value) {
        number(0xc6, value.size(), 4);
        bytes_ += value;
        return *this;
    }
    std::string take() { return std::move(bytes_); }

private:
    std::string bytes_;
};

std::string object_name(size_t index) {
    char name[16];
    std::snprintf(name, sizeof name, "o%06zu", index);
    return name;
}

std::string batch_request(const Options& options, Random& random, size_t id) {
    const bool is_descriptor = options.operation == "fd";
    const size_t items = is_descriptor ? descriptor_items : many_items;
    Request request(id, "object.get_many", is_descriptor ? 2 : 1);
    if (is_descriptor) request.text("as").text("fd");
    request.text("items").number(0xdc, items, 2);
    for (size_t item = 0; item < items; ++item) {
        request.byte(0x82).text("bucket").text(options.bucket).text("name");
        request.text(object_name(random.next() % options.objects));
    }
    return request.take();
}

std::string request_of(const Options& options, Random& random, size_t index) {
    const size_t id = index % variants;
    if (options.operation == "put") {
        std::string content(options.size, '\0');
        for (char& character : content) character = static_cast<char>(random.next() >> 56);
        Request request(id, "object.put", 3);
        request.text("bucket").text(options.bucket).text("name").text(object_name(index));
        return request.text("data").data(content).take();
    }
    if (options.operation == "get") {
        Request request(id, "object.get", 2);
        request.text("bucket").text(options.bucket).text("name");
        return request.text(object_name(random.next() % options.objects)).take();
    }
    return batch_request(options, random, id);
}

class Load {
public:
    explicit Load(const Options& options)
        : options_(options), random_(7), connection_(connect_to(options.address)), in_(4 << 20) {
        const bool is_put = options.operation == "put";
        if (!is_put) {
            for (size_t index = 0; index < variants; ++index) {
                requests_.push_back(request_of(options, random_, index));
            }
        }
        total_ = is_put ? options.objects : SIZE_MAX;
    }

    size_t run() {
        const auto end =
            std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.seconds);
        while (answered_ < total_) {
            const bool goes_on = total_ != SIZE_MAX || std::chrono::steady_clock::now() < end;
            if (!goes_on && answered_ == sent_) break;
            if (goes_on) send_requests();
            receive_replies();
        }
        const size_t each = options_.operation == "get_many" ? many_items
                            : options_.operation == "fd"     ? descriptor_items
                                                             : 1;
        return answered_ * each;
    }

private:
    void send_requests() {
        out_.clear();
        while (sent_ - answered_ < options_.depth && sent_ < total_) {
            if (total_ != SIZE_MAX) {
                out_ += request_of(options_, random_, sent_);
            } else {
                out_ += requests_[sent_ % variants];
            }
            ++sent_;
        }
        out_ += releases_;
        releases_.clear();
        for (size_t done = 0; done < out_.size();) {
            const ssize_t count =
                ::send(connection_.get(), out_.data() + done, out_.size() - done, MSG_NOSIGNAL);
            if (count <= 0) give_up("send");
            done += static_cast<size_t>(count);
        }
    }

    void receive_replies() {
        if (end_ == in_.size()) {
            std::memmove(in_.data(), in_.data() + begin_, end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
        iovec part{in_.data() + end_, in_.size() - end_};
        alignas(cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))];
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t count = ::recvmsg(connection_.get(), &message, MSG_CMSG_CLOEXEC);
        if (count <= 0) give_up("receive");
        end_ += static_cast<size_t>(count);
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
             header = CMSG_NXTHDR(&message, header)) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
            ::close(descriptor);
            ++descriptors_;
        }
        while (begin_ < end_) {
            const Bytes unread = Bytes(in_).subspan(begin_, end_ - begin_);
            if (framer_.look(unread) != node::rpc::Framer::State::whole) return;
            check(unread.first(framer_.message_bytes()));
            begin_ += framer_.message_bytes();
            ++answered_;
        }
        begin_ = end_ = 0;
    }

    void check(Bytes reply) {
        const std::string_view text = as_text(reply);
        const bool is_result = text.size() > 4 && text.substr(0, 2) == "\x94\x01" &&
                               static_cast<uint8_t>(text[3]) == 0xc0;
        if (!is_result) {
            std::fprintf(stderr, "a call failed: %.*s\n", static_cast<int>(text.size()),
                         text.data());
            std::exit(1);
        }
        if (options_.operation != "fd") return;
        node::rpc::Message message;
        if (message.parse(reply) != node::rpc::Message::Parsed::good) give_up("parse");
        const uint64_t lease = message[message.value_count() - 1].number;
        releases_ += "\x93\x02\xadlease.release\x91\x81\xa5lease\xcf";
        for (int at = 7; at >= 0; --at) releases_ += static_cast<char>(lease >> (8 * at));
    }

    Options options_;
    Random random_;
    io::Descriptor connection_;
    std::vector<std::string> requests_;
    std::string out_;
    std::string releases_;
    std::vector<std::byte> in_;
    size_t begin_ = 0;
    size_t end_ = 0;
    node::rpc::Framer framer_;
    size_t total_ = 0;
    size_t sent_ = 0;
    size_t answered_ = 0;
    size_t descriptors_ = 0;
};

size_t number_from(const char* text) {
    const std::string_view digits(text);
    size_t number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

int run(int count, char** values) {
    if (count != 8) {
        std::fprintf(stderr,
                     "usage: rpc_load unix:PATH|H:P BUCKET put|get|get_many|fd OBJECTS SIZE DEPTH "
                     "SECONDS\n");
        return 2;
    }
    Options options{values[1],
                    values[2],
                    values[3],
                    number_from(values[4]),
                    number_from(values[5]),
                    std::min<size_t>(number_from(values[6]), variants),
                    static_cast<double>(number_from(values[7]))};
    const auto begin = std::chrono::steady_clock::now();
    const size_t moved = Load(options).run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("%zu %.6f\n", moved, took.count());
    return 0;
}

}  // namespace
}  // namespace penstock::bench

int main(int count, char** values) {
    return penstock::bench::run(count, values);
}
