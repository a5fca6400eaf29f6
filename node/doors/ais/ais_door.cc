#include "node/doors/ais/ais_door.h"

#include <algorithm>

#include "node/doors/ais/buckets.h"
#include "node/doors/ais/cluster.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/json.h"
#include "node/doors/ais/objects.h"
#include "node/doors/ais/routes.h"
#include "node/doors/bearer.h"

namespace penstock::node {
namespace {

using ais::Call;
using ais::FirstElement;
using ais::Reply;
using ais::Resource;
using io::http::Method;

constexpr std::string_view easy_providers[] = {"ais", "gs", "az"};

bool is_easy(std::string_view element) {
    return std::ranges::find(easy_providers, element) != std::end(easy_providers);
}

// Resources of the contract that are not built, whatever the method.
constexpr std::string_view later_resources[] = {"download", "sort", "etl", "ml"};

Resource resource_named(std::string_view element) {
    constexpr std::pair<std::string_view, Resource> names[] = {
        {"objects", Resource::objects}, {"buckets", Resource::buckets},
        {"health", Resource::health},   {"daemon", Resource::daemon},
        {"reverse", Resource::reverse}, {"cluster", Resource::cluster},
        {"tokens", Resource::tokens},
    };
    const auto* found =
        std::ranges::find(names, element, &std::pair<std::string_view, Resource>::first);
    if (found != std::end(names)) return found->second;
    const bool is_later = std::ranges::find(later_resources, element) != std::end(later_resources);
    return is_later ? Resource::later : Resource::none;
}

io::Task<Reply> refuse_path(Call& call) {
    co_return ais::refuse_uri(call);
}

// A caller who shows a token is told whether it counts; there are none to revoke: a token goes by
// taking it from the node's list.
io::Task<Reply> answer_token(const Call& call, std::string_view rest) {
    if (call.method() != Method::post || !rest.empty()) co_return ais::refuse_not_built("tokens");
    if (!call.access.is_required(call.core)) co_return ais::refuse(401, "", "token required");
    co_return ais::empty_response();
}

// Whoever lists all jobs asks for downloads and sorts, too: of those there are none.
io::Task<Reply> refuse_resource(Call& call, FirstElement resource) {
    const bool may_be_listed = resource.element == "download" || resource.element == "sort";
    if (may_be_listed && call.method() == Method::get && resource.rest.empty() &&
        !call.query.find_filled("uuid")) {
        CO_TRY(const auto json, co_await ais::read_json(call));
        if (!json && resource.element == "download") {
            co_return ais::refuse(400, "", "failed to unmarshal the query (download), err: EOF");
        }
        if (!json || ais::string_of(*json, "id").empty()) {
            co_return ais::json_response(call.request.buffers, "[]");
        }
    }
    co_return ais::refuse_not_built(resource.element);
}

}  // namespace

AisDoor::AisDoor(ObjectService& service, Jobs& jobs, const NodeIdentity& node, const Access& access,
                 io::Reactor& home)
    : service_(service),
      jobs_(jobs),
      node_(node),
      access_(access),
      statistics_(home),
      summaries_(service, home) {}

bool AisDoor::is_for(std::string_view path) {
    const std::string_view first = ais::split_first(path).element;
    return first == "v1" || is_easy(first);
}

io::Task<io::http::Response> AisDoor::handle(uint32_t core, io::http::Request& request) {
    const std::optional<io::http::Query> query = io::http::Query::parse(request.head.query);
    if (!query) co_return ais::error_response(request, node_, ais::refuse_escape().error());
    Call call{core, request, *query, service_, jobs_, node_, access_, request.head.path, {}};
    call.mountpaths = mountpaths_;
    call.certificate_of = &certificate_of_;
    call.load_certificate = &load_certificate_;
    call.log = log_;
    call.statistics = &statistics_;
    if (access_.is_required(core)) call.principal = bearer_principal(request.head);
    Reply reply = co_await route(call);
    // A handler that answers without having asked: our bug, and closed all the same.
    if (reply && !call.is_authorized) reply = ais::refuse(403, "", "not authorized");
    if (reply) co_return std::move(*reply);
    co_return ais::error_response(request, node_, reply.error());
}

io::http::Response AisDoor::refuse(io::BufferPool& buffers,
                                   const io::http::HeadError& error) const {
    return ais::error_response(buffers, node_, {error.status, "", error.reason, {}, false, true});
}

io::http::Response AisDoor::refuse_overload(const io::http::Request& request) const {
    ais::ApiError error{503, "ErrBusy", "too much is under way on this node: try again later"};
    error.headers.emplace_back("Retry-After", "1");
    return ais::error_response(request, node_, error);
}

io::Task<void> AisDoor::stop() {
    return summaries_.stop();
}

io::Task<Reply> AisDoor::route(Call& call) {
    const FirstElement first = ais::split_first(call.path);
    if (first.element == "v1") return route_v1(call, first.rest);
    return route_easy(call, first.element, first.rest);
}

io::Task<Reply> AisDoor::route_v1(Call& call, std::string_view rest) {
    const FirstElement resource = ais::split_first(rest);
    const Resource known = resource_named(resource.element);
    CO_TRY_STATUS(ais::authorize(call, known, resource.rest));
    co_return co_await serve(call, resource);
}

io::Task<Reply> AisDoor::serve(Call& call, FirstElement resource) {
    switch (call.resource) {
        case Resource::objects:
            return ais::handle_objects(call, resource.rest);
        case Resource::buckets:
            return ais::handle_buckets(call, resource.rest, summaries_);
        case Resource::health:
            return ais::handle_health(call);
        case Resource::daemon:
            return ais::handle_daemon(call, resource.rest);
        case Resource::reverse:
            return ais::handle_reverse(call, resource.rest);
        case Resource::cluster:
            return ais::handle_cluster(call, resource.rest);
        case Resource::tokens:
            return answer_token(call, resource.rest);
        case Resource::later:
            return refuse_resource(call, resource);
        case Resource::none:
            break;
    }
    return refuse_path(call);
}

// /ais/BUCKET/OBJECT for curl: the same calls with the provider in the path.
io::Task<Reply> AisDoor::route_easy(Call& call, std::string_view provider, std::string_view rest) {
    if (!is_easy(provider)) co_return ais::refuse_uri(call);
    call.path_provider = provider;
    const FirstElement bucket = ais::split_first(rest);
    const bool has_object = !bucket.rest.empty();
    CO_TRY_STATUS(ais::authorize(call, has_object ? Resource::objects : Resource::buckets, rest));
    if (has_object) co_return co_await ais::handle_objects(call, rest);
    if (call.method() == Method::put) {
        co_return ais::refuse(400, "", "missing destination object name in the \"easy URL\"");
    }
    co_return co_await ais::handle_buckets(call, rest, summaries_);
}

}  // namespace penstock::node
