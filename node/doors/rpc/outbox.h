// Outbox: what one connection has to send. Replies are written one behind the other into pooled
// buffers, many to a send; large pieces that lie in a buffer already go out from there.
#pragma once

#include <msgpack/pack.hpp>

#include <cstring>
#include <deque>
#include <string_view>

#include "io/buffer_pool.h"
#include "io/descriptor.h"

namespace penstock::node::rpc {

class Outbox {
public:
    // `buffers` outlives it.
    explicit Outbox(io::BufferPool& buffers) : buffers_(buffers) {}

    // What goes out in one call on the kernel; a descriptor travels with its first byte.
    struct Piece {
        io::Chunk bytes;
        io::Descriptor passed;
    };

    void write(const char* data, size_t size) {
        if (size > room()) [[unlikely]] {
            write_on(data, size);
            return;
        }
        std::memcpy(current_.data() + used_, data, size);
        used_ += static_cast<uint32_t>(size);
    }
    // Not copied if it is large.
    void write_chunk(io::Chunk chunk);
    // The next byte written is the first of a piece that `passed` travels with.
    void pass(io::Descriptor passed);

    // The next piece to send; nothing is left when there is none.
    std::optional<Piece> take();
    bool is_empty() const { return pieces_.empty() && used_ == 0; }
    // Written and not taken yet.
    uint64_t waiting_bytes() const { return waiting_bytes_ + used_; }
    // From now on everything is thrown away: nobody will send it.
    void close();

private:
    static constexpr uint32_t buffer_bytes = 64 << 10;
    // From here on sending a piece of its own costs less than copying it.
    static constexpr uint32_t own_piece_bytes_min = 32 << 10;

    size_t room() const { return current_.size() - used_; }
    void write_on(const char* data, size_t size);
    void end_piece();

    io::BufferPool& buffers_;
    std::deque<Piece> pieces_;
    io::Buffer current_;
    uint32_t used_ = 0;
    io::Descriptor passed_;  // with the current piece
    uint64_t waiting_bytes_ = 0;
    bool is_closed_ = false;
};

// Writes values. Whoever announces a map or an array writes that many.
class Writer {
public:
    explicit Writer(Outbox& outbox) : outbox_(outbox) {}

    void map(size_t pairs) { packer().pack_map(static_cast<uint32_t>(pairs)); }
    void array(size_t elements) { packer().pack_array(static_cast<uint32_t>(elements)); }
    void nil() { packer().pack_nil(); }
    void boolean(bool value) { value ? packer().pack_true() : packer().pack_false(); }
    void number(uint64_t value) { packer().pack_uint64(value); }
    // Text that is known to be UTF-8: a key, a literal.
    void text(std::string_view value) {
        packer().pack_str(static_cast<uint32_t>(value.size()));
        packer().pack_str_body(value.data(), static_cast<uint32_t>(value.size()));
    }
    // A name: text, or bytes where it is no UTF-8, which strict clients refuse in a text.
    void name(std::string_view value);
    // A sentence that may quote anything: what is no UTF-8 becomes '?'.
    void sentence(std::string_view value);
    void bytes(Bytes value) {
        bytes_head(value.size());
        packer().pack_bin_body(reinterpret_cast<const char*>(value.data()),
                               static_cast<uint32_t>(value.size()));
    }
    void bytes(io::Chunk chunk) {
        bytes_head(chunk.size);
        outbox_.write_chunk(std::move(chunk));
    }

    void pair(std::string_view key, std::string_view value) {
        text(key);
        text(value);
    }
    void pair(std::string_view key, uint64_t value) {
        text(key);
        number(value);
    }

private:
    // Holds a reference and nothing else.
    msgpack::packer<Outbox> packer() { return msgpack::packer<Outbox>(outbox_); }
    void bytes_head(size_t size) { packer().pack_bin(static_cast<uint32_t>(size)); }

    Outbox& outbox_;
};

bool is_utf8(std::string_view text);

}  // namespace penstock::node::rpc
