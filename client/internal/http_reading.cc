// Reading objects over HTTP: one of any size, which an attempt goes on with behind what has come;
// and many, as GETs that are sent ahead of their answers.
#include <algorithm>

#include "client/internal/http_calls.h"
#include "io/http/head_rules.h"

namespace penstock::client {
namespace {

// Bodies are received so much at a time, each piece with a deadline of its own.
constexpr size_t piece_bytes = 1 << 20;
// Versions of an object that is overwritten all the time, before its reading is given up.
constexpr int versions_max = 4;
// GETs of a batch that are sent ahead of their answers. What is sent ahead fits into the socket's
// buffers whatever the node does, so that neither side waits for the other to read.
constexpr size_t underway_max = 32;
constexpr size_t underway_bytes_max = 16 << 10;
// What the bodies of a batch are put into, one behind the other.
constexpr size_t slab_bytes = 1 << 20;

// "bytes FIRST-LAST/TOTAL".
struct ContentRange {
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t total = 0;
};

std::optional<ContentRange> content_range_from(std::string_view text) {
    constexpr std::string_view unit = "bytes ";
    if (!text.starts_with(unit)) return std::nullopt;
    text.remove_prefix(unit.size());
    const size_t dash = text.find('-');
    const size_t slash = text.find('/');
    if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
        return std::nullopt;
    }
    const auto first = io::http::decimal_from(text.substr(0, dash));
    const auto last = io::http::decimal_from(text.substr(dash + 1, slash - dash - 1));
    const auto total = io::http::decimal_from(text.substr(slash + 1));
    if (!first || !last || !total || *last < *first || *last >= *total) return std::nullopt;
    return ContentRange{*first, *last, *total};
}

std::unexpected<Error> wrong_range() {
    return fail(Errc::corrupt, "the node sent another range than was asked for");
}

std::unexpected<Error> wrong_bytes() {
    return fail(Errc::corrupt, "the node sent bytes that fail their checksum");
}

}  // namespace

struct HttpCalls::Reading {
    std::string target;
    uint64_t offset = 0;
    uint64_t length = UINT64_MAX;
    bool is_member = false;

    // What is known once an answer has begun: of one version.
    Buffer buffer;
    uint64_t total_bytes = 0;  // of the object
    uint64_t done_bytes = 0;   // in the buffer
    std::string version;
    bool has_begun = false;
    bool is_final = false;  // the error stands
    int versions = 1;
    ObjectInfo info;

    // What has come counts no more.
    void begin_anew() {
        buffer = Buffer();
        done_bytes = 0;
        has_begun = false;
        version.clear();
        is_final = ++versions > versions_max;
    }
    uint64_t expected_bytes() const {
        return std::min(total_bytes - std::min(total_bytes, offset), length);
    }
    bool wants_all() const { return offset == 0 && length == UINT64_MAX; }
    std::string headers() const {
        const uint64_t first = offset + done_bytes;
        if (wants_all() && done_bytes == 0) return {};
        std::string lines = "Range: bytes=" + std::to_string(first) + "-";
        if (length <= uint64_t{INT64_MAX} && offset + length <= uint64_t{INT64_MAX}) {
            lines += std::to_string(offset + length - 1);
        }
        lines += "\r\n";
        if (done_bytes > 0) lines += "If-Range: \"" + version + "\"\r\n";
        return lines;
    }
    Status begin(const io::http::ReplyHead& head);
    Status check() const;
};

// Notes what this answer is of, or what is wrong with it.
Status HttpCalls::Reading::begin(const io::http::ReplyHead& head) {
    const bool asked_for_range = !wants_all() || done_bytes > 0;
    if (head.body_kind != io::http::BodyKind::length) {
        return fail(Errc::corrupt, "the node does not say how long the object is");
    }
    if (head.status == 200 && asked_for_range) {
        // Of another version than what has come: that counts no more.
        if (done_bytes == 0) return wrong_range();
        begin_anew();
        return fail(Errc::unavailable, "the object was overwritten meanwhile");
    }
    uint64_t total = head.content_length;
    if (head.status == 206) {
        const auto range = content_range_from(head.find("content-range"));
        if (!range || range->first != offset + done_bytes) return wrong_range();
        if (range->last - range->first + 1 != head.content_length) return wrong_range();
        total = range->total;
    } else if (head.status != 200) {
        return wrong_range();
    }
    ObjectInfo told = object_info(head);
    if (has_begun && (told.version != version || total != total_bytes)) return wrong_range();
    total_bytes = total;
    if (expected_bytes() - done_bytes != head.content_length) return wrong_range();
    if (!has_begun) {
        buffer = Buffer(expected_bytes());
        if (buffer.size() != expected_bytes()) {
            is_final = true;
            return fail(Errc::too_large, "no memory for " + std::to_string(total) + " bytes");
        }
    }
    has_begun = true;
    version = told.version;
    info = std::move(told);
    info.size_bytes = total;
    return {};
}

