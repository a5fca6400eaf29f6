#include "node/doors/admin.h"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <functional>

#include "io/cores.h"
#include "io/http/url.h"
#include "node/doors/bearer.h"
#include "node/store/mountpath_set.h"

namespace penstock::node {
namespace {

using io::http::Method;
using io::http::Response;

double process_cpu_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    uint64_t total_pages = 0;
    uint64_t resident_pages = 0;
    statm >> total_pages >> resident_pages;
    return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void write_requests(MetricsText& text, const RequestMetrics& requests) {
    text.family("penstock_requests_total", "counter", "Requests answered.");
    for (size_t door = 0; door < door_count; ++door) {
        for (size_t operation = 0; operation < operation_count; ++operation) {
            for (const auto& [status, count] : requests.counts(door, operation)) {
                text.sample("penstock_requests_total",
                            {{"door", door_names[door]},
                             {"op", operation_names[operation]},
                             {"code", std::to_string(status)}},
                            count);
            }
        }
    }
    text.family("penstock_request_bytes_total", "counter", "Bytes of bodies received and sent.");
    for (size_t operation = 0; operation < operation_count; ++operation) {
        const std::string_view name = operation_names[operation];
        text.sample("penstock_request_bytes_total", {{"op", name}, {"direction", "in"}},
                    requests.received_bytes(operation));
        text.sample("penstock_request_bytes_total", {{"op", name}, {"direction", "out"}},
                    requests.sent_bytes(operation));
    }
    text.family("penstock_request_seconds", "histogram",
                "From a request's head to its response, before that is sent.");
    for (size_t operation = 0; operation < operation_count; ++operation) {
        text.histogram("penstock_request_seconds", "op", operation_names[operation],
                       requests.durations(operation));
    }
}

double write_amplification(const StoreUsage& usage) {
    if (usage.compacted_bytes >= usage.log_bytes) return 1;
    return static_cast<double>(usage.log_bytes) /
           static_cast<double>(usage.log_bytes - usage.compacted_bytes);
}

void write_store(MetricsText& text, const StoreUsage& usage) {
    const auto gauge = [&text](std::string_view name, std::string_view help, uint64_t value) {
        text.family(name, "gauge", help);
        text.sample(name, {}, value);
    };
    gauge("penstock_objects", "Objects stored.", usage.objects);
    gauge("penstock_store_parts", "Parts of striped objects and of open uploads, and those.",
          usage.hidden_objects);
    gauge("penstock_object_bytes", "Bytes of content stored.", usage.object_bytes);
    gauge("penstock_log_disk_bytes", "Bytes that the store's files occupy.", usage.disk_bytes);
    gauge("penstock_log_disk_available_bytes", "Bytes left on the file system.",
          usage.space.available_bytes);
    gauge("penstock_store_live_bytes", "Bytes of records in the log that are current.",
          usage.live_bytes);
    gauge("penstock_store_segment_bytes", "Bytes of the log's files.", usage.segment_bytes);
    const auto counter = [&text](std::string_view name, std::string_view help, uint64_t value) {
        text.family(name, "counter", help);
        text.sample(name, {}, value);
    };
    counter("penstock_store_log_bytes_total", "Bytes logged since the start.", usage.log_bytes);
    counter("penstock_store_compacted_bytes_total",
            "Bytes logged again by compaction since the start.", usage.compacted_bytes);
    counter("penstock_store_freed_bytes_total",
            "Bytes of segments that compaction removed since the start.", usage.freed_bytes);
    counter("penstock_store_freed_segments_total",
            "Segments that compaction removed since the start.", usage.freed_segments);
    counter("penstock_store_lost_objects_total",
            "Damaged objects whose records went to the quarantine since the start.",
            usage.lost_objects);
    counter("penstock_scrub_objects_total",
            "Objects that were verified on the device and are whole, since the start.",
            usage.verified_objects);
    counter("penstock_scrub_bytes_total", "Bytes that were verified for them.",
            usage.verified_bytes);
    text.family("penstock_store_write_amplification", "gauge",
                "Bytes logged for each byte that clients had logged, since the start.");
    text.sample("penstock_store_write_amplification", {}, write_amplification(usage));
    text.family("penstock_store_corruptions_total", "counter",
                "Bytes, records or copies that failed their check since the start.");
    text.sample("penstock_store_corruptions_total", {}, usage.corruptions);
}

void write_mountpaths(MetricsText& text, const std::vector<MountpathFigures>& all) {
    struct Family {
        std::string_view name;
        std::string_view type;
        std::string_view help;
        std::function<uint64_t(const MountpathFigures&)> value;
    };
    const Family families[] = {
        {"penstock_mountpath_in_service", "gauge", "1: it is; 0: its objects answer errors.",
         [](const MountpathFigures& of) { return uint64_t{of.out.empty()}; }},
        {"penstock_mountpath_objects", "gauge", "Objects whose names belong to it.",
         [](const MountpathFigures& of) { return of.usage.objects; }},
        {"penstock_mountpath_parts", "gauge", "Parts that lie on it.",
         [](const MountpathFigures& of) { return of.usage.hidden_objects; }},
        {"penstock_mountpath_used_bytes", "gauge", "Bytes that the store's files occupy on it.",
         [](const MountpathFigures& of) { return of.usage.disk_bytes; }},
        {"penstock_mountpath_available_bytes", "gauge", "Bytes left on its file system.",
         [](const MountpathFigures& of) { return of.usage.space.available_bytes; }},
        {"penstock_mountpath_capacity_bytes", "gauge", "Bytes of its file system.",
         [](const MountpathFigures& of) { return of.usage.space.total_bytes; }},
        {"penstock_mountpath_log_failures_total", "counter",
         "Segments given up after an error of its device, since the start.",
         [](const MountpathFigures& of) { return of.usage.log_failures; }},
        {"penstock_mountpath_corruptions_total", "counter",
         "Bytes or records on it that failed their check since the start.",
         [](const MountpathFigures& of) { return of.usage.corruptions; }},
    };
    for (const Family& family : families) {
        text.family(family.name, family.type, family.help);
        for (const MountpathFigures& of : all) {
            text.sample(family.name, {{"mountpath", of.path}}, family.value(of));
        }
    }
}

void write_admission(MetricsText& text, const CoreFigures& sum) {
    text.family("penstock_buffer_bytes", "gauge", "Of bodies that are coming or going.");
    text.sample("penstock_buffer_bytes", {}, sum.buffer_bytes);
    text.family("penstock_in_flight", "gauge", "Requests begun and not answered.");
    for (size_t work = 0; work < bounded_class_count; ++work) {
        text.sample("penstock_in_flight", {{"class", work_class_names[work]}}, sum.in_flight[work]);
    }
    text.family("penstock_refused_total", "counter", "Requests refused because of overload.");
    for (size_t work = 0; work < bounded_class_count; ++work) {
        text.sample("penstock_refused_total", {{"class", work_class_names[work]}},
                    sum.refused[work]);
    }
}

void write_process(MetricsText& text, const NodeIdentity& node, const CoreFigures& sum) {
    text.family("penstock_connections", "gauge", "Open connections.");
    text.sample("penstock_connections", {{"door", "http"}}, sum.http_connections);
    text.sample("penstock_connections", {{"door", "rpc"}}, sum.rpc_connections);
    text.family("penstock_batch_bytes", "gauge", "Memory of batches that clients hold leases of.");
    text.sample("penstock_batch_bytes", {}, sum.batch_bytes);
    write_admission(text, sum);
    text.family("penstock_cpu_seconds_total", "counter",
                "CPU time of the whole process; it is not told apart by operation yet.");
    text.sample("penstock_cpu_seconds_total", {{"op", "all"}}, process_cpu_seconds());
    text.family("penstock_reactor_busy_seconds_total", "counter", "Time that loops did work.");
    text.sample("penstock_reactor_busy_seconds_total", {}, static_cast<double>(sum.busy_ns) / 1e9);
    text.family("penstock_build_info", "gauge", "What runs here.");
    text.sample("penstock_build_info", {{"version", node.version}, {"io_backend", node.io_backend}},
                uint64_t{1});
    text.family("process_resident_memory_bytes", "gauge", "Resident memory.");
    text.sample("process_resident_memory_bytes", {}, resident_bytes());
    text.family("process_cpu_seconds_total", "counter", "User and system time.");
    text.sample("process_cpu_seconds_total", {}, process_cpu_seconds());
}

io::Task<CoreFigures> figures_of(const AdminDoor::Core& core) {
    co_return core.figures();
}

Response make_response(io::http::Request& request, uint16_t status, std::string_view type,
                       std::string_view text) {
    Response response{io::http::ResponseHead(status), {}, {}, true, false};
    response.head.add("Content-Type", type);
    if (request.head.method == Method::head) {
        response.length_only = text.size();
    } else {
        response.body = io::Body::copy_of(request.buffers, as_bytes(text));
    }
    return response;
}

}  // namespace

io::Task<std::string> AdminDoor::metrics_text(uint32_t core) {
    CoreFigures sum;
    for (const Core& other : cores_) {
        const CoreFigures figures = co_await io::on_core(*cores_[core].reactor, *other.reactor,
                                                         [&other] { return figures_of(other); });
        sum.requests.add(figures.requests);
        sum.http_connections += figures.http_connections;
        sum.rpc_connections += figures.rpc_connections;
        sum.batch_bytes += figures.batch_bytes;
        sum.busy_ns += figures.busy_ns;
        sum.buffer_bytes += figures.buffer_bytes;
        for (size_t work = 0; work < bounded_class_count; ++work) {
            sum.in_flight[work] += figures.in_flight[work];
            sum.refused[work] += figures.refused[work];
        }
    }
    MetricsText text;
    write_requests(text, sum.requests);
    write_store(text, service_.usage());
    if (mountpaths_ != nullptr) write_mountpaths(text, co_await mountpaths_->figures(core));
    text.family("penstock_buckets", "gauge", "Buckets.");
    text.sample("penstock_buckets", {}, uint64_t{service_.buckets(core).size()});
    text.family("penstock_metadata_version", "counter", "Changes of the metadata.");
    text.sample("penstock_metadata_version", {}, service_.metadata_version(core));
    write_process(text, node_, sum);
    co_return text.text();
}

io::Task<Response> AdminDoor::handle(uint32_t core, io::http::Request& request, bool is_draining) {
    if (request.head.method != Method::get && request.head.method != Method::head) {
        Response response =
            make_response(request, 405, "text/plain; charset=utf-8", "Method Not Allowed\n");
        response.head.add("Allow", "GET, HEAD");
        co_return response;
    }
    if (request.head.path == "/health") {
        const auto query = io::http::Query::parse(request.head.query);
        const bool asks_readiness =
            query && query->find_filled("readiness").value_or("false") == "true";
        if (asks_readiness && is_draining) {
            co_return make_response(request, 503, "text/plain; charset=utf-8", "stopping\n");
        }
        co_return make_response(request, 200, "text/plain; charset=utf-8", "ok\n");
    }
    const Principal who = bearer_principal(request.head);
    if (access_.decide(core, who, access::any_role, nullptr) != Decision::allowed) {
        Response response =
            make_response(request, 401, "text/plain; charset=utf-8", "a token is required\n");
        response.head.add("WWW-Authenticate", bearer_challenge);
        co_return response;
    }
    const std::string text = co_await metrics_text(core);
    co_return make_response(request, 200, "text/plain; version=0.0.4; charset=utf-8", text);
}

}  // namespace penstock::node
