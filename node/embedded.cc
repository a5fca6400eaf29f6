#include "node/embedded.h"

#include <algorithm>

#include "node/storage.h"

namespace penstock {
namespace {

using node::BucketName;
using node::ObjectAddress;

constexpr uint32_t read_bytes = 256 << 10;

BucketName bucket_name(std::string_view bucket) {
    return {"ais", "", "", std::string(bucket)};
}

// What the caller's own function reads, on the pool: it may wait as long as it likes.
class CallerSource final : public io::Source {
public:
    CallerSource(io::Reactor& reactor, io::BufferPool& buffers, io::Pool& pool,
                 Embedded::Read& read)
        : reactor_(reactor), buffers_(buffers), pool_(pool), read_(read) {}

    io::Task<Result<io::Chunk>> next() override {
        io::Chunk chunk{buffers_.take(read_bytes), 0, 0};
        const MutableBytes room = chunk.buffer.bytes();
        CO_TRY(const size_t count,
               co_await pool_.run(reactor_, [this, room] { return read_(room); }));
        if (count > room.size()) {
            co_return fail(Errc::invalid, "more bytes were read than there is room for");
        }
        chunk.size = static_cast<uint32_t>(count);
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return std::nullopt; }

private:
    io::Reactor& reactor_;
    io::BufferPool& buffers_;
    io::Pool& pool_;
    Embedded::Read& read_;
};

}  // namespace

struct Embedded::State {
    explicit State(Log chosen) : log(std::move(chosen)) {}

    Log log;
    std::unique_ptr<node::Storage> storage;

    io::Cores& cores() { return storage->cores(); }
    node::ObjectService& service() { return storage->service(); }

