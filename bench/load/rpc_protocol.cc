// MessagePack-RPC (its published specification), as much as requests of known shape need: writing
// MessagePack is a few lines, and of a reply its length, its id and its error are looked at.
#include <algorithm>

#include "bench/load/protocol.h"
#include "node/doors/rpc/message.h"

namespace penstock::bench {
namespace {

constexpr uint32_t depth = 1024;
constexpr uint32_t list_limit = 1000;
constexpr size_t error_bytes_max = 200;

class Writer {
public:
    explicit Writer(std::string& out) : out_(out) {}
    Writer& byte(uint8_t value) {
        out_ += static_cast<char>(value);
        return *this;
    }
    Writer& big_endian(uint8_t head, uint64_t value, int bytes) {
        byte(head);
        for (int at = bytes - 1; at >= 0; --at) byte(static_cast<uint8_t>(value >> (8 * at)));
        return *this;
    }
    Writer& number(uint64_t value) {
        return value < 128 ? byte(static_cast<uint8_t>(value)) : big_endian(0xcf, value, 8);
    }
    Writer& map(uint8_t pairs) { return byte(static_cast<uint8_t>(0x80 | pairs)); }
    Writer& text(std::string_view value) {
        if (value.size() < 32) {
            byte(static_cast<uint8_t>(0xa0 | value.size()));
        } else {
            big_endian(0xda, value.size(), 2);
        }
        out_ += value;
        return *this;
    }

private:
    std::string& out_;
};

// The unsigned number at `at`, which moves behind it.
std::optional<uint32_t> number_at(Bytes bytes, size_t& at) {
    if (at >= bytes.size()) return std::nullopt;
    const auto head = static_cast<uint8_t>(bytes[at++]);
    if (head < 0x80) return head;
    const size_t size = head == 0xcc ? 1 : head == 0xcd ? 2 : head == 0xce ? 4 : 0;
    if (size == 0 || at + size > bytes.size()) return std::nullopt;
    uint32_t value = 0;
    for (size_t count = 0; count < size; ++count) {
        value = value << 8 | static_cast<uint8_t>(bytes[at++]);
    }
    return value;
}

class RpcReplies final : public ReplyReader {
public:
    std::optional<size_t> read(Bytes bytes,
                               const std::function<void(const Reply&)>& on_reply) override {
        using State = node::rpc::Framer::State;
        size_t at = 0;
        while (at < bytes.size()) {
            const State state = framer_.look(bytes.subspan(at));
            if (state == State::broken) return std::nullopt;
            if (state == State::more) break;
            const Bytes message = bytes.subspan(at, framer_.message_bytes());
            at += message.size();
            if (!give(message, on_reply)) return std::nullopt;
        }
        has_part_ = at < bytes.size();
        return at;
    }
    bool is_between_replies() const override { return !has_part_; }

private:
    static bool give(Bytes message, const std::function<void(const Reply&)>& on_reply) {
        size_t at = 2;
        if (message.size() < 4 || message[0] != std::byte{0x94} || message[1] != std::byte{1}) {
            return false;
        }
        const std::optional<uint32_t> id = number_at(message, at);
        if (!id || at >= message.size()) return false;
        Reply reply;
        reply.id = *id;
        reply.is_error = message[at] != std::byte{0xc0};
        reply.bytes = message.size() - at - 1;
        if (reply.is_error) {
            const std::string_view text = as_text(message.subspan(at));
            reply.error = text.substr(0, error_bytes_max);
        }
        on_reply(reply);
        return true;
    }

    node::rpc::Framer framer_;
    bool has_part_ = false;
};

class RpcProtocol final : public Protocol {
public:
    explicit RpcProtocol(const Options& options) : options_(options) {}

    uint32_t depth_max() const override { return depth; }

    void write(const Operation& operation, uint32_t id, Request& request) const override {
        request.content_bytes = 0;
        Writer writer(request.head);
        switch (operation.op) {
            case Op::put:
                object(begin(writer, id, "object.put", 3), operation.object).text("data");
                writer.big_endian(0xc6, operation.bytes, 4);
                request.content_bytes = operation.bytes;
                return;
            case Op::range:
                object(begin(writer, id, "object.get", 4), operation.object);
                writer.text("offset").number(operation.offset);
                writer.text("length").number(operation.bytes);
                return;
            case Op::member:
                object(begin(writer, id, "object.get", 3), operation.object);
                writer.text("member").text(member_name(operation.member));
                return;
            case Op::get_many:
                begin(writer, id, "object.get_many", 1).text("items");
                writer.big_endian(0xdc, operation.objects.size(), 2);
                for (const uint64_t each : operation.objects) object(writer.map(2), each);
                return;
            case Op::list: {
                std::string prefix = object_name(operation.object);
                prefix.resize(prefix.size() - 3);
                begin(writer, id, "object.list", 3).text("bucket").text(options_.bucket);
                writer.text("prefix").text(prefix).text("limit").number(list_limit);
                return;
            }
            default:
                object(begin(writer, id, "object.get", 2), operation.object);
        }
    }

    void write_create_bucket(uint32_t id, Request& request) const override {
        Writer writer(request.head);
        begin(writer, id, "bucket.create", 1).text("bucket").text(options_.bucket);
    }

    std::unique_ptr<ReplyReader> make_reader() const override {
        return std::make_unique<RpcReplies>();
    }

private:
    static Writer& begin(Writer& writer, uint32_t id, std::string_view method, uint8_t arguments) {
        writer.byte(0x94).byte(0).big_endian(0xce, id, 4).text(method).byte(0x91);
        return writer.map(arguments);
    }
    Writer& object(Writer& writer, uint64_t number) const {
        writer.text("bucket").text(options_.bucket);
        return writer.text("name").text(object_name(number));
    }

    const Options& options_;
};

}  // namespace

std::unique_ptr<Protocol> make_rpc_protocol(const Options& options) {
    return std::make_unique<RpcProtocol>(options);
}

}  // namespace penstock::bench
