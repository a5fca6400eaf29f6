#include <fmt/format.h>

#include "io/base/bytes.h"
#include "io/base/checksum.h"
#include "node/doors/rpc/calls.h"

namespace penstock::node::rpc {
namespace {

// A map of texts; nullopt: it is something else.
std::optional<CustomMetadata> read_texts(const Message& message, const Value& map) {
    CustomMetadata metadata;
    const Value* key = map.size == 0 ? nullptr : &message.first(map);
    for (uint32_t pair = 0; pair < map.size; ++pair) {
        const Value& value = message.after(*key);
        if (key->kind != Kind::str || value.kind != Kind::str) return std::nullopt;
        metadata.emplace_back(key->text(), value.text());
        if (pair + 1 < map.size) key = &message.after(value);
    }
    return metadata;
}

io::Task<Result<OpenedObject>> open(Call& call, ReadRange range) {
    const Arguments& arguments = call.arguments();
    if (!arguments.has(Name::member)) {
        return call.service().get(call.core(), call.address(), range);
    }
    return call.service().get_member(call.core(), call.address(), arguments.text(Name::member), "",
                                     range);
}

}  // namespace

std::expected<Condition, Failure> read_condition(const Arguments& arguments) {
    const bool if_absent = arguments.boolean(Name::if_absent, false);
    if (!arguments.has(Name::if_version)) {
        return Condition{if_absent ? Condition::Kind::absent : Condition::Kind::none, {}};
    }
    const std::optional<Version> version = version_from_etag(arguments.text(Name::if_version));
    if (!version || if_absent) {
        return std::unexpected(Failure{Code::invalid,
                                       if_absent ? "if_absent and if_version exclude each other"
                                                 : "if_version is no version of an object",
                                       {},
                                       0,
                                       {}});
    }
    return Condition{Condition::Kind::exactly, *version};
}

std::expected<CustomMetadata, Failure> read_metadata(const Call& call) {
    const Value* map = call.arguments().at(Name::metadata);
    if (map == nullptr) return CustomMetadata();
    auto metadata = read_texts(call.message(), *map);
    if (metadata) return std::move(*metadata);
    return std::unexpected(Failure{Code::invalid, "metadata must be a map of texts", {}, 0, {}});
}

std::optional<Failure> check_data(const Call& call) {
    const Arguments& arguments = call.arguments();
    const Value& data = *arguments.at(Name::data);
    if (data.size > value_bytes_max) return too_large("value_bytes", value_bytes_max);
    if (arguments.has(Name::crc32c) && crc32c(data.bytes()) != arguments.number(Name::crc32c, 0)) {
        return Failure{Code::invalid, "the data have another CRC-32C than crc32c says", {}, 0, {}};
    }
    return std::nullopt;
}

void write_attributes(Writer& writer, const ObjectAttributes& attributes) {
    writer.pair("version", text_of(attributes.version));
    writer.pair("size", attributes.size_bytes);
    writer.text("checksum");
    write_checksum(writer, attributes.checksum);
}

void write_checksum(Writer& writer, const ContentChecksum& checksum) {
    writer.map(2);
    writer.pair("type", name_of(checksum.type));
    writer.pair("value", hex_from_bytes(checksum.bytes()));
}

void write_metadata(Writer& writer, const CustomMetadata& metadata) {
    writer.map(metadata.size());
    for (const auto& [key, value] : metadata) {
        writer.name(key);
        writer.name(value);
    }
}

io::Task<void> put_object(Call& call) {
    if (call.bucket() == nullptr) co_return;
    const Arguments& arguments = call.arguments();
    if (auto refused = check_data(call)) co_return call.fail(std::move(*refused));
    PutRequest request;
    const auto condition = read_condition(arguments);
    if (!condition) co_return call.fail(condition.error());
    request.condition = *condition;
    auto metadata = read_metadata(call);
    if (!metadata) co_return call.fail(metadata.error());
    request.custom = std::move(*metadata);
    const BucketName bucket = *call.bucket();
    const std::string name(arguments.text(Name::name));
    const Result<ObjectAttributes> put = co_await call.service().put(
        call.core(), {bucket, name}, call.take_data(), std::move(request));
    if (!put) co_return call.fail(put.error());
    Writer writer = call.reply();
    writer.map(3);
    write_attributes(writer, *put);
}

io::Task<void> get_object(Call& call) {
    if (call.bucket() == nullptr) co_return;
    const Arguments& arguments = call.arguments();
    const ReadRange range{arguments.number(Name::offset, 0),
                          arguments.number(Name::length, UINT64_MAX)};
    const std::optional<bool> as_descriptor = wants_descriptor(call);
    if (!as_descriptor) co_return;
    if (*as_descriptor) co_return co_await get_as_descriptor(call, range);

    Result<OpenedObject> opened = co_await open(call, range);
    if (!opened) co_return call.fail(opened.error());
    if (opened->range.size > value_bytes_max) {
        co_return call.fail(too_large("value_bytes", value_bytes_max));
    }
    if (!opened->body.is_chunk()) {
        Context& context = call.context();
        Result<io::Chunk> whole =
            co_await opened->body.read_all(context.reactor, context.buffers, value_bytes_max);
        if (!whole) co_return call.fail(whole.error());
        opened->body = io::Body(std::move(*whole));
    }
    call.count_sent(opened->body.chunk().size);
    Writer writer = call.reply();
    writer.map(4);
    writer.pair("size", opened->attributes.size_bytes);
    writer.pair("version", text_of(opened->attributes.version));
    writer.pair("crc32c", crc32c(opened->body.chunk().bytes()));
    writer.text("data");
    writer.bytes(std::move(opened->body.chunk()));
}

io::Task<void> stat_object(Call& call) {
    if (call.bucket() == nullptr) co_return;
    const Result<ObjectAttributes> found =
        co_await call.service().stat(call.core(), call.address());
    if (!found) co_return call.fail(found.error());
    Writer writer = call.reply();
    writer.map(5);
    write_attributes(writer, *found);
    writer.text("metadata");
    write_metadata(writer, found->custom);
    writer.pair("modified_ns", found->modified_ns);
}

io::Task<void> delete_object(Call& call) {
    if (call.bucket() == nullptr) co_return;
    const auto condition = read_condition(call.arguments());
    if (!condition) co_return call.fail(condition.error());
    const Result<Version> removed =
        co_await call.service().remove(call.core(), call.address(), *condition);
    if (!removed) co_return call.fail(removed.error());
    Writer writer = call.reply();
    writer.map(1);
    writer.pair("version", text_of(*removed));
}

// On one node no byte is moved; checksum and custom metadata go along.
io::Task<void> copy_object(Call& call) {
    if (call.bucket() == nullptr) co_return;
    BucketName to;
    if (const auto failure = read_bucket(call.arguments().text(Name::to_bucket), to)) {
        co_return call.fail(*failure);
    }
    const ObjectAddress target{to, call.arguments().text(Name::to_name)};
    const Result<ObjectAttributes> put =
        co_await call.service().copy(call.core(), call.address(), target, {});
    if (!put) {
        // Which of the two buckets is missing, if one is: failure_of() looks.
        const bool has_target = call.service().find_bucket(call.core(), to) != nullptr;
        co_return call.fail(has_target ? call.failure_of(put.error(), *call.bucket())
                                       : call.failure_of(put.error(), to));
    }
    Writer writer = call.reply();
    writer.map(3);
    write_attributes(writer, *put);
}

io::Task<void> set_metadata(Call& call) {
    if (call.bucket() == nullptr) co_return;
    const Arguments& arguments = call.arguments();
    auto metadata = read_metadata(call);
    if (!metadata) co_return call.fail(metadata.error());
    const Result<ObjectAttributes> set = co_await call.service().set_custom(
        call.core(), call.address(), std::move(*metadata), arguments.boolean(Name::replace, false));
    if (!set) co_return call.fail(set.error());
    Writer writer = call.reply();
    writer.map(1);
    writer.pair("version", text_of(set->version));
}

}  // namespace penstock::node::rpc
