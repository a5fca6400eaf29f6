#include "node/service/shard_indexes.h"

#include <utility>

#include "archive/tar_scanner.h"
#include "io/base/units.h"

namespace penstock::node {
namespace {

// Names of one core's own table: nothing that a client could use to make it slow is decided by
// the key alone, since a colliding name only replaces the other.
constexpr uint64_t digest_key = 0x7368'6172'6473;

Digest128 key_of(ObjectName name) {
    return digest_of(name.bucket, name.object, digest_key);
}

std::unexpected<Error> no_archive(ObjectName name) {
    return fail(Errc::invalid, std::string(name.object) + " is not an archive");
}

}  // namespace

const KnownShard* ShardIndexes::find(ObjectName name) {
    const auto found = by_digest_.find(key_of(name));
    if (found == by_digest_.end()) return nullptr;
    const Kept& kept = *found->second;
    if (kept.bucket != name.bucket || kept.object != name.object) return nullptr;
    kept_.splice(kept_.begin(), kept_, found->second);
    return &kept.shard;
}

void ShardIndexes::drop(ObjectName name) {
    const auto found = by_digest_.find(key_of(name));
    if (found == by_digest_.end()) return;
    kept_bytes_ -= found->second->shard.index->memory_bytes();
    kept_.erase(found->second);
    by_digest_.erase(found);
}

void ShardIndexes::keep(ObjectName name, const KnownShard& shard) {
    drop(name);
    const uint64_t bytes = shard.index->memory_bytes();
    if (bytes > bytes_max_) return;
    while (kept_bytes_ + bytes > bytes_max_) drop_last();
    const Digest128 digest = key_of(name);
    kept_.push_front({std::string(name.object), name.bucket, digest, shard});
    by_digest_[digest] = kept_.begin();
    kept_bytes_ += bytes;
}

void ShardIndexes::drop_last() {
    kept_bytes_ -= kept_.back().shard.index->memory_bytes();
    by_digest_.erase(kept_.back().digest);
    kept_.pop_back();
}

io::Task<Result<KnownShard>> ShardIndexes::load(ObjectName name, archive::Format format) {
    CO_TRY(const ObjectAttributes attributes, co_await store_.stat(core_, name));
    if (format == archive::Format::none) {
        CO_TRY(format, co_await detect_format(name));
        if (format == archive::Format::none) co_return no_archive(name);
    }
    if (format != archive::Format::tar) {
        co_return fail(Errc::not_implemented,
                       "members of archives other than TAR are not implemented yet");
    }
    if (attributes.has_attachment) {
        Result<KnownShard> shard = co_await load_attachment(name, attributes.version);
        // Whatever is wrong with an attachment, the shard itself has the truth.
        if (shard) co_return std::move(*shard);
    }
    co_await scans_.acquire();
    // Whoever was before may have done the same work.
    const KnownShard* known = find(name);
    if (known != nullptr && known->version == attributes.version) {
        const KnownShard shard = *known;
        scans_.release();
        co_return shard;
    }
    Result<KnownShard> scanned = co_await scan(name);
    scans_.release();
    co_return std::move(scanned);
}

io::Task<Result<KnownShard>> ShardIndexes::load_attachment(ObjectName name, Version version) {
    CO_TRY(std::vector<std::byte> bytes, co_await store_.attachment(core_, name, version));
    CO_TRY(archive::ShardIndex index, archive::ShardIndex::open(std::move(bytes)));
    const KnownShard shard{std::make_shared<const archive::ShardIndex>(std::move(index)), version};
    keep(name, shard);
    co_return shard;
}

io::Task<Result<archive::Format>> ShardIndexes::detect_format(ObjectName name) {
    constexpr uint32_t beginning_bytes = 512;
    CO_TRY(OpenedObject opened, co_await store_.get(core_, name, {0, beginning_bytes}));
    CO_TRY(const io::Chunk chunk,
           co_await opened.body.read_all(reactor_, buffers_, beginning_bytes));
    if (chunk.is_empty()) co_return archive::Format::none;
    co_return archive::format_from_magic(chunk.bytes());
}

io::Task<Result<KnownShard>> ShardIndexes::scan(ObjectName name) {
    CO_TRY(OpenedObject opened, co_await store_.get(core_, name, {}));
    const std::unique_ptr<io::Source> source = opened.body.into_source(reactor_, buffers_);
    archive::TarScanner scanner;
    while (true) {
        CO_TRY(const io::Chunk chunk, co_await source->next());
        if (chunk.is_empty()) break;
        scanner.feed(chunk.bytes());
        co_await reactor_.yield();
    }
    std::vector<std::byte> encoded = scanner.finish();
    if (encoded.empty()) co_return no_archive(name);
    CO_TRY(archive::ShardIndex index, archive::ShardIndex::open(std::move(encoded)));
    const KnownShard shard{std::make_shared<const archive::ShardIndex>(std::move(index)),
                           opened.attributes.version};
    keep(name, shard);
    co_return shard;
}

}  // namespace penstock::node
