#include "node/service/stripe_rule.h"

#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>

namespace penstock::node {
namespace {

using Json = nlohmann::json;

constexpr uint64_t size_max = uint64_t{1} << 60;

std::optional<uint64_t> unit_from(std::string_view text) {
    std::string unit;
    for (const char letter : text) {
        if (letter != ' ')
            unit += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    }
    if (unit.empty() || unit == "b") return 1;
    const size_t power = std::string_view("kmgtp").find(unit.front());
    if (power == std::string_view::npos) return std::nullopt;
    const std::string_view rest = std::string_view(unit).substr(1);
    if (!rest.empty() && rest != "b" && rest != "ib") return std::nullopt;
    const uint64_t base = rest == "b" ? 1000 : 1024;
    uint64_t bytes = 1;
    for (size_t index = 0; index <= power; ++index) bytes *= base;
    return bytes;
}

std::optional<uint64_t> size_in(const Json& chunks, const char* name) {
    const auto found = chunks.find(name);
    if (found == chunks.end() || !found->is_string()) return std::nullopt;
    return size_from_text(found->get_ref<const std::string&>());
}

}  // namespace

std::optional<uint64_t> size_from_text(std::string_view text) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    const std::optional<uint64_t> unit =
        unit_from(text.substr(static_cast<size_t>(end - text.data())));
    if (!unit || number > size_max / *unit) return std::nullopt;
    return number * *unit;
}

// Asked at each put: the buckets without one are the many.
StripeRule stripe_rule_of(const BucketProperties& properties) {
    StripeRule rule;
    if (properties.other_json.find("\"chunks\"") == std::string::npos) return rule;
    const Json others = Json::parse(properties.other_json, nullptr, false);
    if (!others.is_object() || !others.contains("chunks")) return rule;
    const Json& chunks = others["chunks"];
    if (!chunks.is_object()) return rule;
    rule.above_bytes = size_in(chunks, "objsize_limit").value_or(0);
    const uint64_t part_bytes = size_in(chunks, "chunk_size").value_or(0);
    if (part_bytes > 0) rule.part_bytes = part_bytes;
    return rule;
}

void set_stripe_rule(BucketProperties& properties, const StripeRule& rule) {
    Json others = Json::parse(properties.other_json, nullptr, false);
    if (!others.is_object()) others = Json::object();
    others["chunks"]["objsize_limit"] = std::to_string(rule.above_bytes) + "B";
    others["chunks"]["chunk_size"] = std::to_string(rule.part_bytes) + "B";
    properties.other_json = others.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace penstock::node
