#include <fmt/format.h>

#include <algorithm>

#include "node/doors/rpc/calls.h"
#include "node/service/bucket_defaults.h"
#include "node/service/stripe_rule.h"

namespace penstock::node::rpc {
namespace {

struct ChecksumName {
    std::string_view name;
    ChecksumType type;
};
constexpr ChecksumName checksum_names[] = {
    {"none", ChecksumType::none},     {"xxhash", ChecksumType::xxhash},
    {"md5", ChecksumType::md5},       {"crc32c", ChecksumType::crc32c},
    {"sha256", ChecksumType::sha256}, {"sha512", ChecksumType::sha512},
};

std::optional<ChecksumType> checksum_type_from(std::string_view name) {
    const auto* found = std::ranges::find(checksum_names, name, &ChecksumName::name);
    if (found == std::end(checksum_names)) return std::nullopt;
    return found->type;
}

// One property into `properties`; false: there is no such one, or its value is wrong.
bool apply(std::string_view name, const Value& value, BucketProperties& properties) {
    if (name == "durability" && value.kind == Kind::str) {
        const bool is_group = value.text() == "group";
        if (!is_group && value.text() != "none") return false;
        properties.durability = is_group ? Durability::group : Durability::none;
        return true;
    }
    if (name == "checksum" && value.kind == Kind::str) {
        const std::optional<ChecksumType> type = checksum_type_from(value.text());
        if (type) properties.checksum = *type;
        return type.has_value();
    }
    if (name == "versioned" && value.kind == Kind::boolean) {
        properties.is_versioned = value.number != 0;
        return true;
    }
    if (name == "features" && value.kind == Kind::positive) {
        properties.features = value.number;
        return true;
    }
    if (name == "access" && value.kind == Kind::positive) {
        properties.access = value.number;
        return true;
    }
    if ((name == "objsize_limit" || name == "chunk_size") && value.kind == Kind::positive) {
        StripeRule rule = stripe_rule_of(properties);
        (name == "chunk_size" ? rule.part_bytes : rule.above_bytes) = value.number;
        set_stripe_rule(properties, rule);
        return true;
    }
    return false;
}

std::optional<Failure> read_properties(Call& call, BucketProperties& properties) {
    const Value* map = call.arguments().at(Name::props);
    if (map == nullptr) return std::nullopt;
    const Value* key = map->size == 0 ? nullptr : &call.message().first(*map);
    for (uint32_t pair = 0; pair < map->size; ++pair) {
        const Value& value = call.message().after(*key);
        if (key->kind != Kind::str || !apply(key->text(), value, properties)) {
            return Failure{
                Code::invalid,
                fmt::format("\"{}\" is no property with such a value: durability "
                            "(group, none), checksum (none, xxhash, md5, crc32c, "
                            "sha256, sha512), versioned (bool), access (uint), features (uint), "
                            "objsize_limit (uint), chunk_size (uint)",
                            key->kind == Kind::str ? key->text() : "?"),
                {},
                0,
                {}};
        }
        if (pair + 1 < map->size) key = &call.message().after(value);
    }
    return std::nullopt;
}

void write_properties(Writer& writer, const BucketProperties& properties) {
    const StripeRule rule = stripe_rule_of(properties);
    writer.map(7);
    writer.pair("durability", properties.durability == Durability::group ? "group" : "none");
    writer.pair("checksum", name_of(properties.checksum));
    writer.text("versioned");
    writer.boolean(properties.is_versioned);
    writer.pair("access", properties.access);
    writer.pair("features", properties.features);
    writer.pair("objsize_limit", rule.above_bytes);
    writer.pair("chunk_size", rule.part_bytes);
}

}  // namespace

std::string_view name_of(ChecksumType type) {
    return std::ranges::find(checksum_names, type, &ChecksumName::type)->name;
}

io::Task<void> create_bucket(Call& call) {
    if (call.bucket() == nullptr) co_return;
    BucketProperties properties =
        bucket_defaults(call.service(), call.core(), call.context().node.started_ns);
    if (const auto failure = read_properties(call, properties)) co_return call.fail(*failure);
    const Status created =
        co_await call.service().create_bucket(call.core(), *call.bucket(), std::move(properties));
    if (!created) co_return call.fail(created.error());
    call.reply().map(0);
}

io::Task<void> destroy_bucket(Call& call) {
    const BucketName* bucket = call.bucket();
    if (bucket == nullptr) co_return;
    const Status destroyed = co_await call.service().destroy_bucket(call.core(), *bucket);
    if (!destroyed) co_return call.fail(destroyed.error());
    call.reply().map(0);
}

std::vector<std::shared_ptr<const Bucket>> visible_buckets(Call& call) {
    auto buckets = call.service().buckets(call.core());
    std::erase_if(buckets, [&](const auto& bucket) { return !call.may_see(bucket->name); });
    return buckets;
}

io::Task<void> list_buckets(Call& call) {
    const auto buckets = visible_buckets(call);
    Writer writer = call.reply();
    writer.map(1);
    writer.text("buckets");
    writer.array(buckets.size());
    for (const std::shared_ptr<const Bucket>& bucket : buckets) {
        writer.map(2);
        writer.pair("name", bucket->name.name);
        writer.pair("provider", bucket->name.provider);
    }
    co_return;
}

io::Task<void> stat_bucket(Call& call) {
    const BucketName* name = call.bucket();
    if (name == nullptr) co_return;
    const std::shared_ptr<const Bucket> bucket = call.service().find_bucket(call.core(), *name);
    if (bucket == nullptr) {
        co_return call.fail(Code::bucket_not_found,
                            fmt::format("bucket \"{}\" does not exist", name->name));
    }
    Writer writer = call.reply();
    writer.map(4);
    writer.pair("name", bucket->name.name);
    writer.pair("provider", bucket->name.provider);
    writer.pair("created_ns", bucket->created_ns);
    writer.text("props");
    write_properties(writer, bucket->properties);
}

// Properties that are not named keep their values. Two such calls at once can undo each other's
// change, as two writers of the same property would.
io::Task<void> set_bucket(Call& call) {
    const BucketName* name = call.bucket();
    if (name == nullptr) co_return;
    const std::shared_ptr<const Bucket> bucket = call.service().find_bucket(call.core(), *name);
    if (bucket == nullptr) {
        co_return call.fail(Code::bucket_not_found,
                            fmt::format("bucket \"{}\" does not exist", name->name));
    }
    BucketProperties properties = bucket->properties;
    if (const auto failure = read_properties(call, properties)) co_return call.fail(*failure);
    const Status set =
        co_await call.service().set_properties(call.core(), *name, std::move(properties));
    if (!set) co_return call.fail(set.error());
    call.reply().map(0);
}

}  // namespace penstock::node::rpc
