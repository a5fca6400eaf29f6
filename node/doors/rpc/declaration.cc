#include "node/doors/rpc/declaration.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/doors/rpc/outbox.h"

namespace penstock::node::rpc {
namespace {

constexpr std::string_view names[name_count] = {
    "active",     "as",      "bucket",    "crc32c", "data",       "flush",   "handle", "if_absent",
    "if_version", "items",   "job",       "kind",   "lease",      "length",  "limit",  "member",
    "metadata",   "name",    "number",    "offset", "on_missing", "ordered", "parts",  "prefix",
    "props",      "replace", "timeout_s", "to",     "to_bucket",  "to_name", "token",  "upload",
};
static_assert(std::ranges::is_sorted(names));
static_assert(names[static_cast<size_t>(Name::upload)] == "upload");
static_assert(names[static_cast<size_t>(Name::member)] == "member");

constexpr std::string_view type_names[] = {"nil", "bool", "int",   "uint", "float",
                                           "str", "bin",  "array", "map",  "any"};

bool has_type(const Value& value, Type type) {
    switch (type) {
        case Type::nil:
            return value.kind == Kind::nil;
        case Type::boolean:
            return value.kind == Kind::boolean;
        case Type::integer:
            return value.kind == Kind::positive || value.kind == Kind::negative;
        case Type::unsigned_integer:
            return value.kind == Kind::positive;
        case Type::floating:
            return value.kind == Kind::floating || value.kind == Kind::positive ||
                   value.kind == Kind::negative;
        case Type::str:
            // A name that is no UTF-8 cannot be a text for strict clients: it comes as bytes.
            return value.kind == Kind::str || (value.kind == Kind::bin && !is_utf8(value.text()));
        case Type::bin:
            return value.kind == Kind::bin;
        case Type::array:
            return value.kind == Kind::array;
        case Type::map:
            return value.kind == Kind::map;
        case Type::any:
            return true;
    }
    return false;
}

std::unexpected<Failure> invalid(std::string message) {
    return std::unexpected(Failure{Code::invalid, std::move(message), {}, 0, {}});
}

}  // namespace

std::string_view name_of(Type type) {
    return type_names[static_cast<size_t>(type)];
}

std::string_view text_of(Name name) {
    return names[static_cast<size_t>(name)];
}

const Method* find_method(std::string_view name) {
    const std::span<const Method> all = methods();
    const auto found = std::ranges::lower_bound(all, name, {}, &Method::name);
    return found != all.end() && found->name == name ? &*found : nullptr;
}

std::expected<Arguments, Failure> bind_arguments(std::span<const Parameter> parameters,
                                                 const Message& message, const Value* map) {
    Arguments arguments;
    const uint32_t pairs = map == nullptr ? 0 : map->size;
    const Value* key = pairs == 0 ? nullptr : &message.first(*map);
    for (uint32_t pair = 0; pair < pairs; ++pair) {
        if (key->kind != Kind::str) return invalid("an argument's name is no text");
        const auto declared = std::ranges::find_if(parameters, [key](const Parameter& parameter) {
            return text_of(parameter.name) == key->text();
        });
        if (declared == parameters.end()) {
            return invalid(fmt::format("there is no argument \"{}\"", key->text()));
        }
        const Value& value = message.after(*key);
        const Value*& place = arguments.values_[static_cast<size_t>(declared->name)];
        if (place != nullptr) return invalid(fmt::format("\"{}\" comes twice", key->text()));
        const bool is_left_out = value.kind == Kind::nil && !declared->is_required;
        if (!is_left_out && !has_type(value, declared->type)) {
            return invalid(fmt::format("\"{}\" must be {}", key->text(), name_of(declared->type)));
        }
        if (!is_left_out) place = &value;
        if (pair + 1 < pairs) key = &message.after(value);
    }
    for (const Parameter& parameter : parameters) {
        if (!parameter.is_required || arguments.has(parameter.name)) continue;
        return invalid(fmt::format("\"{}\" is missing", text_of(parameter.name)));
    }
    return arguments;
}

}  // namespace penstock::node::rpc
