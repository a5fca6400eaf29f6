#include "io/base/result.h"

#include <cerrno>
#include <cstring>

namespace penstock {
namespace {

Errc errc_from_errno(int error_number) {
    switch (error_number) {
        case ENOSPC:
        case EDQUOT:
            return Errc::full;
        case ENOENT:
            return Errc::not_found;
        case EEXIST:
            return Errc::exists;
        case ECANCELED:
        case EPIPE:
        case ECONNRESET:
        case ECONNABORTED:
        case ENOTCONN:
            return Errc::closed;
        case ETIME:
        case ETIMEDOUT:
            return Errc::timed_out;
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ENOBUFS:
        case ECONNREFUSED:
            return Errc::unavailable;
        default:
            return Errc::io_error;
    }
}

}  // namespace

const char* errc_name(Errc code) {
    switch (code) {
        case Errc::not_found:
            return "not_found";
        case Errc::exists:
            return "exists";
        case Errc::invalid:
            return "invalid";
        case Errc::denied:
            return "denied";
        case Errc::condition_failed:
            return "condition_failed";
        case Errc::too_large:
            return "too_large";
        case Errc::not_implemented:
            return "not_implemented";
        case Errc::corrupt:
            return "corrupt";
        case Errc::io_error:
            return "io_error";
        case Errc::full:
            return "full";
        case Errc::unavailable:
            return "unavailable";
        case Errc::timed_out:
            return "timed_out";
        case Errc::closed:
            return "closed";
    }
    return "unknown";
}

Error error_from_errno(int error_number, const char* operation, const std::string& subject) {
    char text[128];
    // GNU strerror_r: returns the text, which may or may not lie in our buffer.
    const char* message = strerror_r(error_number, text, sizeof text);
    return Error{errc_from_errno(error_number),
                 std::string(operation) + " " + subject + ": " + message};
}

}  // namespace penstock
