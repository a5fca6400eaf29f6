// The head of a response as a client reads it, by the same strict rules as a request's
// (io/http/head.h): what two programs could read in two ways is refused, so that a reply's end is
// never guessed. find_head_end() says where it ends. Pure functions over bytes; any thread.
#pragma once

#include <string_view>
#include <vector>

#include "io/http/head.h"

namespace penstock::io::http {

// Views into the bytes it was parsed from; valid as long as those stay in place.
struct ReplyHead {
    uint16_t status = 0;
    bool keeps_alive = true;
    // What the headers say. `none`: neither a length nor chunks. Whether there is a body at all,
    // the request and the status say, too: has_body().
    BodyKind body_kind = BodyKind::none;
    uint64_t content_length = 0;  // where body_kind is `length`
    std::vector<Header> headers;

    // The first header of this name, in lower case; or empty.
    std::string_view find(std::string_view lower_name) const;
    // Another head follows behind this one, which is no answer yet (100 Continue).
    bool is_interim() const { return status < 200 && status != 101; }
    bool has_body(bool is_to_head_request) const {
        return !is_to_head_request && status >= 200 && status != 204 && status != 304;
    }
};

// `head` is exactly one head as measured by find_head_end(). `corrupt` if it is no response of
// HTTP/1.1, or says its body's length twice. Reuses `into`'s memory.
Status parse_reply_head(Bytes head, const HeadLimits& limits, ReplyHead& into);

}  // namespace penstock::io::http
