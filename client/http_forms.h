// How objects, listings, conditions and errors look in AIStore's REST API
// (contracts/ais-rest.md, sections 1.3, 1.8, 6 and 7). Pure functions, but for the one that reads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/http_exchange.h"
#include "client/types.h"

namespace penstock::client {

// Paths and queries. `invalid` for names that no path can say.
Result<std::string> bucket_target(std::string_view bucket);
Result<std::string> object_target(std::string_view bucket, std::string_view name,
                                  std::string_view member = {});

// Header lines of a put; `invalid` for metadata that no header carries unchanged.
Result<std::string> put_headers(const PutOptions& options);
// "" for no version.
Result<std::string> match_header(std::string_view version);

std::string action_body(std::string_view action);
Result<std::string> list_body(std::string_view prefix, std::string_view token);

// What an answer says. What the headers say of an object; its size is Content-Length.
ObjectInfo object_info(const io::http::ReplyHead& head);
Result<std::vector<std::string>> bucket_names(std::string_view text);
// A page of a listing, in MessagePack; `corrupt`.
Result<ListPage> list_page(std::string_view text);

// The error that an answer of this status means; `text` is its JSON.
struct HttpError {
    Error error;
    bool is_passing = false;  // another attempt may be answered differently
};
HttpError http_error(uint16_t status, std::string_view text);
// The same, of an answer whose body is to come.
io::Task<HttpError> read_http_error(HttpInbox& inbox, const io::http::ReplyHead& head,
                                    bool is_to_head_request, uint64_t deadline_ns);

}  // namespace penstock::client
