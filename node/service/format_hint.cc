#include "node/service/format_hint.h"

#include <string>

namespace penstock::node {
namespace {

struct Name {
    std::string_view part;
    archive::Format format;
};
// The contract asks for a match by part; the longer ones first.
constexpr Name names[] = {
    {"tar.lz4", archive::Format::tar_lz4}, {"x-lz4", archive::Format::tar_lz4},
    {"tar.zst", archive::Format::tar_zst}, {"tar.gz", archive::Format::tgz},
    {"tgz", archive::Format::tgz},         {"gzip", archive::Format::tgz},
    {"zip", archive::Format::zip},         {"tar", archive::Format::tar},
};

}  // namespace

Result<archive::Format> format_of(std::string_view hint, std::string_view object) {
    if (hint.empty()) return archive::format_from_name(object);
    for (const Name& name : names) {
        if (hint.find(name.part) != std::string_view::npos) return name.format;
    }
    return fail(Errc::invalid, "\"" + std::string(hint) + "\" is no archive format");
}

Error member_missing(const archive::ShardIndex& index, std::string_view member) {
    if (const std::optional<uint64_t> place = index.damaged_at()) {
        return {Errc::corrupt, "the shard is damaged at byte " + std::to_string(*place) +
                                   ", and what lies behind it cannot be read"};
    }
    return {Errc::not_found, "the shard has no member " + std::string(member)};
}

}  // namespace penstock::node
