// MessagePack-RPC (its published specification), by the client library's words for it. Of a reply
// its length, its id and its error are looked at: reading what is in it would cost more than the
// rest of the load generator.
#include "bench/load/protocol.h"
#include "client/message.h"
#include "client/rpc_exchange.h"

namespace penstock::bench {
namespace {

using client::MessageEnd;
using client::Packer;

constexpr uint32_t depth = 1024;
constexpr uint32_t list_limit = 1000;

class RpcReplies final : public ReplyReader {
public:
    explicit RpcReplies(bool may_have_leases) : may_have_leases_(may_have_leases) {}

    std::optional<size_t> read(Bytes bytes,
                               const std::function<void(const Reply&)>& on_reply) override {
        size_t at = 0;
        while (at < bytes.size()) {
            const MessageEnd::State state = end_.look(bytes.subspan(at));
            if (state == MessageEnd::State::broken) return std::nullopt;
            if (state == MessageEnd::State::more) break;
            const Bytes message = bytes.subspan(at, end_.message_bytes());
            at += message.size();
            if (!give(message, on_reply)) return std::nullopt;
        }
        has_part_ = at < bytes.size();
        return at;
    }
    bool is_between_replies() const override { return !has_part_; }

private:
    bool give(Bytes message, const std::function<void(const Reply&)>& on_reply) {
        client::Unpacker reader(message);
        if (reader.array() != 4 || reader.number() != 1) return false;
        const std::optional<uint64_t> id = reader.number();
        if (!id || *id >= depth) return false;
        Reply reply;
        reply.id = static_cast<uint32_t>(*id);
        reply.is_error = !reader.take_nil();
        reply.bytes = reader.rest().size();
        if (may_have_leases_ && !reply.is_error) note_lease(reader.rest(), reply);
        std::string error;
        if (reply.is_error) {
            const Result<client::RpcReply> whole = client::read_reply(message);
            if (!whole || !whole->error) return false;
            error = whole->error->context;
            reply.error = error;
        }
        on_reply(reply);
        return true;
    }

    // What came by descriptor is as long as the result says.
    static void note_lease(Bytes result, Reply& reply) {
        auto lease = client::find(result, "lease");
        auto size = client::find(result, "size");
        if (lease) reply.lease = lease->number();
        if (reply.lease && size) reply.bytes = size->number().value_or(0);
    }

    const bool may_have_leases_;
    MessageEnd end_;
    bool has_part_ = false;
};

class RpcProtocol final : public Protocol {
public:
    explicit RpcProtocol(const Options& options) : options_(options) {}

    uint32_t depth_max() const override { return depth; }

    void write(const Operation& operation, uint32_t id, Request& request) const override {
        request.content_bytes = 0;
        Packer packer;
        switch (operation.op) {
            case Op::put:
                object(begin(packer, id, "object.put", 3), operation.object).text("data");
                packer.bytes_head(static_cast<uint32_t>(operation.bytes));
                request.content_bytes = operation.bytes;
                break;
            case Op::range:
                object(begin(packer, id, "object.get", 4), operation.object);
                packer.text("offset").number(operation.offset);
                packer.text("length").number(operation.bytes);
                break;
            case Op::member:
                object(begin(packer, id, "object.get", 3), operation.object);
                packer.text("member").text(member_name(operation.member));
                break;
            case Op::get_many:
                begin(packer, id, "object.get_many", options_.as_descriptors ? 2 : 1);
                add_as(packer).text("items");
                packer.array(static_cast<uint32_t>(operation.objects.size()));
                for (const uint64_t each : operation.objects) object(packer.map(2), each);
                break;
            case Op::list: {
                std::string prefix = object_name(operation.object);
                prefix.resize(prefix.size() - 3);
                begin(packer, id, "object.list", 3).text("bucket").text(options_.bucket);
                packer.text("prefix").text(prefix).text("limit").number(list_limit);
                break;
            }
            default:
                object(begin(packer, id, "object.get", options_.as_descriptors ? 3 : 2),
                       operation.object);
                add_as(packer);
        }
        request.head = packer.take();
    }

    void write_create_bucket(uint32_t id, Request& request) const override {
        Packer packer;
        begin(packer, id, "bucket.create", 1).text("bucket").text(options_.bucket);
        request.head = packer.take();
    }

    void write_release(uint64_t lease, std::string& head) const override {
        Packer packer;
        packer.array(3).number(2).text("lease.release").array(1).map(1).text("lease");
        head += packer.number(lease).take();
    }

    std::unique_ptr<ReplyReader> make_reader() const override {
        return std::make_unique<RpcReplies>(options_.as_descriptors);
    }

private:
    static Packer& begin(Packer& packer, uint32_t id, std::string_view method, uint32_t arguments) {
        packer.array(4).number(0).number(id).text(method).array(1);
        return packer.map(arguments);
    }
    Packer& add_as(Packer& packer) const {
        return options_.as_descriptors ? packer.text("as").text("fd") : packer;
    }
    Packer& object(Packer& packer, uint64_t number) const {
        packer.text("bucket").text(options_.bucket);
        return packer.text("name").text(object_name(number));
    }

    const Options& options_;
};

}  // namespace

std::unique_ptr<Protocol> make_rpc_protocol(const Options& options) {
    return std::make_unique<RpcProtocol>(options);
}

}  // namespace penstock::bench
