// Chunked bodies: the content is the same however the bytes are cut, and never more than came.
#include <cstdlib>
#include <string>

#include "io/http/chunked.h"

namespace {

using penstock::Bytes;

struct Decoded {
    std::string content;
    bool is_broken = false;
    bool is_ended = false;
    bool operator==(const Decoded&) const = default;
};

Decoded decode(Bytes bytes, size_t piece) {
    penstock::io::http::ChunkedDecoder decoder;
    Decoded decoded;
    while (!bytes.empty() && !decoder.is_ended()) {
        Bytes input = bytes.first(std::min(piece, bytes.size()));
        bytes = bytes.subspan(input.size());
        while (!input.empty() && !decoder.is_ended()) {
            const auto content = decoder.next(input);
            if (!content) {
                decoded.is_broken = true;
                return decoded;
            }
            decoded.content.append(penstock::as_text(*content));
        }
    }
    decoded.is_ended = decoder.is_ended();
    return decoded;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const Bytes bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
    const Decoded whole = decode(bytes, bytes.size() + 1);
    if (whole.content.size() > bytes.size()) std::abort();
    if (!(decode(bytes, data[0] % 7 + 1) == whole)) std::abort();
    return 0;
}
