// Replies as a client reads them: whatever the bytes are, where a message ends does not depend on
// how they are cut, and nothing is read outside of them.
#include <cstdlib>

#include "client/rpc_exchange.h"

namespace {

using namespace penstock;
using namespace penstock::client;

void check(bool holds) {
    if (!holds) std::abort();
}

void compare_with_cut(Bytes bytes, size_t cut, MessageEnd::State state, size_t message_bytes) {
    MessageEnd end;
    MessageEnd::State before = end.look(bytes.first(cut));
    if (before == MessageEnd::State::more) {
        check(end.bytes_min() > cut);
        before = end.look(bytes);
    }
    check(before == state);
    if (state == MessageEnd::State::whole) check(end.message_bytes() == message_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
    MessageEnd end;
    const MessageEnd::State state = end.look(bytes);
    const size_t message_bytes = end.message_bytes();
    if (size > 0) compare_with_cut(bytes, data[0] % size, state, message_bytes);
    if (state != MessageEnd::State::whole) return 0;
    const Bytes message = bytes.first(message_bytes);
    Unpacker reader(message);
    check(reader.skip() && reader.is_empty());
    const Result<RpcReply> reply = read_reply(message);
    if (!reply) return 0;
    check(reply->error.has_value() != !reply->result.empty());
    (void)checked_data(reply->result);
    if (auto entries = find(reply->result, "entries")) {
        const auto count = entries->array();
        for (uint32_t index = 0; count && index < *count && entries->skip(); ++index) {
        }
    }
    return 0;
}
