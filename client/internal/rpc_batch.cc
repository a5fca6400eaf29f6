// Batches, and what is handed over as a descriptor.
#include <algorithm>

#include "client/internal/rpc_calls.h"

namespace penstock::client {
namespace {

constexpr size_t items_max = 16 << 10;         // the node's limit batch_items
constexpr size_t request_bytes_max = 3 << 20;  // below its limit message_bytes
constexpr size_t item_bytes_overhead = 64;

std::unexpected<Error> unexpected_form() {
    return fail(Errc::corrupt, "the node sent a batch of a wrong form");
}

// How many of the items fit into one request.
size_t items_that_fit(std::string_view bucket, std::span<const BatchItem> items) {
    size_t bytes = 0;
    size_t count = 0;
    while (count < items.size() && count < items_max) {
        const BatchItem& item = items[count];
        bytes += bucket.size() + item.name.size() + item.member.size() + item_bytes_overhead;
        if (bytes > request_bytes_max && count > 0) break;
        ++count;
    }
    return count;
}

RpcRequest batch_request(std::string_view bucket, std::span<const BatchItem> items,
                         bool as_descriptor) {
    Packer packer;
    packer.map(as_descriptor ? 2 : 1);
    if (as_descriptor) packer.text("as").text("fd");
    packer.text("items").array(static_cast<uint32_t>(items.size()));
    for (const BatchItem& item : items) {
        packer.map(item.member.empty() ? 2 : 3).text("bucket").name(bucket);
        packer.text("name").name(item.name);
        if (!item.member.empty()) packer.text("member").name(item.member);
    }
    return {
        .method = "object.get_many", .arguments = packer.take(), .expects_data = !as_descriptor};
}

struct Span {
    uint64_t offset = 0;
    uint64_t length = 0;
};

// One entry, {index, offset, length} in any order; false if it is none.
bool read_entry(Unpacker& reader, uint64_t& index, Span& span) {
    const auto pairs = reader.map();
    if (!pairs) return false;
    int found = 0;
    for (uint32_t pair = 0; pair < *pairs; ++pair) {
        const auto key = reader.text();
        if (!key) return false;
        uint64_t* into = *key == "index"    ? &index
                         : *key == "offset" ? &span.offset
                         : *key == "length" ? &span.length
                                            : nullptr;
        if (into == nullptr) return false;  // an error, which was not asked for
        const auto value = reader.number();
        if (!value) return false;
        *into = *value;
        ++found;
    }
    return found == 3;
}

// Appends a view for each item: there must be one entry for each, in order, inside the content.
Status append_views(Bytes result, Bytes content, size_t count, std::vector<Bytes>& views) {
    auto reader = find(result, "entries");
    if (!reader || reader->array() != count) return unexpected_form();
    for (size_t item = 0; item < count; ++item) {
        uint64_t index = 0;
        Span span;
        if (!read_entry(*reader, index, span) || index != item) return unexpected_form();
        if (span.offset > content.size() || span.length > content.size() - span.offset) {
            return unexpected_form();
        }
        views.push_back(content.subspan(span.offset, span.length));
    }
    return {};
}

}  // namespace

io::Task<Status> RpcCalls::get_many(std::string_view bucket, std::span<const BatchItem> items,
                                    Batch& batch) {
    batch.items_.clear();
    batch.mappings_.clear();
    if (batch.buffers_.size() > 1) batch.buffers_.clear();
    while (!items.empty()) {
        const size_t count = items_that_fit(bucket, items);
        CO_TRY_STATUS(co_await add_batch(bucket, items.first(count), false, batch));
        items = items.subspan(count);
    }
    co_return Status();
}

io::Task<Status> RpcCalls::get_many_shared(std::string_view bucket,
                                           std::span<const BatchItem> items, Batch& batch) {
    batch.items_.clear();
    batch.mappings_.clear();
    while (!items.empty()) {
        const size_t count = items_that_fit(bucket, items);
        CO_TRY_STATUS(co_await add_batch(bucket, items.first(count), passes_descriptors_, batch));
        items = items.subspan(count);
    }
    co_return Status();
}

// What is more than a reply holds comes as a descriptor, or in halves; a single object that is too
// large for either, in ranges.
io::Task<Status> RpcCalls::add_batch(std::string_view bucket, std::span<const BatchItem> items,
                                     bool as_descriptor, Batch& batch) {
    const size_t before = batch.items_.size();
    Status added = as_descriptor ? co_await add_mapping(bucket, items, batch)
                                 : co_await add_bytes(bucket, items, batch);
    if (added || added.error().code != Errc::too_large) co_return added;
    batch.items_.resize(before);
    if (!as_descriptor && passes_descriptors_) {
        co_return co_await add_batch(bucket, items, true, batch);
    }
    if (items.size() == 1) {
        CO_TRY(Content content, co_await get(bucket, items[0].name, {.member = items[0].member}));
        batch.items_.push_back(content.bytes());
        batch.buffers_.push_back(content.take_buffer());
        co_return Status();
    }
    const size_t half = items.size() / 2;
    CO_TRY_STATUS(co_await add_batch(bucket, items.first(half), as_descriptor, batch));
    co_return co_await add_batch(bucket, items.subspan(half), as_descriptor, batch);
}

io::Task<Status> RpcCalls::add_bytes(std::string_view bucket, std::span<const BatchItem> items,
                                     Batch& batch) {
    Buffer used;
    if (batch.items_.empty() && batch.buffers_.size() == 1) {
        used = std::move(batch.buffers_[0]);
        batch.buffers_.clear();
    }
    CO_TRY(Answer answer, co_await simple_call(batch_request(bucket, items, false), Repeat::allowed,
                                               std::move(used)));
    auto data = find(answer.result, "data");
    const auto text = data ? data->text() : std::nullopt;
    if (!text) co_return unexpected_form();
    CO_TRY_STATUS(append_views(answer.result, as_bytes(*text), items.size(), batch.items_));
    batch.buffers_.push_back(std::move(answer.buffer));
    co_return Status();
}

io::Task<Status> RpcCalls::add_mapping(std::string_view bucket, std::span<const BatchItem> items,
                                       Batch& batch) {
    CO_TRY(Answer answer,
           co_await simple_call(batch_request(bucket, items, true), Repeat::allowed));
    CO_TRY(io::FileMapping mapping, mapping_of(answer, io::FileMapping::Use::sealed));
    CO_TRY_STATUS(append_views(answer.result, mapping.bytes(), items.size(), batch.items_));
    batch.mappings_.push_back(std::move(mapping));
    co_return Status();
}

io::Task<Result<SharedObject>> RpcCalls::get_shared(std::string_view bucket,
                                                    std::string_view name) {
    if (!passes_descriptors_) {
        co_return fail(Errc::denied, "descriptors travel over a Unix socket only");
    }
    Packer packer;
    packer.map(3).text("bucket").name(bucket).text("name").name(name).text("as").text("fd");
    CO_TRY(const Answer answer,
           co_await simple_call({.method = "object.get", .arguments = packer.take()},
                                Repeat::allowed));
    CO_TRY(io::FileMapping mapping, mapping_of(answer, io::FileMapping::Use::file));
    std::vector<Bytes> views;
    CO_TRY_STATUS(append_views(answer.result, mapping.bytes(), 1, views));
    co_return SharedObject(std::move(mapping), views[0]);
}

Result<io::FileMapping> RpcCalls::mapping_of(const Answer& answer, io::FileMapping::Use use) {
    auto size = find(answer.result, "size");
    const auto size_bytes = size ? size->number() : std::nullopt;
    if (!size_bytes || answer.descriptors.size() != 1) return unexpected_form();
    return io::FileMapping::map(answer.descriptors[0].get(), *size_bytes, use);
}

}  // namespace penstock::client
