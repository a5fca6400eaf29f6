#include "node/doors/ais/names.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/doors/ais/json.h"
#include "node/store/object_name.h"

namespace penstock::node::ais {
namespace {

struct Provider {
    std::string_view name;
    std::string_view alias;  // also how it is written in URLs
    std::string_view title;
};

constexpr Provider providers[] = {
    {"ais", "ais", "AIS"},    {"aws", "s3", "AWS"}, {"gcp", "gs", "GCP"},
    {"azure", "az", "Azure"}, {"oci", "oc", "OCI"},
};

const Provider& provider_named(std::string_view name) {
    return *std::ranges::find(providers, name, &Provider::name);
}

bool is_namespace_part(std::string_view text) {
    constexpr size_t part_bytes_max = 32;
    constexpr std::string_view allowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    return text.size() <= part_bytes_max &&
           text.find_first_not_of(allowed) == std::string_view::npos;
}

std::string bucket_name_fault(std::string_view name) {
    constexpr size_t name_bytes_max = 64;
    if (name.size() > name_bytes_max) {
        return fmt::format("bucket name is too long: {} > {}(max length)", name.size(),
                           name_bytes_max);
    }
    if (name.starts_with('.')) {
        return fmt::format("reserved bucket name \"{}\" (unknown system bucket)", name);
    }
    return "bucket name is invalid: may only contain letters, numbers, dashes (-), underscores "
           "(_), and dots (.)";
}

// Most names have no escape in them, and then there is nothing to undo.
std::optional<std::string> unescape(std::string_view text) {
    if (!text.contains('%')) return std::string(text);
    return io::http::unescape_path(text);
}

}  // namespace

std::unexpected<ApiError> refuse_escape() {
    return std::unexpected(ApiError{400, "", "400 Bad Request", {}, true, true});
}

std::unexpected<ApiError> refuse_uri(const Call& call) {
    return refuse(400, "",
                  fmt::format("invalid request URI: '{} {}' from {}", call.request.head.method_text,
                              call.request.head.path, call.request.peer));
}

std::unexpected<ApiError> refuse_short(const Call& call, int expected, int got) {
    std::string_view path = call.path;
    path.remove_prefix(std::min<size_t>(path.size(), 1));
    return refuse(
        400, "",
        fmt::format("URL '{}' is too short: expected {} items, got {}", path, expected, got));
}

std::expected<std::string_view, ApiError> provider_from(const Call& call) {
    std::string_view text = call.path_provider;
    if (text.empty()) text = call.query.find_filled("provider").value_or("ais");
    for (const Provider& provider : providers) {
        if (text == provider.name || text == provider.alias) return provider.name;
    }
    return refuse(400, "ErrInvalidBackendProvider",
                  fmt::format("invalid backend provider \"{}\": must be one of [ais, aws (s3://), "
                              "gcp (gs://), azure (az://), oci (oc://)]",
                              text));
}

std::string_view provider_scheme(std::string_view provider) {
    return provider_named(provider).alias;
}

std::string missing_backend(std::string_view provider) {
    return fmt::format("{} backend is missing in the cluster configuration",
                       provider_named(provider).title);
}

std::expected<void, ApiError> set_namespace(std::string_view text, BucketName& into) {
    const bool is_marked = text.starts_with('@');
    if (is_marked) text.remove_prefix(1);
    const size_t hash = text.find('#');
    const std::string_view uuid = text.substr(0, hash);
    const std::string_view name =
        hash == std::string_view::npos ? std::string_view() : text.substr(hash + 1);
    if (!is_namespace_part(uuid) || !is_namespace_part(name)) {
        return refuse(400, "",
                      fmt::format("bucket namespace (uuid: \"{}\", name: \"{}\") must be less than "
                                  "32 characters and may only contain letters, numbers, dashes "
                                  "(-), underscores (_)",
                                  uuid, name));
    }
    into.namespace_uuid = uuid;
    into.namespace_name = name;
    return {};
}

std::expected<BucketName, ApiError> any_bucket_from(const Call& call,
                                                    std::string_view escaped_name) {
    BucketName bucket;
    std::optional<std::string> name = unescape(escaped_name);
    if (!name) return refuse_escape();
    TRY(const std::string_view provider, provider_from(call));
    if (const auto text = call.query.find_filled("namespace")) {
        TRY_STATUS(set_namespace(*text, bucket));
    }
    bucket.provider = provider;
    bucket.name = std::move(*name);
    if (!check_bucket_name(bucket.name)) return refuse(400, "", bucket_name_fault(bucket.name));
    return bucket;
}

std::expected<BucketName, ApiError> bucket_from(const Call& call, std::string_view escaped_name) {
    TRY(BucketName bucket, any_bucket_from(call, escaped_name));
    if (bucket.provider != "ais") {
        return refuse(404, "ErrFailedTo",
                      fmt::format("p[{}]: failed to lookup bucket {}://{}, err: {}",
                                  gateway_id(call.node), provider_scheme(bucket.provider),
                                  bucket.name, missing_backend(bucket.provider)));
    }
    return bucket;
}

std::expected<BucketName, ApiError> bucket_from_uname(std::string_view uname) {
    const std::string_view whole = uname;
    const auto refuse_uname = [whole] {
        return refuse(400, "", fmt::format("invalid destination \"{}\"", whole));
    };
    std::string_view parts[2];
    for (std::string_view& part : parts) {
        const size_t slash = uname.find('/');
        if (slash == std::string_view::npos) return refuse_uname();
        part = uname.substr(0, slash);
        uname.remove_prefix(slash + 1);
    }
    if (uname.ends_with('/')) uname.remove_suffix(1);
    BucketName name;
    TRY_STATUS(set_namespace(parts[1], name));
    name.name = uname;
    if (parts[0] != "ais") return refuse(501, "ErrNotImpl", missing_backend(parts[0]));
    if (!check_bucket_name(name.name)) return refuse(400, "", bucket_name_fault(name.name));
    return name;
}

std::expected<BucketName, ApiError> bucket_from_json(const nlohmann::json& json) {
    BucketName bucket;
    bucket.name = string_of(json, "name");
    const std::string provider = string_of(json, "provider", "ais");
    if (!provider.empty()) bucket.provider = provider;
    const auto space = json.find("namespace");
    if (space != json.end() && space->is_object()) {
        TRY_STATUS(set_namespace(
            fmt::format("@{}#{}", string_of(*space, "uuid"), string_of(*space, "name")), bucket));
    }
    if (!bucket.name.empty() && !check_bucket_name(bucket.name)) {
        return refuse(400, "", bucket_name_fault(bucket.name));
    }
    return bucket;
}

std::expected<std::shared_ptr<const Bucket>, ApiError> find_bucket(const Call& call,
                                                                   const BucketName& name) {
    std::shared_ptr<const Bucket> bucket = call.service.find_bucket(call.core, name);
    if (!bucket) return std::unexpected(bucket_missing(name));
    return bucket;
}

std::expected<ObjectTarget, ApiError> object_from(const Call& call, std::string_view bucket,
                                                  std::string_view object) {
    TRY(const BucketName name, bucket_from(call, bucket));
    std::optional<std::string> object_name = unescape(object);
    if (!object_name) return refuse_escape();
    if (!check_object_name(*object_name)) {
        return refuse(400, "errInvalidPath",
                      fmt::format("invalid object name \"{}\"", *object_name));
    }
    TRY(std::shared_ptr<const Bucket> found, find_bucket(call, name));
    return ObjectTarget{std::move(found), std::move(*object_name)};
}

}  // namespace penstock::node::ais
