// Result<T> and Status: how every function that can fail says so. We throw nothing; what a library
// throws is caught in the one function that wraps the call.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace penstock {

// What a caller can do about a failure, not where it came from: a new code needs a caller that
// acts on it.
enum class Errc : uint8_t {
    not_found,         // the name does not exist: tell the client
    exists,            // the name is taken: tell the client
    invalid,           // the request is wrong: tell the client
    denied,            // the access rights forbid it: tell the client (403)
    condition_failed,  // a conditional write does not hold: tell the client
    too_large,         // a published limit is exceeded: tell the client which
    not_implemented,   // not built yet: tell the client
    corrupt,           // the bytes fail a checksum or a length: repair from another copy
    io_error,          // the device failed: take its mountpath out of service
    full,              // no space, or the reserve would be touched: delete something
    unavailable,       // busy or stopping: elsewhere, or later
    timed_out,         // the deadline passed before it was done
    closed,            // the peer went away, or the wait was cancelled: stop quietly
};

// The code's own name, for log lines: "not_found".
const char* errc_name(Errc code);

struct Error {
    Errc code;
    std::string context;  // what was being done to what: "read /mp0/objects/a: EIO"

    bool operator==(const Error&) const = default;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Errc code, std::string context) {
    return std::unexpected(Error{code, std::move(context)});
}
[[nodiscard]] inline std::unexpected<Error> fail(Error error) {
    return std::unexpected(std::move(error));
}

// The Error for a system call's errno: ENOSPC and EDQUOT are `full`, ENOENT `not_found`, EEXIST
// `exists`, ECANCELED and connection ends `closed`, ETIME `timed_out`, resource exhaustion
// (EMFILE, ENOMEM, ...) `unavailable`, everything else `io_error`.
// The context reads "OPERATION SUBJECT: text of the errno".
Error error_from_errno(int error_number, const char* operation, const std::string& subject);

}  // namespace penstock

#define PENSTOCK_CONCAT_INNER(a, b) a##b
#define PENSTOCK_CONCAT(a, b) PENSTOCK_CONCAT_INNER(a, b)

// TRY(declaration, expression): the value of a Result, or return its error from this function.
// TRY_STATUS(expression): the same for a Status. In a coroutine: CO_TRY, CO_TRY_STATUS (io/task.h).
#define TRY(declaration, expression) \
    TRY_IMPL(PENSTOCK_CONCAT(try_result_, __COUNTER__), declaration, expression)
#define TRY_IMPL(name, declaration, expression)          \
    auto name = (expression);                            \
    if (!name) [[unlikely]]                              \
        return std::unexpected(std::move(name).error()); \
    declaration = std::move(*name)

#define TRY_STATUS(expression)                                      \
    do {                                                            \
        auto try_status_ = (expression);                            \
        if (!try_status_) [[unlikely]]                              \
            return std::unexpected(std::move(try_status_).error()); \
    } while (false)
