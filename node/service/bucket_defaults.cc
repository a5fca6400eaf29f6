#include "node/service/bucket_defaults.h"

#include <utility>

#include "node/metadata/commands.h"

namespace penstock::node {
namespace {

constexpr const char* lasting_key = "bucket_defaults";
constexpr const char* now_key = "bucket_defaults.now";
constexpr uint64_t lasting_stamp = 0;

}  // namespace

std::string encode_bucket_defaults(const BucketProperties& properties, uint64_t stamp) {
    std::vector<std::byte> bytes;
    append_le(bytes, stamp);
    append_properties(bytes, properties);
    return std::string(as_text(bytes));
}

std::optional<BucketProperties> parse_bucket_defaults(std::string_view value, uint64_t stamp) {
    ByteReader from(as_bytes(value));
    if (from.read_le<uint64_t>() != stamp) return std::nullopt;
    std::optional<BucketProperties> properties = read_properties(from);
    if (!properties || !from.is_empty()) return std::nullopt;
    return properties;
}

BucketProperties bucket_defaults(ObjectService& service, uint32_t core, uint64_t started_ns) {
    auto now = parse_bucket_defaults(service.configuration(core, now_key), started_ns);
    if (now) return std::move(*now);
    return parse_bucket_defaults(service.configuration(core, lasting_key), lasting_stamp)
        .value_or(BucketProperties());
}

void add_bucket_defaults(SetValues& change, uint64_t started_ns, const BucketProperties& lasting,
                         const std::optional<BucketProperties>& now) {
    const bool is_default = lasting == BucketProperties();
    change.values[lasting_key] =
        is_default ? std::string() : encode_bucket_defaults(lasting, lasting_stamp);
    change.values[now_key] = now ? encode_bucket_defaults(*now, started_ns) : std::string();
}

}  // namespace penstock::node
