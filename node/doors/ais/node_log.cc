#include "node/doors/ais/node_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "archive/gzip.h"
#include "archive/tar_writer.h"
#include "io/base/recent_log.h"
#include "io/base/units.h"
#include "node/doors/ais/cluster_shapes.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/json.h"
#include "node/doors/ais/text.h"

namespace penstock::node::ais {
namespace {

using Which = RecentLog::Which;

// Every log begins so, and is never empty: offsets count it.
std::string head_of(const Call& call) {
    return fmt::format("Started up at {}, host {}\nNode t[{}], Version {}, cores {}\n",
                       go_time(call.node.started_ns, "2006/01/02 15:04:05"), call.node.host_name,
                       call.node.node_id, software_version(call.node), call.node.cores);
}

RecentLog::Parts parts_of(const Call& call, Which which) {
    return call.log == nullptr ? RecentLog::Parts() : call.log->parts(which);
}

void append_file(std::vector<std::byte>& tar, const Call& call, std::string_view name,
                 std::string_view text) {
    if (text.empty()) return;
    const uint64_t now_s = call.request.reactor.clock().wall_ns() / ns_per_s;
    const archive::TarEntry entry{.name = name, .size = text.size(), .modified_s = now_s};
    const size_t at = tar.size();
    const size_t header_bytes = archive::tar_header_bytes(entry);
    tar.resize(at + header_bytes);
    archive::put_tar_header(MutableBytes(tar).subspan(at), entry);
    const Bytes content = as_bytes(text);
    tar.insert(tar.end(), content.begin(), content.end());
    tar.resize(tar.size() + archive::tar_padding_bytes(text.size()));
}

Reply archive_of(const Call& call) {
    std::vector<std::byte> tar;
    constexpr std::pair<Which, std::string_view> logs[] = {{Which::all, "INFO"},
                                                           {Which::warnings, "ERROR"}};
    for (const auto& [which, name] : logs) {
        const RecentLog::Parts parts = parts_of(call, which);
        append_file(tar, call, fmt::format("penstockd.{}.log", name), head_of(call) + parts.now);
        append_file(tar, call, fmt::format("penstockd.{}.before.log", name), parts.before);
    }
    tar.resize(tar.size() + archive::tar_end_bytes);
    io::http::Response response{io::http::ResponseHead(200), {}, {}, true, false};
    response.head.add("Content-Type", "application/x-gzip");
    response.body = io::Body::copy_of(call.request.buffers, archive::gzip(tar));
    return response;
}

}  // namespace

Reply log_of(const Call& call) {
    const std::string_view severity = call.query.find_filled("severity").value_or("info");
    if (severity != "info" && severity != "warning" && severity != "error") {
        return refuse(400, "", fmt::format("unknown log severity \"{}\"", severity));
    }
    const auto wants_all = boolean_from(call.query.find("all").value_or(""));
    if (!wants_all) return refuse(400, "", "\"all\" must be true or false");
    if (*wants_all) return archive_of(call);
    const std::string text =
        head_of(call) + parts_of(call, severity == "info" ? Which::all : Which::warnings).now;
    const uint64_t offset = number_from(call.query.find_filled("offset").value_or("0")).value_or(0);
    const std::string_view rest =
        std::string_view(text).substr(std::min<uint64_t>(offset, text.size()));
    return text_response(call.request.buffers, rest);
}

void rotate_log(const Call& call) {
    if (call.log != nullptr) call.log->rotate();
}

}  // namespace penstock::node::ais
