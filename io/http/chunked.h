// The chunked transfer coding (RFC 9112, section 7.1), read and written. Strict: lines end with
// CRLF, sizes are hexadecimal and below 2^60, extensions and trailers are bounded, made of what a
// header may be made of, and dropped.
#pragma once

#include <cstdint>
#include <memory>

#include "io/base/bytes.h"
#include "io/base/result.h"
#include "io/stream.h"

namespace penstock::io::http {

// Finds the content in chunked bytes, wherever they are cut.
class ChunkedDecoder {
public:
    // Takes bytes off the front of `input` and gives the next stretch of content among them: empty
    // when more input is needed or the end was reached. `invalid` when the coding is broken.
    Result<Bytes> next(Bytes& input);

    bool is_ended() const { return state_ == State::ended; }
    // How much content of the current chunk is still to come: it may be received past the decoder
    // and reported by skip().
    uint64_t chunk_rest() const { return state_ == State::content ? rest_ : 0; }
    void skip(uint64_t content_bytes);

private:
    enum class State : uint8_t { size, extension, content, content_end, trailer, ended };

    Status take(char character);
    Status take_size(char character);
    Status take_extension(char character);
    Status take_trailer(char character);
    Status end_size_line();

    State state_ = State::size;
    uint64_t rest_ = 0;
    uint32_t digits_ = 0;
    uint32_t line_bytes_ = 0;     // of the extension or trailer line so far
    uint32_t trailer_bytes_ = 0;  // of all trailers
    bool has_return_ = false;     // the last character was CR
    bool has_colon_ = false;      // in this trailer line
};

// Content of unknown length as chunked bytes, for a response.
std::unique_ptr<Source> make_chunked_encoder(BufferPool& pool, std::unique_ptr<Source> content);

}  // namespace penstock::io::http
