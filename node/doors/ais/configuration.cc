#include "node/doors/ais/configuration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "node/doors/ais/errors.h"
#include "node/doors/ais/properties.h"
#include "node/doors/ais/text.h"
#include "node/service/bucket_defaults.h"
#include "node/service/stripe_rule.h"

namespace penstock::node::ais {
namespace {

// Groups of the configuration that say how the node works; values are defaults of the API where
// nothing here corresponds to them.
constexpr std::string_view config_json = R"({
"write_policy":{"data":"immediate","md":"immediate"},
"checksum":{"type":"xxhash2","validate_cold_get":false,"validate_warm_get":true,
    "validate_obj_move":false,"enable_read_range":false},
"tcb":{"compression":"never","bundle_multiplier":2,"burst_buffer":512},
"tco":{"compression":"never","bundle_multiplier":2,"burst_buffer":512},
"arch":{"compression":"never","bundle_multiplier":2,"burst_buffer":512},
"lso":{"compression":"never","bundle_multiplier":1,"burst_buffer":32,"walk_buffer":128,
    "idle_time":"20s","quiescent":"5s"},
"rate_limit":{
    "backend":{"interval":"1m","max_tokens":1000,"enabled":false,"num_retries":3},
    "frontend":{"interval":"1m","max_tokens":1000,"enabled":false,"burst_size":375}},
"keepalivetracker":{"proxy":{"name":"heartbeat","interval":"10s","factor":3},
    "target":{"name":"heartbeat","interval":"10s","factor":3},"num_retries":3,"retry_factor":4},
"rebalance":{"compression":"never","bundle_multiplier":2,"burst_buffer":1024,
    "dest_retry_time":"2m","enabled":false},
"log":{"level":"3","max_size":"64MiB","max_total":"512MiB","flush_time":"1m","stats_time":"3m",
    "to_stderr":true},
"ec":{"compression":"never","bundle_multiplier":2,"burst_buffer":512,"objsize_limit":262144,
    "data_slices":2,"parity_slices":2,"enabled":false,"disk_only":false},
"get_batch":{"compression":"never","bundle_multiplier":2,"burst_buffer":512,"max_wait":"20s",
    "warmup_workers":-1,"max_soft_errs":6,"max_gfn":5},
"space":{"cleanupwm":65,"lowwm":75,"highwm":90,"out_of_space":95,"batch_size":32768,
    "dont_cleanup_time":"2h0m"},
"transport":{"max_header":4096,"burst_buffer":1024,"idle_teardown":"4s","quiescent":"10s",
    "lz4_block":"256KiB","lz4_frame_checksum":false},
"disk":{"disk_util_low_wm":20,"disk_util_high_wm":80,"disk_util_max_wm":95,
    "iostat_time_long":"2s","iostat_time_short":"100ms","iostat_time_smooth":"8s"},
"fshc":{"test_files":4,"error_limit":2,"io_err_limit":10,"io_err_time":"10s","enabled":false},
"chunks":{"objsize_limit":"0B","max_monolithic_size":"1TiB","chunk_size":"1GiB"},
"lru":{"dont_evict_time":"2h0m","capacity_upd_time":"10m","batch_size":32768,"enabled":false},
"mirror":{"copies":2,"burst_buffer":512,"enabled":false},
"periodic":{"stats_time":"10s","retry_sync_time":"2s","notif_time":"30s"},
"client":{"client_timeout":"10s","client_long_timeout":"5m","list_timeout":"5m"},
"downloader":{"timeout":"1h0m"},
"auth":{"client_auth_required":false},
"backend":{},"uuid":"","lastupdate_time":"",
"proxy":{"primary_url":"","original_url":"","discovery_url":"","non_electable":false},
"net":{"l4":{"proto":"tcp","sndrcv_buf_size":0},
    "http":{"server_crt":"","server_key":"","client_ca_tls":"","client_auth_tls":0,
        "domain_tls":"","idle_conn_time":"5m","backend_idle_conn_time":"6s",
        "idle_conns_per_host":32,"idle_conns":256,"write_buffer_size":65536,
        "read_buffer_size":65536,"use_https":false,"skip_verify":false,"chunked_transfer":true},
    "use_ipv6":false},
"timeout":{"cplane_operation":"2s","max_keepalive":"5s","max_host_busy":"20s",
    "startup_time":"1m","join_startup_time":"3m","send_file_time":"5m","ec_streams_time":"10m",
    "object_md":"2h0m","cold_get_conflict":"5s"},
"memsys":{"min_free":"2GiB","default_buf":"32KiB","to_gc":"4GiB","hk_time":"3m",
    "min_pct_total":0,"min_pct_free":0},
"features":"0","config_version":"1",
"versioning":{"enabled":true,"validate_warm_get":false,"synchronize":false},
"resilver":{"enabled":false}})";

// Of the metadata's values; behind it the dotted key.
constexpr std::string_view key_prefix = "ais.";
constexpr const char* version_key = "ais.config_version";
// Of what holds until the node stops: {"started_ns": NodeIdentity's, "values": {KEY: VALUE}}.
constexpr const char* transient_key = "ais.transient";

