// A settings file, whatever its bytes are, and the values of single flags: settings or a sentence
// of one line, which names the file.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "io/base/assert.h"
#include "node/settings.h"
#include "node/settings_file.h"

namespace {

using namespace penstock;
using namespace penstock::node;

// A file in memory, the same for all inputs.
const std::string& file_with(std::string_view text) {
    static const int file = memfd_create("settings", MFD_CLOEXEC);
    static const std::string path = "/proc/self/fd/" + std::to_string(file);
    ASSERT(ftruncate(file, 0) == 0);
    ASSERT(pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return path;
}

void read_flags(const std::string& text) {
    if (const auto http = parse_http({text})) {
        for (const io::Address& address : *http) ASSERT(!address.is_unix());
    }
    if (const auto cores = parse_cores(text)) ASSERT(*cores >= 1 && *cores <= cores_max);
    (void)parse_backend(text);
    (void)parse_size(text);
    (void)io::Address::parse(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    read_flags(text);
    const std::string& path = file_with(text);
    Settings settings;
    const auto read = read_settings(path, settings);
    if (!read) ASSERT(read.error().text.starts_with(path));
    return 0;
}