// The checksum is the whole object's.
Status HttpCalls::Reading::check() const {
    if (is_member || buffer.size() != info.size_bytes) return {};
    return has_content(info, buffer.bytes()).value_or(true) ? Status() : wrong_bytes();
}

io::Task<Status> HttpCalls::read_body(HttpInbox& inbox, Reading& reading, uint64_t deadline_ns) {
    while (inbox.rest_bytes() > 0) {
        const size_t size = std::min<uint64_t>(inbox.rest_bytes(), piece_bytes);
        const MutableBytes into = reading.buffer.bytes().subspan(reading.done_bytes, size);
        CO_TRY_STATUS(co_await inbox.read_exactly(into, deadline_ns));
        reading.done_bytes += size;
        deadline_ns = next_deadline_ns();
    }
    const Status checked = reading.check();
    if (!checked) reading.begin_anew();
    co_return checked;
}

io::Task<Status> HttpCalls::read(io::Channel& channel, Reading& reading, uint64_t deadline_ns,
                                 bool& can_go_on) {
    CO_TRY_STATUS(co_await send(
        channel, {.method = "GET", .target = reading.target, .headers = reading.headers()},
        deadline_ns));
    HttpInbox inbox(channel);
    CO_TRY(const io::http::ReplyHead* head, co_await inbox.head(false, deadline_ns));
    if (head->status >= 300) {
        // Nothing lies behind the end.
        const bool is_empty = head->status == 416 && !reading.has_begun;
        const HttpError refused = co_await read_http_error(inbox, *head, false, deadline_ns);
        can_go_on = inbox.can_go_on();
        if (is_empty) co_return Status();
        reading.is_final = !refused.is_passing;
        co_return fail(refused.error);
    }
    CO_TRY_STATUS(reading.begin(*head));
    CO_TRY_STATUS(co_await read_body(inbox, reading, deadline_ns));
    can_go_on = inbox.can_go_on();
    co_return Status();
}

io::Task<Result<Content>> HttpCalls::get_nothing(std::string_view bucket, std::string_view name,
                                                 std::string_view member) {
    if (member.empty()) {
        CO_TRY_STATUS(co_await stat(bucket, name));
    } else {
        CO_TRY_STATUS(co_await get(bucket, name, {.length = 1, .member = member}));
    }
    co_return Content();
}

io::Task<Result<Content>> HttpCalls::get(std::string_view bucket, std::string_view name,
                                         const ReadOptions& options) {
    if (options.length == 0 || options.offset > uint64_t{INT64_MAX}) {
        co_return co_await get_nothing(bucket, name, options.member);
    }
    Reading reading{
        .offset = options.offset, .length = options.length, .is_member = !options.member.empty()};
    CO_TRY(reading.target, object_target(bucket, name, options.member));
    for (;;) {
        Attempts attempts(pool_, options_);
        for (const uint64_t before = reading.done_bytes; reading.done_bytes == before;) {
            auto channel = co_await pool_.take(attempts.deadline_ns());
            Status status = channel ? Status() : fail(channel.error());
            if (channel) {
                bool can_go_on = false;
                status = co_await read(**channel, reading, attempts.deadline_ns(), can_go_on);
                can_go_on ? pool_.give_back(std::move(*channel)) : pool_.drop(std::move(*channel));
                if (status) {
                    const Bytes bytes = reading.buffer.bytes();
                    co_return Content(std::move(reading.buffer), bytes);
                }
            }
            const bool goes_on = is_passing(status.error().code) && !reading.is_final;
            if (goes_on && reading.done_bytes > before) break;
            if (!goes_on || !co_await attempts.wait_for_next()) co_return fail(status.error());
        }
    }
}

// ---- many ----

// A batch on its way: an attempt goes on behind the items that have come.
struct HttpCalls::BatchReading {
    std::string_view bucket;
    std::span<const BatchItem> items;
    std::vector<Buffer>& buffers;  // which the bodies are put into, one behind the other
    std::vector<Bytes>& views;     // of the items that have come
    size_t buffer_index = 0;
    size_t used_bytes = 0;  // of the buffer at the index
    bool is_final = false;  // the error stands

