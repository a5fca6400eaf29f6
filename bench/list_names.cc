// list_names HTTP_ADDRESS BUCKET PAGE_SIZE: lists a bucket page by page as MessagePack, as the SDK
// does, and prints how many names came and how many seconds it took. Names are counted by walking
// the entries, so an answer that is not what it should be is an error and not a fast listing.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "bench/http_client.h"
#include "io/base/units.h"
#include "io/reactor.h"

namespace penstock::bench {
namespace {

// Just enough MessagePack to walk an answer: maps, arrays, strings, unsigned numbers.
class MessagePackReader {
public:
    explicit MessagePackReader(Bytes bytes) : bytes_(bytes) {}

    std::optional<uint64_t> read_map() { return read_count(0x80, 0x8f, 0xde, 0xdf); }
    std::optional<uint64_t> read_array() { return read_count(0x90, 0x9f, 0xdc, 0xdd); }
    std::optional<std::string_view> read_text() {
        std::optional<uint64_t> size;
        if (!is_empty() && peek() == 0xd9) {
            take(1);
            size = take(1);
        } else {
            size = read_count(0xa0, 0xbf, 0xda, 0xdb);
        }
        if (!size || *size > bytes_.size()) return std::nullopt;
        const std::string_view text = as_text(bytes_.first(*size));
        bytes_ = bytes_.subspan(*size);
        return text;
    }
    std::optional<uint64_t> read_number() {
        if (is_empty()) return std::nullopt;
        const uint8_t first = peek();
        take(1);
        if (first < 0x80) return first;
        if (first >= 0xcc && first <= 0xcf) return take(size_t{1} << (first - 0xcc));
        return std::nullopt;
    }

private:
    bool is_empty() const { return bytes_.empty(); }
    uint8_t peek() const { return std::to_integer<uint8_t>(bytes_.front()); }
    std::optional<uint64_t> take(size_t size) {
        if (bytes_.size() < size) return std::nullopt;
        uint64_t number = 0;
        for (const std::byte byte : bytes_.first(size)) {
            number = number << 8 | std::to_integer<uint64_t>(byte);
        }
        bytes_ = bytes_.subspan(size);
        return number;
    }
    std::optional<uint64_t> read_count(uint8_t fix, uint8_t fix_last, uint8_t two, uint8_t four) {
        if (is_empty()) return std::nullopt;
        const uint8_t first = peek();
        take(1);
        if (first >= fix && first <= fix_last) return first - fix;
        if (first == two) return take(2);
        if (first == four) return take(4);
        return std::nullopt;
    }

    Bytes bytes_;
};

struct Page {
    uint64_t names = 0;
    std::string token;
};

std::optional<uint64_t> count_entries(MessagePackReader& reader) {
    const std::optional<uint64_t> count = reader.read_array();
    for (uint64_t index = 0; count && index < *count; ++index) {
        const std::optional<uint64_t> fields = reader.read_map();
        if (!fields) return std::nullopt;
        for (uint64_t field = 0; field < *fields; ++field) {
            const std::optional<std::string_view> key = reader.read_text();
            if (!key) return std::nullopt;
            const bool is_read = *key == "n" || *key == "cs" || *key == "v" || *key == "a"
                                     ? reader.read_text().has_value()
                                     : reader.read_number().has_value();
            if (!is_read) return std::nullopt;
        }
    }
    return count;
}

std::optional<Page> parse_page(Bytes bytes) {
    MessagePackReader reader(bytes);
    const std::optional<uint64_t> fields = reader.read_map();
    if (!fields) return std::nullopt;
    Page page;
    for (uint64_t field = 0; field < *fields; ++field) {
        const std::optional<std::string_view> key = reader.read_text();
        if (!key) return std::nullopt;
        if (*key == "Entries") {
            const std::optional<uint64_t> count = count_entries(reader);
            if (!count) return std::nullopt;
            page.names = *count;
        } else if (*key == "Flags") {
            if (!reader.read_number()) return std::nullopt;
        } else {
            const std::optional<std::string_view> text = reader.read_text();
            if (!text) return std::nullopt;
            if (*key == "ContinuationToken") page.token = *text;
        }
    }
    return page;
}

io::Task<Result<uint64_t>> list_all(io::Reactor& reactor, io::Address address, std::string bucket,
                                    std::string page_size) {
    HttpClient client(reactor, std::move(address), 60 * ns_per_s);
    CO_TRY_STATUS(co_await client.connect());
    client.set_headers("Accept: application/msgpack\r\n");
    const std::string target = "/v1/buckets/" + bucket + "?provider=ais";
    uint64_t names = 0;
    std::string token;
    std::vector<std::byte> answer;
    do {
        const std::string message =
            R"({"action":"list","name":"","value":{"prefix":"","pagesize":)" + page_size +
            R"(,"uuid":"","props":"name,size","flags":"0","continuation_token":")" + token +
            R"("}})";
        answer.clear();
        CO_TRY(const int status,
               co_await client.request("GET", target, as_bytes(message), [&](Bytes piece) {
                   answer.insert(answer.end(), piece.begin(), piece.end());
               }));
        if (status != 200) co_return fail(Errc::invalid, "status " + std::to_string(status));
        const std::optional<Page> page = parse_page(answer);
        if (!page) co_return fail(Errc::corrupt, "the page is no MessagePack of the contract");
        names += page->names;
        token = page->token;
    } while (!token.empty());
    co_return names;
}

Status run(const char* http, const char* bucket, const char* page_size) {
    TRY(const io::Address address, io::Address::parse(http));
    TRY(std::unique_ptr<io::Kernel> kernel, io::make_epoll_kernel({}));
    io::Reactor reactor(std::move(kernel), {});
    const auto start = std::chrono::steady_clock::now();
    TRY(const uint64_t names,
        reactor.run_until_done(list_all(reactor, address, bucket, page_size)));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::printf("%llu %.6f\n", static_cast<unsigned long long>(names), elapsed.count());
    return Status();
}

}  // namespace
}  // namespace penstock::bench

int main(int argument_count, char** arguments) {
    if (argument_count != 4) {
        std::fprintf(stderr, "usage: list_names HTTP_ADDRESS BUCKET PAGE_SIZE\n");
        return 2;
    }
    const penstock::Status status = penstock::bench::run(arguments[1], arguments[2], arguments[3]);
    if (status) return 0;
    std::fprintf(stderr, "list_names: %s\n", status.error().context.c_str());
    return 1;
}
