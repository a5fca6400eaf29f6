#include "node/doors/rpc/outbox.h"

#include <algorithm>
#include <string>

namespace penstock::node::rpc {
namespace {

// How many bytes the character at the front has; 0 if it is none (RFC 3629, table 3-7 of Unicode).
size_t character_bytes(std::string_view text) {
    const auto byte = [&text](size_t index) { return static_cast<uint8_t>(text[index]); };
    const auto follows = [&](size_t index) {
        return index < text.size() && (byte(index) & 0xc0) == 0x80;
    };
    const uint8_t first = byte(0);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        if (!follows(1) || !follows(2)) return 0;
        if (first == 0xe0 && byte(1) < 0xa0) return 0;
        if (first == 0xed && byte(1) > 0x9f) return 0;  // half of a surrogate pair
        return 3;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        if (!follows(1) || !follows(2) || !follows(3)) return 0;
        if (first == 0xf0 && byte(1) < 0x90) return 0;
        if (first == 0xf4 && byte(1) > 0x8f) return 0;
        return 4;
    }
    return 0;
}

}  // namespace

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const size_t bytes = character_bytes(text);
        if (bytes == 0) return false;
        text.remove_prefix(bytes);
    }
    return true;
}

void Writer::name(std::string_view value) {
    if (is_utf8(value)) {
        text(value);
    } else {
        bytes(as_bytes(value));
    }
}

void Writer::sentence(std::string_view value) {
    if (is_utf8(value)) return text(value);
    std::string clean;
    while (!value.empty()) {
        const size_t bytes = character_bytes(value);
        if (bytes == 0) {
            clean += '?';
        } else {
            clean.append(value.substr(0, bytes));
        }
        value.remove_prefix(std::max<size_t>(bytes, 1));
    }
    text(clean);
}

void Outbox::write_on(const char* data, size_t size) {
    while (size > 0) {
        if (room() == 0) {
            end_piece();
            current_ = buffers_.take(buffer_bytes);
        }
        const size_t part = std::min(size, room());
        std::memcpy(current_.data() + used_, data, part);
        used_ += static_cast<uint32_t>(part);
        data += part;
        size -= part;
    }
}

void Outbox::write_chunk(io::Chunk chunk) {
    if (chunk.size < own_piece_bytes_min || is_closed_) {
        if (!chunk.is_empty()) {
            write(reinterpret_cast<const char*>(chunk.bytes().data()), chunk.size);
        }
        return;
    }
    end_piece();
    waiting_bytes_ += chunk.size;
    pieces_.push_back(Piece{std::move(chunk), io::Descriptor()});
}

void Outbox::pass(io::Descriptor passed) {
    end_piece();
    if (!is_closed_) passed_ = std::move(passed);
}

void Outbox::end_piece() {
    if (used_ == 0) return;
    if (!is_closed_) {
        waiting_bytes_ += used_;
        pieces_.push_back({{std::move(current_), 0, used_}, std::move(passed_)});
        passed_ = io::Descriptor();
        current_ = io::Buffer();
    }
    used_ = 0;
}

std::optional<Outbox::Piece> Outbox::take() {
    if (pieces_.empty()) end_piece();
    if (pieces_.empty()) return std::nullopt;
    Piece piece = std::move(pieces_.front());
    pieces_.pop_front();
    waiting_bytes_ -= piece.bytes.size;
    return piece;
}

void Outbox::close() {
    is_closed_ = true;
    pieces_.clear();
    waiting_bytes_ = 0;
    used_ = 0;
    passed_ = io::Descriptor();
}

}  // namespace penstock::node::rpc
