// object.get_many: many objects and members in one answer.
//
// Items are taken in windows: all of a window are read, several at a time, in the order in which
// they lie on the disk where that matters. What is read is given out at once if it is its turn (in
// the order of the request, or any), so that its buffer, still in the processor's cache, serves the
// next read; the rest is held until the window is read. A window is as wide as its objects are
// small, so that a batch's memory is bounded whatever is in it. What is not in memory after its
// read (a large object) is read when its turn to be given out comes.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <variant>

#include "io/base/checksum.h"
#include "io/base/units.h"
#include "io/memory_file.h"
#include "node/doors/rpc/calls.h"

namespace penstock::node::rpc {
namespace {

constexpr uint32_t readers_max = 16;  // reads of a batch that wait for the disk at once
constexpr uint32_t window_first = 64;
constexpr uint32_t window_min = 8;
constexpr uint32_t window_max = 256;
constexpr uint64_t window_bytes = 4_MiB;  // what the objects of a window should have together

struct Item {
    const BucketName* bucket = nullptr;
    std::string_view name;
    std::optional<std::string_view> member;
    ReadRange range;
};

// The content, one object behind the other: in one buffer for the reply, or in memory that is
// handed over.
class Content {
public:
    explicit Content(Context& context) : context_(context) {}

    Status use_memory_file() {
        TRY(io::MemoryFile file, io::MemoryFile::create("penstock-batch"));
        file_.emplace(std::move(file));
        return {};
    }
    bool is_file() const { return file_.has_value(); }
    uint64_t size_bytes() const { return size_bytes_; }
    uint64_t size_bytes_max() const { return is_file() ? batch_bytes_max : value_bytes_max; }

    // The caller has looked that it fits.
    Status append(Bytes bytes) {
        if (bytes.empty()) return {};
        size_bytes_ += bytes.size();
        if (is_file() && bytes.size() >= gathered_bytes) {
            TRY_STATUS(flush());
            return checked(file_->append(bytes));
        }
        if (gathered_.size + bytes.size() > gathered_.buffer.size()) {
            TRY_STATUS(make_room(static_cast<uint32_t>(bytes.size())));
        }
        std::memcpy(gathered_.buffer.data() + gathered_.size, bytes.data(), bytes.size());
        gathered_.size += static_cast<uint32_t>(bytes.size());
        return {};
    }
    // Only where is_file(); the caller has looked that it fits.
    Status append(const io::FileRange& range) {
        TRY_STATUS(flush());
        size_bytes_ += range.size;
        return checked(file_->append_file(range.descriptor, range.offset, range.size));
    }
    // The memory file lacks bytes that are counted: what follows would not lie where it is said to.
    bool is_broken() const { return is_broken_; }
    io::Chunk take_chunk() { return std::move(gathered_); }
    Result<io::Descriptor> take_descriptor() {
        TRY_STATUS(flush());
        return file_->seal();
    }

private:
    static constexpr uint32_t gathered_bytes = 64 << 10;

    Status flush() {
        if (gathered_.size == 0) return {};
        const Status written = file_->append(gathered_.bytes());
        gathered_.size = 0;
        return checked(written);
    }
    Status checked(Status written) {
        is_broken_ = is_broken_ || !written;
        return written;
    }
    Status make_room(uint32_t bytes) {
        if (is_file()) {
            TRY_STATUS(flush());
            if (!gathered_.buffer) gathered_.buffer = context_.buffers.take(gathered_bytes);
            return {};
        }
        const uint32_t wanted =
            std::max({gathered_bytes, context_.last_batch_bytes, 2 * (gathered_.size + bytes)});
        io::Buffer larger = context_.buffers.take(wanted);
        if (gathered_.size > 0) {
            std::memcpy(larger.data(), gathered_.buffer.data(), gathered_.size);
        }
        gathered_.buffer = std::move(larger);
        return {};
    }

