// Failure: why a call has no result, as its client is told: [code, message, details]. The codes are
// fixed: clients act on them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/base/result.h"

namespace penstock::node::rpc {

enum class Code : uint8_t {
    not_found = 1,
    bucket_not_found,
    exists,
    invalid,
    unknown_method,
    too_large,
    refused,
    unauthenticated,
    condition_failed,
    corrupt,
    full,
    busy,
    timeout,
    not_implemented,
    internal,
};

struct CodeText {
    Code code;
    std::string_view name;
    std::string_view doc;
};

constexpr std::array<CodeText, 15> codes = {{
    {Code::not_found, "not_found", "The object, member or job does not exist."},
    {Code::bucket_not_found, "bucket_not_found", "The bucket does not exist."},
    {Code::exists, "exists", "The name is taken."},
    {Code::invalid, "invalid", "The arguments are wrong; the message says which."},
    {Code::unknown_method, "unknown_method", "There is no such method; see rpc.describe."},
    {Code::too_large, "too_large", "A limit is exceeded; details name it and its value."},
    {Code::refused, "refused", "Access rights, or this kind of connection, do not allow it."},
    {Code::unauthenticated, "unauthenticated", "Log in first: auth.login."},
    {Code::condition_failed, "condition_failed", "A conditional change did not hold."},
    {Code::corrupt, "corrupt", "Stored bytes fail their check; never an absent object."},
    {Code::full, "full", "No space is left; deleting works."},
    {Code::busy, "busy", "Too much is under way, or the node is stopping: later."},
    {Code::timeout, "timeout", "It was not done in time."},
    {Code::not_implemented, "not_implemented", "Not built yet."},
    {Code::internal, "internal", "The node failed; its log says how."},
}};

std::string_view name_of(Code code);

struct Failure {
    Code code = Code::internal;
    std::string message;         // a sentence; bytes that are no UTF-8 are replaced when it is sent
    std::string_view limit;      // the name of the limit that was exceeded, or ""
    uint64_t limit_value = 0;    // of that limit
    std::optional<size_t> item;  // which of a batch
};

Failure too_large(std::string_view limit, uint64_t value);
// `not_found` and `io_error` of the layers below say less than clients want: the caller looks
// whether it is the bucket that is missing.
Failure failure_from(const Error& error);

}  // namespace penstock::node::rpc
