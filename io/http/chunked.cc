#include "io/http/chunked.h"

#include <algorithm>
#include <cstring>

#include "io/base/units.h"
#include "io/http/head_rules.h"

namespace penstock::io::http {
namespace {

constexpr uint32_t size_digits_max = 15;
constexpr uint32_t extension_bytes_max = 256;
constexpr uint32_t trailers_bytes_max = 8 << 10;

int digit_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

std::unexpected<Error> broken(const char* what) {
    return fail(Errc::invalid, std::string("chunked body: ") + what);
}

class ChunkedEncoder final : public Source {
public:
    ChunkedEncoder(BufferPool& pool, std::unique_ptr<Source> content)
        : pool_(pool), content_(std::move(content)) {}

    Task<Result<Chunk>> next() override {
        if (is_ended_) co_return Chunk();
        CO_TRY(const Chunk part, co_await content_->next());
        is_ended_ = part.is_empty();
        const std::string_view after = is_ended_ ? "0\r\n\r\n" : "\r\n";
        const std::string before = is_ended_ ? "" : hex_from_u64(part.size, 8) + "\r\n";
        Chunk coded{pool_.take(static_cast<uint32_t>(before.size() + part.size + after.size())), 0,
                    0};
        append(coded, as_bytes(before));
        if (!is_ended_) append(coded, part.bytes());
        append(coded, as_bytes(after));
        co_return coded;
    }
    std::optional<uint64_t> remaining_bytes() const override { return std::nullopt; }

private:
    static void append(Chunk& chunk, Bytes bytes) {
        if (bytes.empty()) return;
        std::memcpy(chunk.buffer.data() + chunk.size, bytes.data(), bytes.size());
        chunk.size += static_cast<uint32_t>(bytes.size());
    }

    BufferPool& pool_;
    std::unique_ptr<Source> content_;
    bool is_ended_ = false;
};

}  // namespace

Result<Bytes> ChunkedDecoder::next(Bytes& input) {
    while (!input.empty() && state_ != State::ended) {
        if (state_ == State::content) {
            const Bytes content = input.first(std::min<uint64_t>(input.size(), rest_));
            input = input.subspan(content.size());
            skip(content.size());
            return content;
        }
        const char character = as_text(input).front();
        input = input.subspan(1);
        TRY_STATUS(take(character));
    }
    return Bytes();
}

void ChunkedDecoder::skip(uint64_t content_bytes) {
    ASSERT(state_ == State::content && content_bytes <= rest_);
    rest_ -= content_bytes;
    if (rest_ == 0) state_ = State::content_end;
}

Status ChunkedDecoder::take(char character) {
    if (state_ == State::size) return take_size(character);
    const bool is_line_end = character == '\n';
    if (has_return_ != is_line_end) return broken("a line does not end with CR and LF");
    has_return_ = character == '\r';
    if (has_return_) return Status();
    switch (state_) {
        case State::content_end:
            if (!is_line_end) return broken("a chunk is longer than its size");
            state_ = State::size;
            return Status();
        case State::extension:
            return is_line_end ? end_size_line() : take_extension(character);
        default:
            ASSERT(state_ == State::trailer);
            if (!is_line_end) return take_trailer(character);
            if (line_bytes_ == 0) state_ = State::ended;
            if (line_bytes_ != 0 && !has_colon_) return broken("a trailer has no colon");
            line_bytes_ = 0;
            has_colon_ = false;
            return Status();
    }
}

Status ChunkedDecoder::take_extension(char character) {
    if (!is_field_value({&character, 1})) return broken("an extension is malformed");
    if (++line_bytes_ > extension_bytes_max) return broken("an extension is too long");
    return Status();
}

// A trailer is dropped, but it must look like a header: "name: value".
Status ChunkedDecoder::take_trailer(char character) {
    const bool begins_value = !has_colon_ && character == ':' && line_bytes_ > 0;
    const bool is_good = has_colon_ ? is_field_value({&character, 1}) : is_token({&character, 1});
    if (!is_good && !begins_value) return broken("a trailer is malformed");
    has_colon_ = has_colon_ || begins_value;
    ++line_bytes_;
    if (++trailer_bytes_ > trailers_bytes_max) return broken("the trailers are too long");
    return Status();
}

Status ChunkedDecoder::take_size(char character) {
    if (const int digit = digit_value(character); digit >= 0) {
        if (++digits_ > size_digits_max) return broken("a size has too many digits");
        rest_ = rest_ << 4 | static_cast<uint64_t>(digit);
        return Status();
    }
    if (digits_ == 0) return broken("a size has no digits");
    if (character != '\r' && character != ';') return broken("a size is no hexadecimal number");
    has_return_ = character == '\r';
    line_bytes_ = has_return_ ? 0 : 1;  // the semicolon counts
    state_ = State::extension;
    return Status();
}

Status ChunkedDecoder::end_size_line() {
    if (line_bytes_ == 1) return broken("an extension is empty");
    state_ = rest_ == 0 ? State::trailer : State::content;
    digits_ = 0;
    line_bytes_ = 0;
    return Status();
}

std::unique_ptr<Source> make_chunked_encoder(BufferPool& pool, std::unique_ptr<Source> content) {
    return std::make_unique<ChunkedEncoder>(pool, std::move(content));
}

}  // namespace penstock::io::http
