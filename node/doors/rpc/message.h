// Messages as they arrive: where one ends, and what it holds.
//
// Two readers look at the same bytes. The Framer finds a message's end while its bytes are still
// arriving, and refuses what is too long, too deep or no MessagePack, having looked at each byte
// once, however the bytes are cut. Only whole messages reach msgpack-c's parser, whose visitor
// makes them a flat list of values. A fuzz target checks that the two agree.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "io/base/bytes.h"

namespace penstock::node::rpc {

constexpr uint32_t message_bytes_max = 4 << 20;
constexpr uint32_t nesting_max = 32;
// A value costs 24 bytes of ours, but may cost a client one: a message of more is read past and
// answered with `too_large`.
constexpr uint32_t message_values_max = 256 << 10;

class Framer {
public:
    enum class State : uint8_t {
        more,    // the message goes on behind these bytes
        whole,   // message_bytes() is its length
        broken,  // it can never be a message of ours
    };

    // `bytes` begins where the message does and is what has arrived so far: at least what was
    // shown last time. After `whole` the next call begins a new message.
    State look(Bytes bytes);
    uint32_t message_bytes() const { return position_; }
    // While there is `more`: the message is at least so long.
    uint32_t bytes_min() const { return position_ + needed_; }

private:
    struct Token {
        uint32_t bytes = 0;   // all of it
        uint32_t values = 0;  // that follow as its elements
        bool is_container = false;
    };
    // nullopt: its head is not there as a whole.
    static std::optional<Token> token_at(Bytes rest);
    bool open(uint32_t values);
    void close_finished();

    std::array<uint32_t, nesting_max> left_{};  // values to come, of each open container
    uint32_t depth_ = 0;
    uint32_t position_ = 0;  // everything before it was looked at
    uint32_t needed_ = 1;    // behind position_, before anything can be said
    bool is_whole_ = false;
};

enum class Kind : uint8_t {
    nil,
    boolean,
    positive,  // an integer from 0
    negative,  // an integer below 0
    floating,
    str,
    bin,
    extension,
    array,
    map,
};

// One value; those of a container lie behind it, a map's keys and values in turn.
struct Value {
    Kind kind = Kind::nil;
    uint32_t size = 0;  // bytes of str and bin; elements of an array, pairs of a map
    uint32_t next = 0;  // where the value behind this one and all its elements lies
    union {
        uint64_t number;  // boolean, positive; negative as its bits
        double real;
        const char* data;  // str, bin
    };

    Value() : number(0) {}
    std::string_view text() const { return {data, size}; }
    Bytes bytes() const { return as_bytes(text()); }
};
static_assert(sizeof(Value) == 24);

// A whole message. Used again for the next one, so that a small one costs no allocation.
class Message {
public:
    enum class Parsed : uint8_t { good, too_many_values, bad };

    // Texts and bytes stay views into `bytes`. With `too_many_values` the first ones are there.
    Parsed parse(Bytes bytes);

    bool is_empty() const { return values_.empty(); }
    uint32_t value_count() const { return static_cast<uint32_t>(values_.size()); }
    const Value& operator[](uint32_t index) const { return values_[index]; }
    uint32_t index_of(const Value& value) const {
        return static_cast<uint32_t>(&value - values_.data());
    }
    // The first element of a container, and the value behind another one.
    const Value& first(const Value& container) const { return (&container)[1]; }
    const Value& after(const Value& value) const { return values_[value.next]; }
    void shrink();  // keeps no more memory than small messages need

private:
    std::vector<Value> values_;
};

}  // namespace penstock::node::rpc
