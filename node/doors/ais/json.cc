#include "node/doors/ais/json.h"

#include <fmt/format.h>
#include <strings.h>

#include "node/doors/ais/chunk_writer.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/routes.h"

namespace penstock::node::ais {
namespace {

// Counts brackets outside of strings. What is no JSON may be counted wrongly; the parser finds it.
bool is_too_deep(std::string_view text) {
    uint32_t depth = 0;
    bool is_in_string = false;
    for (size_t at = 0; at < text.size(); ++at) {
        const char letter = text[at];
        if (is_in_string) {
            if (letter == '\\') ++at;
            if (letter == '"') is_in_string = false;
        } else if (letter == '"') {
            is_in_string = true;
        } else if (letter == '{' || letter == '[') {
            if (++depth > json_depth_max) return true;
        } else if ((letter == '}' || letter == ']') && depth > 0) {
            --depth;
        }
    }
    return false;
}

std::unexpected<ApiError> refuse_message(const Call& call, std::string_view why) {
    return refuse(400, "",
                  fmt::format("p[{}]: failed to unmarshal the message ({}), err: {}",
                              gateway_id(call.node), call.request.head.method_text, why));
}

}  // namespace

std::optional<Json> parse_json(std::string_view text) {
    if (is_too_deep(text)) return std::nullopt;
    Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) return std::nullopt;
    return json;
}

std::optional<Action> action_from(const Json& json) {
    if (!json.is_object()) return std::nullopt;
    Action action;
    for (const auto& [key, into] : {std::pair("action", &action.action), {"name", &action.name}}) {
        const auto found = json.find(key);
        if (found == json.end() || found->is_null()) continue;
        if (!found->is_string()) return std::nullopt;
        *into = found->get<std::string>();
    }
    if (const auto found = json.find("value"); found != json.end()) action.value = *found;
    return action;
}

io::Task<std::expected<std::optional<Json>, ApiError>> read_json(Call& call) {
    auto body = co_await call.request.body.read_all(call.request.reactor, call.request.buffers,
                                                    json_bytes_max);
    if (!body) co_return std::unexpected(api_error(body.error(), "the request's body"));
    if (body->is_empty()) co_return std::optional<Json>();
    std::optional<Json> json = parse_json(as_text(body->bytes()));
    if (!json) co_return refuse_message(call, "invalid or too deeply nested JSON");
    co_return json;
}

io::Task<std::expected<std::optional<Action>, ApiError>> read_action_if_any(Call& call) {
    CO_TRY(const std::optional<Json> json, co_await read_json(call));
    if (!json) {
        CO_TRY_STATUS(authorize_action(call, ""));
        co_return std::optional<Action>();
    }
    std::optional<Action> action = action_from(*json);
    if (action) CO_TRY_STATUS(authorize_action(call, action->action));
    if (!action) co_return refuse_message(call, "expected an object with action, name and value");
    co_return action;
}

io::Task<std::expected<Action, ApiError>> read_action(Call& call) {
    CO_TRY(std::optional<Action> action, co_await read_action_if_any(call));
    if (!action) co_return refuse_message(call, "EOF");
    co_return std::move(*action);
}

std::string string_of(const Json& object, std::string_view key, std::string_view fallback) {
    if (!object.is_object()) return std::string(fallback);
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string()) return std::string(fallback);
    return found->get<std::string>();
}

const Json* find_any_case(const Json& object, std::string_view key) {
    if (!object.is_object()) return nullptr;
    for (const auto& [name, value] : object.items()) {
        if (name.size() == key.size() && strncasecmp(name.data(), key.data(), key.size()) == 0) {
            return &value;
        }
    }
    return nullptr;
}

io::http::Response json_response(io::BufferPool& buffers, std::string text) {
    io::http::Response response{io::http::ResponseHead(200), {}, {}, true, false};
    response.head.add("Content-Type", "application/json; charset=utf-8");
    text += '\n';
    ChunkWriter writer(buffers, text.size());
    writer.append(text);
    response.body = writer.finish();
    return response;
}

io::http::Response text_response(io::BufferPool& buffers, std::string_view text) {
    io::http::Response response{io::http::ResponseHead(200), {}, {}, true, false};
    response.head.add("Content-Type", "text/plain; charset=utf-8");
    response.body = io::Body::copy_of(buffers, as_bytes(text));
    return response;
}

io::http::Response empty_response(uint16_t status) {
    return {io::http::ResponseHead(status), {}, {}, true, false};
}

}  // namespace penstock::node::ais