constexpr std::array<std::string_view, 7> fixed_groups = {
    "uuid", "lastupdate_time", "config_version", "proxy", "net", "auth", "backend"};
// Of the groups that buckets have, too.
constexpr std::array<std::string_view, 8> bucket_groups = {
    "checksum", "versioning", "mirror", "ec", "lru", "chunks", "write_policy", "rate_limit"};

// By dotted key: the value as JSON.
using Values = std::map<std::string, Json>;

std::unexpected<ApiError> refuse_value(std::string_view key, std::string_view wanted) {
    return refuse(400, "", fmt::format("invalid value of \"{}\": it must be {}", key, wanted));
}

// A duration as Go writes it: "2h0m", "100ms", "0".
bool is_duration(std::string_view text) {
    if (text == "0") return true;
    bool has_any = false;
    while (!text.empty()) {
        const size_t digits = text.find_first_not_of("0123456789.");
        if (digits == 0 || digits == text.npos) return false;
        text.remove_prefix(digits);
        constexpr std::array<std::string_view, 6> units = {"ms", "us", "ns", "h", "m", "s"};
        const auto unit = std::ranges::find_if(
            units, [text](std::string_view name) { return text.starts_with(name); });
        if (unit == units.end()) return false;
        text.remove_prefix(unit->size());
        has_any = true;
    }
    return has_any;
}

bool is_size(std::string_view text) {
    return text.ends_with('B') && size_from_text(text).has_value();
}

std::expected<Json, ApiError> number_of(std::string_view key, const Json& given) {
    if (given.is_number_integer()) return given;
    if (given.is_string()) {
        const auto& text = given.get_ref<const std::string&>();
        int64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error == std::errc() && end == text.data() + text.size()) return Json(value);
    }
    // Clients know this one by the name of Go's error.
    return refuse(400, "NumError",
                  fmt::format("invalid value of \"{}\": it must be a whole number", key));
}

// The value in the kind that `known` has: a query's are all text.
std::expected<Json, ApiError> value_of(std::string_view key, const Json& known, const Json& given) {
    if (known.is_boolean()) {
        if (given.is_boolean()) return given;
        const auto word = given.is_string() ? boolean_from(given.get_ref<const std::string&>())
                                            : std::optional<bool>();
        if (!word) return refuse_value(key, "true or false");
        return Json(*word);
    }
    if (known.is_number()) return number_of(key, given);
    if (!given.is_string()) return refuse_value(key, "text");
    const auto& before = known.get_ref<const std::string&>();
    const auto& text = given.get_ref<const std::string&>();
    if (is_duration(before) && before != "0" && !is_duration(text)) {
        return refuse_value(key, "a duration such as \"30s\"");
    }
    if (is_size(before) && !size_from_text(text)) {
        return refuse_value(key, "a size such as \"64MiB\"");
    }
    if (key == "features" && !number_from(text)) {
        return refuse_value(key, "a decimal number in quotes");
    }
    return given;
}

bool is_one_of(std::span<const std::string_view> groups, std::string_view key) {
    return std::ranges::find(groups, key.substr(0, key.find('.'))) != groups.end();
}

// The values that `changes` has, each checked against what is known.
std::expected<void, ApiError> take_values(const Json& known, const Json& changes,
                                          const std::string& path, Values& into) {
    for (const auto& [name, given] : changes.items()) {
        const std::string key = path + name;
        if (given.is_null()) continue;  // Go's clients write so what they do not set
        const auto found = known.find(name);
        if (found == known.end()) {
            return refuse(400, "", fmt::format("unknown property \"{}\"", key));
        }
        if (is_one_of(fixed_groups, key)) {
            return refuse(400, "",
                          fmt::format("property \"{}\" is not set here: it stands in the node's "
                                      "settings file, or the node says it",
                                      key));
        }
        if (found->is_object()) {
            if (!given.is_object()) return refuse_value(key, "an object");
            TRY_STATUS(take_values(*found, given, key + ".", into));
            continue;
        }
        TRY(into[key], value_of(key, *found, given));
    }
    return {};
}

Json::json_pointer pointer_to(std::string_view key) {
    std::string path = "/" + std::string(key);
    std::ranges::replace(path, '.', '/');
    return Json::json_pointer(path);
}

// Of these, the ones that a bucket's properties have.
Json bucket_part(const Values& values) {
    const Json properties = Json(properties_json(Bucket{}));
    Json part = Json::object();
    for (const auto& [key, value] : values) {
        const Json::json_pointer pointer = pointer_to(key);
        if (is_one_of(bucket_groups, key) && properties.contains(pointer)) part[pointer] = value;
    }
    return part;
}

// What clients set: for good, and over it what holds until the node stops.
struct Configured {
    Values lasting;
    Values transient;

    Values now() const {
        Values values = transient;
        values.insert(lasting.begin(), lasting.end());
        return values;
    }
};

std::vector<std::string> known_keys() {
    std::vector<std::string> keys;
    const Json known = Json::parse(config_json).flatten();
    for (const auto& [path, value] : known.items()) {
        std::string key = path.substr(1);
        std::ranges::replace(key, '/', '.');
        if (!is_one_of(fixed_groups, key)) keys.push_back(std::move(key));
    }
    return keys;
}

