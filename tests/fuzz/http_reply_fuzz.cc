// Replies of HTTP as a client reads them: whatever the bytes are, what is read does not depend on
// how they are cut, no body is longer than what came, and what cannot be a whole reply is an error.
#include <algorithm>
#include <cstdlib>

#include "client/http_exchange.h"
#include "client/http_forms.h"

namespace {

using namespace penstock;
using namespace penstock::client;

constexpr size_t text_bytes_max = 1 << 20;

void check(bool holds) {
    if (!holds) std::abort();
}

// Gives the bytes in pieces of `piece_bytes`, and then the end.
class PieceChannel final : public io::Channel {
public:
    PieceChannel(Bytes bytes, size_t piece_bytes) : rest_(bytes), piece_bytes_(piece_bytes) {}

    io::Task<Status> send(Bytes, uint64_t) override { co_return Status(); }
    io::Task<Result<size_t>> receive(MutableBytes room, std::vector<io::Descriptor>&,
                                     uint64_t) override {
        const size_t size = std::min({room.size(), rest_.size(), piece_bytes_});
        std::ranges::copy(rest_.first(size), room.begin());
        rest_ = rest_.subspan(size);
        co_return size;
    }
    bool is_quiet() const override { return true; }

private:
    Bytes rest_;
    size_t piece_bytes_;
};

struct Outcome {
    uint32_t replies = 0;
    std::string texts;
    bool operator==(const Outcome&) const = default;
};

// Everything that can be read, as answers to GET.
Outcome read_all(Bytes bytes, size_t piece_bytes) {
    PieceChannel channel(bytes, piece_bytes);
    HttpInbox inbox(channel);
    Outcome outcome;
    for (;;) {
        const auto head = io::finished(inbox.head(false, 0));
        if (!head) return outcome;
        const uint16_t status = (*head)->status;
        check(status >= 200 || status == 101);
        (void)object_info(**head);
        const Result<std::string> text = io::finished(inbox.read_text(text_bytes_max, 0));
        if (!text) return outcome;
        check(text->size() <= bytes.size());
        (void)http_error(status, *text);
        (void)bucket_names(*text);
        (void)list_page(*text);
        ++outcome.replies;
        outcome.texts += *text;
        if (inbox.is_last()) return outcome;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
    const Outcome whole = read_all(bytes, SIZE_MAX);
    check(read_all(bytes, 1) == whole);
    if (size > 0) check(read_all(bytes, 1 + data[0] % size) == whole);
    return 0;
}
