#include "node/doors/ais/list_request.h"

#include <fmt/format.h>

#include "io/base/bytes.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/text.h"
#include "node/store/pax.h"

namespace penstock::node::ais {
namespace {

void set_column(std::string_view name, ListColumns& columns) {
    if (name == "size") columns.has_size = true;
    if (name == "checksum") columns.has_checksum = true;
    if (name == "atime") columns.has_atime = true;
    if (name == "version") columns.has_version = true;
    if (name == "custom") columns.has_custom = true;
    if (name == "location") columns.has_location = true;
    if (name == "copies") columns.has_copies = true;
    if (name == "chunked") columns.has_chunked = true;
}

// Unknown names are passed over, as the contract says.
ListColumns columns_from(std::string_view props, uint64_t flags) {
    ListColumns columns;
    if (flags & flag_name_only) return columns;
    if (flags & flag_name_size) props = "name,size";
    if (props.empty()) {
        props = (flags & flag_cached) != 0 ? "name,size,checksum,atime" : "name,size,cached";
    }
    while (!props.empty()) {
        const size_t comma = props.find(',');
        std::string_view name = props.substr(0, comma);
        name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
        set_column(name.substr(0, name.find_last_not_of(' ') + 1), columns);
        props = comma == std::string_view::npos ? std::string_view() : props.substr(comma + 1);
    }
    return columns;
}

std::expected<uint64_t, ApiError> flags_from(const Json& value) {
    const auto found = value.find("flags");
    if (found == value.end() || found->is_null()) return 0;
    if (found->is_number_unsigned()) return found->get<uint64_t>();
    const std::string text = string_of(value, "flags", "?");
    if (text.empty()) return 0;
    const std::optional<uint64_t> flags = number_from(text);
    if (!flags) return refuse(400, "", fmt::format("invalid list flags \"{}\"", text));
    return *flags;
}

std::expected<uint32_t, ApiError> limit_from(const Json& value) {
    const auto found = value.find("pagesize");
    if (found == value.end() || found->is_null()) return ListRequest::page_entries_max;
    if (!found->is_number_unsigned()) {
        return refuse(400, "", fmt::format("invalid page size {}", found->dump()));
    }
    const auto limit = found->get<uint64_t>();
    if (limit == 0) return ListRequest::page_entries_max;
    return static_cast<uint32_t>(std::min<uint64_t>(limit, ListRequest::page_entries_max));
}

}  // namespace

std::expected<ListRequest, ApiError> list_request_from(const Json& value) {
    if (!value.is_object()) return refuse(400, "", "bad list-objects request: expected an object");
    ListRequest request;
    TRY(request.flags, flags_from(value));
    TRY(request.limit, limit_from(value));
    request.prefix = string_of(value, "prefix");
    if (request.prefix.ends_with('*')) request.prefix.pop_back();
    request.uuid = string_of(value, "uuid");
    request.after = name_from_token(string_of(value, "continuation_token"));
    if (request.after.empty()) request.after = string_of(value, "start_after");
    request.columns = columns_from(string_of(value, "props"), request.flags);
    request.time_format = string_of(value, "time_format");
    if (request.time_format.empty()) request.time_format = rfc822_layout;
    return request;
}

std::string token_from_name(std::string_view name) {
    if (is_utf8(name)) return std::string(name);
    return '\0' + hex_from_bytes(as_bytes(name));
}

std::string name_from_token(std::string_view token) {
    if (!token.starts_with('\0')) return std::string(token);
    const auto bytes = bytes_from_hex(token.substr(1));
    return bytes ? std::string(as_text(*bytes)) : std::string();
}

}  // namespace penstock::node::ais
