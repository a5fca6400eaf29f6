// Call: one request on its way through the AIStore door, and what a handler answers to it.
//
// Lives in the frame of AisDoor::handle() on the core that the request came to; handlers take
// references to it and are done before it goes.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "io/http/connection.h"
#include "io/http/url.h"
#include "node/jobs/registry.h"
#include "node/node_identity.h"
#include "node/service/access.h"
#include "node/service/object_service.h"

namespace penstock {
class RecentLog;
}  // namespace penstock

namespace penstock::node {
class MountpathSet;
struct MountpathFigures;
}  // namespace penstock::node

namespace penstock::node::ais {

// A refusal in the contract's form (section 1.6).
struct ApiError {
    uint16_t status = 400;
    std::string_view tcode;  // a literal; "" where the reference has none
    std::string message;
    std::vector<std::pair<std::string_view, std::string>> headers;  // Allow, Content-Range, ...
    bool is_plain_text = false;  // the message alone, as text/plain: what Go's own server answers
    bool closes = false;
};

using Reply = std::expected<io::http::Response, ApiError>;

// What the first element of a path stands for; `later`: resources that are not built.
enum class Resource : uint8_t {
    none,
    objects,
    buckets,
    health,
    daemon,
    reverse,
    cluster,
    later,
    tokens
};

// What a request is about.
enum class Place : uint8_t { cluster, bucket, object };

// A core's certificate; null if it has none.
using CertificateOf = std::function<const io::TlsContext*(uint32_t core)>;
// Reads the node's certificate again. Asked for on any core; `not_found`: it has none.
using LoadCertificate = std::function<io::Task<Status>(uint32_t core)>;
class Statistics;

struct Call {
    uint32_t core;
    io::http::Request& request;
    const io::http::Query& query;
    ObjectService& service;
    Jobs& jobs;
    const NodeIdentity& node;
    const Access& access;
    // The path as it counts here, still escaped: easy URLs are rewritten to their /v1 form.
    std::string_view path;
    // What an easy URL says the provider is; "" elsewhere.
    std::string_view path_provider;

    // Who asks, and what for, as far as it is known (routes.h). Nothing is answered with success
    // before the call is authorized.
    Principal principal;
    Resource resource = Resource::none;
    Place place = Place::cluster;
    std::optional<BucketName> bucket;
    bool is_authorized = false;
    MountpathSet* mountpaths = nullptr;  // null: of a service without disks
    // Of each of them, once a query that shows them has asked.
    std::shared_ptr<const std::vector<MountpathFigures>> mountpath_figures;
    const CertificateOf* certificate_of = nullptr;      // may be empty
    const LoadCertificate* load_certificate = nullptr;  // may be empty
    RecentLog* log = nullptr;                           // null: none is kept
    Statistics* statistics = nullptr;
    // What is counted, once a query that shows it has asked.
    std::shared_ptr<const nlohmann::ordered_json> tracker;

    io::http::Method method() const { return request.head.method; }
    bool is_head() const { return request.head.method == io::http::Method::head; }
};

}  // namespace penstock::node::ais
