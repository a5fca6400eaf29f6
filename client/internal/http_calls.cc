#include "client/internal/http_calls.h"

#include <algorithm>

#include "io/base/checksum.h"
#include "io/http/head_rules.h"

namespace penstock::client {
namespace {

// Up to here a request goes out in one piece; above, a piece a time, each with its own deadline.
constexpr size_t copied_bytes_max = 16 << 10;
constexpr size_t piece_bytes = 1 << 20;
// No answer but an object is longer: a page of 10,000 of the longest names.
constexpr size_t text_bytes_max = 64 << 20;

}  // namespace

HttpCalls::HttpCalls(io::ChannelPool& pool, const Options& options, const Endpoint& endpoint)
    : pool_(pool), options_(options), is_tls_(endpoint.is_tls) {
    common_.append("Host: ").append(endpoint.host).append("\r\n");
    if (!options.token.empty()) {
        common_.append("Authorization: Bearer ").append(options.token).append("\r\n");
    }
}

// ---- one call and its attempts ----

io::Task<Status> HttpCalls::send(io::Channel& channel, const HttpRequest& request,
                                 uint64_t deadline_ns) {
    std::string head = request_head(request, common_);
    if (request.body.size() <= copied_bytes_max) {
        head += as_text(request.body);
        co_return co_await channel.send(as_bytes(head), deadline_ns);
    }
    CO_TRY_STATUS(co_await channel.send(as_bytes(head), deadline_ns));
    for (Bytes rest = request.body; !rest.empty();) {
        const Bytes piece = rest.first(std::min(rest.size(), piece_bytes));
        CO_TRY_STATUS(co_await channel.send(piece, next_deadline_ns()));
        rest = rest.subspan(piece.size());
    }
    co_return Status();
}

io::Task<std::expected<HttpCalls::Answer, HttpCalls::Failed>> HttpCalls::exchange(
    io::Channel& channel, const HttpRequest& request, uint64_t deadline_ns, bool& can_go_on) {
    const auto failed = [](Error error) {
        const bool is_late = error.code == Errc::timed_out;
        return std::unexpected(Failed{std::move(error), is_late, true, false});
    };
    const Status sent = co_await send(channel, request, deadline_ns);
    if (!sent && sent.error().code != Errc::closed) co_return failed(sent.error());
    // A node that refuses a request may say so, and close, before all of it has come.
    if (request.body.size() > piece_bytes) deadline_ns = next_deadline_ns();
    HttpInbox inbox(channel);
    const bool asks_for_head = request.asks_for_head();
    const auto head = co_await inbox.head(asks_for_head, deadline_ns);
    if (!head) co_return failed(sent ? head.error() : sent.error());
    if ((*head)->status >= 300) {
        HttpError refused = co_await read_http_error(inbox, **head, asks_for_head, deadline_ns);
        can_go_on = sent && inbox.can_go_on();
        co_return std::unexpected(
            Failed{std::move(refused.error), !refused.is_passing, false, false});
    }
    if (!sent) co_return failed(sent.error());
    Answer answer{.info = object_info(**head)};
    if ((*head)->has_body(asks_for_head)) {
        auto text = co_await inbox.read_text(text_bytes_max, deadline_ns);
        if (!text) co_return failed(text.error());
        answer.text = std::move(*text);
    }
    can_go_on = inbox.can_go_on();
    co_return answer;
}

io::Task<std::expected<HttpCalls::Answer, HttpCalls::Failed>> HttpCalls::attempt(
    const HttpRequest& request, uint64_t deadline_ns) {
    Result<std::unique_ptr<io::Channel>> taken = co_await pool_.take(deadline_ns);
    if (!taken) {
        const Errc code = taken.error().code;
        const bool is_final = code == Errc::timed_out || code == Errc::denied;
        co_return std::unexpected(Failed{taken.error(), is_final, false, false});
    }
    bool can_go_on = false;
    auto answer = co_await exchange(**taken, request, deadline_ns, can_go_on);
    can_go_on ? pool_.give_back(std::move(*taken)) : pool_.drop(std::move(*taken));
    co_return answer;
}

io::Task<std::expected<HttpCalls::Answer, HttpCalls::Failed>> HttpCalls::call(
    const HttpRequest& request, Repeat repeat) {
    Attempts attempts(pool_, options_);
    bool was_begun = false;
    for (;;) {
        auto answer = co_await attempt(request, attempts.deadline_ns());
        if (answer) {
            answer->was_repeated = was_begun;
            co_return answer;
        }
        Failed& failed = answer.error();
        was_begun = was_begun || failed.has_begun;
        failed.was_repeated = was_begun;
        const bool may_go_on = !failed.is_final && (!failed.has_begun || repeat == Repeat::allowed);
        if (!may_go_on || !co_await attempts.wait_for_next()) co_return answer;
    }
}

io::Task<Result<HttpCalls::Answer>> HttpCalls::simple_call(const HttpRequest& request,
                                                           Repeat repeat) {
    auto answer = co_await call(request, repeat);
    if (!answer) co_return fail(std::move(answer.error().error));
    co_return std::move(*answer);
}

// ---- buckets ----

io::Task<Status> HttpCalls::create_bucket(std::string_view bucket) {
    CO_TRY(std::string target, bucket_target(bucket));
    const std::string body = action_body("create-bck");
    const auto answer = co_await call(
        {.method = "POST", .target = std::move(target), .body = as_bytes(body), .has_body = true},
        Repeat::allowed);
    if (answer) co_return Status();
    const Failed& failed = answer.error();
    // An attempt whose answer did not come made it.
    if (failed.was_repeated && failed.error.code == Errc::exists) co_return Status();
    co_return fail(failed.error);
}

io::Task<Status> HttpCalls::destroy_bucket(std::string_view bucket) {
    CO_TRY(std::string target, bucket_target(bucket));
    const std::string body = action_body("destroy-bck");
    CO_TRY_STATUS(co_await simple_call(
        {.method = "DELETE", .target = std::move(target), .body = as_bytes(body), .has_body = true},
        Repeat::never));
    co_return Status();
}

io::Task<Result<std::vector<std::string>>> HttpCalls::buckets() {
    const std::string body = action_body("list");
    CO_TRY(const Answer answer, co_await simple_call({.method = "GET",
                                                      .target = "/v1/buckets/?provider=ais",
                                                      .body = as_bytes(body),
                                                      .has_body = true},
                                                     Repeat::allowed));
    co_return bucket_names(answer.text);
}

// ---- objects ----

io::Task<Result<ObjectInfo>> HttpCalls::put(std::string_view bucket, std::string_view name,
                                            Bytes content, const PutOptions& options) {
    CO_TRY(std::string target, object_target(bucket, name));
    // Over TLS an upload without this mark is sent on to where it went, for clients that ask so.
    if (is_tls_) target += "&pid=client";
    CO_TRY(std::string headers, put_headers(options));
    headers +=
        "Ais-Checksum-Type: crc32c\r\nAis-Checksum-Value: " + hex_from_u64(crc32c(content), 8) +
        "\r\n";
    const HttpRequest request{.method = "PUT",
                              .target = std::move(target),
                              .headers = std::move(headers),
                              .body = content,
                              .has_body = true};
    auto answer = co_await call(request, Repeat::allowed);
    if (answer) {
        ObjectInfo& info = answer->info;
        info.size_bytes = content.size();  // whose bytes the node has checked, by their CRC-32C
        if (!has_content(info, content).value_or(true)) {
            co_return fail(Errc::corrupt, "the node stored other bytes than were sent");
        }
        info.metadata.clear();
        info.modified_ns = 0;
        co_return std::move(info);
    }
    const Failed& failed = answer.error();
    if (failed.was_repeated && failed.error.code == Errc::condition_failed) {
        // Perhaps an attempt whose answer did not come made the object that is there now.
        Result<ObjectInfo> found = co_await stat(bucket, name);
        if (found && is_content(*found, content)) co_return found;
    }
    co_return fail(failed.error);
}

io::Task<Result<ObjectInfo>> HttpCalls::stat(std::string_view bucket, std::string_view name) {
    CO_TRY(std::string target, object_target(bucket, name));
    CO_TRY(Answer answer,
           co_await simple_call({.method = "HEAD", .target = std::move(target)}, Repeat::allowed));
    co_return std::move(answer.info);
}

io::Task<Status> HttpCalls::remove(std::string_view bucket, std::string_view name,
                                   std::string_view if_version) {
    CO_TRY(std::string target, object_target(bucket, name));
    CO_TRY(std::string headers, match_header(if_version));
    const auto answer = co_await call(
        {.method = "DELETE", .target = std::move(target), .headers = std::move(headers)},
        Repeat::allowed);
    if (answer) co_return Status();
    const Failed& failed = answer.error();
    // An attempt whose answer did not come removed it.
    if (failed.was_repeated && failed.error.code == Errc::not_found) co_return Status();
    co_return fail(failed.error);
}

io::Task<Result<ListPage>> HttpCalls::list(std::string_view bucket, std::string_view prefix,
                                           std::string_view token) {
    CO_TRY(std::string target, bucket_target(bucket));
    CO_TRY(const std::string body, list_body(prefix, token));
    CO_TRY(const Answer answer, co_await simple_call({.method = "GET",
                                                      .target = std::move(target),
                                                      .headers = "Accept: application/msgpack\r\n",
                                                      .body = as_bytes(body),
                                                      .has_body = true},
                                                     Repeat::allowed));
    co_return list_page(answer.text);
}

io::Task<Result<SharedObject>> HttpCalls::get_shared(std::string_view, std::string_view) {
    co_return fail(Errc::not_implemented, "descriptors do not travel over HTTP: use unix:PATH");
}

std::unique_ptr<Calls> make_http_calls(io::ChannelPool& pool, const Options& options,
                                       const Endpoint& endpoint) {
    return std::make_unique<HttpCalls>(pool, options, endpoint);
}

}  // namespace penstock::client