    Context& context_;
    io::Chunk gathered_;
    std::optional<io::MemoryFile> file_;
    uint64_t size_bytes_ = 0;
    bool is_broken_ = false;
};

class Batch {
public:
    explicit Batch(Call& call)
        : call_(call),
          context_(call.context()),
          content_(context_),
          window_done_(context_.reactor) {}

    std::optional<Failure> read_items();
    io::Task<std::optional<Failure>> read_all();
    std::optional<Failure> use_memory_file() {
        const Status made = content_.use_memory_file();
        if (!made) return failure_from(made.error());
        return std::nullopt;
    }
    void answer();
    void answer_with_descriptor();

private:
    struct Entry {
        uint32_t index = 0;
        uint64_t offset = 0;
        uint64_t length = 0;
        std::optional<Failure> failure;
    };

    std::optional<Failure> read_item(const Value& value, Item& item);
    const BucketName* bucket_of(std::string_view text, std::optional<Failure>& failure);
    void plan(uint32_t begin, uint32_t end);
    io::Task<void> read_window();
    io::Task<void> read_some();
    struct Held {
        uint32_t index = 0;
        Result<OpenedObject> opened;
    };

    bool give_out_now(uint32_t index, Result<OpenedObject>& opened);
    io::Task<std::optional<Failure>> give_out(Held& held);
    io::Task<Status> append_body(OpenedObject& opened);
    void write_entries(Writer& writer) const;

    Call& call_;
    Context& context_;
    std::deque<BucketName> buckets_;
    std::vector<Item> items_;
    bool is_ordered_ = true;
    bool skips_missing_ = false;
    Content content_;
    std::vector<Entry> entries_;

