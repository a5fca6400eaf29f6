// A store on a disk in memory, on one core, and the small language that its tests speak.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "io/base/random.h"
#include "io/buffer_pool.h"
#include "io/fault_disk.h"
#include "io/memory_disk.h"
#include "io/pool.h"
#include "io/reactor.h"
#include "node/store/store.h"

namespace penstock::node {

// The loop that tests run on; kept over many stores, because making one costs more than a test.
struct TestLoop {
    TestLoop() {
        auto kernel = io::make_uring_kernel({});
        if (!kernel) kernel = io::make_epoll_kernel({});
        reactor = std::make_unique<io::Reactor>(std::move(*kernel), io::ReactorOptions{});
    }
    std::unique_ptr<io::Reactor> reactor;
    std::unique_ptr<io::Pool> pool = io::make_inline_pool();
    io::BufferPool buffers{64 << 20};
};

// Content that says which it is: `size` bytes that differ for each seed.
inline std::string content_of(uint64_t seed, size_t size) {
    std::string content(size, '\0');
    Random random(seed);
    for (size_t at = 0; at < size; at += 8) {
        const uint64_t word = random.next();
        content.replace(at, std::min<size_t>(8, size - at), reinterpret_cast<const char*>(&word),
                        std::min<size_t>(8, size - at));
    }
    return content;
}

// Gives content in pieces, with or without saying how much is to come, and breaks off on request.
class PiecewiseSource final : public io::Source {
public:
    PiecewiseSource(io::BufferPool& pool, std::string content, bool says_size,
                    size_t piece_bytes = 50'000, size_t breaks_at = SIZE_MAX)
        : pool_(pool),
          content_(std::move(content)),
          says_size_(says_size),
          piece_bytes_(piece_bytes),
          breaks_at_(breaks_at) {}

    io::Task<Result<io::Chunk>> next() override {
        if (at_ >= breaks_at_) co_return fail(Errc::closed, "the client went away");
        const size_t size = std::min(piece_bytes_, content_.size() - at_);
        if (size == 0) co_return io::Chunk();
        io::Chunk chunk{pool_.take(static_cast<uint32_t>(size)), 0, static_cast<uint32_t>(size)};
        std::memcpy(chunk.buffer.data(), content_.data() + at_, size);
        at_ += size;
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override {
        if (!says_size_) return std::nullopt;
        return content_.size() - at_;
    }

private:
    io::BufferPool& pool_;
    std::string content_;
    bool says_size_;
    size_t piece_bytes_;
    size_t breaks_at_;
    size_t at_ = 0;
};

class StoreHarness {
public:
    StoreHarness(TestLoop& loop, io::MemoryStorage& storage, io::FaultPlan* faults = nullptr)
        : loop_(loop) {
        memory_ = storage.make_disk(*loop.reactor, *loop.pool);
        if (faults != nullptr) faulty_ = io::make_fault_disk(*memory_, *faults);
        options_.segment_bytes = 256 << 10;
        options_.reserve_bytes = 64 << 10;
        options_.catalogue_cache_bytes = 0;  // in memory: rebuilt at each start
        options_.is_compacting = false;      // only when a test says so
        options_.saved_names_min = 1;
        options_.direct_group_bytes_min = 3 << 10;  // both ways of writing are seen
    }
    ~StoreHarness() { stop(); }

    StoreOptions& options() { return options_; }
    io::Disk& disk() { return faulty_ ? *faulty_ : *memory_; }

    Status open() {
        std::vector<StoreCore> cores{{loop_.reactor.get(), &loop_.buffers, &disk()}};
        auto store = run(Store::open(std::move(cores), options_, log_));
        if (!store) return fail(store.error());
        store_ = std::move(*store);
        return Status();
    }
    void stop() {
        if (!store_) return;
        run(store_->stop());
        store_.reset();
    }
    Store& store() { return *store_; }

    template <typename T>
    T run(io::Task<T> task) {
        return loop_.reactor->run_until_done(std::move(task));
    }

    static ObjectName name(std::string_view object) { return {{1}, "bucket", object}; }

    Result<ObjectAttributes> put(std::string_view object, const std::string& content,
                                 PutOptions options = {}) {
        return run(store_->put(0, name(object), body(content), std::move(options)));
    }
    Result<std::string> get(std::string_view object, ReadRange range = {}) {
        auto opened = run(store_->get(0, name(object), range));
        if (!opened) return fail(opened.error());
        return read(std::move(opened->body));
    }
    Result<std::string> read(io::Body body) {
        const auto source = body.into_source(*loop_.reactor, loop_.buffers);
        std::string content;
        for (;;) {
            auto chunk = run(source->next());
            if (!chunk) return fail(chunk.error());
            if (chunk->is_empty()) return content;
            content += as_text(chunk->bytes());
        }
    }
    Result<ObjectAttributes> stat(std::string_view object) {
        return run(store_->stat(0, name(object)));
    }
    Status remove(std::string_view object, Condition condition = {},
                  Durability durability = Durability::group) {
        auto removed = run(store_->remove(0, name(object), condition, durability));
        if (!removed) return fail(removed.error());
        return Status();
    }
    Result<ObjectAttributes> set_custom(std::string_view object, CustomMetadata custom,
                                        bool replaces = false) {
        return run(
            store_->set_custom(0, name(object), std::move(custom), replaces, Durability::group));
    }
    Result<std::vector<std::string>> list(ListOptions options = {}, BucketId bucket = {1}) {
        auto page = run(store_->list(0, bucket, std::move(options)));
        if (!page) return fail(page.error());
        std::vector<std::string> names;
        for (const auto& entry : page->entries) names.emplace_back(page->name(entry));
        return names;
    }
    Result<uint64_t> compact() { return run(store_->compact(0)); }
    io::Body body(const std::string& content) {
        if (content.size() > io::BufferPool::size_max) {
            return io::Body(std::make_unique<PiecewiseSource>(loop_.buffers, content, true));
        }
        return io::Body::copy_of(loop_.buffers, as_bytes(content));
    }
    TestLoop& loop() { return loop_; }

private:
    TestLoop& loop_;
    Log log_ = Log::quiet();
    std::unique_ptr<io::Disk> memory_;
    std::unique_ptr<io::Disk> faulty_;
    StoreOptions options_;
    std::unique_ptr<Store> store_;
};

}  // namespace penstock::node
