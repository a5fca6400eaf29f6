// GET and HEAD of objects and members.
#include <fmt/format.h>

#include "io/http/range.h"
#include "node/doors/ais/conditions.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/json.h"
#include "node/doors/ais/object_headers.h"
#include "node/doors/ais/objects.h"
#include "node/doors/ais/properties.h"
#include "node/doors/ais/text.h"
#include "node/store/content_hash.h"

namespace penstock::node::ais {
namespace {

using io::http::Response;

// What is read: an object, or a member of the shard that it is.
struct Subject {
    const ObjectTarget& target;
    std::string member;
    std::string_view format_hint;

    bool is_member() const { return !member.empty(); }
};

io::Task<Result<OpenedObject>> open(Call& call, const Subject& subject, ReadRange range) {
    if (!subject.is_member()) {
        return call.service.get(call.core, subject.target.address(), range);
    }
    return call.service.get_member(call.core, subject.target.address(), subject.member,
                                   subject.format_hint, range);
}

// Size and version before the range is known to fit. A member's come only with the member.
io::Task<Result<ObjectAttributes>> look_at(Call& call, const Subject& subject) {
    if (!subject.is_member()) {
        co_return co_await call.service.stat(call.core, subject.target.address());
    }
    CO_TRY(const OpenedObject opened, co_await open(call, subject, {}));
    co_return opened.attributes;
}

ApiError read_error(const Call& call, const Subject& subject, const Error& error) {
    if (!subject.is_member()) return object_error(call, subject.target, error);
    const std::string place = fmt::format("{} in {}", subject.member, subject.target.url());
    if (error.code == Errc::not_found) {
        return {
            404, "ErrNotFound", fmt::format("t[{}]: {} does not exist", call.node.node_id, place),
            {},  false,         false};
    }
    ApiError answer = object_error(call, subject.target, error);
    if (is_shard_damage(error)) {
        answer.status = 422;
        answer.tcode = "ErrDamagedShard";
    }
    return answer;
}

std::unexpected<ApiError> refuse_range(std::string_view range, uint64_t size, std::string why) {
    const bool is_multiple = range.contains(',');
    return std::unexpected(ApiError{416,
                                    is_multiple ? "ErrUnsupp" : "ErrRangeNotSatisfiable",
                                    fmt::format("size={}: {}", size, why),
                                    {{"Content-Range", fmt::format("bytes */{}", size)}},
                                    false,
                                    false});
}

Response object_response(const Subject& subject, OpenedObject opened, bool is_partial) {
    const uint64_t size = opened.attributes.size_bytes;
    Response response{io::http::ResponseHead(is_partial ? 206 : 200), {}, {}, true, false};
    response.head.add("Content-Type", subject.is_member() ? "application/octet-stream"
                                                          : content_type_of(opened.attributes));
    if (!subject.is_member()) {
        add_attributes(response.head, *subject.target.bucket, opened.attributes);
    }
    if (is_partial) {
        response.head.add("Accept-Ranges", "bytes");
        const ReadRange& range = opened.range;
        response.head.add("Content-Range", fmt::format("bytes {}-{}/{}", range.offset,
                                                       range.offset + range.size - 1, size));
    }
    response.body = std::move(opened.body);
    return response;
}

io::Task<Reply> read_whole(Call& call, const Subject& subject) {
    auto opened = co_await open(call, subject, {});
    if (!opened) co_return std::unexpected(read_error(call, subject, opened.error()));
    if (auto unmet = unmet_condition(call, opened->attributes)) co_return std::move(*unmet);
    co_return object_response(subject, std::move(*opened), false);
}

// Of exactly these bytes, which go by once more when they are sent.
io::Task<Result<ContentChecksum>> checksum_of(Call& call, ChecksumType type, io::Body body) {
    ContentHash hash(type);
    const auto source = body.into_source(call.request.reactor, call.request.buffers);
    for (;;) {
        CO_TRY(const io::Chunk chunk, co_await source->next());
        if (chunk.is_empty()) co_return hash.finish();
        hash.add(chunk.bytes());
    }
}

// The range of what is opened, with the checksum that the bucket wants sent along: the object's,
// or the range's own.
io::Task<Result<OpenedObject>> open_range(Call& call, const Subject& subject, ReadRange range) {
    const BucketProperties& properties = subject.target.bucket->properties;
    CO_TRY(OpenedObject opened, co_await open(call, subject, range));
    if (subject.is_member() || !has_range_checksums(properties)) co_return opened;
    CO_TRY(const ContentChecksum checksum,
           co_await checksum_of(call, properties.checksum, std::move(opened.body)));
    const Version version = opened.attributes.version;
    CO_TRY(opened, co_await open(call, subject, range));
    if (opened.attributes.version != version) {
        co_return fail(Errc::condition_failed, "it was overwritten meanwhile");
    }
    opened.attributes.checksum = checksum;
    co_return opened;
}

// The range can only be understood once the size is known, and may be read only of that version.
io::Task<Reply> read_range(Call& call, const Subject& subject, std::string_view range) {
    constexpr int tries_max = 4;
    for (int tried = 0; tried < tries_max; ++tried) {
        const auto seen = co_await look_at(call, subject);
        if (!seen) co_return std::unexpected(read_error(call, subject, seen.error()));
        if (auto unmet = unmet_condition(call, *seen)) co_return std::move(*unmet);
        if (!is_range_meant(call, *seen)) co_return co_await read_whole(call, subject);
        const auto chosen = io::http::parse_range(range, seen->size_bytes);
        if (!chosen) co_return refuse_range(range, seen->size_bytes, chosen.error());

        auto opened = co_await open_range(call, subject, {chosen->offset, chosen->size});
        if (!opened && opened.error().code == Errc::condition_failed) continue;
        if (!opened) co_return std::unexpected(read_error(call, subject, opened.error()));
        if (opened->attributes.version == seen->version) {
            co_return object_response(subject, std::move(*opened), true);
        }
    }
    co_return std::unexpected(
        api_error({Errc::unavailable, "it is overwritten all the time"}, subject.target.url()));
}

io::Task<Reply> read(Call& call, const Subject& subject) {
    const std::string_view range = call.request.head.find("Range");
    if (!call.request.head.has("Range")) return read_whole(call, subject);
    return read_range(call, subject, range);
}

// `archpath` as clients write it: a leading slash means nothing.
std::expected<std::string, ApiError> member_name(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of('/'), text.size()));
    std::string_view rest = text;
    while (!rest.empty()) {
        const size_t slash = rest.find('/');
        if (rest.substr(0, slash) == "..") {
            return refuse(400, "errInvalidPath", fmt::format("invalid archpath \"{}\"", text));
        }
        rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    }
    if (text.empty() || text.contains('\0')) {
        return refuse(400, "errInvalidPath", fmt::format("invalid archpath \"{}\"", text));
    }
    return std::string(text);
}

