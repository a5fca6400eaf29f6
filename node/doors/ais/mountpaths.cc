#include "node/doors/ais/mountpaths.h"

#include <algorithm>
#include <filesystem>

#include "node/doors/ais/errors.h"
#include "node/doors/ais/text.h"
#include "node/store/mountpath_set.h"

namespace penstock::node::ais {
namespace {

using io::http::Method;

Reply reply_to(const Status& status, std::string_view path) {
    if (status) return empty_response();
    const Error& error = status.error();
    switch (error.code) {
        case Errc::not_found:
            return refuse(404, "", error.context);
        case Errc::exists:
        case Errc::condition_failed:
            return refuse(409, "", error.context);
        default:
            return std::unexpected(api_error(error, path));
    }
}

Reply reply_to(const Result<bool>& changed, std::string_view path) {
    if (!changed) return reply_to(Status(fail(changed.error())), path);
    return empty_response(*changed ? 200 : 204);
}

// As the set names them: absolute, without anything to be resolved at its end.
std::string path_from(const Json& value) {
    if (!value.is_string()) return {};
    const std::filesystem::path path(value.get<std::string>());
    if (!path.is_absolute()) return {};
    std::string text = path.lexically_normal().string();
    while (text.size() > 1 && text.ends_with('/')) text.pop_back();
    return text;
}

io::Task<Status> find(Call& call, const std::string& path) {
    for (const MountpathFigures& figures : co_await call.mountpaths->figures(call.core)) {
        if (figures.path == path) co_return Status();
    }
    co_return fail(Errc::not_found, path + " is no mountpath of this node");
}

}  // namespace

io::Task<OrderedJson> mountpaths_json(Call& call) {
    OrderedJson available = OrderedJson::array();
    OrderedJson leaving = OrderedJson::array();
    OrderedJson disabled = OrderedJson::array();
    if (call.mountpaths == nullptr) {
        available.push_back(call.node.data_path);
    } else {
        for (const MountpathFigures& figures : co_await call.mountpaths->figures(call.core)) {
            OrderedJson& list = !figures.out.empty()                       ? disabled
                                : figures.state == MountpathState::leaving ? leaving
                                                                           : available;
            list.push_back(figures.path);
        }
    }
    co_return OrderedJson{{"available", std::move(available)},
                          {"waiting_dd", std::move(leaving)},
                          {"disabled", std::move(disabled)}};
}

io::Task<Reply> change_mountpaths(Call& call, const Action& action) {
    if (call.mountpaths == nullptr) co_return refuse_not_built(action.action);
    MountpathSet& set = *call.mountpaths;
    const std::string path = path_from(action.value);
    if (path.empty()) {
        co_return refuse(400, "", "the value must be a mountpath: an absolute path");
    }
    if (action.action == "attach-mp")
        co_return reply_to(co_await set.attach(call.core, path), path);
    if (action.action == "detach-mp") {
        const bool gives_up = boolean_from(call.query.find("dntres").value_or("")).value_or(false);
        co_return reply_to(co_await set.detach(call.core, path, gives_up), path);
    }
    if (action.action == "enable-mp")
        co_return reply_to(co_await set.enable(call.core, path), path);
    if (action.action == "disable-mp") {
        co_return reply_to(co_await set.disable(call.core, path), path);
    }
    // Looked at all the time: there is nothing to begin.
    if (action.action == "fshc-mp") co_return reply_to(co_await find(call, path), path);
    if (action.action == "rescan-mp") {
        Status settled = co_await find(call, path);
        if (settled) settled = co_await set.settle(call.core);
        co_return reply_to(settled, path);
    }
    co_return refuse(400, "", "invalid action \"" + action.action + "\"");
}

}  // namespace penstock::node::ais
