#include "node/doors/ais/properties.h"

#include <fmt/format.h>

#include "node/doors/ais/checksums.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/text.h"
#include "node/service/stripe_rule.h"

namespace penstock::node::ais {
namespace {

// Every property with its default, in the order in which they are shown.
constexpr std::string_view defaults_json = R"({
"backend_bck":{"name":"","provider":"","namespace":{"uuid":"","name":""}},
"write_policy":{"data":"immediate","md":"immediate"},
"provider":"ais","Renamed":"",
"checksum":{"type":"xxhash2","validate_cold_get":false,"validate_warm_get":false,
    "validate_obj_move":false,"enable_read_range":false},
"extra":{"aws":{},"gcp":{},"oci":{}},
"rate_limit":{
    "backend":{"interval":"1m","max_tokens":1000,"enabled":false,"num_retries":3},
    "frontend":{"interval":"1m","max_tokens":1000,"enabled":false,"burst_size":375}},
"ec":{"compression":"never","bundle_multiplier":2,"burst_buffer":512,"objsize_limit":262144,
    "data_slices":2,"parity_slices":2,"enabled":false,"disk_only":false},
"chunks":{"objsize_limit":"0B","max_monolithic_size":"1TiB","chunk_size":"1GiB"},
"mirror":{"copies":2,"burst_buffer":512,"enabled":false},
"lru":{"dont_evict_time":"2h0m","capacity_upd_time":"10m","batch_size":32768,"enabled":false},
"access":"18446744073709551615","features":"0","bid":"0","created":"0",
"versioning":{"enabled":true,"validate_warm_get":false,"synchronize":false},
"durability":"group"})";

// What may be set beside those: present only once it was.
constexpr std::string_view optional_json = R"({
"extra":{"custom":"",
    "aws":{"cloud_region":"","endpoint":"","profile":"","max_pagesize":0,"multipart_size":0},
    "gcp":{"application_creds":""},"oci":{"region":""}},
"rate_limit":{"backend":{"per_op_max_tokens":""},"frontend":{"per_op_max_tokens":""}},
"chunks":{"checkpoint_every":0,"flags":0},
"force":false})";

// Shown, but never set by a client.
constexpr std::string_view read_only[] = {"provider", "Renamed", "bid", "created"};

// Promises that this release cannot keep yet.
constexpr std::string_view not_built[] = {
    "/mirror/enabled",
    "/ec/enabled",
    "/lru/enabled",
    "/rate_limit/backend/enabled",
    "/rate_limit/frontend/enabled",
};

std::unexpected<ApiError> refuse_set(std::string why) {
    return refuse(400, "", "invalid set-bucket-props request: " + std::move(why));
}

Json known_properties() {
    Json known = Json::parse(defaults_json);
    known.merge_patch(Json::parse(optional_json));
    for (const std::string_view name : read_only) known.erase(std::string(name));
    return known;
}

bool is_same_kind(const Json& known, const Json& given) {
    if (known.is_number()) return given.is_number_integer() && given >= 0;
    return known.type() == given.type();
}

// Go's clients write what they do not set as null.
Json without_nulls(const Json& json) {
    if (!json.is_object()) return json;
    Json kept = Json::object();
    for (const auto& [name, value] : json.items()) {
        if (!value.is_null()) kept[name] = without_nulls(value);
    }
    return kept;
}

// Each name in `changes` must be known, each value be of its kind. Depth is that of `known`.
std::expected<void, ApiError> check_shape(const Json& known, const Json& changes,
                                          const std::string& path) {
    for (const auto& [name, value] : changes.items()) {
        const auto found = known.find(name);
        if (found == known.end()) return refuse_set("found unknown field: " + path + name);
        if (!is_same_kind(*found, value)) {
            return refuse_set(fmt::format("{}{} must be a {}", path, name, found->type_name()));
        }
        if (value.is_object()) TRY_STATUS(check_shape(*found, value, path + name + "."));
    }
    return {};
}

std::expected<void, ApiError> check_promises(const Json& changes) {
    for (const std::string_view name : not_built) {
        const Json::json_pointer pointer{std::string(name)};
        if (changes.contains(pointer) && changes[pointer] == true) {
            return refuse_not_built(fmt::format("bucket property {}", name.substr(1)));
        }
    }
    const auto backend = changes.find("backend_bck");
    if (backend != changes.end() && !string_of(*backend, "name").empty()) {
        return refuse_not_built("a backend bucket");
    }
    return {};
}

std::expected<void, ApiError> check_write_policy(const Json& changes) {
    const auto policy = changes.find("write_policy");
    if (policy == changes.end()) return {};
    const std::string data = string_of(*policy, "data", "immediate");
    if (data != "immediate") {
        return refuse(
            400, "",
            fmt::format("invalid write policy for data: \"{}\" not implemented yet", data));
    }
    const std::string md = string_of(*policy, "md", "immediate");
    if (md != "immediate" && md != "delayed" && md != "never") {
        return refuse(400, "", fmt::format("invalid write policy for metadata: \"{}\"", md));
    }
    return {};
}

