#include "node/doors/rpc/message.h"

#include <bit>
#include <msgpack/null_visitor.hpp>
#include <msgpack/unpack.hpp>

namespace penstock::node::rpc {
namespace {

uint32_t load_big_endian(const std::byte* from, uint32_t bytes) {
    uint32_t value = 0;
    for (uint32_t index = 0; index < bytes; ++index) {
        value = value << 8 | std::to_integer<uint32_t>(from[index]);
    }
    return value;
}

// How long a token is: its first byte, a length of so many bytes, then content.
struct Shape {
    uint8_t length_bytes;  // 0: `content` is all that follows
    uint8_t content;       // beside the length, or fixed
    bool is_container;
    bool is_map;
    bool is_known;
};

// The tokens from 0xc0 to 0xdf, by the specification's table of formats.
constexpr Shape shapes[32] = {
    {0, 0, false, false, true},   // c0 nil
    {0, 0, false, false, false},  // c1 never used
    {0, 0, false, false, true},   // c2 false
    {0, 0, false, false, true},   // c3 true
    {1, 0, false, false, true},   // c4 bin 8
    {2, 0, false, false, true},   // c5 bin 16
    {4, 0, false, false, true},   // c6 bin 32
    {1, 1, false, false, true},   // c7 ext 8
    {2, 1, false, false, true},   // c8 ext 16
    {4, 1, false, false, true},   // c9 ext 32
    {0, 4, false, false, true},   // ca float 32
    {0, 8, false, false, true},   // cb float 64
    {0, 1, false, false, true},   // cc uint 8
    {0, 2, false, false, true},   // cd uint 16
    {0, 4, false, false, true},   // ce uint 32
    {0, 8, false, false, true},   // cf uint 64
    {0, 1, false, false, true},   // d0 int 8
    {0, 2, false, false, true},   // d1 int 16
    {0, 4, false, false, true},   // d2 int 32
    {0, 8, false, false, true},   // d3 int 64
    {0, 2, false, false, true},   // d4 fixext 1
    {0, 3, false, false, true},   // d5 fixext 2
    {0, 5, false, false, true},   // d6 fixext 4
    {0, 9, false, false, true},   // d7 fixext 8
    {0, 17, false, false, true},  // d8 fixext 16
    {1, 0, false, false, true},   // d9 str 8
    {2, 0, false, false, true},   // da str 16
    {4, 0, false, false, true},   // db str 32
    {2, 0, true, false, true},    // dc array 16
    {4, 0, true, false, true},    // dd array 32
    {2, 0, true, true, true},     // de map 16
    {4, 0, true, true, true},     // df map 32
};

constexpr uint32_t impossible = UINT32_MAX;

uint32_t sum(uint32_t a, uint32_t b) {
    return a > impossible - b ? impossible : a + b;
}

// Makes the flat list. Containers are closed when their last element was seen.
class Visitor : public msgpack::null_visitor {
public:
    explicit Visitor(std::vector<Value>& values) : values_(values) {}

    bool visit_nil() { return add(Kind::nil) != nullptr; }
    bool visit_boolean(bool value) { return add_number(Kind::boolean, value ? 1 : 0); }
    bool visit_positive_integer(uint64_t value) { return add_number(Kind::positive, value); }
    bool visit_negative_integer(int64_t value) {
        // An encoder may use a signed format for what is not negative.
        if (value >= 0) return add_number(Kind::positive, static_cast<uint64_t>(value));
        return add_number(Kind::negative, std::bit_cast<uint64_t>(value));
    }
    bool visit_float32(float value) { return add_real(value); }
    bool visit_float64(double value) { return add_real(value); }
    bool visit_str(const char* data, uint32_t size) { return add_bytes(Kind::str, data, size); }
    bool visit_bin(const char* data, uint32_t size) { return add_bytes(Kind::bin, data, size); }
    bool visit_ext(const char*, uint32_t) { return add(Kind::extension) != nullptr; }
    bool start_array(uint32_t count) { return start(Kind::array, count); }
    bool start_map(uint32_t count) { return start(Kind::map, count); }
    bool end_array() { return end(); }
    bool end_map() { return end(); }

