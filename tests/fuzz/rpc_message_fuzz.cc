// Messages of MessagePack-RPC: whatever the bytes are, the framer says the same however they are
// cut, agrees with msgpack-c's parser, and a message that is whole can be bound to every method's
// declaration without a look outside.
#include <cstdlib>

#include "node/doors/rpc/declaration.h"
#include "node/doors/rpc/message.h"

namespace {

using namespace penstock;
using namespace penstock::node;

void check(bool holds) {
    if (!holds) std::abort();
}

// The same answer when the bytes come in two parts.
void compare_with_cut(Bytes bytes, size_t cut, rpc::Framer::State state, uint32_t message_bytes) {
    rpc::Framer framer;
    rpc::Framer::State before = framer.look(bytes.first(cut));
    if (before == rpc::Framer::State::more) {
        check(framer.bytes_min() > cut);
        before = framer.look(bytes);
    }
    check(before == state);
    if (state == rpc::Framer::State::whole) check(framer.message_bytes() == message_bytes);
}

void walk(const rpc::Message& message) {
    for (uint32_t index = 0; index < message.value_count(); ++index) {
        const rpc::Value& value = message[index];
        check(value.next > index && value.next <= message.value_count());
        if (value.kind != rpc::Kind::map) continue;
        for (const rpc::Method& method : rpc::methods()) {
            (void)rpc::bind_arguments(method.parameters, message, &value);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
    rpc::Framer framer;
    const rpc::Framer::State state = framer.look(bytes);
    if (size > 0) compare_with_cut(bytes, data[0] % size, state, framer.message_bytes());
    if (state != rpc::Framer::State::whole) return 0;
    rpc::Message message;
    const auto parsed = message.parse(bytes.first(framer.message_bytes()));
    check(parsed == rpc::Message::Parsed::good);
    walk(message);
    return 0;
}