    // The window: which items, in the order of reading; what was read before its turn came.
    std::vector<uint32_t> order_;
    std::vector<Held> held_;
    uint32_t next_ = 0;
    uint32_t readers_ = 0;
    io::Event window_done_;
};

const BucketName* Batch::bucket_of(std::string_view text, std::optional<Failure>& failure) {
    if (!buckets_.empty() && buckets_.back().name == text) return &buckets_.back();
    BucketName bucket;
    failure = read_bucket(text, bucket);
    if (failure) return nullptr;
    const auto known = std::ranges::find(buckets_, bucket.name, &BucketName::name);
    if (known != buckets_.end()) return &*known;
    failure = call_.check_access(access::get, &bucket);
    if (failure) return nullptr;
    return &buckets_.emplace_back(std::move(bucket));
}

std::optional<Failure> Batch::read_item(const Value& value, Item& item) {
    if (value.kind != Kind::map) return Failure{Code::invalid, "an item must be a map", {}, 0, {}};
    const auto bound = bind_arguments(item_parameters(), call_.message(), &value);
    if (!bound) return bound.error();
    std::optional<Failure> failure;
    item.bucket = bucket_of(bound->text(Name::bucket), failure);
    if (failure) return failure;
    item.name = bound->text(Name::name);
    if (bound->has(Name::member)) item.member = bound->text(Name::member);
    item.range = {bound->number(Name::offset, 0), bound->number(Name::length, UINT64_MAX)};
    return std::nullopt;
}

std::optional<Failure> Batch::read_items() {
    const Arguments& arguments = call_.arguments();
    is_ordered_ = arguments.boolean(Name::ordered, true);
    const std::string_view on_missing = arguments.text(Name::on_missing, "error");
    skips_missing_ = on_missing == "skip";
    if (!skips_missing_ && on_missing != "error") {
        return Failure{Code::invalid, "\"on_missing\" must be \"error\" or \"skip\"", {}, 0, {}};
    }
    const Value& list = *arguments.at(Name::items);
    if (list.size > batch_items_max) return too_large("batch_items", batch_items_max);
    items_.resize(list.size);
    entries_.reserve(list.size);
    const Value* value = list.size == 0 ? nullptr : &call_.message().first(list);
    for (uint32_t index = 0; index < list.size; ++index) {
        if (std::optional<Failure> failure = read_item(*value, items_[index])) {
            failure->item = index;
            return failure;
        }
        if (index + 1 < list.size) value = &call_.message().after(*value);
    }
    return std::nullopt;
}

// While nothing has to wait for the disk the order of reading costs more than it is worth.
void Batch::plan(uint32_t begin, uint32_t end) {
    order_.resize(end - begin);
    for (uint32_t index = begin; index < end; ++index) order_[index - begin] = index;
    if (!context_.reads_wait || order_.size() < 2) return;
    std::vector<std::pair<uint64_t, uint32_t>> places;
    places.reserve(order_.size());
    for (const uint32_t index : order_) {
        const Item& item = items_[index];
        places.emplace_back(call_.service().read_order(context_.core, {*item.bucket, item.name}),
                            index);
    }
    std::ranges::sort(places);
    for (size_t at = 0; at < places.size(); ++at) order_[at] = places[at].second;
}

io::Task<void> Batch::read_some() {
    while (next_ < order_.size()) {
        const uint32_t index = order_[next_++];
        const Item& item = items_[index];
        const ObjectAddress address{*item.bucket, item.name};
        Result<OpenedObject> opened =
            item.member ? co_await call_.service().get_member(context_.core, address, *item.member,
                                                              "", item.range)
                        : co_await call_.service().get(context_.core, address, item.range);
        if (!give_out_now(index, opened)) held_.push_back({index, std::move(opened)});
    }
    if (--readers_ == 0) window_done_.set();
}

// A reader goes on until it has to wait; only then does the next one begin.
io::Task<void> Batch::read_window() {
    held_.clear();
    next_ = 0;
    window_done_.reset();
    readers_ = 1;
    bool has_waited = false;
    for (uint32_t started = 0; started < readers_max && next_ < order_.size(); ++started) {
        ++readers_;
        io::start_detached(read_some());
        has_waited = has_waited || readers_ > 1;
    }
    if (--readers_ > 0) co_await window_done_.wait();
    context_.reads_wait = has_waited;
}

io::Task<Status> Batch::append_body(OpenedObject& opened) {
    if (opened.body.is_chunk()) co_return content_.append(opened.body.chunk().bytes());
    if (opened.body.is_file_range() && content_.is_file()) {
        co_return content_.append(opened.body.file_range());
    }
    uint64_t left = opened.range.size;
    const auto source = opened.body.into_source(context_.reactor, context_.buffers);
    for (;;) {
        CO_TRY(const io::Chunk chunk, co_await source->next());
        if (chunk.is_empty()) break;
        if (chunk.size > left) co_return fail(Errc::corrupt, "the object is longer than it said");
        left -= chunk.size;
        CO_TRY_STATUS(content_.append(chunk.bytes()));
    }
    if (left > 0) co_return fail(Errc::corrupt, "the object ended early");
    co_return Status();
}

// False: it has to be held, and give_out() says what becomes of it.
bool Batch::give_out_now(uint32_t index, Result<OpenedObject>& opened) {
    if (!opened || (is_ordered_ && index != entries_.size())) return false;
    const io::Body& body = opened->body;
    const bool is_range = body.is_file_range() && content_.is_file();
    if (!is_range && !body.is_chunk()) return false;
    const uint64_t offset = content_.size_bytes();
    if (offset + opened->range.size > content_.size_bytes_max()) return false;
    const Status appended =
        is_range ? content_.append(body.file_range()) : content_.append(body.chunk().bytes());
    if (!appended) {
        opened = std::unexpected(appended.error());
        return false;
    }
    entries_.push_back({index, offset, opened->range.size, std::nullopt});
    return true;
}

io::Task<std::optional<Failure>> Batch::give_out(Held& held) {
    const uint32_t index = held.index;
    Result<OpenedObject>& opened = held.opened;
    Entry& entry = entries_.emplace_back();
    entry.index = index;
    entry.offset = content_.size_bytes();
    if (opened) {
        if (content_.size_bytes() + opened->range.size > content_.size_bytes_max()) {
            Failure failure = content_.is_file() ? too_large("batch_bytes", batch_bytes_max)
                                                 : too_large("value_bytes", value_bytes_max);
            failure.item = index;
            co_return failure;
        }
        const Status appended = co_await append_body(*opened);
        if (appended) {
            entry.length = content_.size_bytes() - entry.offset;
            co_return std::nullopt;
        }
        // What was appended of it lies between the others' bytes and belongs to no entry.
        opened = std::unexpected(appended.error());
    }
    Failure failure = call_.failure_of(opened.error(), *items_[index].bucket);
    failure.item = index;
    if (!skips_missing_ || content_.is_broken()) co_return failure;
    entry.failure = std::move(failure);
    co_return std::nullopt;
}

io::Task<std::optional<Failure>> Batch::read_all() {
    const auto count = static_cast<uint32_t>(items_.size());
    uint32_t width = window_first;
    for (uint32_t begin = 0; begin < count;) {
        const uint32_t end = begin + std::min(width, count - begin);
        const uint64_t before_bytes = content_.size_bytes();
        plan(begin, end);
        co_await read_window();
        if (is_ordered_) std::ranges::sort(held_, {}, &Held::index);
        for (Held& held : held_) {
            if (auto failure = co_await give_out(held)) co_return failure;
        }
        const uint64_t average_bytes = (content_.size_bytes() - before_bytes) / (end - begin) + 1;
        width = static_cast<uint32_t>(
            std::clamp<uint64_t>(window_bytes / average_bytes, window_min, window_max));
        begin = end;
    }
    co_return std::nullopt;
}

void Batch::write_entries(Writer& writer) const {
    writer.text("entries");
    writer.array(entries_.size());
    for (const Entry& entry : entries_) {
        writer.map(3 + size_t{entry.failure.has_value()});
        writer.pair("index", entry.index);
        writer.pair("offset", entry.offset);
        writer.pair("length", entry.length);
        if (!entry.failure) continue;
        writer.text("error");
        writer.array(3);
        writer.number(static_cast<uint64_t>(entry.failure->code));
        writer.sentence(entry.failure->message);
        writer.map(1);
        writer.pair("name", name_of(entry.failure->code));
    }
}

void Batch::answer() {
    call_.count_sent(content_.size_bytes());
    context_.last_batch_bytes = static_cast<uint32_t>(content_.size_bytes());
    io::Chunk content = content_.take_chunk();
    Writer writer = call_.reply();
    writer.map(3);
    write_entries(writer);
    writer.pair("crc32c", crc32c(content.bytes()));
    writer.text("data");
    writer.bytes(std::move(content));
}

void Batch::answer_with_descriptor() {
    Result<io::Descriptor> descriptor = content_.take_descriptor();
    if (!descriptor) return call_.fail(descriptor.error());
    const auto lease = call_.leases().add(nullptr, content_.size_bytes());
    if (!lease) {
        return call_.fail(Code::busy, "too much is leased: release some with lease.release");
    }
    call_.count_sent(content_.size_bytes());
    Writer writer = call_.reply_with(std::move(*descriptor));
    writer.map(4);
    writer.pair("fd", uint64_t{0});
    writer.pair("size", content_.size_bytes());
    write_entries(writer);
    writer.pair("lease", *lease);
}

// Few batches are under way on a core at once: each holds a window of objects in memory.
struct Turn {
    explicit Turn(io::Semaphore& semaphore) : turns(semaphore) {}
    Turn(const Turn&) = delete;
    ~Turn() { turns.release(); }
    io::Semaphore& turns;
};

}  // namespace

io::Task<void> get_many(Call& call) {
    const std::optional<bool> as_descriptor = wants_descriptor(call);
    if (!as_descriptor) co_return;
    Batch batch(call);
    if (auto failure = batch.read_items()) co_return call.fail(*failure);
    co_await call.context().batches.acquire();
    const Turn turn(call.context().batches);
    if (*as_descriptor) {
        if (auto failure = batch.use_memory_file()) co_return call.fail(*failure);
    }
    if (auto failure = co_await batch.read_all()) co_return call.fail(*failure);
    *as_descriptor ? batch.answer_with_descriptor() : batch.answer();
}

}  // namespace penstock::node::rpc
