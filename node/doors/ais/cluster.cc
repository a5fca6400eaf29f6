#include "node/doors/ais/cluster.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/units.h"
#include "node/doors/ais/cluster_shapes.h"
#include "node/doors/ais/configuration.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/jobs.h"
#include "node/doors/ais/mountpaths.h"
#include "node/doors/ais/names.h"
#include "node/doors/ais/node_log.h"
#include "node/doors/ais/statistics.h"
#include "node/doors/ais/text.h"
#include "node/store/mountpath_set.h"

namespace penstock::node::ais {
namespace {

using io::http::Method;
using io::http::Response;

constexpr std::string_view daemon_allowed = "DELETE, GET, POST, PUT";

// Actions of PUT /v1/cluster (contract, sections 4.6 and 4.7) of a later release.
constexpr std::string_view cluster_actions[] = {
    "start-maintenance", "stop-maintenance", "shutdown-node",     "rm-unsafe",
    "shutdown",          "decommission",     "decommission-node",
};
constexpr std::string_view cluster_paths[] = {"attach", "detach", "join-by-admin"};
bool is_one_of(std::span<const std::string_view> names, std::string_view name) {
    return std::ranges::find(names, name) != names.end();
}

Reply json_reply(const Call& call, const OrderedJson& json) {
    return json_response(call.request.buffers,
                         json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
}

bool is_this_node(const Call& call, std::string_view id) {
    return id == call.node.node_id || id == gateway_id(call.node);
}

std::unexpected<ApiError> refuse_node(const Call& call, std::string_view id) {
    return refuse(404, "errNodeNotFound",
                  fmt::format("p[{}]: node {}: not present in Smap v1", gateway_id(call.node), id));
}

std::unexpected<ApiError> refuse_no_certificate() {
    return refuse(404, "", "no TLS certificate loaders configured");
}

// What only a target has.
std::optional<Reply> describe_target(const Call& call, std::string_view what) {
    if (what == "disk") return json_reply(call, disk_json(call));
    return std::nullopt;
}

Reply describe_certificate(const Call& call) {
    const bool is_known = call.certificate_of != nullptr && *call.certificate_of;
    const io::TlsContext* tls = is_known ? (*call.certificate_of)(call.core) : nullptr;
    if (tls == nullptr) return refuse_no_certificate();
    const io::CertificateFacts& facts = tls->certificate();
    constexpr std::string_view layout = "2006-01-02 15:04:05";
    const auto time = [layout](uint64_t seconds) {
        return go_time(std::min(seconds, UINT64_MAX / ns_per_s) * ns_per_s, layout);
    };
    return json_reply(
        call,
        {{"valid", fmt::format("from {} to {}", time(facts.valid_from_s), time(facts.valid_to_s))},
         {"issued-by (CN)", facts.issuer},
         {"version", std::to_string(facts.version)},
         {"serial-number", facts.serial_number},
         {"signature-algorithm", facts.signature_algorithm},
         {"public-key-algorithm", facts.key_algorithm}});
}

Reply describe_node(const Call& call, std::string_view what, Role role) {
    if (what == "smap") return json_reply(call, cluster_map_json(call));
    if (what == "bmd") return json_reply(call, bucket_metadata_json(call));
    if (what == "snode") return json_reply(call, node_json(call, role));
    if (what == "config") return json_reply(call, node_config_json(call, role));
    if (what == "node_stats") return json_reply(call, node_stats_json(call, role));
    if (what == "node_status") return json_reply(call, node_status_json(call, role));
    if (what == "sysinfo") return json_reply(call, system_json(call, role));
    if (what == "metrics") return json_reply(call, Statistics::kinds());
    if (what == "log") return log_of(call);
    if (what == "software_version") {
        return text_response(call.request.buffers, software_version(call.node));
    }
    if (what == "tls_certificate") return describe_certificate(call);
    if (role == Role::target) {
        if (auto reply = describe_target(call, what)) return std::move(*reply);
    }
    return refuse(400, "",
                  fmt::format("invalid '/v1/daemon' request: unrecognized 'what={}' query", what));
}

Reply describe_cluster(const Call& call, std::string_view what) {
    const std::string& target = call.node.node_id;
    if (what == "cluster_config") return json_reply(call, cluster_config_json(call));
    if (what == "backends") return json_reply(call, OrderedJson::array());
    if (what == "sysinfo") {
        return json_reply(call, {{"proxy", OrderedJson::object()},
                                 {"target", {{target, system_json(call, Role::target)}}}});
    }
    if (what == "node_stats") {
        return json_reply(call, {{"proxy", node_stats_json(call, Role::gateway)},
                                 {"target", {{target, node_stats_json(call, Role::target)}}}});
    }
    if (what == "remote") return json_reply(call, {{"a", nullptr}, {"ver", 0}});
    if (what == "target_ips") {
        const std::string ip = node_json(call, Role::target)["public_net"]["node_ip_addr"];
        return text_response(call.request.buffers, fmt::format("{},{},{}", ip, ip, ip));
    }
    if (what == "smap" || what == "bmd" || what == "snode") {
        return describe_node(call, what, Role::gateway);
    }
    return refuse(400, "", fmt::format("unexpected query [what={}]", what));
}

// Clients name a backend, or mean all. There are none, so there is nothing to read again.
Reply reload_credentials(const Action& action) {
    if (action.name.empty() || action.name == "ais") return empty_response();
    return refuse(400, "ErrMissingBackend", missing_backend(action.name));
}

io::Task<Reply> reset_statistics(Call& call, const Action& action) {
    if (!action.value.is_boolean() && !action.value.is_null()) {
        co_return refuse(400, "", "failed to unmarshal reset-stats: expected true or false");
    }
    co_await call.statistics->reset(call, action.value == true);
    co_return empty_response();
}

// What each node takes, and the cluster for all its nodes; nullopt: it is no such action.
std::optional<Reply> act_on_node(const Call& call, std::string_view action) {
    if (action == "rotate-logs") rotate_log(call);
    // What is cached needs no clearing.
    const bool is_known = action == "rotate-logs" || action == "clear-lcache";
    if (!is_known) return std::nullopt;
    return empty_response();
}

io::Task<Reply> change_configuration(Call& call, const Action& action) {
    if (action.action == "set-config") {
        co_return co_await set_configuration(call, action.value);
    }
    co_return co_await reset_configuration(call);
}

io::Task<Reply> change_cluster(Call& call) {
    CO_TRY(const auto action, co_await read_action(call));
    if (action.action == "start") co_return co_await start_job(call, action);
    if (action.action == "stop") co_return co_await stop_job(call, action);
    if (action.action == "set-config" || action.action == "reset-config") {
        co_return co_await change_configuration(call, action);
    }
    if (action.action == "reset-stats") co_return co_await reset_statistics(call, action);
    if (action.action == "reload-creds") co_return reload_credentials(action);
    if (auto reply = act_on_node(call, action.action)) co_return std::move(*reply);
    if (is_one_of(cluster_actions, action.action)) co_return refuse_not_built(action.action);
    co_return refuse(400, "", fmt::format("invalid action \"{}\"", action.action));
}

io::Task<Reply> change_node(Call& call, std::string_view rest) {
    const std::string_view first = split_first(rest).element;
    if (first == "set-config") co_return co_await set_configuration(call);
    CO_TRY(const auto action, co_await read_action(call));
    if (first == "mountpaths") co_return co_await change_mountpaths(call, action);
    if (action.action == "reset-config") co_return co_await change_configuration(call, action);
    if (auto reply = act_on_node(call, action.action)) co_return std::move(*reply);
    co_return refuse(400, "", fmt::format("invalid action \"{}\"", action.action));
}

// PUT /v1/cluster/load-x509[/{id}]: every node's certificate, or one's.
io::Task<Reply> load_certificate(Call& call, std::string_view id) {
    if (!id.empty() && !is_this_node(call, id)) co_return refuse_node(call, id);
    const bool is_known = call.load_certificate != nullptr && *call.load_certificate;
    const Status loaded =
        is_known ? co_await (*call.load_certificate)(call.core) : Status(fail(Errc::not_found, ""));
    if (loaded) co_return empty_response();
    if (loaded.error().code == Errc::not_found) co_return refuse_no_certificate();
    co_return refuse(500, "", loaded.error().context);
}

// PUT /v1/cluster/proxy/{id}: there is one gateway, which is the primary already.
Reply set_primary(const Call& call, std::string_view id) {
    if (id == gateway_id(call.node)) return empty_response();
    return refuse_node(call, id);
}

// PUT /v1/cluster/enable-bend/{provider}, or disable-bend.
Reply switch_backend(std::string_view path, std::string_view provider) {
    const std::string_view verb = path.substr(0, path.find('-'));
    return refuse(400, "",
                  fmt::format("backend \"{}\" is not configured, cannot {}", provider, verb));
}

io::Task<Reply> put_cluster(Call& call, FirstElement first) {
    const std::string_view named = split_first(first.rest).element;
    if (first.element.empty()) co_return co_await change_cluster(call);
    if (first.element == "set-config") co_return co_await set_configuration(call);
    if (first.element == "load-x509") co_return co_await load_certificate(call, named);
    if (first.element == "proxy") co_return set_primary(call, named);
    if (first.element == "enable-bend" || first.element == "disable-bend") {
        co_return switch_backend(first.element, named);
    }
    if (is_one_of(cluster_paths, first.element)) co_return refuse_not_built(first.element);
    co_return refuse(400, "", fmt::format("invalid request URI \"{}\"", call.path));
}

bool is_allowed_for_daemon(Method method) {
    return method == Method::get || method == Method::put || method == Method::post ||
           method == Method::del;
}

// Whatever shows capacities shows them of each mountpath; and what was counted of all cores.
io::Task<void> see_figures(Call& call) {
    const std::string_view what = call.query.find("what").value_or("");
    const bool has_tracker = what == "node_stats" || what == "node_status";
    if (has_tracker) {
        call.tracker = std::make_shared<const OrderedJson>(co_await call.statistics->tracker(call));
    }
    if ((!has_tracker && what != "disk") || call.mountpaths == nullptr) co_return;
    call.mountpath_figures = std::make_shared<const std::vector<MountpathFigures>>(
        co_await call.mountpaths->figures(call.core));
}

}  // namespace

io::Task<Reply> handle_health(Call& call) {
    Response response = empty_response();
    if (call.method() == Method::get &&
        boolean_from(call.query.find("cii").value_or("")).value_or(false)) {
        CO_TRY(response, json_reply(call, node_state_json(call)));
    }
    response.head.add("Ais-Cluster-Uptime", uptime_ns(call));
    response.head.add("Ais-Node-Uptime", uptime_ns(call));
    co_return response;
}

io::Task<Reply> handle_daemon(Call& call, std::string_view rest) {
    if (!is_allowed_for_daemon(call.method())) co_return refuse_method(daemon_allowed);
    if (call.method() != Method::get) co_return co_await change_node(call, rest);
    co_await see_figures(call);
    co_return describe_node(call, call.query.find("what").value_or(""), Role::gateway);
}

io::Task<Reply> handle_reverse(Call& call, std::string_view rest) {
    if (!is_allowed_for_daemon(call.method())) co_return refuse_method(daemon_allowed);
    const FirstElement resource = split_first(rest);
    if (resource.element != "daemon") co_return refuse_uri(call);
    const std::string_view id = call.request.head.find("Ais-Node-Id");
    if (id.empty()) co_return refuse(400, "", "missing node ID");
    if (!is_this_node(call, id)) co_return refuse_node(call, id);
    const bool is_target = id == call.node.node_id;
    if (call.method() != Method::get) co_return co_await change_node(call, resource.rest);
    if (is_target && call.query.find("what").value_or("") == "mountpaths") {
        co_return json_reply(call, co_await mountpaths_json(call));
    }
    co_await see_figures(call);
    co_return describe_node(call, call.query.find("what").value_or(""),
                            is_target ? Role::target : Role::gateway);
}

io::Task<Reply> handle_cluster(Call& call, std::string_view rest) {
    if (!is_allowed_for_daemon(call.method())) co_return refuse_method(daemon_allowed);
    const FirstElement first = split_first(rest);
    if (call.method() == Method::get && first.element.empty()) {
        const std::string_view what = call.query.find("what").value_or("");
        if (is_job_query(what)) co_return co_await query_jobs(call, what);
        if (what == "mountpaths") {
            co_return json_reply(
                call, {{"targets", {{call.node.node_id, co_await mountpaths_json(call)}}}});
        }
        co_await see_figures(call);
        co_return describe_cluster(call, what);
    }
    if (call.method() == Method::put) co_return co_await put_cluster(call, first);
    if (is_one_of(cluster_paths, first.element)) co_return refuse_not_built(first.element);
    co_return refuse(400, "", fmt::format("invalid request URI \"{}\"", call.path));
}

}  // namespace penstock::node::ais