// Of another start of the node: none.
Values transient_values(const Call& call) {
    const Json stored =
        Json::parse(call.service.configuration(call.core, transient_key), nullptr, false);
    const bool is_ours = stored.is_object() && stored.contains("started_ns") &&
                         stored["started_ns"] == call.node.started_ns &&
                         stored.contains("values") && stored["values"].is_object();
    Values values;
    if (!is_ours) return values;
    for (const auto& [key, value] : stored["values"].items()) values[key] = value;
    return values;
}

Configured configured(const Call& call) {
    Configured found;
    for (const std::string& key : known_keys()) {
        const std::string text =
            call.service.configuration(call.core, std::string(key_prefix) + key);
        if (text.empty()) continue;
        Json set = Json::parse(text, nullptr, false);
        if (!set.is_discarded()) found.lasting[key] = std::move(set);
    }
    found.transient = transient_values(call);
    return found;
}

uint64_t version_of(const Call& call) {
    return number_from(call.service.configuration(call.core, version_key)).value_or(1);
}

// Checked when it was set; a release that knows less of it takes its own defaults.
BucketProperties properties_from(const Values& values) {
    return changed_properties({}, bucket_part(values)).value_or(BucketProperties());
}

// All that follows from these values, as one change; `null` takes a key away.
SetValues change_of(const Call& call, const Values& values, bool is_transient) {
    Configured found = configured(call);
    SetValues change{.values = {}, .expected_version = call.service.metadata_version(call.core)};
    for (const auto& [key, value] : values) {
        found.transient.erase(key);
        if (is_transient) {
            found.transient[key] = value;
            continue;
        }
        change.values[std::string(key_prefix) + key] = value.is_null() ? "" : value.dump();
        found.lasting.erase(key);
        if (!value.is_null()) found.lasting[key] = value;
    }
    if (!is_transient) change.values[version_key] = std::to_string(version_of(call) + 1);
    std::string& transient = change.values[transient_key];
    if (!found.transient.empty()) {
        transient = Json{{"started_ns", call.node.started_ns}, {"values", found.transient}}.dump();
    }
    const BucketProperties lasting = properties_from(found.lasting);
    const BucketProperties now = properties_from(found.now());
    add_bucket_defaults(change, call.node.started_ns, lasting,
                        now == lasting ? std::nullopt : std::optional(now));
    return change;
}

// Somebody else may change the metadata meanwhile: then from what they made of it.
io::Task<Status> write_values(Call& call, const Values& values, bool is_transient) {
    constexpr int attempts_max = 100;
    for (int attempt = 1;; ++attempt) {
        const Status written = co_await call.service.set_configuration(
            call.core, change_of(call, values, is_transient));
        const bool is_overtaken = !written && written.error().code == Errc::condition_failed;
        if (!is_overtaken || attempt == attempts_max) co_return written;
    }
}

io::Task<Reply> answer_written(Call& call, Values values, bool is_transient) {
    const Status written = co_await write_values(call, values, is_transient);
    if (!written) co_return std::unexpected(api_error(written.error(), "cluster configuration"));
    co_return empty_response();
}

}  // namespace

OrderedJson configuration_json(const Call& call) {
    OrderedJson json = OrderedJson::parse(config_json);
    for (const auto& [key, value] : configured(call).now()) {
        std::string path = "/" + key;
        std::ranges::replace(path, '.', '/');
        json[OrderedJson::json_pointer(path)] = value;
    }
    json["config_version"] = std::to_string(version_of(call));
    return json;
}

io::Task<Reply> set_configuration(Call& call, Json changes) {
    const auto is_transient = boolean_from(call.query.find("transient").value_or(""));
    if (!is_transient) co_return refuse(400, "", "\"transient\" must be true or false");
    if (!changes.is_object()) co_return refuse(400, "", "expected a part of the configuration");
    Values values;
    CO_TRY_STATUS(take_values(Json::parse(config_json), changes, "", values));
    // What no bucket may have is no default either.
    CO_TRY_STATUS(changed_properties({}, bucket_part(values)));
    co_return co_await answer_written(call, std::move(values), *is_transient);
}

io::Task<Reply> set_configuration(Call& call) {
    Json changes = Json::object();
    const Json known = Json::parse(config_json);
    for (const auto& [key, value] : call.query.parameters()) {
        if (key == "transient") continue;
        // Other characters mean something to a JSON pointer.
        const bool is_plain = std::ranges::all_of(key, [](char c) {
            return c == '_' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
        });
        if (key.empty() || !is_plain || !known.contains(pointer_to(key)) ||
            known[pointer_to(key)].is_object()) {
            co_return refuse(400, "", fmt::format("unknown property \"{}\"", key));
        }
        changes[pointer_to(key)] = value;
    }
    co_return co_await set_configuration(call, std::move(changes));
}

io::Task<Reply> reset_configuration(Call& call) {
    Values values = configured(call).now();
    for (auto& [key, value] : values) value = nullptr;
    co_return co_await answer_written(call, std::move(values), false);
}

}  // namespace penstock::node::ais
