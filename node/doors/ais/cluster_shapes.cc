#include "node/doors/ais/cluster_shapes.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/checksum.h"
#include "node/doors/ais/configuration.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/properties.h"
#include "node/doors/ais/routes.h"
#include "node/doors/ais/system_figures.h"
#include "node/doors/ais/text.h"
#include "node/store/mountpath_set.h"

namespace penstock::node::ais {
namespace {

// Where a client reaches us. A node that listens on every address is known to this client by the
// name it used.
struct HostPort {
    std::string host, port;
};

HostPort reached_at(const Call& call) {
    std::string_view address = call.node.http_address;
    if (address.starts_with("0.0.0.0:") || address.starts_with("[::]:")) {
        const std::string_view named = call.request.head.find("Host");
        const size_t colon = address.rfind(':');
        const size_t named_colon = named.rfind(':');
        // The port is ours whatever the client wrote.
        return {std::string(named.substr(0, named_colon)), std::string(address.substr(colon + 1))};
    }
    const size_t colon = address.rfind(':');
    if (colon == std::string_view::npos) return {std::string(address), ""};
    return {std::string(address.substr(0, colon)), std::string(address.substr(colon + 1))};
}

std::string id_of(const Call& call, Role role) {
    return role == Role::target ? call.node.node_id : gateway_id(call.node);
}

std::string map_version() {
    // One node that never changes: its map has one version.
    return "1";
}

uint64_t percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : part / (whole / 100 + 1);
}

uint64_t used_of(const io::DiskSpace& space) {
    return space.total_bytes - std::min(space.total_bytes, space.available_bytes);
}

OrderedJson capacity_json(const Call& call, Role role) {
    if (role == Role::gateway) {
        return {{"mountpaths", nullptr}, {"cs_err", ""}, {"total_used", "0"}, {"total_avail", "0"},
                {"pct_max", 0},          {"pct_avg", 0}, {"pct_min", 0}};
    }
    OrderedJson mountpaths = OrderedJson::object();
    io::DiskSpace sum;
    uint64_t percent_max = 0;
    uint64_t percent_min = 100;
    const auto add = [&](const std::string& path, const io::DiskSpace& space) {
        const uint64_t used_percent = percent(used_of(space), space.total_bytes);
        mountpaths[path] = {{"mountpath_label", ""},
                            {"fs", {{"Fs", path}, {"FsType", ""}, {"FsID", "0,0"}}},
                            {"disks", {"-"}},
                            {"used", std::to_string(used_of(space))},
                            {"avail", std::to_string(space.available_bytes)},
                            {"pct_used", used_percent}};
        sum.total_bytes += space.total_bytes;
        sum.available_bytes += space.available_bytes;
        percent_max = std::max(percent_max, used_percent);
        percent_min = std::min(percent_min, used_percent);
    };
    if (call.mountpath_figures != nullptr) {
        for (const MountpathFigures& of : *call.mountpath_figures) add(of.path, of.usage.space);
    } else {
        add(call.node.data_path, call.service.usage().space);
    }
    return {{"mountpaths", std::move(mountpaths)},
            {"cs_err", ""},
            {"total_used", std::to_string(used_of(sum))},
            {"total_avail", std::to_string(sum.available_bytes)},
            {"pct_max", percent_max},
            {"pct_avg", percent(used_of(sum), sum.total_bytes)},
            {"pct_min", std::min(percent_min, percent_max)}};
}

// The process's counters are the target's: the gateway has what every node has.
OrderedJson tracker_json(const Call& call, Role role) {
    constexpr int state_flags = 6;  // cluster started, node started, no alert
    OrderedJson json = {{"state.flags", state_flags}, {"up.ns.time", uptime_ns(call)}};
    if (role == Role::target && call.tracker != nullptr) json.update(*call.tracker);
    return json;
}

}  // namespace

std::string software_version(const NodeIdentity& node) {
    return "5.0.penstock-" + node.version;
}

uint64_t uptime_ns(const Call& call) {
    const uint64_t now_ns = call.request.reactor.clock().wall_ns();
    return now_ns > call.node.started_ns ? now_ns - call.node.started_ns : 1;
}

std::string direct_url(const Call& call) {
    const HostPort at = reached_at(call);
    return fmt::format("{}://{}:{}", call.request.is_tls ? "https" : "http", at.host, at.port);
}

OrderedJson node_json(const Call& call, Role role) {
    const HostPort at = reached_at(call);
    const OrderedJson net = {
        {"node_ip_addr", at.host}, {"daemon_port", at.port}, {"direct_url", direct_url(call)}};
    const std::string id = id_of(call, role);
    return {{"public_net", net},
            {"intra_data_net", net},
            {"intra_control_net", net},
            {"daemon_type", role == Role::target ? "target" : "proxy"},
            {"daemon_id", id},
            {"flags", role == Role::target ? 0 : 2},
            {"id_digest", xxh64(as_bytes(id), placement_seed)}};
}

OrderedJson cluster_map_json(const Call& call) {
    const OrderedJson gateway = node_json(call, Role::gateway);
    return {{"pmap", {{id_of(call, Role::gateway), gateway}}},
            {"proxy_si", gateway},
            {"tmap", {{id_of(call, Role::target), node_json(call, Role::target)}}},
            {"uuid", call.node.cluster_uuid},
            {"creation_time", go_time(call.node.started_ns, "2006-01-02 15:04:05")},
            {"version", map_version()}};
}

