// One connection's messages of HTTP/1.1: requests out, whole replies in, in the order of the
// requests. A reply that is cut off, damaged or longer than it says is an error of the connection
// and never taken for a whole one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/types.h"
#include "io/channel.h"
#include "io/http/chunked.h"
#include "io/http/reply_head.h"

namespace penstock::client {

struct HttpRequest {
    std::string_view method;
    std::string target;        // path and query, escaped
    std::string headers = {};  // lines of its own, each with its end
    Bytes body = {};
    bool has_body = false;

    bool asks_for_head() const { return method == "HEAD"; }
};

// The request's head. `common`: lines that go with every request (Host), each with its end.
std::string request_head(const HttpRequest& request, std::string_view common);
// What arrives on one channel: for each reply its head, then its body by one of the two ways.
class HttpInbox {
public:
    explicit HttpInbox(io::Channel& channel);

    // The next reply's head, interim ones passed over; its views are good until the next call.
    // Only when the last reply's body was taken. `closed`, `timed_out`, `corrupt` (no HTTP).
    io::Task<Result<const io::http::ReplyHead*>> head(bool is_to_head_request,
                                                      uint64_t deadline_ns);
    // How much of this reply's body is to come; of a chunked one, only whether there is any.
    bool is_chunked() const { return is_chunked_; }
    uint64_t rest_bytes() const { return rest_bytes_; }
    // The next bytes of a body that has a length: all of `into`, which is not longer than the rest.
    io::Task<Status> read_exactly(MutableBytes into, uint64_t deadline_ns);
    // All of a body that has a length, or chunks; `corrupt` if it is longer than `size_max`.
    io::Task<Result<std::string>> read_text(size_t size_max, uint64_t deadline_ns);

    // The last reply was taken whole, nothing lies behind it, and the server goes on with this
    // connection: it may carry another request.
    bool can_go_on() const { return begin_ == end_ && !is_chunked_ && rest_bytes_ == 0 && lives_; }
    // The server said that this reply is the connection's last one.
    bool is_last() const { return !lives_; }

private:
    Bytes unread() const { return Bytes(buffer_.bytes()).subspan(begin_, end_ - begin_); }
    io::Task<Status> receive_more(uint64_t deadline_ns);
    io::Task<Result<size_t>> receive(MutableBytes room, uint64_t deadline_ns);
    io::Task<Result<Bytes>> receive_head(uint64_t deadline_ns);

    io::Channel& channel_;
    Buffer buffer_;
    size_t begin_ = 0;  // of what has arrived and was not taken yet
    size_t end_ = 0;
    io::http::ReplyHead head_;
    io::http::ChunkedDecoder decoder_;
    uint64_t rest_bytes_ = 0;
    bool is_chunked_ = false;  // and not read to its end
    bool lives_ = true;
};

}  // namespace penstock::client
