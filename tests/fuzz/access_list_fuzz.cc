// A list of access tokens, whatever its bytes are: a list that is read back as it is written, or
// one sentence with a line's number.
#include <string>

#include "io/base/assert.h"
#include "node/service/access.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace penstock::node;
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto list = AccessList::parse(text);
    if (!list) {
        ASSERT(list.error()[0] >= '1' && list.error()[0] <= '9');
        return 0;
    }
    for (const AccessToken& token : list->tokens()) {
        ASSERT(list->find(token.hash) == &token);
        const auto again = AccessList::parse(line_of(token));
        ASSERT(again && again->tokens().size() == 1);
        ASSERT(line_of(again->tokens().front()) == line_of(token));
    }
    return 0;
}