io::Task<Reply> get_member(Call& call, const ObjectTarget& target, std::string_view path) {
    CO_TRY(std::string name, member_name(path));
    const std::string_view hint = call.query.find_filled("archmime").value_or("");
    Subject subject{target, std::move(name), hint};
    Reply reply = co_await read(call, subject);
    // "shard.tar/member" of shard.tar means its member.
    const std::string inside = target.object + '/';
    if (!reply && reply.error().status == 404 && subject.member.starts_with(inside) &&
        subject.member.size() > inside.size()) {
        subject.member.erase(0, inside.size());
        co_return co_await read(call, subject);
    }
    co_return reply;
}

constexpr std::string_view archive_modes[] = {"regexp", "prefix", "suffix", "substr", "wdskey"};

std::expected<void, ApiError> check_archive_query(const Call& call) {
    const auto mode = call.query.find_filled("archmode");
    const auto pattern = call.query.find_filled("archregx");
    if (call.query.find_filled("archpath") && (mode || pattern)) {
        return refuse(400, "",
                      "archpath (match one) and archregx (match many) are mutually "
                      "exclusive");
    }
    if (!mode) return {};  // without it, a pattern does not count
    if (std::ranges::find(archive_modes, *mode) == std::end(archive_modes)) {
        return refuse(400, "",
                      fmt::format("invalid matching mode \"{}\", expecting one of: [regexp prefix "
                                  "suffix substr wdskey]",
                                  *mode));
    }
    if (call.request.head.has("Range")) {
        return refuse(400, "ErrUnsupp",
                      fmt::format("cannot range-read archived content (archregx={}, archmode={})",
                                  pattern.value_or(""), *mode));
    }
    return refuse_not_built("reading several members at once");
}

std::expected<void, ApiError> check_get_options(const Call& call, const ObjectTarget& target) {
    if (call.query.find_filled("etl_name") || call.query.find_filled("etl_pipeline")) {
        return refuse_not_built("ETL");
    }
    if (boolean_from(call.request.head.find("Ais-Blob-Download")).value_or(false)) {
        return refuse(400, "",
                      fmt::format("blob-downloader is not supported for local buckets: {}",
                                  bucket_url(target.bucket->name)));
    }
    return check_archive_query(call);
}