std::expected<void, ApiError> check_sizes(const Json& changes) {
    const auto chunks = changes.find("chunks");
    if (chunks == changes.end()) return {};
    for (const auto& [name, value] : chunks->items()) {
        if (!value.is_string() || size_from_text(value.get_ref<const std::string&>())) continue;
        return refuse_set(fmt::format("chunks.{} must be a size such as \"64MiB\"", name));
    }
    return {};
}

std::expected<void, ApiError> take_checksum(const Json& changes, BucketProperties& into) {
    const auto group = changes.find("checksum");
    if (group == changes.end() || !group->contains("type")) return {};
    const std::string name = string_of(*group, "type");
    const std::optional<ChecksumType> type = checksum_type_from(name);
    if (!type) {
        return refuse(400, "",
                      fmt::format("invalid checksum type \"{}\" (expecting [crc32c md5 sha256 "
                                  "sha512 xxhash xxhash2 none])",
                                  name));
    }
    into.checksum = *type;
    return {};
}

std::expected<void, ApiError> take_number(const Json& changes, std::string_view key,
                                          uint64_t& into) {
    const auto found = changes.find(key);
    if (found == changes.end()) return {};
    const std::optional<uint64_t> value = number_from(found->get<std::string>());
    if (!value) return refuse_set(fmt::format("{} must be a decimal number in quotes", key));
    into = *value;
    return {};
}

std::expected<void, ApiError> take_durability(const Json& changes, BucketProperties& into) {
    const auto found = changes.find("durability");
    if (found == changes.end()) return {};
    const std::string word = found->get<std::string>();
    if (word != "group" && word != "none") {
        return refuse_set(
            fmt::format("durability must be \"group\" or \"none\", not \"{}\"", word));
    }
    into.durability = word == "group" ? Durability::group : Durability::none;
    return {};
}

// What the typed fields do not say, added to what was kept before.
void keep_others(const Json& changes, BucketProperties& into) {
    Json others = Json::parse(into.other_json, nullptr, false);
    if (!others.is_object()) others = Json::object();
    others.merge_patch(changes);
    for (const char* name : {"access", "features", "durability", "force", "backend_bck"}) {
        others.erase(name);
    }
    if (others.contains("versioning")) others["versioning"].erase("enabled");
    // Of the checksum's names only the older one of XXH64 does not follow from the type.
    if (others.contains("checksum") && string_of(others["checksum"], "type") != "xxhash") {
        others["checksum"].erase("type");
    }
    into.other_json = others.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Not merge_patch(): a kept value never removes a property.
void overlay(OrderedJson& onto, const Json& from) {
    for (const auto& [name, value] : from.items()) {
        if (value.is_object() && onto.contains(name)) {
            overlay(onto[name], value);
        } else {
            onto[name] = value;
        }
    }
}

}  // namespace

OrderedJson properties_json(const Bucket& bucket) {
    const BucketProperties& properties = bucket.properties;
    OrderedJson json = OrderedJson::parse(defaults_json);
    const Json others = Json::parse(properties.other_json, nullptr, false);
    if (others.is_object()) overlay(json, others);
    json["provider"] = bucket.name.provider;
    json["checksum"]["type"] = checksum_name(properties, properties.checksum);
    json["access"] = std::to_string(properties.access);
    json["features"] = std::to_string(properties.features);
    json["bid"] = std::to_string(bucket.id.value);
    json["created"] = std::to_string(bucket.created_ns);
    json["versioning"]["enabled"] = properties.is_versioned;
    json["durability"] = properties.durability == Durability::group ? "group" : "none";
    return json;
}

// Asked at each range: the buckets without it are the many, and for them nothing is parsed.
bool has_range_checksums(const BucketProperties& properties) {
    if (!properties.other_json.contains("\"enable_read_range\":true")) return false;
    const Json others = Json::parse(properties.other_json, nullptr, false);
    const Json::json_pointer pointer("/checksum/enable_read_range");
    return others.is_object() && others.contains(pointer) && others[pointer] == true;
}

std::expected<BucketProperties, ApiError> changed_properties(BucketProperties properties,
                                                             const Json& asked) {
    if (asked.is_null()) return properties;
    if (!asked.is_object()) return refuse_set("expected an object");
    const Json changes = without_nulls(asked);
    TRY_STATUS(check_shape(known_properties(), changes, ""));
    TRY_STATUS(check_promises(changes));
    TRY_STATUS(check_write_policy(changes));
    TRY_STATUS(check_sizes(changes));
    TRY_STATUS(take_checksum(changes, properties));
    TRY_STATUS(take_number(changes, "access", properties.access));
    TRY_STATUS(take_number(changes, "features", properties.features));
    TRY_STATUS(take_durability(changes, properties));
    const auto versioning = changes.find("versioning");
    if (versioning != changes.end() && versioning->contains("enabled")) {
        properties.is_versioned = versioning->value("enabled", true);
    }
    keep_others(changes, properties);
    return properties;
}

}  // namespace penstock::node::ais
