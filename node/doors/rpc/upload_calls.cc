// Objects that come in pieces: uploads in parts, appends; and renames.
#include <fmt/format.h>

#include <algorithm>

#include "node/doors/rpc/calls.h"

namespace penstock::node::rpc {
namespace {

// An upload's id says what it is for, so that a part needs nothing else: "ID@bucket/object", where
// ID is the service's. Nothing is believed of it but what the service finds under that name.
struct UploadName {
    std::string id;
    BucketName bucket;
    std::string object;
    ObjectAddress address() const { return {bucket, object}; }
};

std::string text_of_upload(std::string_view id, const BucketName& bucket, std::string_view object) {
    return fmt::format("{}@{}/{}", id, bucket.name, object);
}

std::expected<UploadName, Failure> read_upload(std::string_view text) {
    const Failure unknown{Code::not_found, "the upload does not exist", {}, 0, {}};
    const std::string_view bucket = bucket_of_upload(text);
    if (bucket.empty()) return std::unexpected(unknown);
    const size_t at = text.find('@');
    UploadName name{
        std::string(text.substr(0, at)), {}, std::string(text.substr(at + 1 + bucket.size() + 1))};
    if (read_bucket(bucket, name.bucket)) return std::unexpected(unknown);
    return name;
}

// The numbers, ascending; nullopt: an element is no part's number, or comes twice.
std::optional<std::vector<uint32_t>> read_numbers(const Message& message, const Value& array) {
    std::vector<uint32_t> numbers;
    const Value* value = array.size == 0 ? nullptr : &message.first(array);
    for (uint32_t index = 0; index < array.size; ++index) {
        const bool is_number = value->kind == Kind::positive && value->number <= parts_max;
        if (!is_number) return std::nullopt;
        numbers.push_back(static_cast<uint32_t>(value->number));
        if (index + 1 < array.size) value = &message.after(*value);
    }
    std::ranges::sort(numbers);
    if (std::ranges::adjacent_find(numbers) != numbers.end()) return std::nullopt;
    return numbers;
}

void answer_version(Call& call, Version version) {
    Writer writer = call.reply();
    writer.map(1);
    writer.pair("version", text_of(version));
}

}  // namespace

std::string_view bucket_of_upload(std::string_view upload) {
    const size_t at = upload.find('@');
    const size_t slash = at == std::string_view::npos ? at : upload.find('/', at);
    if (slash == std::string_view::npos) return "";
    return upload.substr(at + 1, slash - at - 1);
}

io::Task<void> begin_upload(Call& call) {
    if (call.bucket() == nullptr) co_return;
    const BucketName bucket = *call.bucket();
    const std::string object(call.arguments().text(Name::name));
    auto metadata = read_metadata(call);
    if (!metadata) co_return call.fail(metadata.error());
    const Result<std::string> begun =
        co_await call.service().begin_upload(call.core(), {bucket, object}, std::move(*metadata));
    if (!begun) co_return call.fail(call.failure_of(begun.error(), bucket));
    Writer writer = call.reply();
    writer.map(1);
    writer.text("upload");
    writer.name(text_of_upload(*begun, bucket, object));
}

io::Task<void> put_part(Call& call) {
    const auto upload = read_upload(call.arguments().text(Name::upload));
    if (!upload) co_return call.fail(upload.error());
    if (auto refused = check_data(call)) co_return call.fail(std::move(*refused));
    const uint64_t number = call.arguments().number(Name::number, 0);
    if (number < 1 || number > parts_max) {
        co_return call.fail(Code::invalid, fmt::format("part numbers are 1 to {}", parts_max));
    }
    const Result<PartAttributes> put =
        co_await call.service().put_part(call.core(), upload->address(), upload->id,
                                         static_cast<uint32_t>(number), call.take_data(), {});
    if (!put) co_return call.fail(call.failure_of(put.error(), upload->bucket));
    answer_version(call, put->version);
}

io::Task<void> complete_upload(Call& call) {
    const auto upload = read_upload(call.arguments().text(Name::upload));
    if (!upload) co_return call.fail(upload.error());
    CompletionOptions options;
    const auto condition = read_condition(call.arguments());
    if (!condition) co_return call.fail(condition.error());
    options.condition = *condition;
    if (const Value* array = call.arguments().at(Name::parts)) {
        options.parts = read_numbers(call.message(), *array);
        if (!options.parts) {
            co_return call.fail(Code::invalid, "parts must be the numbers of parts, each once");
        }
    }
    const Result<ObjectAttributes> completed = co_await call.service().complete_upload(
        call.core(), upload->address(), upload->id, std::move(options));
    if (!completed) co_return call.fail(call.failure_of(completed.error(), upload->bucket));
    Writer writer = call.reply();
    writer.map(3);
    write_attributes(writer, *completed);
}

io::Task<void> abort_upload(Call& call) {
    const auto upload = read_upload(call.arguments().text(Name::upload));
    if (!upload) co_return call.fail(upload.error());
    const Status aborted =
        co_await call.service().abort_upload(call.core(), upload->address(), upload->id);
    if (!aborted)
        co_return call.fail(call.failure_of(fail(aborted.error()).error(), upload->bucket));
    call.reply().map(0);
}

io::Task<void> append_to_object(Call& call) {
    if (call.bucket() == nullptr) co_return;
    if (auto refused = check_data(call)) co_return call.fail(std::move(*refused));
    const BucketName bucket = *call.bucket();
    const std::string object(call.arguments().text(Name::name));
    std::string handle(call.arguments().text(Name::handle, ""));
    const bool is_last = call.arguments().boolean(Name::flush, false);
    Result<std::string> appended =
        co_await call.service().append(call.core(), {bucket, object}, handle, call.take_data());
    if (!appended) co_return call.fail(call.failure_of(appended.error(), bucket));
    handle = std::move(*appended);
    if (!is_last) {
        Writer writer = call.reply();
        writer.map(1);
        writer.pair("handle", handle);
        co_return;
    }
    const Result<ObjectAttributes> flushed =
        co_await call.service().flush(call.core(), {bucket, object}, handle);
    if (!flushed) co_return call.fail(call.failure_of(flushed.error(), bucket));
    Writer writer = call.reply();
    writer.map(3);
    writer.pair("handle", "");
    writer.pair("version", text_of(flushed->version));
    writer.pair("size", flushed->size_bytes);
}

io::Task<void> rename_object(Call& call) {
    if (call.bucket() == nullptr) co_return;
    const Status renamed = co_await call.service().rename(call.core(), call.address(),
                                                          call.arguments().text(Name::to));
    if (!renamed) co_return call.fail(renamed.error());
    call.reply().map(0);
}

}  // namespace penstock::node::rpc