// Properties of HEAD v2 (contract, section 7.4).
std::expected<void, ApiError> add_property(Response& response, const Call& call,
                                           const ObjectTarget& target, std::string_view name,
                                           const ObjectAttributes& attributes) {
    io::http::ResponseHead& head = response.head;
    if (name == "checksum") {
        add_checksum(head, *target.bucket, attributes);
    } else if (name == "atime") {
        head.add("Ais-Atime", attributes.modified_ns);
    } else if (name == "version") {
        add_version(head, *target.bucket, attributes);
    } else if (name == "custom") {
        add_custom(head, attributes);
    } else if (name == "location") {
        head.add("Ais-Location", location_text(call.node));
    } else if (name == "copies") {
        head.add("Ais-Mirror-Paths", call.node.data_path);
        head.add("Ais-Mirror-Copies", uint64_t{1});
    } else if (name == "last-modified") {
        head.add("Last-Modified", http_date(attributes.modified_ns));
    } else if (name == "etag") {
        head.add("ETag", etag_from_version(attributes.version));
    } else if (name == "chunked") {
        if (attributes.part_count > 0) {
            head.add("Ais-Chunks-Count", uint64_t{attributes.part_count});
            head.add("Ais-Chunks-Max-Chunk-Size", attributes.part_bytes_max);
        }
    } else if (name != "name" && name != "size" && name != "ec") {
        // Objects are not erasure-coded, so that one has nothing to say.
        return std::unexpected(ApiError{400,
                                        "",
                                        fmt::format("invalid property \"{}\" in props list", name),
                                        {{"Ais-Present", "true"}},
                                        false,
                                        false});
    }
    return {};
}

Reply head_by_properties(const Call& call, const ObjectTarget& target, std::string_view properties,
                         const ObjectAttributes& attributes) {
    Response response{io::http::ResponseHead(200), {}, attributes.size_bytes, true, false};
    response.head.add("Ais-Present", "true");
    while (!properties.empty()) {
        const size_t comma = properties.find(',');
        const std::string_view name = properties.substr(0, comma);
        TRY_STATUS(add_property(response, call, target, name, attributes));
        properties =
            comma == std::string_view::npos ? std::string_view() : properties.substr(comma + 1);
    }
    return response;
}

Response head_with_everything(const Call& call, const ObjectTarget& target,
                              const ObjectAttributes& attributes) {
    Response response{io::http::ResponseHead(200), {}, attributes.size_bytes, true, false};
    io::http::ResponseHead& head = response.head;
    add_attributes(head, *target.bucket, attributes);
    // The reference says none; of an object that was told its own, GET and HEAD say the same.
    const std::string_view type = content_type_of(attributes);
    if (type != "application/octet-stream") head.add("Content-Type", type);
    head.add("Ais-Present", "true");
    head.add("Ais-Name", target.object);
    head.add("Ais-Bucket-Name", target.bucket->name.name);
    head.add("Ais-Bucket-Provider", target.bucket->name.provider);
    head.add("Ais-Location", location_text(call.node));
    head.add("Ais-Mirror-Paths", fmt::format("[{}]", call.node.data_path));
    head.add("Ais-Mirror-Copies", uint64_t{1});
    return response;
}

}  // namespace

io::Task<Reply> get_object(Call& call, const ObjectTarget& target) {
    CO_TRY_STATUS(check_get_options(call, target));
    if (const auto path = call.query.find_filled("archpath")) {
        co_return co_await get_member(call, target, *path);
    }
    const Subject subject{target, {}, {}};
    co_return co_await read(call, subject);
}

io::Task<Reply> head_object(Call& call, const ObjectTarget& target) {
    const auto attributes = co_await call.service.stat(call.core, target.address());
    if (!attributes) co_return std::unexpected(object_error(call, target, attributes.error()));
    // Contract, section 1.11: 1 and 3 ask for existence alone, 5 for what is not here.
    const std::string_view presence = call.query.find_filled("presence").value_or("0");
    if (presence == "1" || presence == "3") {
        co_return Response{io::http::ResponseHead(200), {}, {}, false, false};
    }
    if (presence == "5") {
        co_return refuse(
            400, "", fmt::format("{} is present (vs requested 'flt-outside'(5))", target.url()));
    }
    if (auto unmet = unmet_condition(call, *attributes)) co_return std::move(*unmet);
    if (const auto properties = call.query.find_filled("props")) {
        co_return head_by_properties(call, target, *properties, *attributes);
    }
    co_return head_with_everything(call, target, *attributes);
}

}  // namespace penstock::node::ais
