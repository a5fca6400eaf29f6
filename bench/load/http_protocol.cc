// HTTP/1.1 without pipelining (RFC 9112): enough of it for servers that are measured, with lengths
// or chunks.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "bench/load/protocol.h"

namespace penstock::bench {
namespace {

constexpr size_t head_bytes_max = 64 << 10;
constexpr size_t error_bytes_max = 200;
constexpr uint32_t list_limit = 1000;

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
    return std::ranges::equal(text, lower, [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b;
    });
}

class HttpReplies final : public ReplyReader {
public:
    std::optional<size_t> read(Bytes bytes,
                               const std::function<void(const Reply&)>& on_reply) override {
        const std::string_view text = as_text(bytes);
        size_t at = 0;
        while (true) {
            const std::optional<size_t> used = step(text.substr(at));
            if (!used) return std::nullopt;
            at += *used;
            if (state_ == State::done) {
                reply_.error = error_;
                on_reply(reply_);
                state_ = State::head;
            } else if (*used == 0 || at == text.size()) {
                return at;
            }
        }
    }
    bool is_between_replies() const override { return state_ == State::head && !has_part_; }

private:
    enum class State : uint8_t { head, content, chunk_size, chunk, chunk_end, trailer, done };

    std::optional<size_t> step(std::string_view text) {
        switch (state_) {
            case State::head:
                has_part_ = !text.empty();
                return read_head(text);
            case State::content:
            case State::chunk:
                return read_content(text);
            case State::chunk_end:
                if (text.size() < 2) return 0;
                state_ = State::chunk_size;
                return 2;
            case State::chunk_size:
                return read_chunk_size(text);
            case State::trailer: {
                const size_t end = text.find("\r\n");
                if (end == std::string_view::npos) return 0;
                if (end == 0) state_ = State::done;
                return end + 2;
            }
            case State::done:
                break;
        }
        return 0;
    }

    std::optional<size_t> read_head(std::string_view text) {
        const size_t end = text.find("\r\n\r\n");
        if (end == std::string_view::npos) {
            if (text.size() > head_bytes_max) return std::nullopt;
            return 0;
        }
        if (!text.starts_with("HTTP/1.") || end < 12) return std::nullopt;
        uint32_t status = 0;
        const char* status_end = text.data() + 12;
        if (std::from_chars(text.data() + 9, status_end, status).ptr != status_end) {
            return std::nullopt;
        }
        if (status == 100) return end + 4;
        reply_ = Reply();
        reply_.is_error = status < 200 || status >= 300;
        error_.assign(reply_.is_error ? text.substr(0, text.find("\r\n")) : "");
        left_ = 0;
        bool is_chunked = false;
        const size_t first_line = text.find("\r\n") + 2;
        if (!read_fields(text.substr(first_line, end + 2 - first_line), is_chunked)) {
            return std::nullopt;
        }
        has_part_ = false;
        const bool has_content = left_ > 0 && status != 204 && status != 304;
        state_ = is_chunked ? State::chunk_size : has_content ? State::content : State::done;
        return end + 4;
    }

    // False: a length that is none.
    bool read_fields(std::string_view fields, bool& is_chunked) {
        while (!fields.empty()) {
            const size_t end = fields.find("\r\n");
            const std::string_view line = fields.substr(0, end);
            fields.remove_prefix(end + 2);
            const size_t colon = std::min(line.find(':'), line.size() - (line.empty() ? 0 : 1));
            const std::string_view name = line.substr(0, colon);
            std::string_view value = line.empty() ? line : line.substr(colon + 1);
            while (value.starts_with(' ')) value.remove_prefix(1);
            if (equals_ignoring_case(name, "content-length")) {
                const char* value_end = value.data() + value.size();
                if (std::from_chars(value.data(), value_end, left_).ptr != value_end) return false;
            } else if (equals_ignoring_case(name, "transfer-encoding")) {
                is_chunked = equals_ignoring_case(value, "chunked");
            } else if (equals_ignoring_case(name, "connection")) {
                reply_.closes = equals_ignoring_case(value, "close");
            }
        }
        return true;
    }

    std::optional<size_t> read_content(std::string_view text) {
        const size_t count = std::min<uint64_t>(left_, text.size());
        left_ -= count;
        reply_.bytes += count;
        if (reply_.is_error && error_.size() < error_bytes_max) {
            error_ += ' ';
            error_ += text.substr(0, std::min(count, error_bytes_max));
        }
        if (left_ == 0) state_ = state_ == State::chunk ? State::chunk_end : State::done;
        return count;
    }

