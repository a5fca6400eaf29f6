// MessagePack as the client needs it: requests are written, and replies, which may be anything, are
// measured while they arrive and read once they are whole. Nothing here allocates by what foreign
// bytes say. Pure functions over bytes; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/base/bytes.h"

namespace penstock::client {

// Appends values to a request.
class Packer {
public:
    Packer& map(uint32_t pairs) { return head(0x80, 16, 0xde, pairs); }
    Packer& array(uint32_t elements) { return head(0x90, 16, 0xdc, elements); }
    Packer& text(std::string_view value);
    // Bytes as they are; what is no UTF-8 must not be a text.
    Packer& bytes(Bytes value);
    // What begins so many bytes, for whoever sends those from where they lie.
    Packer& bytes_head(uint32_t size);
    // A name: a text if it is UTF-8.
    Packer& name(std::string_view value);
    Packer& number(uint64_t value);
    Packer& boolean(bool value) { return byte(value ? 0xc3 : 0xc2); }
    std::string take() { return std::move(out_); }
    size_t size() const { return out_.size(); }

private:
    Packer& byte(uint8_t value) {
        out_ += static_cast<char>(value);
        return *this;
    }
    Packer& big_endian(uint8_t type, uint64_t value, int count);
    // A count: in the type's own byte below `below`, else behind `type` in two bytes, or behind the
    // next type in four.
    Packer& head(uint8_t small, uint32_t below, uint8_t type, uint32_t count);

    std::string out_;
};

// Where a message ends. Each byte is looked at once however the bytes are cut; elements that are
// texts or bytes are passed over whole.
class MessageEnd {
public:
    enum class State : uint8_t {
        more,    // it goes on behind these bytes
        whole,   // message_bytes() is its length
        broken,  // it can never be a message
    };
    static constexpr uint32_t nesting_max = 32;

    // `bytes` begins where the message does and is at least what was shown last time. After `whole`
    // the next call begins a new message.
    State look(Bytes bytes);
    size_t message_bytes() const { return position_; }
    // While there is `more`: the message is at least so long.
    size_t bytes_min() const { return bytes_min_; }

private:
    bool enter(uint64_t values);

    std::array<uint64_t, nesting_max> left_{};  // values to come, of each open container
    uint32_t depth_ = 0;
    size_t position_ = 0;  // where the next value begins; may lie behind what has arrived
    size_t bytes_min_ = 1;
    bool is_whole_ = false;
};

// Reads values off the front of a message; a value of another kind than is asked for, or one that
// does not end within the bytes, gives nullopt, after which nothing can be read.
class Unpacker {
public:
    explicit Unpacker(Bytes bytes) : rest_(bytes) {}

    std::optional<uint32_t> array() { return container(1); }
    std::optional<uint32_t> map() { return container(2); }
    // str or bin: names travel as either.
    std::optional<std::string_view> text();
    std::optional<uint64_t> number();
    // True if the next value is nil, which is taken then.
    bool take_nil();
    // The next value with all its elements; at most MessageEnd::nesting_max deep.
    bool skip();
    bool is_empty() const { return rest_.empty(); }
    Bytes rest() const { return rest_; }

private:
    // The count of a container whose elements are so many values each: 1 an array, 2 a map.
    std::optional<uint32_t> container(uint8_t values_each);
    std::optional<uint64_t> take_big_endian(size_t count);
    std::optional<uint8_t> peek() const;
    void pass(size_t count) { rest_ = rest_.subspan(count); }
    void fail() { rest_ = {}; }

    Bytes rest_;
};

}  // namespace penstock::client
