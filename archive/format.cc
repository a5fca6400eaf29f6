#include <algorithm>
#include <array>

#include "archive/shard_index.h"

namespace penstock::archive {
namespace {

struct Extension {
    std::string_view text;
    Format format;
};
constexpr std::array extensions{
    Extension{".tar", Format::tar},    Extension{".tgz", Format::tgz},
    Extension{".tar.gz", Format::tgz}, Extension{".tar.lz4", Format::tar_lz4},
    Extension{".zip", Format::zip},    Extension{".tar.zst", Format::tar_zst},
};

bool begins_with(Bytes bytes, std::string_view magic, size_t at = 0) {
    return bytes.size() >= at + magic.size() && as_text(bytes.subspan(at, magic.size())) == magic;
}

}  // namespace

Format format_from_name(std::string_view object_name) {
    for (const Extension& extension : extensions) {
        if (object_name.ends_with(extension.text)) return extension.format;
    }
    return Format::none;
}

Format format_from_magic(Bytes beginning) {
    if (begins_with(beginning, "ustar", 257)) return Format::tar;
    if (begins_with(beginning, "\x1f\x8b")) return Format::tgz;
    // A local file, or the directory's end alone: an empty ZIP.
    if (begins_with(beginning, "PK\x03\x04") || begins_with(beginning, "PK\x05\x06"))
        return Format::zip;
    if (begins_with(beginning, "\x04\x22\x4d\x18")) return Format::tar_lz4;
    if (begins_with(beginning, "\x28\xb5\x2f\xfd")) return Format::tar_zst;
    return Format::none;
}

}  // namespace penstock::archive
