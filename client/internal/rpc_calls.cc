#include "client/internal/rpc_calls.h"

#include <algorithm>
#include <utility>

#include "io/base/checksum.h"

namespace penstock::client {
namespace {

// The node takes and gives no longer value (its limit value_bytes).
constexpr uint64_t value_bytes_max = 1 << 20;
// Versions of an object that is overwritten all the time, before its reading is given up.
constexpr int versions_max = 4;

std::unexpected<Error> unexpected_form() {
    return fail(Errc::corrupt, "the node sent a result of a wrong form");
}

// The arguments that say which object: two pairs.
Packer& object(Packer& packer, std::string_view bucket, std::string_view name) {
    return packer.text("bucket").name(bucket).text("name").name(name);
}

std::string text_at(Bytes map, std::string_view key) {
    auto value = find(map, key);
    const auto text = value ? value->text() : std::nullopt;
    return std::string(text.value_or(""));
}

std::optional<uint64_t> number_at(Bytes map, std::string_view key) {
    auto value = find(map, key);
    return value ? value->number() : std::nullopt;
}

Metadata metadata_at(Bytes map) {
    Metadata metadata;
    auto value = find(map, "metadata");
    const auto pairs = value ? value->map() : std::nullopt;
    for (uint32_t pair = 0; pairs && pair < *pairs; ++pair) {
        const auto key = value->text();
        const auto text = value->text();
        if (!key || !text) break;
        metadata.emplace_back(*key, *text);
    }
    return metadata;
}

Result<ObjectInfo> info_from(Bytes result) {
    const auto size = number_at(result, "size");
    if (!size) return unexpected_form();
    ObjectInfo info;
    info.size_bytes = *size;
    info.version = text_at(result, "version");
    if (auto checksum = find(result, "checksum")) {
        info.checksum_type = text_at(checksum->rest(), "type");
        info.checksum_value = text_at(checksum->rest(), "value");
        if (info.checksum_type == "none") info.checksum_type.clear();
    }
    info.metadata = metadata_at(result);
    info.modified_ns = number_at(result, "modified_ns").value_or(0);
    return info;
}

// How many pairs add_condition() adds.
uint32_t condition_count(const PutOptions& options) {
    return static_cast<uint32_t>(options.if_absent) +
           static_cast<uint32_t>(!options.if_version.empty());
}

void add_condition(Packer& packer, const PutOptions& options) {
    if (options.if_absent) packer.text("if_absent").boolean(true);
    if (!options.if_version.empty()) packer.text("if_version").text(options.if_version);
}

// A pair if there is any.
void add_metadata(Packer& packer, const PutOptions& options) {
    if (options.metadata.empty()) return;
    packer.text("metadata").map(static_cast<uint32_t>(options.metadata.size()));
    for (const auto& [key, value] : options.metadata) packer.text(key).text(value);
}

// What a range of an object of `size` must hold.
uint64_t expected_bytes(uint64_t size, uint64_t offset, uint64_t length) {
    return std::min(size - std::min(size, offset), length);
}

RpcRequest get_request(std::string_view bucket, std::string_view name, std::string_view member,
                       uint64_t offset, uint64_t length) {
    const bool has_length = length != UINT64_MAX;
    Packer packer;
    packer.map(3 + static_cast<uint32_t>(has_length) + static_cast<uint32_t>(!member.empty()));
    object(packer, bucket, name).text("offset").number(offset);
    if (has_length) packer.text("length").number(length);
    if (!member.empty()) packer.text("member").name(member);
    return {.method = "object.get", .arguments = packer.take(), .expects_data = true};
}

}  // namespace

// ---- one call and its attempts ----

io::Task<std::expected<RpcCalls::Answer, RpcCalls::Failed>> RpcCalls::attempt(
    const RpcRequest& request, Buffer buffer, uint64_t deadline_ns) {
    Result<std::unique_ptr<io::Channel>> taken = co_await pool_.take(deadline_ns);
    if (!taken) {
        const Errc code = taken.error().code;
        const bool is_final = code == Errc::timed_out || code == Errc::denied;
        co_return std::unexpected(Failed{taken.error(), is_final, false, false});
    }
    const uint32_t id = next_id();
    Inbox inbox(**taken, std::move(buffer));
    const Status sent = co_await send_request(**taken, request, id, deadline_ns);
    Result<RpcReply> reply = sent ? co_await inbox.next(deadline_ns) : fail(sent.error());
    Status checked;
    if (reply && (reply->id != id || !inbox.is_empty())) {
        checked = fail(Errc::corrupt, "the node sent a reply that nobody waits for");
    } else if (reply && !reply->error && request.expects_data) {
        if (const Result<Bytes> data = checked_data(reply->result); !data) {
            checked = fail(data.error());
        }
    }
    if (!reply || !checked) {
        pool_.drop(std::move(*taken));
        const Error& error = reply ? checked.error() : reply.error();
        co_return std::unexpected(Failed{error, error.code == Errc::timed_out, true, false});
    }
    // An open descriptor keeps what it shows: the node need not hold it for us any longer. A lease
    // belongs to its connection, and goes with it where this cannot be sent.
    Status released;
    if (auto lease = number_at(reply->result, "lease"); lease && !inbox.descriptors().empty()) {
        Packer notice;
        notice.array(3).number(2).text("lease.release").array(1).map(1).text("lease");
        const std::string bytes = notice.number(*lease).take();
        released = co_await (*taken)->send(as_bytes(bytes), deadline_ns);
    }
    released ? pool_.give_back(std::move(*taken)) : pool_.drop(std::move(*taken));
    if (reply->error) {
        const bool is_busy = reply->error->code == Errc::unavailable;
        co_return std::unexpected(Failed{*reply->error, !is_busy, false, false});
    }
    const Bytes result = reply->result;
    co_return Answer{inbox.take_buffer(), result, std::move(inbox.descriptors()), false};
}

io::Task<std::expected<RpcCalls::Answer, RpcCalls::Failed>> RpcCalls::call(
    const RpcRequest& request, Repeat repeat, Buffer buffer) {
    Attempts attempts(pool_, options_);
    bool was_begun = false;
    for (;;) {
        auto answer = co_await attempt(request, std::move(buffer), attempts.deadline_ns());
        if (answer) {
            answer->was_repeated = was_begun;
            co_return answer;
        }
        Failed& failed = answer.error();
        was_begun = was_begun || failed.has_begun;
        failed.was_repeated = was_begun;
        const bool may_go_on = !failed.is_final && (!failed.has_begun || repeat == Repeat::allowed);
        if (!may_go_on || !co_await attempts.wait_for_next()) co_return answer;
        buffer = Buffer();
    }
}

io::Task<Result<RpcCalls::Answer>> RpcCalls::simple_call(const RpcRequest& request, Repeat repeat,
                                                         Buffer buffer) {
    auto answer = co_await call(request, repeat, std::move(buffer));
    if (!answer) co_return fail(std::move(answer.error().error));
    co_return std::move(*answer);
}

// ---- buckets ----

io::Task<Status> RpcCalls::create_bucket(std::string_view bucket) {
    Packer packer;
    packer.map(1).text("bucket").name(bucket);
    const auto answer =
        co_await call({.method = "bucket.create", .arguments = packer.take()}, Repeat::allowed);
    if (answer) co_return Status();
    const Failed& failed = answer.error();
    // An attempt whose answer did not come made it.
    if (failed.was_repeated && failed.error.code == Errc::exists) co_return Status();
    co_return fail(failed.error);
}

io::Task<Status> RpcCalls::destroy_bucket(std::string_view bucket) {
    Packer packer;
    packer.map(1).text("bucket").name(bucket);
    CO_TRY_STATUS(co_await simple_call({.method = "bucket.destroy", .arguments = packer.take()},
                                       Repeat::never));
    co_return Status();
}

io::Task<Result<std::vector<std::string>>> RpcCalls::buckets() {
    Packer packer;
    packer.map(0);
    CO_TRY(const Answer answer,
           co_await simple_call({.method = "bucket.list", .arguments = packer.take()},
                                Repeat::allowed));
    auto list = find(answer.result, "buckets");
    const auto count = list ? list->array() : std::nullopt;
    if (!count) co_return unexpected_form();
    std::vector<std::string> names;
    for (uint32_t index = 0; index < *count; ++index) {
        const Bytes entry = list->rest();
        if (!list->skip()) co_return unexpected_form();
        names.push_back(text_at(entry, "name"));
    }
    co_return names;
}

// ---- objects ----

io::Task<Result<ObjectInfo>> RpcCalls::put(std::string_view bucket, std::string_view name,
                                           Bytes content, const PutOptions& options) {
    if (content.size() > value_bytes_max) {
        co_return co_await put_parts(bucket, name, content, options);
    }
    co_return co_await put_small(bucket, name, content, options);
}

io::Task<Result<ObjectInfo>> RpcCalls::put_small(std::string_view bucket, std::string_view name,
                                                 Bytes content, const PutOptions& options) {
    Packer packer;
    packer.map(4 + condition_count(options) + static_cast<uint32_t>(!options.metadata.empty()));
    object(packer, bucket, name).text("crc32c").number(crc32c(content));
    add_condition(packer, options);
    add_metadata(packer, options);
    packer.text("data");
    const RpcRequest request{
        .method = "object.put", .arguments = packer.take(), .data = content, .has_data = true};
    auto answer = co_await call(request, Repeat::allowed);
    if (answer) {
        CO_TRY(ObjectInfo info, info_from(answer->result));
        if (info.size_bytes != content.size()) {
            co_return fail(Errc::corrupt, "the node stored another size than was sent");
        }
        co_return info;
    }
    const Failed& failed = answer.error();
    if (failed.was_repeated && failed.error.code == Errc::condition_failed) {
        // Perhaps an attempt whose answer did not come made the object that is there now.
        Result<ObjectInfo> found = co_await stat(bucket, name);
        if (found && is_content(*found, content)) co_return found;
    }
    co_return fail(failed.error);
}

io::Task<Status> RpcCalls::send_part(std::string_view upload, uint64_t number, Bytes content) {
    Packer packer;
    packer.map(4).text("upload").name(upload).text("number").number(number);
    packer.text("crc32c").number(crc32c(content)).text("data");
    const RpcRequest request{
        .method = "upload.part", .arguments = packer.take(), .data = content, .has_data = true};
    CO_TRY_STATUS(co_await simple_call(request, Repeat::allowed));
    co_return Status();
}

io::Task<Result<ObjectInfo>> RpcCalls::put_parts(std::string_view bucket, std::string_view name,
                                                 Bytes content, const PutOptions& options) {
    Packer packer;
    object(packer.map(options.metadata.empty() ? 2 : 3), bucket, name);
    add_metadata(packer, options);
    CO_TRY(const Answer begun,
           co_await simple_call({.method = "upload.begin", .arguments = packer.take()},
                                Repeat::never));
    const std::string upload = text_at(begun.result, "upload");
    const auto upload_arguments = [&upload](const PutOptions& condition) {
        Packer arguments;
        arguments.map(1 + condition_count(condition)).text("upload").name(upload);
        add_condition(arguments, condition);
        return arguments.take();
    };
    Status status;
    uint64_t number = 0;
    for (Bytes rest = content; status && !rest.empty();) {
        const size_t size = std::min<uint64_t>(rest.size(), value_bytes_max);
        status = co_await send_part(upload, ++number, rest.first(size));
        rest = rest.subspan(size);
    }
    if (status) {
        auto answer = co_await simple_call(
            {.method = "upload.complete", .arguments = upload_arguments(options)}, Repeat::never);
        if (answer) {
            CO_TRY(ObjectInfo info, info_from(answer->result));
            if (!has_content(info, content).value_or(true)) {
                co_return fail(Errc::corrupt, "the node stored other bytes than were sent");
            }
            co_return info;
        }
        status = fail(answer.error());
        Result<ObjectInfo> found = co_await stat(bucket, name);
        if (is_passing(answer.error().code) && found && is_content(*found, content)) {
            co_return found;
        }
    }
    // What was sent is of no use to anybody; that it cannot be dropped now is the node's to tidy.
    (void)co_await simple_call({.method = "upload.abort", .arguments = upload_arguments({})},
                               Repeat::never);
    co_return fail(status.error());
}

io::Task<Result<Content>> RpcCalls::get(std::string_view bucket, std::string_view name,
                                        const ReadOptions& options) {
    const RpcRequest request =
        get_request(bucket, name, options.member, options.offset, options.length);
    auto answer = co_await simple_call(request, Repeat::allowed);
    if (!answer && answer.error().code == Errc::too_large) {
        co_return co_await get_ranges(bucket, name, options);
    }
    if (!answer) co_return fail(answer.error());
    const auto size = number_at(answer->result, "size");
    auto data = find(answer->result, "data");
    const auto text = data ? data->text() : std::nullopt;
    if (!size || !text) co_return unexpected_form();
    if (text->size() != expected_bytes(*size, options.offset, options.length)) {
        co_return fail(Errc::corrupt, "a reply holds another number of bytes than it says");
    }
    co_return Content(std::move(answer->buffer), as_bytes(*text));
}

io::Task<Result<Content>> RpcCalls::get_ranges(std::string_view bucket, std::string_view name,
                                               const ReadOptions& options) {
    for (int version = 0; version < versions_max; ++version) {
        CO_TRY(const Answer head,
               co_await simple_call(get_request(bucket, name, options.member, options.offset, 0),
                                    Repeat::allowed));
        const auto size = number_at(head.result, "size");
        if (!size) co_return unexpected_form();
        Buffer buffer(expected_bytes(*size, options.offset, options.length));
        if (buffer.size() != expected_bytes(*size, options.offset, options.length)) {
            co_return fail(Errc::too_large, "no memory for " + std::to_string(*size) + " bytes");
        }
        Ranges ranges{
            bucket,        name, options.member, options.offset, text_at(head.result, "version"),
            buffer.bytes()};
        const Status read = co_await read_ranges(ranges);
        const Bytes bytes = buffer.bytes();
        if (read) co_return Content(std::move(buffer), bytes);
        if (read.error().code != Errc::condition_failed) co_return fail(read.error());
    }
    co_return fail(Errc::unavailable, "the object is being overwritten all the time");
}

// Goes on behind what has come when an attempt fails. `condition_failed`: the version moved on.
io::Task<Status> RpcCalls::read_ranges(const Ranges& ranges) {
    uint64_t done_bytes = 0;
    for (;;) {
        Attempts attempts(pool_, options_);
        for (const uint64_t before = done_bytes; done_bytes == before;) {
            auto channel = co_await pool_.take(attempts.deadline_ns());
            Status status = channel ? Status() : fail(channel.error());
            if (channel) {
                status = co_await exchange_ranges(**channel, ranges, done_bytes);
                status ? pool_.give_back(std::move(*channel)) : pool_.drop(std::move(*channel));
                if (status) co_return Status();
            }
            const bool goes_on = is_passing(status.error().code);
            if (!goes_on || (done_bytes == before && !co_await attempts.wait_for_next())) {
                co_return status;
            }
        }
    }
}

// Several ranges are under way at once; `done_bytes` are whole from the beginning on.
io::Task<Status> RpcCalls::exchange_ranges(io::Channel& channel, const Ranges& ranges,
                                           uint64_t& done_bytes) {
    constexpr uint64_t underway_max = 8;
    const uint64_t total = ranges.into.size();
    const uint64_t begin = done_bytes;
    const uint64_t count = (total - begin + value_bytes_max - 1) / value_bytes_max;
    const uint32_t first_id = next_id_.fetch_add(static_cast<uint32_t>(count) + 1);
    std::vector<bool> has_come(count);
    uint64_t sent = 0;
    Inbox inbox(channel);
    for (uint64_t received = 0; received < count; ++received) {
        const uint64_t deadline_ns = pool_.now_ns() + options_.timeout_ms * 1'000'000;
        for (; sent < count && sent < received + underway_max; ++sent) {
            const uint64_t at = begin + sent * value_bytes_max;
            const uint64_t size = std::min(value_bytes_max, total - at);
            const RpcRequest request =
                get_request(ranges.bucket, ranges.name, ranges.member, ranges.offset + at, size);
            CO_TRY_STATUS(co_await send_request(
                channel, request, first_id + static_cast<uint32_t>(sent), deadline_ns));
        }
        CO_TRY(const RpcReply reply, co_await inbox.next(deadline_ns));
        const uint64_t index = static_cast<uint32_t>(reply.id - first_id);
        if (index >= sent || has_come[index]) {
            co_return fail(Errc::corrupt, "the node sent a reply that nobody waits for");
        }
        if (reply.error) co_return fail(*reply.error);
        CO_TRY(const Bytes data, checked_data(reply.result));
        if (text_at(reply.result, "version") != ranges.version) {
            co_return fail(Errc::condition_failed, "the object was overwritten meanwhile");
        }
        const uint64_t at = begin + index * value_bytes_max;
        if (data.size() != std::min(value_bytes_max, total - at)) {
            co_return fail(Errc::corrupt, "a reply holds another number of bytes than was asked");
        }
        std::ranges::copy(data, ranges.into.begin() + static_cast<ptrdiff_t>(at));
        has_come[index] = true;
        while (done_bytes < total && has_come[(done_bytes - begin) / value_bytes_max]) {
            done_bytes += std::min(value_bytes_max, total - done_bytes);
        }
    }
    co_return inbox.is_empty() ? Status() : fail(Errc::corrupt, "bytes behind the last reply");
}

io::Task<Result<ObjectInfo>> RpcCalls::stat(std::string_view bucket, std::string_view name) {
    Packer packer;
    object(packer.map(2), bucket, name);
    CO_TRY(const Answer answer,
           co_await simple_call({.method = "object.stat", .arguments = packer.take()},
                                Repeat::allowed));
    co_return info_from(answer.result);
}

io::Task<Status> RpcCalls::remove(std::string_view bucket, std::string_view name,
                                  std::string_view if_version) {
    Packer packer;
    object(packer.map(if_version.empty() ? 2 : 3), bucket, name);
    if (!if_version.empty()) packer.text("if_version").text(if_version);
    const auto answer =
        co_await call({.method = "object.delete", .arguments = packer.take()}, Repeat::allowed);
    if (answer) co_return Status();
    const Failed& failed = answer.error();
    // An attempt whose answer did not come removed it.
    if (failed.was_repeated && failed.error.code == Errc::not_found) co_return Status();
    co_return fail(failed.error);
}

io::Task<Result<ListPage>> RpcCalls::list(std::string_view bucket, std::string_view prefix,
                                          std::string_view token) {
    Packer packer;
    packer.map(3).text("bucket").name(bucket).text("prefix").name(prefix);
    packer.text("token").name(token);
    CO_TRY(const Answer answer,
           co_await simple_call({.method = "object.list", .arguments = packer.take()},
                                Repeat::allowed));
    auto list = find(answer.result, "entries");
    const auto count = list ? list->array() : std::nullopt;
    if (!count || !find(answer.result, "token")) co_return unexpected_form();
    ListPage page;
    page.token = text_at(answer.result, "token");
    for (uint32_t index = 0; index < *count; ++index) {
        const Bytes entry = list->rest();
        if (!list->skip()) co_return unexpected_form();
        page.entries.push_back({text_at(entry, "name"), number_at(entry, "size").value_or(0),
                                text_at(entry, "version")});
    }
    co_return page;
}

std::unique_ptr<Calls> make_rpc_calls(io::ChannelPool& pool, const Options& options,
                                      bool passes_descriptors) {
    return std::make_unique<RpcCalls>(pool, options, passes_descriptors);
}

}  // namespace penstock::client
