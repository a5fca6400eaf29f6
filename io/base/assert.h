// ASSERT: what must hold if our own code is right. It is on in every build; a failure prints where
// and stops the process, because going on with broken state is how storage loses data.
// Never for bytes, errors or times that come from outside: those are returned as an Error.
#pragma once

namespace penstock {

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace penstock

#define ASSERT(condition)                                                 \
    do {                                                                  \
        if (!(condition)) [[unlikely]]                                    \
            ::penstock::assertion_failed(#condition, __FILE__, __LINE__); \
    } while (false)