OrderedJson bucket_metadata_json(const Call& call) {
    OrderedJson providers = {{"ais", {{"@#", OrderedJson::object()}}}};
    for (const auto& bucket : call.service.buckets(call.core)) {
        const BucketName& name = bucket->name;
        if (!may_see(call, name)) continue;
        const std::string space = fmt::format("@{}#{}", name.namespace_uuid, name.namespace_name);
        providers[name.provider][space][name.name] = properties_json(*bucket);
    }
    return {{"providers", std::move(providers)},
            {"uuid", call.node.cluster_uuid},
            {"version", std::to_string(call.service.metadata_version(call.core))}};
}

OrderedJson node_state_json(const Call& call) {
    constexpr int flags = 6;
    const std::string url = direct_url(call);
    return {{"smap",
             {{"Primary", {{"pub_url", url}, {"control_url", url}, {"id", gateway_id(call.node)}}},
              {"uuid", call.node.cluster_uuid},
              {"version", map_version()}}},
            {"bmd",
             {{"uuid", call.node.cluster_uuid},
              {"version", std::to_string(call.service.metadata_version(call.core))}}},
            {"rmd", {{"version", "0"}}},
            {"config", {{"version", "1"}}},
            {"etlmd", {{"version", "0"}}},
            {"flags", flags}};
}

OrderedJson system_json(const Call& call, Role role) {
    const SystemFigures figures = read_system_figures();
    const uint64_t used = figures.memory_total - figures.memory_available;
    const double total = static_cast<double>(std::max<uint64_t>(figures.memory_total, 1));
    const double up_ms = static_cast<double>(uptime_ns(call) / 1'000'000 + 1);
    const uint64_t busy_ms = figures.user_ms + figures.system_ms;
    const double cpu_percent = 100.0 * static_cast<double>(busy_ms) / up_ms;
    OrderedJson json = {
        {"mem_used", figures.process_resident},
        {"mem_avail", figures.memory_available},
        {"pct_mem_used", 100.0 * static_cast<double>(figures.process_resident) / total},
        {"pct_cpu_used", cpu_percent},
        {"load_avg",
         {{"One", figures.load_1}, {"Five", figures.load_5}, {"Fifteen", figures.load_15}}},
        {"cpu_util", static_cast<uint64_t>(cpu_percent)},
        {"mem",
         {{"Total", figures.memory_total},
          {"Used", figures.memory_total - figures.memory_free},
          {"Free", figures.memory_free},
          {"BuffCache", figures.memory_cached},
          {"ActualFree", figures.memory_available},
          {"ActualUsed", used},
          {"SwapTotal", figures.swap_total},
          {"SwapFree", figures.swap_free},
          {"SwapUsed", figures.swap_total - figures.swap_free}}},
        {"proc",
         {{"CPU",
           {{"User", figures.user_ms},
            {"System", figures.system_ms},
            {"Total", busy_ms},
            {"LastTime", 0},
            {"Percent", cpu_percent}}},
          {"Mem",
           {{"Size", figures.process_size},
            {"Resident", figures.process_resident},
            {"Share", figures.process_shared}}}}}};
    if (role == Role::target) {
        const StoreUsage usage = call.service.usage();
        const uint64_t disk_used = usage.space.total_bytes -
                                   std::min(usage.space.total_bytes, usage.space.available_bytes);
        json["fs_used"] = std::to_string(disk_used);
        json["fs_capacity"] = std::to_string(usage.space.total_bytes);
        json["pct_fs_used"] = percent(disk_used, usage.space.total_bytes);
    }
    return json;
}

OrderedJson node_status_json(const Call& call, Role role) {
    return {{"status", ""},
            {"deployment", "linux"},
            {"ais_version", software_version(call.node)},
            {"build_time", ""},
            {"k8s_pod_name", ""},
            {"snode", node_json(call, role)},
            {"tracker", tracker_json(call, role)},
            {"capacity", capacity_json(call, role)},
            {"cluster", node_state_json(call)},
            {"sys_info", system_json(call, role)},
            {"smap_version", map_version()}};
}

OrderedJson node_stats_json(const Call& call, Role role) {
    return {{"snode", node_json(call, role)},
            {"tracker", tracker_json(call, role)},
            {"capacity", capacity_json(call, role)}};
}

OrderedJson disk_json(const Call& call) {
    OrderedJson json = {{"AllDiskStats", OrderedJson::object()}};
    json.update(capacity_json(call, Role::target));
    return json;
}

OrderedJson cluster_config_json(const Call& call) {
    OrderedJson json = configuration_json(call);
    json["uuid"] = call.node.cluster_uuid;
    json["proxy"]["primary_url"] = json["proxy"]["original_url"] = direct_url(call);
    json["net"]["http"]["use_https"] = call.request.is_tls;
    return json;
}

OrderedJson node_config_json(const Call& call, Role role) {
    const HostPort at = reached_at(call);
    OrderedJson paths = OrderedJson::object();
    if (role == Role::target) paths[call.node.data_path] = "";
    OrderedJson json = {{"fspaths", std::move(paths)},
                        {"confdir", ""},
                        {"log_dir", ""},
                        {"test_fspaths", {{"root", ""}, {"count", 0}, {"instance", 0}}},
                        {"host_net",
                         {{"hostname", at.host},
                          {"hostname_intra_control", at.host},
                          {"hostname_intra_data", at.host},
                          {"port", at.port},
                          {"port_intra_control", at.port},
                          {"port_intra_data", at.port}}}};
    json.update(cluster_config_json(call));
    return json;
}

}  // namespace penstock::node::ais
