#include "node/doors/ais/conditions.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/doors/ais/errors.h"
#include "node/doors/ais/text.h"
#include "node/store/version.h"

namespace penstock::node::ais {
namespace {

constexpr uint64_t ns_per_second = 1'000'000'000;

std::string_view trimmed(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    return text.substr(0, text.find_last_not_of(" \t") + 1);
}

// A date in the header `name` before which the object was changed last: true; later or no date:
// `otherwise`.
bool is_unchanged_since(const Call& call, std::string_view name, const ObjectAttributes& attributes,
                        bool otherwise) {
    const auto seconds = seconds_from_http_date(call.request.head.find(name));
    if (!seconds) return otherwise;
    return attributes.modified_ns / ns_per_second <= *seconds;
}

io::http::Response not_modified(const ObjectAttributes& attributes, std::string_view etag) {
    io::http::Response response{io::http::ResponseHead(304), {}, {}, false, false};
    response.head.add("ETag", etag);
    response.head.add("Last-Modified", http_date(attributes.modified_ns));
    return response;
}

std::unexpected<ApiError> refuse_condition() {
    return refuse(412, "ErrPreconditionFailed", "the object is not the one that was asked for");
}

bool has_conditions(const io::http::RequestHead& head) {
    return head.has("If-Match") || head.has("If-None-Match") || head.has("If-Modified-Since") ||
           head.has("If-Unmodified-Since");
}

}  // namespace

bool names_etag(std::string_view list, std::string_view etag, bool is_weak_enough) {
    while (!list.empty()) {
        const size_t comma = list.find(',');
        std::string_view tag = trimmed(list.substr(0, comma));
        if (tag == "*") return true;
        const bool is_weak = tag.starts_with("W/");
        if (is_weak) tag.remove_prefix(2);
        if (tag == etag && (is_weak_enough || !is_weak)) return true;
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    }
    return false;
}

std::optional<Reply> unmet_condition(const Call& call, const ObjectAttributes& attributes) {
    const io::http::RequestHead& head = call.request.head;
    if (!has_conditions(head)) return std::nullopt;
    const std::string etag = etag_from_version(attributes.version);
    if (head.has("If-Match")) {
        if (!names_etag(head.find("If-Match"), etag, false)) return refuse_condition();
    } else if (!is_unchanged_since(call, "If-Unmodified-Since", attributes, true)) {
        return refuse_condition();
    }
    if (head.has("If-None-Match")) {
        if (names_etag(head.find("If-None-Match"), etag, true)) {
            return not_modified(attributes, etag);
        }
    } else if (is_unchanged_since(call, "If-Modified-Since", attributes, false)) {
        return not_modified(attributes, etag);
    }
    return std::nullopt;
}

bool is_range_meant(const Call& call, const ObjectAttributes& attributes) {
    const std::string_view validator = call.request.head.find("If-Range");
    if (validator.empty()) return true;
    if (validator.contains('"')) {
        return names_etag(validator, etag_from_version(attributes.version), false);
    }
    const auto seconds = seconds_from_http_date(validator);
    return seconds && attributes.modified_ns / ns_per_second == *seconds;
}

ApiError condition_failed(const ObjectTarget& target) {
    return {412,
            "ErrPreconditionFailed",
            fmt::format("{} is not the version that was asked for", target.url()),
            {},
            false,
            false};
}

io::Task<std::expected<Condition, ApiError>> write_condition(Call& call,
                                                             const ObjectTarget& target) {
    const io::http::RequestHead& head = call.request.head;
    const bool has_match = head.has("If-Match");
    const std::string_view match = trimmed(head.find("If-Match"));
    const std::string_view none_match = trimmed(head.find("If-None-Match"));
    if (!has_match && none_match.empty()) co_return Condition();
    // The common ones need no look at what is there.
    if (!has_match && none_match == "*") co_return Condition{Condition::Kind::absent, {}};
    if (has_match && none_match.empty() && !match.contains(',') && match != "*") {
        const auto version = match.starts_with('"') ? version_from_etag(match) : std::nullopt;
        if (!version) co_return std::unexpected(condition_failed(target));
        co_return Condition{Condition::Kind::exactly, *version};
    }

    const auto current = co_await call.service.stat(call.core, target.address());
    if (!current && current.error().code != Errc::not_found) {
        co_return std::unexpected(api_error(current.error(), target.url()));
    }
    const std::string etag = current ? etag_from_version(current->version) : "";
    const bool holds = (!has_match || (current && names_etag(match, etag, false))) &&
                       (none_match.empty() || !current || !names_etag(none_match, etag, true));
    if (!holds) co_return std::unexpected(condition_failed(target));
    // It held a moment ago; at the commit the object must still be what was looked at.
    if (!current) co_return Condition{Condition::Kind::absent, {}};
    co_return Condition{Condition::Kind::exactly, current->version};
}

}  // namespace penstock::node::ais