    bool is_full() const { return is_full_; }

private:
    Value* add(Kind kind) {
        if (values_.size() == message_values_max) {
            is_full_ = true;
            return nullptr;
        }
        Value& value = values_.emplace_back();
        value.kind = kind;
        value.next = static_cast<uint32_t>(values_.size());
        return &value;
    }
    bool add_number(Kind kind, uint64_t number) {
        Value* value = add(kind);
        if (value != nullptr) value->number = number;
        return value != nullptr;
    }
    bool add_real(double number) {
        Value* value = add(Kind::floating);
        if (value != nullptr) value->real = number;
        return value != nullptr;
    }
    bool add_bytes(Kind kind, const char* data, uint32_t size) {
        Value* value = add(kind);
        if (value == nullptr) return false;
        value->data = data;
        value->size = size;
        return true;
    }
    bool start(Kind kind, uint32_t count) {
        if (depth_ == nesting_max) return false;
        Value* value = add(kind);
        if (value == nullptr) return false;
        value->size = count;
        open_[depth_++] = static_cast<uint32_t>(values_.size() - 1);
        return true;
    }
    bool end() {
        ASSERT(depth_ > 0);
        values_[open_[--depth_]].next = static_cast<uint32_t>(values_.size());
        return true;
    }

    std::vector<Value>& values_;
    std::array<uint32_t, nesting_max> open_{};
    uint32_t depth_ = 0;
    bool is_full_ = false;
};

}  // namespace

std::optional<Framer::Token> Framer::token_at(Bytes rest) {
    const auto first = std::to_integer<uint32_t>(rest[0]);
    if (first <= 0x7f || first >= 0xe0) return Token{1, 0, false};
    if (first <= 0x8f) return Token{1, 2 * (first & 0xf), true};
    if (first <= 0x9f) return Token{1, first & 0xf, true};
    if (first <= 0xbf) return Token{1 + (first & 0x1f), 0, false};
    const Shape& shape = shapes[first - 0xc0];
    if (!shape.is_known) return Token{0, 0, false};
    const uint32_t head_bytes = 1U + shape.length_bytes;
    if (rest.size() < head_bytes) return std::nullopt;
    const uint32_t length = load_big_endian(rest.data() + 1, shape.length_bytes);
    if (!shape.is_container) return Token{sum(sum(head_bytes, length), shape.content), 0, false};
    return Token{head_bytes, shape.is_map ? sum(length, length) : length, true};
}

bool Framer::open(uint32_t values) {
    // A container without elements opens nothing, but counts as a level all the same.
    if (depth_ == nesting_max) return false;
    left_[depth_++] = values;
    return true;
}

void Framer::close_finished() {
    while (depth_ > 0 && left_[depth_ - 1] == 0) {
        --depth_;
        if (depth_ > 0) --left_[depth_ - 1];
    }
}

Framer::State Framer::look(Bytes bytes) {
    if (is_whole_) *this = Framer();
    while (!is_whole_) {
        if (bytes.size() < bytes_min()) return State::more;
        const std::optional<Token> token = token_at(bytes.subspan(position_));
        if (!token) {
            // Lengths have at most four bytes; asking for one more each time is asking often
            // enough.
            needed_ = static_cast<uint32_t>(bytes.size()) - position_ + 1;
            return State::more;
        }
        // What follows has at least a byte for each value.
        const uint32_t least = sum(token->bytes, token->values);
        if (token->bytes == 0 || least > message_bytes_max - position_) return State::broken;
        if (bytes.size() - position_ < token->bytes) {
            needed_ = token->bytes;
            return State::more;
        }
        position_ += token->bytes;
        needed_ = 1;
        if (token->is_container) {
            if (!open(token->values)) return State::broken;
        } else if (depth_ > 0) {
            --left_[depth_ - 1];
        }
        close_finished();
        is_whole_ = depth_ == 0;
        if (!is_whole_ && position_ >= message_bytes_max) return State::broken;
    }
    return State::whole;
}

Message::Parsed Message::parse(Bytes bytes) {
    values_.clear();
    Visitor visitor(values_);
    size_t offset = 0;
    const std::string_view text = as_text(bytes);
    bool is_parsed = false;
    try {
        is_parsed = msgpack::parse(text.data(), text.size(), offset, visitor);
    } catch (const std::exception&) {
        // msgpack-c throws for sizes that overflow; the framer let none of them through.
        return Parsed::bad;
    }
    if (visitor.is_full()) return Parsed::too_many_values;
    if (!is_parsed || offset != bytes.size()) return Parsed::bad;
    return Parsed::good;
}

void Message::shrink() {
    constexpr size_t kept_values_max = 4096;
    if (values_.capacity() > kept_values_max) values_ = {};
}

}  // namespace penstock::node::rpc
