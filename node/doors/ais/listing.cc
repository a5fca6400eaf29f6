#include "node/doors/ais/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "archive/shard_index.h"
#include "io/base/checksum.h"
#include "node/doors/ais/access.h"
#include "node/doors/ais/errors.h"
#include "node/doors/ais/list_writer.h"
#include "node/doors/ais/object_headers.h"

namespace penstock::node::ais {
namespace {

// A page in the making. Rows are views of what the pages and member listings hold.
struct Page {
    ListAnswer answer;
    std::deque<ListPage> pages;
    std::deque<MemberListing> shards;

    uint32_t room(uint32_t limit) const {
        return limit - static_cast<uint32_t>(answer.rows.size());
    }
};

void add_row(Page& page, const ListPage& from, size_t position) {
    const ListPage::Entry& entry = from.entries[position];
    ListRow row{from.name(entry), {}, entry.size_bytes, entry_cached, nullptr};
    if (entry.is_directory) row.flags = entry_directory;
    if (!entry.is_directory && !from.attributes.empty())
        row.attributes = &from.attributes[position];
    if (row.attributes != nullptr && row.attributes->part_count > 0) row.flags |= entry_chunked;
    page.answer.rows.push_back(row);
}

std::string last_name(const Page& page) {
    const ListRow& row = page.answer.rows.back();
    std::string name(row.object);
    if (!row.member.empty()) name.append("/").append(row.member);
    return name;
}

// Members of `shard` behind `after`, as far as there is room. False if the page is full before the
// last one. `row.object` lives in page.pages.
bool add_members(Page& page, std::string_view shard, const MemberListing& members,
                 std::string_view after, uint32_t limit) {
    for (const MemberListing::Entry& member : members.entries) {
        if (!after.empty() && member.name <= after) continue;
        if (page.room(limit) == 0) return false;
        page.answer.rows.push_back(
            {shard, member.name, member.size_bytes, entry_cached | entry_in_archive, nullptr});
    }
    return true;
}

// What a token inside a shard means: which object it is, and the member it stops at.
struct MemberToken {
    std::string shard;
    std::string member;
};

bool is_shard_name(std::string_view object) {
    return archive::format_from_name(object) != archive::Format::none;
}

// A token may be "shard.tar/member", or "shard.tar" where a page ended before the first member. The
// object of that whole name, if there is one, is meant before any member.
io::Task<std::optional<MemberToken>> member_token(Call& call, const BucketName& bucket,
                                                  std::string_view token) {
    for (size_t slash = 0; slash != std::string_view::npos;) {
        slash = token.find('/', slash + 1);
        const std::string_view shard = token.substr(0, slash);
        if (!is_shard_name(shard)) continue;
        const auto whole = co_await call.service.stat(call.core, {bucket, token});
        if (whole && !is_shard_name(token)) break;
        if (whole) co_return MemberToken{std::string(token), ""};
        if (slash == std::string_view::npos) break;
        const auto found = co_await call.service.stat(call.core, {bucket, shard});
        if (found) co_return MemberToken{std::string(shard), std::string(token.substr(slash + 1))};
    }
    co_return std::nullopt;
}

// A prefix that names a directory lists what is in it, with or without the slash at its end.
io::Task<Result<std::string>> directory_prefix(Call& call, const BucketName& bucket,
                                               const std::string& prefix) {
    if (prefix.empty() || prefix.ends_with('/')) co_return prefix;
    ListOptions options{.prefix = prefix + '/', .after = "", .limit = 1};
    CO_TRY(const ListPage inside, co_await call.service.list(call.core, bucket, options));
    co_return inside.entries.empty() ? prefix : options.prefix;
}

// Objects alone: one page of the store is one page of ours.
io::Task<Status> fill_plain(Call& call, const BucketName& bucket, const ListRequest& request,
                            ListOptions options, Page& page) {
    options.limit = request.limit;
    CO_TRY(ListPage listed, co_await call.service.list(call.core, bucket, std::move(options)));
    const ListPage& kept = page.pages.emplace_back(std::move(listed));
    page.answer.rows.reserve(kept.entries.size());
    for (size_t at = 0; at < kept.entries.size(); ++at) add_row(page, kept, at);
    if (!kept.is_last && !page.answer.rows.empty())
        page.answer.token = token_from_name(last_name(page));
    co_return Status();
}

// Adds a shard's members behind its own row; what only has the name of a shard has none. False if
// the page is full. `corrupt` if the shard is damaged: a listing that ends before the damage would
// look like a whole one.
io::Task<Result<bool>> add_shard(Call& call, const BucketName& bucket, std::string_view shard,
                                 std::string_view after, uint32_t limit, Page& page) {
    auto members = co_await call.service.members(call.core, {bucket, shard});
    if (!members && members.error().code == Errc::corrupt) co_return fail(members.error());
    if (!members) co_return true;
    if (members->damaged_at) {
        co_return fail(Errc::corrupt, fmt::format("the shard {} is damaged at byte {}",
                                                  object_url(bucket, shard), *members->damaged_at));
    }
    const MemberListing& kept = page.shards.emplace_back(std::move(*members));
    co_return add_members(page, shard, kept, after, limit);
}

// The rest of the shard that the last page ended in; options.after moves to the shard. False if
// the page is full.
io::Task<Result<bool>> resume_in_shard(Call& call, const BucketName& bucket, uint32_t limit,
                                       ListOptions& options, Page& page) {
    const auto token = co_await member_token(call, bucket, options.after);
    if (!token) co_return true;
    options.after = token->shard;
    // Rows are views of names, so the shard's own lies where a page's names do.
    const ListPage& holder = page.pages.emplace_back(ListPage{.names = token->shard});
    co_return co_await add_shard(call, bucket, holder.names, token->member, limit, page);
}

// Objects and, behind each shard, its members: they count towards the page.
io::Task<Status> fill_with_members(Call& call, const BucketName& bucket, const ListRequest& request,
                                   ListOptions options, Page& page) {
    // Shards are few and large, so small steps: most of what a step lists should be used.
    constexpr uint32_t step_entries = 256;
    CO_TRY(const bool has_room,
           co_await resume_in_shard(call, bucket, request.limit, options, page));
    bool is_full = !has_room;
    bool is_last = false;
    while (!is_full && !is_last) {
        if (page.room(request.limit) == 0) {
            is_full = true;
            break;
        }
        options.limit = std::min(page.room(request.limit), step_entries);
        CO_TRY(ListPage listed, co_await call.service.list(call.core, bucket, options));
        const ListPage& kept = page.pages.emplace_back(std::move(listed));
        is_last = kept.is_last;
        for (size_t at = 0; at < kept.entries.size() && !is_full; ++at) {
            if (page.room(request.limit) == 0) {
                is_full = true;
                break;
            }
            add_row(page, kept, at);
            const std::string_view object = page.answer.rows.back().object;
            options.after = object;
            if (kept.entries[at].is_directory || !is_shard_name(object)) continue;
            page.answer.rows.back().flags |= entry_archive;
            CO_TRY(const bool is_whole,
                   co_await add_shard(call, bucket, object, "", request.limit, page));
            is_full = !is_whole;
        }
    }
    if (is_full && !page.answer.rows.empty()) page.answer.token = token_from_name(last_name(page));
    co_return Status();
}

io::Task<Status> fill(Call& call, const BucketName& bucket, const ListRequest& request,
                      Page& page) {
    ListOptions options{.prefix = request.prefix,
                        .after = request.after,
                        .is_recursive = (request.flags & flag_no_recursion) == 0,
                        .wants_attributes = request.columns.needs_attributes()};
    if (!options.is_recursive) {
        CO_TRY(options.prefix, co_await directory_prefix(call, bucket, request.prefix));
    }
    if ((request.flags & flag_archive_dir) != 0) {
        co_return co_await fill_with_members(call, bucket, request, std::move(options), page);
    }
    co_return co_await fill_plain(call, bucket, request, std::move(options), page);
}

ApiError list_error(const Call& call, const Bucket& bucket, const Error& error) {
    if (error.code == Errc::denied) return access_denied(bucket, "LIST-OBJECTS");
    if (error.code == Errc::not_found && !call.service.find_bucket(call.core, bucket.name)) {
        return bucket_missing(bucket.name);
    }
    ApiError answer = api_error(error, bucket_url(bucket.name));
    if (is_shard_damage(error)) {
        answer.status = 422;
        answer.tcode = "ErrDamagedShard";
    }
    return answer;
}

}  // namespace

std::string make_id(const Call& call) {
    constexpr std::string_view letters =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    constexpr size_t id_letters = 9;
    // The clock moves between requests of one core; the core and the frame tell concurrent ones
    // apart.
    const uint64_t now_ns = call.request.reactor.clock().monotonic_ns();
    const uint64_t parts[] = {now_ns, call.core, reinterpret_cast<uintptr_t>(&call)};
    Digest128 digest = xxh3_128(std::as_bytes(std::span(parts)), call.node.started_ns);
    std::string id;
    while (id.size() < id_letters) {
        id += letters[digest.low % letters.size()];
        digest.low /= letters.size();
    }
    return id;
}

io::Task<Reply> list_objects(Call& call, std::shared_ptr<const Bucket> bucket,
                             ListRequest request) {
    if ((request.flags & flag_not_cached) != 0) {
        co_return refuse(400, "",
                         fmt::format("{} is not a remote bucket - cannot list 'not cached' objects",
                                     bucket_url(bucket->name)));
    }
    Page page;
    page.answer.uuid = request.uuid.empty() ? make_id(call) : request.uuid;
    const Status filled = co_await fill(call, bucket->name, request, page);
    if (!filled) co_return std::unexpected(list_error(call, *bucket, filled.error()));

    const std::string location = location_text(call.node);
    const ListContext context{request.columns, bucket->properties, request.time_format, location};
    const bool is_msgpack = call.request.head.find("Accept").contains("application/msgpack");
    io::http::Response response{io::http::ResponseHead(200), {}, {}, true, false};
    // Clients compare this with "==": no charset.
    response.head.add("Content-Type",
                      is_msgpack ? "application/msgpack" : "application/json; charset=utf-8");
    response.body = is_msgpack ? write_msgpack(call.request.buffers, page.answer, context)
                               : write_json(call.request.buffers, page.answer, context);
    co_return response;
}

}  // namespace penstock::node::ais