    bool is_done() const { return views.size() == items.size(); }

    // `too_large` if there is no such memory.
    Result<MutableBytes> room(uint64_t size) {
        while (buffer_index < buffers.size() && buffers[buffer_index].size() - used_bytes < size) {
            ++buffer_index;
            used_bytes = 0;
        }
        if (buffer_index == buffers.size()) {
            Buffer fresh(std::max<uint64_t>(size, slab_bytes));
            if (fresh.size() < size) {
                is_final = true;
                return fail(Errc::too_large, "no memory for " + std::to_string(size) + " bytes");
            }
            buffers.push_back(std::move(fresh));
        }
        const MutableBytes room = buffers[buffer_index].bytes().subspan(used_bytes, size);
        used_bytes += size;
        return room;
    }
};

// The next item's answer.
io::Task<Status> HttpCalls::read_item(HttpInbox& inbox, BatchReading& batch) {
    CO_TRY(const io::http::ReplyHead* head, co_await inbox.head(false, next_deadline_ns()));
    if (head->status != 200 || head->body_kind != io::http::BodyKind::length) {
        const HttpError refused = co_await read_http_error(inbox, *head, false, next_deadline_ns());
        batch.is_final = !refused.is_passing;
        co_return fail(refused.error);
    }
    const ObjectInfo info = object_info(*head);
    CO_TRY(const MutableBytes content, batch.room(info.size_bytes));
    for (MutableBytes rest = content; !rest.empty();) {
        const MutableBytes piece = rest.first(std::min(rest.size(), piece_bytes));
        CO_TRY_STATUS(co_await inbox.read_exactly(piece, next_deadline_ns()));
        rest = rest.subspan(piece.size());
    }
    // A member has no checksum of its own: the node has verified the shard's bytes.
    const bool is_member = !batch.items[batch.views.size()].member.empty();
    if (!is_member && !has_content(info, content).value_or(true)) co_return wrong_bytes();
    batch.views.push_back(content);
    co_return Status();
}

io::Task<Status> HttpCalls::read_batch(io::Channel& channel, BatchReading& batch, bool& can_go_on) {
    HttpInbox inbox(channel);
    const size_t first = batch.views.size();
    std::vector<size_t> sizes;  // of the requests that were sent here
    size_t underway_bytes = 0;
    while (!batch.is_done()) {
        const size_t received = batch.views.size() - first;
        std::string requests;
        while (first + sizes.size() < batch.items.size() &&
               sizes.size() < received + underway_max && underway_bytes < underway_bytes_max) {
            const BatchItem& item = batch.items[first + sizes.size()];
            std::string target;
            CO_TRY(target, object_target(batch.bucket, item.name, item.member));
            const std::string head =
                request_head({.method = "GET", .target = std::move(target)}, common_);
            sizes.push_back(head.size());
            underway_bytes += head.size();
            requests += head;
        }
        CO_TRY_STATUS(co_await channel.send(as_bytes(requests), next_deadline_ns()));
        CO_TRY_STATUS(co_await read_item(inbox, batch));
        underway_bytes -= sizes[received];
        // What was sent behind its last answer the node does not look at.
        if (inbox.is_last()) break;
    }
    can_go_on = inbox.can_go_on();
    co_return Status();
}

io::Task<Status> HttpCalls::get_many(std::string_view bucket, std::span<const BatchItem> items,
                                     Batch& batch) {
    batch.items_.clear();
    batch.mappings_.clear();
    BatchReading reading{bucket, items, batch.buffers_, batch.items_};
    while (!reading.is_done()) {
        Attempts attempts(pool_, options_);
        for (const size_t before = reading.views.size(); reading.views.size() == before;) {
            auto channel = co_await pool_.take(attempts.deadline_ns());
            Status status = channel ? Status() : fail(channel.error());
            if (channel) {
                bool can_go_on = false;
                status = co_await read_batch(**channel, reading, can_go_on);
                can_go_on ? pool_.give_back(std::move(*channel)) : pool_.drop(std::move(*channel));
            }
            if (status) continue;
            const bool goes_on = is_passing(status.error().code) && !reading.is_final;
            if (goes_on && reading.views.size() > before) continue;
            if (!goes_on || !co_await attempts.wait_for_next()) co_return status;
        }
    }
    co_return Status();
}

io::Task<Status> HttpCalls::get_many_shared(std::string_view bucket,
                                            std::span<const BatchItem> items, Batch& batch) {
    return get_many(bucket, items, batch);
}

}  // namespace penstock::client
