#include "client/rpc_exchange.h"

#include <algorithm>
#include <cstring>

#include "io/base/checksum.h"

namespace penstock::client {
namespace {

constexpr size_t buffer_bytes_first = 16 << 10;
// From here on a value goes out from where it lies.
constexpr size_t copied_bytes_max = 16 << 10;

std::unexpected<Error> broken(const char* what) {
    return fail(Errc::corrupt, std::string("the node sent ") + what);
}

// The fixed codes of the contract, from 1.
Errc errc_from(uint64_t code) {
    constexpr Errc codes[] = {
        Errc::not_found,        Errc::not_found,       Errc::exists,   Errc::invalid,
        Errc::not_implemented,  Errc::too_large,       Errc::denied,   Errc::denied,
        Errc::condition_failed, Errc::corrupt,         Errc::full,     Errc::unavailable,
        Errc::timed_out,        Errc::not_implemented, Errc::io_error,
    };
    if (code == 0 || code > std::size(codes)) return Errc::io_error;
    return codes[code - 1];
}

std::optional<Error> read_error(Unpacker& reader) {
    const auto count = reader.array();
    const auto code = reader.number();
    const auto text = reader.text();
    if (count != 3 || !code || !text || !reader.skip()) return std::nullopt;
    return Error{errc_from(*code), std::string(*text)};
}

}  // namespace

Result<RpcReply> read_reply(Bytes message) {
    RpcReply reply;
    reply.message = message;
    Unpacker reader(message);
    const auto count = reader.array();
    const auto type = reader.number();
    const auto id = reader.number();
    if (count != 4 || type != 1 || !id) return broken("something that is no reply");
    reply.id = *id;
    if (reader.take_nil()) {
        Unpacker result = reader;
        if (!result.skip() || !result.is_empty()) return broken("a reply of a wrong form");
        reply.result = reader.rest();
        return reply;
    }
    reply.error = read_error(reader);
    if (!reply.error || !reader.skip() || !reader.is_empty()) {
        return broken("an error of a wrong form");
    }
    return reply;
}

Status Inbox::make_room() {
    const size_t needed = message_end_.bytes_min();
    if (needed > reply_bytes_max) return broken("a reply that is too long");
    if (end_ < buffer_.size() && begin_ + needed <= buffer_.size()) return {};
    size_t wanted = std::max({buffer_bytes_first, needed, begin_ == 0 ? 2 * end_ : 0});
    if (needed > buffer_bytes_first && begin_ + needed > buffer_.size()) {
        wanted = std::max(needed, std::min(wanted, needed + buffer_bytes_first));
    }
    if (wanted <= buffer_.size() && begin_ > 0) {
        std::memmove(buffer_.bytes().data(), buffer_.bytes().data() + begin_, end_ - begin_);
    } else {
        Buffer larger(std::max(wanted, end_ - begin_ + 1));
        if (larger.size() == 0) return fail(Errc::unavailable, "no memory for a reply");
        if (end_ > begin_) {
            std::memcpy(larger.bytes().data(), buffer_.bytes().data() + begin_, end_ - begin_);
        }
        buffer_ = std::move(larger);
    }
    end_ -= begin_;
    begin_ = 0;
    return {};
}

io::Task<Result<RpcReply>> Inbox::next(uint64_t deadline_ns) {
    for (;;) {
        const Bytes unread = Bytes(buffer_.bytes()).subspan(begin_, end_ - begin_);
        switch (message_end_.look(unread)) {
            case MessageEnd::State::broken:
                co_return broken("bytes that are no MessagePack");
            case MessageEnd::State::whole: {
                const Bytes message = unread.first(message_end_.message_bytes());
                begin_ += message.size();
                if (begin_ == end_) begin_ = end_ = 0;
                co_return read_reply(message);
            }
            case MessageEnd::State::more:
                break;
        }
        CO_TRY_STATUS(make_room());
        CO_TRY(const size_t count,
               co_await channel_.receive(buffer_.bytes().subspan(end_), descriptors_, deadline_ns));
        if (count == 0) {
            co_return fail(Errc::closed, "the node closed the connection within a call");
        }
        end_ += count;
    }
}

std::optional<Unpacker> find(Bytes map, std::string_view key) {
    Unpacker reader(map);
    const auto pairs = reader.map();
    for (uint32_t pair = 0; pairs && pair < *pairs; ++pair) {
        const auto name = reader.text();
        if (!name) return std::nullopt;
        if (*name == key) return reader;
        if (!reader.skip()) return std::nullopt;
    }
    return std::nullopt;
}

Result<Bytes> checked_data(Bytes result) {
    auto data = find(result, "data");
    auto crc = find(result, "crc32c");
    const auto text = data ? data->text() : std::nullopt;
    const auto expected = crc ? crc->number() : std::nullopt;
    if (!text || !expected) return broken("data without their checksum");
    const Bytes bytes = as_bytes(*text);
    if (crc32c(bytes) != *expected) return broken("bytes that fail their checksum");
    return bytes;
}

std::string request_head(const RpcRequest& request, uint32_t id) {
    Packer packer;
    packer.array(4).number(0).number(id).text(request.method).array(1);
    std::string head = packer.take();
    head += request.arguments;
    if (request.has_data) {
        Packer data;
        head += data.bytes_head(static_cast<uint32_t>(request.data.size())).take();
    }
    return head;
}

io::Task<Status> send_request(io::Channel& channel, const RpcRequest& request, uint32_t id,
                              uint64_t deadline_ns) {
    std::string head = request_head(request, id);
    if (request.data.size() > copied_bytes_max) {
        CO_TRY_STATUS(co_await channel.send(as_bytes(head), deadline_ns));
        co_return co_await channel.send(request.data, deadline_ns);
    }
    head += as_text(request.data);
    co_return co_await channel.send(as_bytes(head), deadline_ns);
}

}  // namespace penstock::client
