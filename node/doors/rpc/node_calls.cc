#include <fmt/format.h>

#include "io/base/units.h"
#include "node/doors/rpc/calls.h"
#include "node/store/mountpath_set.h"

namespace penstock::node::rpc {
namespace {

void write_parameters(Writer& writer, std::span<const Parameter> parameters) {
    writer.array(parameters.size());
    for (const Parameter& parameter : parameters) {
        writer.map(4);
        writer.pair("name", text_of(parameter.name));
        writer.pair("type", name_of(parameter.type));
        writer.text("required");
        writer.boolean(parameter.is_required);
        writer.pair("doc", parameter.doc);
    }
}

void write_method(Writer& writer, const Method& method) {
    writer.map(6);
    writer.pair("name", method.name);
    writer.pair("doc", method.doc);
    writer.text("params");
    write_parameters(writer, method.parameters);
    writer.text("result");
    writer.array(method.results.size());
    for (const ResultField& field : method.results) {
        writer.map(3);
        writer.pair("name", field.name);
        writer.pair("type", name_of(field.type));
        writer.pair("doc", field.doc);
    }
    writer.text("changes");
    writer.boolean(method.changes);
    writer.text("errors");
    writer.array(method.errors.size());
    for (const Code code : method.errors) writer.number(static_cast<uint64_t>(code));
}

}  // namespace

io::Task<void> describe(Call& call) {
    Writer writer = call.reply();
    writer.map(5);
    writer.pair("version", call.context().node.version);
    writer.text("methods");
    writer.array(methods().size());
    for (const Method& method : methods()) write_method(writer, method);
    writer.text("errors");
    writer.array(codes.size());
    for (const CodeText& code : codes) {
        writer.map(3);
        writer.pair("code", static_cast<uint64_t>(code.code));
        writer.pair("name", code.name);
        writer.pair("doc", code.doc);
    }
    writer.text("limits");
    writer.map(limits().size());
    for (const Limit& limit : limits()) writer.pair(limit.name, limit.value);
    writer.text("notifications");
    writer.array(1);
    writer.map(2);
    writer.pair("name", "lease.release");
    writer.pair("doc", "Any method may be sent as a notification; this one usually is.");
    co_return;
}

io::Task<void> ping(Call& call) {
    Writer writer = call.reply();
    writer.map(1);
    writer.pair("time_ns", call.context().reactor.clock().wall_ns());
    co_return;
}

io::Task<void> log_in(Call& call) {
    const bool is_required = call.context().access.is_required(call.core());
    if (is_required && !call.log_in(call.arguments().text(Name::token))) {
        co_return call.fail(Code::unauthenticated, "there is no such token");
    }
    Writer writer = call.reply();
    writer.map(2);
    writer.text("required");
    writer.boolean(is_required);
    writer.pair("message", is_required ? "logged in"
                                       : "access control is off on this node: every call is "
                                         "allowed without a token");
}

io::Task<void> node_status(Call& call) {
    const NodeIdentity& node = call.context().node;
    const StoreUsage usage = call.service().usage();
    const uint64_t now_ns = call.context().reactor.clock().wall_ns();
    std::vector<MountpathFigures> all;
    if (call.context().mountpaths != nullptr) {
        all = co_await call.context().mountpaths->figures(call.core());
    } else {
        all.push_back({.path = node.data_path, .usage = usage});
    }
    Writer writer = call.reply();
    writer.map(10);
    writer.pair("node", node.node_id);
    writer.pair("version", node.version);
    writer.pair("uptime_s", (now_ns - std::min(now_ns, node.started_ns)) / ns_per_s);
    writer.pair("buckets", visible_buckets(call).size());
    writer.pair("objects", usage.objects);
    writer.pair("bytes", usage.object_bytes);
    writer.pair("io_backend", node.io_backend);
    writer.pair("cores", node.cores);
    writer.pair("pid", node.pid);
    writer.text("mountpaths");
    writer.array(static_cast<uint32_t>(all.size()));
    for (const MountpathFigures& of : all) {
        writer.map(6);
        writer.text("path");
        writer.name(of.path);
        writer.text("in_service");
        writer.boolean(of.out.empty());
        writer.pair("objects", of.usage.objects);
        writer.pair("total_bytes", of.usage.space.total_bytes);
        writer.pair("available_bytes", of.usage.space.available_bytes);
        writer.pair("corruptions", of.usage.corruptions);
    }
}

io::Task<void> cluster_status(Call& call) {
    const NodeIdentity& node = call.context().node;
    Writer writer = call.reply();
    writer.map(3);
    writer.pair("cluster", node.cluster_uuid);
    writer.pair("version", call.service().metadata_version(call.core()));
    writer.text("nodes");
    writer.array(1);
    writer.map(6);
    writer.pair("node", node.node_id);
    writer.pair("state", "online");
    writer.text("roles");
    writer.array(2);
    writer.text("target");
    writer.text("gateway");
    writer.pair("http", node.http_address);
    writer.pair("rpc", node.rpc_address);
    writer.pair("version", node.version);
    co_return;
}

io::Task<void> release_lease(Call& call) {
    if (!call.leases().release(call.arguments().at(Name::lease)->number)) {
        call.fail(Code::not_found, "this connection holds no such lease");
        co_return;
    }
    call.reply().map(0);
}

}  // namespace penstock::node::rpc
