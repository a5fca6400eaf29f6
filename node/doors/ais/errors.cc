#include "node/doors/ais/errors.h"

#include <fmt/format.h>

#include "node/doors/ais/text.h"

namespace penstock::node::ais {
namespace {

// What of the request an error's JSON repeats.
struct Origin {
    std::string_view method;
    std::string_view path;
    std::string_view peer;
};

void append_field(std::string& to, std::string_view name, std::string_view value) {
    if (to.back() != '{') to += ',';
    append_json_string(to, name);
    to += ':';
    append_json_string(to, value);
}

// Keys in this order: clients search the raw text for the first thing that looks like a bucket's
// URL, which must be the message's.
std::string error_json(const NodeIdentity& node, const Origin& origin, const ApiError& error) {
    const bool is_target = origin.path.starts_with("/v1/objects/");
    std::string json = "{";
    if (!error.tcode.empty()) append_field(json, "tcode", error.tcode);
    append_field(json, "message", error.message);
    append_field(json, "method", origin.method);
    append_field(json, "url_path", origin.path);
    append_field(json, "remote_addr", origin.peer);
    append_field(json, "caller", "");
    append_field(
        json, "node",
        is_target ? fmt::format("t[{}]", node.node_id) : fmt::format("p[{}]", gateway_id(node)));
    json += ",\"status\":";
    append_number(json, error.status);
    json += '}';
    return json;
}

io::http::Response make_response(io::BufferPool& buffers, const NodeIdentity& node,
                                 const Origin& origin, const ApiError& error, bool is_head) {
    io::http::Response response{io::http::ResponseHead(error.status), {}, {}, true, error.closes};
    for (const auto& [name, value] : error.headers) response.head.add(name, value);
    response.head.add("Content-Type",
                      error.is_plain_text ? "text/plain; charset=utf-8" : "application/json");
    response.head.add("X-Content-Type-Options", "nosniff");
    std::string body = error.is_plain_text ? error.message : error_json(node, origin, error);
    if (is_head) {
        // The body of an answer to HEAD does not travel, so the error goes in a header.
        if (!error.is_plain_text) response.head.add("Hdr-Error", body);
        response.has_length = false;
        return response;
    }
    body += '\n';
    response.body = io::Body::copy_of(buffers, as_bytes(body));
    return response;
}

struct Translation {
    Errc code;
    uint16_t status;
    std::string_view tcode;
};

constexpr Translation translations[] = {
    {Errc::not_found, 404, "ErrNotFound"},
    {Errc::exists, 409, ""},
    {Errc::invalid, 400, ""},
    {Errc::denied, 403, "ErrBucketAccessDenied"},
    {Errc::condition_failed, 412, "ErrPreconditionFailed"},
    {Errc::too_large, 413, "ErrTooLarge"},
    {Errc::not_implemented, 501, "ErrNotImpl"},
    {Errc::corrupt, 500, "ErrCorrupted"},
    {Errc::io_error, 500, "ErrIO"},
    {Errc::full, 507, "ErrCapExceeded"},
    {Errc::unavailable, 503, "ErrBusy"},
    {Errc::timed_out, 408, ""},
    {Errc::closed, 400, ""},
};

}  // namespace

std::unexpected<ApiError> refuse(uint16_t status, std::string_view tcode, std::string message) {
    return std::unexpected(ApiError{status, tcode, std::move(message), {}, false, false});
}

std::unexpected<ApiError> refuse_not_built(std::string_view what) {
    return refuse(501, "ErrNotImpl", fmt::format("{} is not implemented yet", what));
}

std::unexpected<ApiError> refuse_method(std::string_view allowed) {
    return std::unexpected(
        ApiError{405, "", "Method Not Allowed", {{"Allow", std::string(allowed)}}, true, false});
}

std::string bucket_url(const BucketName& bucket) {
    std::string url = fmt::format("{}://{}", bucket.provider, bucket.name);
    if (!bucket.namespace_uuid.empty() || !bucket.namespace_name.empty()) {
        url += fmt::format(" (namespace @{}#{})", bucket.namespace_uuid, bucket.namespace_name);
    }
    return url;
}

std::string object_url(const BucketName& bucket, std::string_view object) {
    return fmt::format("{}://{}/{}", bucket.provider, bucket.name, object);
}

ApiError bucket_missing(const BucketName& bucket) {
    return {404,
            "ErrBckNotFound",
            fmt::format("bucket \"{}\" does not exist", bucket_url(bucket)),
            {},
            false,
            false};
}

ApiError object_missing(const NodeIdentity& node, const BucketName& bucket,
                        std::string_view object) {
    return {404,
            "ErrNotFound",
            fmt::format("t[{}]: {} does not exist", node.node_id, object_url(bucket, object)),
            {},
            false,
            false};
}

ApiError api_error(const Error& error, std::string_view subject) {
    ApiError answer{500, "", fmt::format("{}: {}", subject, error.context), {}, false, false};
    for (const Translation& translation : translations) {
        if (translation.code != error.code) continue;
        answer.status = translation.status;
        answer.tcode = translation.tcode;
    }
    if (error.code == Errc::unavailable) answer.headers.emplace_back("Retry-After", "1");
    // Nobody can say where the next request begins behind a body that stalled or broke off.
    answer.closes = error.code == Errc::timed_out || error.code == Errc::closed;
    return answer;
}

bool is_shard_damage(const Error& error) {
    return error.code == Errc::corrupt && error.context.starts_with("the shard ");
}

std::string gateway_id(const NodeIdentity& node) {
    return node.node_id + "p";
}

io::http::Response error_response(const io::http::Request& request, const NodeIdentity& node,
                                  const ApiError& error) {
    const Origin origin{request.head.method_text, request.head.path, request.peer};
    const bool is_head = request.head.method == io::http::Method::head;
    return make_response(request.buffers, node, origin, error, is_head);
}

io::http::Response error_response(io::BufferPool& buffers, const NodeIdentity& node,
                                  const ApiError& error) {
    return make_response(buffers, node, Origin{}, error, false);
}

}  // namespace penstock::node::ais
