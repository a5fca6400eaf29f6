#include "client/http_forms.h"

#include <nlohmann/json.hpp>

#include "client/message.h"
#include "client/rpc_exchange.h"
#include "io/http/head_rules.h"
#include "io/http/url.h"

namespace penstock::client {
namespace {

using Json = nlohmann::json;

constexpr size_t error_bytes_max = 64 << 10;

// Slashes stay, but those of which a server would take two for one, or the first for no part of
// the name.
std::string escape_name(std::string_view name) {
    std::string escaped;
    while (!name.empty()) {
        const size_t slash = name.find('/');
        escaped += io::http::escape_path(name.substr(0, slash));
        if (slash == std::string_view::npos) break;
        escaped += escaped.empty() || escaped.ends_with('/') ? "%2F" : "/";
        name.remove_prefix(slash + 1);
    }
    return escaped;
}

std::string text_of(const Json& object, const char* key) {
    if (!object.is_object()) return {};
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Errc errc_from(uint16_t status, std::string_view kind) {
    if (kind == "ErrCorrupted" || kind == "ErrBadCksum" || kind == "ErrDamagedShard") {
        return Errc::corrupt;
    }
    switch (status) {
        case 400:
        case 405:
        case 411:
        case 414:
            return Errc::invalid;
        case 401:
        case 403:
            return Errc::denied;
        case 404:
            return Errc::not_found;
        case 408:
        case 429:
        case 503:
            return Errc::unavailable;
        case 409:
            return Errc::exists;
        case 412:
            return Errc::condition_failed;
        case 413:
        case 431:
            return Errc::too_large;
        case 501:
            return Errc::not_implemented;
        case 507:
            return Errc::full;
        default:
            return Errc::io_error;
    }
}

}  // namespace

Result<std::string> bucket_target(std::string_view bucket) {
    if (bucket.empty() || bucket.contains('/')) {
        return fail(Errc::invalid, "'" + std::string(bucket) + "' is no bucket's name");
    }
    return "/v1/buckets/" + io::http::escape_path(bucket) + "?provider=ais";
}

Result<std::string> object_target(std::string_view bucket, std::string_view name,
                                  std::string_view member) {
    if (bucket.empty() || bucket.contains('/') || name.empty()) {
        return fail(Errc::invalid, "a bucket and an object need a name");
    }
    std::string target =
        "/v1/objects/" + io::http::escape_path(bucket) + "/" + escape_name(name) + "?provider=ais";
    if (!member.empty()) target += "&archpath=" + io::http::escape_path(member);
    return target;
}

HttpError http_error(uint16_t status, std::string_view text) {
    const Json told = Json::parse(text, nullptr, false);
    const std::string kind = text_of(told, "tcode");
    std::string message = text_of(told, "message");
    if (message.empty()) message = "the node answered with status " + std::to_string(status);
    const Errc code = errc_from(status, kind);
    // Bytes that were damaged on their way to the node may arrive the next time.
    return {{code, std::move(message)}, code == Errc::unavailable || kind == "ErrBadCksum"};
}

io::Task<HttpError> read_http_error(HttpInbox& inbox, const io::http::ReplyHead& head,
                                    bool is_to_head_request, uint64_t deadline_ns) {
    const uint16_t status = head.status;
    std::string text(head.find("hdr-error"));
    if (head.has_body(is_to_head_request)) {
        // Without its text the status says enough.
        if (auto body = co_await inbox.read_text(error_bytes_max, deadline_ns)) text = *body;
    }
    co_return http_error(status, text);
}

ObjectInfo object_info(const io::http::ReplyHead& head) {
    ObjectInfo info;
    info.size_bytes = head.content_length;
    std::string_view etag = head.find("etag");
    if (etag.size() >= 2 && etag.starts_with('"') && etag.ends_with('"')) {
        etag = etag.substr(1, etag.size() - 2);
    }
    info.version = etag;
    info.checksum_type = head.find("ais-checksum-type");
    info.checksum_value = head.find("ais-checksum-value");
    if (info.checksum_type == "none") info.checksum_type.clear();
    for (const io::http::Header& header : head.headers) {
        if (!io::http::equals_ignoring_case(header.name, "ais-custom-md")) continue;
        const size_t equals = header.value.find('=');
        if (equals == std::string_view::npos) continue;
        info.metadata.emplace_back(header.value.substr(0, equals), header.value.substr(equals + 1));
    }
    info.modified_ns = io::http::decimal_from(head.find("ais-atime")).value_or(0);
    return info;
}

Result<std::string> put_headers(const PutOptions& options) {
    std::string headers;
    if (options.if_absent) headers += "If-None-Match: *\r\n";
    TRY(const std::string match, match_header(options.if_version));
    headers += match;
    for (const auto& [key, value] : options.metadata) {
        // A header must carry it unchanged.
        const bool fits = !key.empty() && !key.contains('=') && io::http::is_field_value(key) &&
                          io::http::is_field_value(value) &&
                          io::http::trim(key).data() == key.data() &&
                          io::http::trim(value).size() == value.size();
        if (!fits) {
            return fail(Errc::invalid, "the metadata '" + key + "' cannot be put over HTTP");
        }
        headers.append("Ais-Custom-Md: ").append(key).append("=").append(value).append("\r\n");
    }
    return headers;
}

Result<std::string> match_header(std::string_view version) {
    if (version.empty()) return std::string();
    if (!io::http::is_target(version) || version.contains('"')) {
        return fail(Errc::invalid, "'" + std::string(version) + "' is no version");
    }
    return "If-Match: \"" + std::string(version) + "\"\r\n";
}

std::string action_body(std::string_view action) {
    return R"({"action":")" + std::string(action) + R"(","name":"","value":null})";
}

Result<std::string> list_body(std::string_view prefix, std::string_view token) {
    std::string wanted(prefix);
    // One asterisk at the end is dropped there.
    if (wanted.ends_with('*')) wanted += '*';
    const Json body = {
        {"action", "list"},
        {"name", ""},
        {"value",
         {{"prefix", wanted}, {"continuation_token", std::string(token)}, {"props", "name,size"}}}};
    try {
        return body.dump();
    } catch (const Json::exception&) {
        return fail(Errc::invalid, "a prefix that is no UTF-8 cannot be asked for over HTTP");
    }
}

Result<std::vector<std::string>> bucket_names(std::string_view text) {
    const Json list = Json::parse(text, nullptr, false);
    if (!list.is_array()) return fail(Errc::corrupt, "the node sent no list of buckets");
    std::vector<std::string> names;
    for (const Json& bucket : list) names.push_back(text_of(bucket, "name"));
    return names;
}

Result<ListPage> list_page(std::string_view text) {
    const auto broken = [] { return fail(Errc::corrupt, "the node sent no page of a listing"); };
    Unpacker whole(as_bytes(text));
    if (!whole.skip() || !whole.is_empty()) return broken();
    auto list = find(as_bytes(text), "Entries");
    auto token = find(as_bytes(text), "ContinuationToken");
    const auto count = list ? list->array() : std::nullopt;
    const auto token_text = token ? token->text() : std::nullopt;
    if (!count || !token_text) return broken();
    ListPage page;
    page.token = *token_text;
    for (uint32_t index = 0; index < *count; ++index) {
        const Bytes entry = list->rest();
        if (!list->skip()) return broken();
        auto name = find(entry, "n");
        auto size = find(entry, "s");  // absent: 0
        const auto name_text = name ? name->text() : std::nullopt;
        if (!name_text) return broken();
        page.entries.push_back(
            {std::string(*name_text), size ? size->number().value_or(0) : 0, {}});
    }
    return page;
}

}  // namespace penstock::client
