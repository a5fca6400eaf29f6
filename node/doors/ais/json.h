// JSON bodies: bounded, checked, and looked at by verb and path, never by Content-Type (clients
// send `application/json` with everything).
#pragma once

#include <expected>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "node/doors/ais/call.h"

namespace penstock::node::ais {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// More than any client sends, and as much as one buffer holds.
constexpr uint32_t json_bytes_max = io::BufferPool::size_max;
// Deeper nesting than any message has; a parser's memory grows with it.
constexpr uint32_t json_depth_max = 64;

// nullopt: no JSON, or nested too deeply.
std::optional<Json> parse_json(std::string_view text);

// The envelope of most requests (contract, section 1.12).
struct Action {
    std::string action;
    std::string name;
    Json value;  // null if there is none
};
// nullopt: no envelope.
std::optional<Action> action_from(const Json& json);

// The request's body; nullopt if it is empty. 413 if it is too long, 400 if it is no JSON.
io::Task<std::expected<std::optional<Json>, ApiError>> read_json(Call& call);
// The request's envelope; nullopt if the body is empty. Authorizes the call for the action
// (routes.h).
io::Task<std::expected<std::optional<Action>, ApiError>> read_action_if_any(Call& call);
// The same, where one is needed.
io::Task<std::expected<Action, ApiError>> read_action(Call& call);

// A member of an object; `fallback` if it is absent, null or of another type.
std::string string_of(const Json& object, std::string_view key, std::string_view fallback = "");
// The same with the key in whatever case: job queries come in several spellings.
const Json* find_any_case(const Json& object, std::string_view key);

io::http::Response json_response(io::BufferPool& buffers, std::string text);
io::http::Response text_response(io::BufferPool& buffers, std::string_view text);
io::http::Response empty_response(uint16_t status = 200);

}  // namespace penstock::node::ais
