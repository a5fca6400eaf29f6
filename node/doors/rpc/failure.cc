#include "node/doors/rpc/failure.h"

#include <fmt/format.h>

namespace penstock::node::rpc {
namespace {

Code code_from(Errc code) {
    switch (code) {
        case Errc::not_found:
            return Code::not_found;
        case Errc::exists:
            return Code::exists;
        case Errc::invalid:
            return Code::invalid;
        case Errc::denied:
            return Code::refused;
        case Errc::condition_failed:
            return Code::condition_failed;
        case Errc::too_large:
            return Code::too_large;
        case Errc::not_implemented:
            return Code::not_implemented;
        case Errc::corrupt:
            return Code::corrupt;
        case Errc::full:
            return Code::full;
        case Errc::unavailable:
            return Code::busy;
        case Errc::timed_out:
            return Code::timeout;
        case Errc::io_error:
        case Errc::closed:
            return Code::internal;
    }
    return Code::internal;
}

}  // namespace

std::string_view name_of(Code code) {
    return codes[static_cast<size_t>(code) - 1].name;
}

Failure too_large(std::string_view limit, uint64_t value) {
    return {Code::too_large, fmt::format("more than {} ({})", limit, value), limit, value, {}};
}

Failure failure_from(const Error& error) {
    return {code_from(error.code), error.context, {}, 0, {}};
}

}  // namespace penstock::node::rpc