    std::optional<size_t> read_chunk_size(std::string_view text) {
        const size_t end = text.find("\r\n");
        if (end == std::string_view::npos) {
            if (text.size() > head_bytes_max) return std::nullopt;
            return 0;
        }
        if (std::from_chars(text.data(), text.data() + end, left_, 16).ptr == text.data()) {
            return std::nullopt;
        }
        state_ = left_ == 0 ? State::trailer : State::chunk;
        return end + 2;
    }

    State state_ = State::head;
    bool has_part_ = false;
    Reply reply_;
    uint64_t left_ = 0;  // of the content or of this chunk
    std::string error_;
};

class HttpProtocol final : public Protocol {
public:
    explicit HttpProtocol(const Options& options) : options_(options) {
        const Target& target = options.target;
        host_ = " HTTP/1.1\r\nHost: " + target.host + ':' + std::to_string(target.port) + "\r\n";
        if (target.dialect == Dialect::ais) {
            objects_ = "/v1/objects/" + options.bucket + '/';
            query_ = "?provider=ais";
        } else {
            objects_ = target.prefix + '/';
            if (target.dialect == Dialect::s3) objects_ += options.bucket + '/';
        }
    }

    uint32_t depth_max() const override { return 1; }

    void write(const Operation& operation, uint32_t, Request& request) const override {
        request.content_bytes = 0;
        std::string& head = request.head;
        switch (operation.op) {
            case Op::put:
                begin(head, "PUT ", operation.object);
                head += "Content-Length: " + std::to_string(operation.bytes) + "\r\n\r\n";
                request.content_bytes = operation.bytes;
                return;
            case Op::range:
                begin(head, "GET ", operation.object);
                head += "Range: bytes=" + std::to_string(operation.offset) + '-' +
                        std::to_string(operation.offset + operation.bytes - 1) + "\r\n\r\n";
                return;
            case Op::member:
                head += "GET " + objects_ + object_name(operation.object) + query_;
                head += "&archpath=" + member_name(operation.member) + host_ + "\r\n";
                return;
            case Op::list:
                write_list(operation, head);
                return;
            default:
                begin(head, "GET ", operation.object);
                head += "\r\n";
        }
    }

    void write_create_bucket(uint32_t, Request& request) const override {
        if (options_.target.dialect == Dialect::ais) {
            request.head = "POST /v1/buckets/" + options_.bucket + query_ + host_;
            add_message(request.head, R"({"action":"create-bck"})");
        } else {
            request.head = "PUT /" + options_.bucket + host_ + "Content-Length: 0\r\n\r\n";
        }
    }

    std::unique_ptr<ReplyReader> make_reader() const override {
        return std::make_unique<HttpReplies>();
    }

private:
    void begin(std::string& head, std::string_view method, uint64_t object) const {
        head += method;
        head += objects_;
        head += object_name(object);
        head += query_;
        head += host_;
    }

    static void add_message(std::string& head, std::string_view message) {
        head += "Content-Type: application/json\r\nContent-Length: ";
        head += std::to_string(message.size());
        head += "\r\n\r\n";
        head += message;
    }

    // The thousand names, or fewer, around the object.
    void write_list(const Operation& operation, std::string& head) const {
        std::string prefix = object_name(operation.object);
        prefix.resize(prefix.size() - 3);
        const std::string limit = std::to_string(list_limit);
        if (options_.target.dialect == Dialect::s3) {
            head += "GET /" + options_.bucket + "?list-type=2&max-keys=" + limit +
                    "&prefix=" + prefix + host_ + "\r\n";
            return;
        }
        head += "GET /v1/buckets/" + options_.bucket + query_ + host_;
        add_message(head, R"({"action":"list","value":{"prefix":")" + prefix +
                              R"(","props":"name,size","pagesize":)" + limit + "}}");
    }

    const Options& options_;
    std::string host_;     // what ends the request line, and the Host field
    std::string objects_;  // what comes before an object's name
    std::string query_;
};

}  // namespace

std::unique_ptr<Protocol> make_http_protocol(const Options& options) {
    return std::make_unique<HttpProtocol>(options);
}

std::unique_ptr<Protocol> make_protocol(const Options& options) {
    return options.target.dialect == Dialect::rpc ? make_rpc_protocol(options)
                                                  : make_http_protocol(options);
}

}  // namespace penstock::bench