    io::Task<Status> put(const BucketName& bucket, std::string_view name, Read& read);
    io::Task<Status> read_into(io::Body body, Write& write);
    io::Task<Status> get(const BucketName& bucket, std::string_view name, Write& write);
    io::Task<Status> get_member(const BucketName& bucket, std::string_view shard,
                                std::string_view member, Write& write);
    io::Task<Status> remove(const BucketName& bucket, std::string_view name);
    io::Task<std::vector<std::string>> bucket_names();
};

Embedded::Embedded(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Embedded>> Embedded::open(const EmbeddedOptions& options) {
    auto state = std::make_unique<State>(options.logs_to_stderr ? Log::to_stderr(LogLevel::info)
                                                                : Log::quiet());
    node::StorageOptions storage;
    storage.paths = {options.directory};
    storage.cores.count = options.cores;
    storage.cores.is_pinned = false;  // the processors are the program's
    storage.cores.spin_ns = 0;
    storage.store.catalogue_cache_bytes = options.catalogue_cache_bytes;
    TRY(state->storage, node::Storage::open(std::move(storage), state->log));
    return std::unique_ptr<Embedded>(new Embedded(std::move(state)));
}

Embedded::~Embedded() {
    state_->storage->stop();
}

Status Embedded::create_bucket(std::string_view bucket) {
    return state_->cores().run_on(
        0, [&] { return state_->service().create_bucket(0, bucket_name(bucket), {}); });
}

Status Embedded::destroy_bucket(std::string_view bucket) {
    return state_->cores().run_on(
        0, [&] { return state_->service().destroy_bucket(0, bucket_name(bucket)); });
}

io::Task<std::vector<std::string>> Embedded::State::bucket_names() {
    std::vector<std::string> names;
    for (const auto& bucket : service().buckets(0)) {
        if (bucket->name.provider == "ais") names.push_back(bucket->name.name);
    }
    co_return names;
}

std::vector<std::string> Embedded::buckets() {
    return state_->cores().run_on(0, [this] { return state_->bucket_names(); });
}

io::Task<Status> Embedded::State::put(const BucketName& bucket, std::string_view name, Read& read) {
    auto source = std::make_unique<CallerSource>(cores().reactor(0), cores().buffers(0),
                                                 cores().pool(), read);
    CO_TRY_STATUS(
        co_await service().put(0, ObjectAddress{bucket, name}, io::Body(std::move(source)), {}));
    co_return Status();
}

Status Embedded::put(std::string_view bucket, std::string_view name, Bytes content) {
    return put_from(bucket, name, [&content](MutableBytes room) -> Result<size_t> {
        const size_t count = std::min(room.size(), content.size());
        std::ranges::copy(content.first(count), room.begin());
        content = content.subspan(count);
        return count;
    });
}

Status Embedded::put_from(std::string_view bucket, std::string_view name, Read read) {
    const BucketName found = bucket_name(bucket);
    return state_->cores().run_on(0, [&] { return state_->put(found, name, read); });
}

io::Task<Status> Embedded::State::read_into(io::Body body, Write& write) {
    io::Reactor& reactor = cores().reactor(0);
    const std::unique_ptr<io::Source> source = body.into_source(reactor, cores().buffers(0));
    while (true) {
        CO_TRY(const io::Chunk chunk, co_await source->next());
        if (chunk.is_empty()) co_return Status();
        const Bytes bytes = chunk.bytes();
        CO_TRY_STATUS(co_await cores().pool().run(reactor, [&] { return write(bytes); }));
    }
}

io::Task<Status> Embedded::State::get(const BucketName& bucket, std::string_view name,
                                      Write& write) {
    CO_TRY(node::OpenedObject opened,
           co_await service().get(0, ObjectAddress{bucket, name}, node::ReadRange{}));
    co_return co_await read_into(std::move(opened.body), write);
}

io::Task<Status> Embedded::State::get_member(const BucketName& bucket, std::string_view shard,
                                             std::string_view member, Write& write) {
    CO_TRY(node::OpenedObject opened, co_await service().get_member(0, ObjectAddress{bucket, shard},
                                                                    member, "", node::ReadRange{}));
    co_return co_await read_into(std::move(opened.body), write);
}

Status Embedded::get_into(std::string_view bucket, std::string_view name, Write write) {
    const BucketName found = bucket_name(bucket);
    return state_->cores().run_on(0, [&] { return state_->get(found, name, write); });
}

Result<std::vector<std::byte>> Embedded::get(std::string_view bucket, std::string_view name) {
    std::vector<std::byte> content;
    TRY_STATUS(get_into(bucket, name, [&content](Bytes bytes) -> Status {
        content.insert(content.end(), bytes.begin(), bytes.end());
        return {};
    }));
    return content;
}

Result<std::vector<std::byte>> Embedded::get_member(std::string_view bucket, std::string_view shard,
                                                    std::string_view member) {
    std::vector<std::byte> content;
    Write write = [&content](Bytes bytes) -> Status {
        content.insert(content.end(), bytes.begin(), bytes.end());
        return {};
    };
    const BucketName found = bucket_name(bucket);
    TRY_STATUS(
        state_->cores().run_on(0, [&] { return state_->get_member(found, shard, member, write); }));
    return content;
}

io::Task<Status> Embedded::State::remove(const BucketName& bucket, std::string_view name) {
    CO_TRY_STATUS(co_await service().remove(0, ObjectAddress{bucket, name}, node::Condition{}));
    co_return Status();
}

Status Embedded::remove(std::string_view bucket, std::string_view name) {
    const BucketName found = bucket_name(bucket);
    return state_->cores().run_on(0, [&] { return state_->remove(found, name); });
}

Status Embedded::list(std::string_view bucket, std::string_view prefix,
                      const std::function<bool(const EmbeddedObject&)>& visit) {
    const BucketName found = bucket_name(bucket);
    node::ListOptions options;
    options.prefix = prefix;
    while (true) {
        TRY(const node::ListPage page,
            state_->cores().run_on(0, [&] { return state_->service().list(0, found, options); }));
        for (const node::ListPage::Entry& entry : page.entries) {
            if (!visit({std::string(page.name(entry)), entry.size_bytes})) return {};
        }
        if (page.is_last || page.entries.empty()) return {};
        options.after = page.name(page.entries.back());
    }
}

}  // namespace penstock
