#include "node/doors/ais/uploads.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/doors/ais/checksums.h"
#include "node/doors/ais/conditions.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/object_headers.h"
#include "node/doors/ais/objects.h"
#include "node/doors/ais/text.h"

namespace penstock::node::ais {
namespace {

// The contract's, one below ours.
constexpr uint32_t part_number_max = 9999;

// "does not exist" is what clients look for; an object's URL would make the SDK take the object for
// missing, and ask again and again.
ApiError upload_error(const Call& call, const ObjectTarget& target, std::string_view upload,
                      const Error& error) {
    const bool is_missing = error.code == Errc::not_found &&
                            call.service.find_bucket(call.core, target.bucket->name) != nullptr;
    if (!is_missing) return object_error(call, target, error);
    std::string message = fmt::format("o[{}/{}(-)]: {} does not exist", target.bucket->name.name,
                                      target.object, upload);
    return {404, "ErrNotFound", std::move(message), {}, false, false};
}

std::expected<std::string, ApiError> upload_from(const Call& call, const ObjectTarget& target) {
    const auto upload = call.query.find_filled("uploadId");
    if (upload) return std::string(*upload);
    return refuse(400, "", fmt::format("{}: uploadId is missing", target.url()));
}

std::expected<uint32_t, ApiError> part_number_from(const Call& call, const ObjectTarget& target,
                                                   std::string_view upload) {
    const std::string_view text = call.query.find("partNumber").value_or("");
    const std::optional<uint64_t> number = number_from(text);
    if (number && *number >= 1 && *number <= part_number_max) {
        return static_cast<uint32_t>(*number);
    }
    return refuse(400, "",
                  fmt::format("{}: invalid part number \"{}\" for uploadID \"{}\"", target.url(),
                              text, upload));
}

// [{"part-number": 1, "etag": ""}, ...] in any order.
std::expected<std::vector<uint32_t>, ApiError> parts_from(const Json& value) {
    const auto invalid = refuse(400, "", "invalid list of parts: expected [{\"part-number\": N}]");
    if (!value.is_array() || value.size() > parts_max) return invalid;
    std::vector<uint32_t> parts;
    for (const Json& part : value) {
        const Json* number = part.is_object() ? find_any_case(part, "part-number") : nullptr;
        if (number == nullptr || !number->is_number_unsigned()) return invalid;
        const auto wide = number->get<uint64_t>();
        if (wide > UINT32_MAX) return invalid;
        parts.push_back(static_cast<uint32_t>(wide));
    }
    std::ranges::sort(parts);
    return parts;
}

}  // namespace

bool is_part(const Call& call) {
    return call.query.find("uploadId") || call.query.find("partNumber");
}

io::Task<Reply> put_part(Call& call, const ObjectTarget& target) {
    CO_TRY(const std::string upload, upload_from(call, target));
    CO_TRY(const uint32_t number, part_number_from(call, target, upload));
    PartOptions options;
    CO_TRY(options.expected, expected_checksum(call.request.head));
    const bool has_expected = options.expected.has_value();
    if (call.request.body.size_bytes() == 0) {
        co_return refuse(400, "", fmt::format("{}: put-part invalid size (0)", target.url()));
    }
    const auto stored =
        co_await call.service.put_part(call.core, target.address(), upload, number,
                                       std::move(call.request.body), std::move(options));
    if (stored) co_return empty_response();
    ApiError error = upload_error(call, target, upload, stored.error());
    if (stored.error().code == Errc::invalid && has_expected) error.tcode = "ErrBadCksum";
    co_return std::unexpected(std::move(error));
}

io::Task<Reply> begin_upload(Call& call, const ObjectTarget& target) {
    CO_TRY(CustomMetadata custom, custom_from_headers(call.request.head));
    const auto begun =
        co_await call.service.begin_upload(call.core, target.address(), std::move(custom));
    if (!begun) co_return std::unexpected(object_error(call, target, begun.error()));
    co_return text_response(call.request.buffers, *begun);
}

io::Task<Reply> complete_upload(Call& call, const ObjectTarget& target, const Action& action) {
    CO_TRY(const std::string upload, upload_from(call, target));
    CompletionOptions options{.names_all = true};
    CO_TRY(options.parts, parts_from(action.value));
    CO_TRY(options.condition, co_await write_condition(call, target));
    const auto completed = co_await call.service.complete_upload(call.core, target.address(),
                                                                 upload, std::move(options));
    if (!completed) {
        co_return std::unexpected(upload_error(call, target, upload, completed.error()));
    }
    co_return empty_response();
}

io::Task<Reply> abort_upload(Call& call, const ObjectTarget& target) {
    CO_TRY(const std::string upload, upload_from(call, target));
    const Status aborted = co_await call.service.abort_upload(call.core, target.address(), upload);
    if (!aborted) co_return std::unexpected(upload_error(call, target, upload, aborted.error()));
    co_return empty_response();
}

io::Task<Reply> append(Call& call, const ObjectTarget& target, std::string_view type) {
    const std::string handle(call.query.find("append_handle").value_or(""));
    Error error;
    if (type == "append") {
        const auto appended = co_await call.service.append(call.core, target.address(), handle,
                                                           std::move(call.request.body));
        if (appended) {
            io::http::Response response = empty_response();
            response.head.add("Ais-Append-Handle", *appended);
            co_return response;
        }
        error = appended.error();
    } else if (type == "flush") {
        if (handle.empty()) {
            co_return refuse(400, "",
                             fmt::format("{}: failed to finalize append-file operation: empty "
                                         "source in the handle",
                                         target.url()));
        }
        const auto flushed = co_await call.service.flush(call.core, target.address(), handle);
        if (flushed) co_return empty_response();
        error = flushed.error();
    } else {
        co_return refuse(400, "",
                         fmt::format("invalid operation \"{}\" (expecting either \"append\" or "
                                     "\"flush\") - check \"append_type\" query",
                                     type));
    }
    if (error.code == Errc::invalid) {
        co_return refuse(400, "", fmt::format("invalid APPEND handle: \"{}\"", handle));
    }
    co_return std::unexpected(upload_error(call, target, handle, error));
}

}  // namespace penstock::node::ais
