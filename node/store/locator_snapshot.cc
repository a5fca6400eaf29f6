#include "node/store/locator_snapshot.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "io/base/assert.h"
#include "io/base/bytes.h"
#include "io/base/checksum.h"
#include "io/base/units.h"

namespace penstock::node {
namespace {

constexpr const char* new_snapshot_path = "locator.new";
constexpr uint64_t magic = 0x314c'5254'534e'4550;  // "PENSTRL1"
constexpr size_t snapshot_block_bytes = 1_MiB;
constexpr size_t block_head_bytes = 32;
constexpr size_t content_bytes_max = snapshot_block_bytes - block_head_bytes;
constexpr size_t place_bytes = 32;
static_assert(content_bytes_max % place_bytes == 0);

// Numbers into blocks. A number never lies in two blocks, because a block is written when the next
// group of numbers does not fit.
class Writer {
public:
    explicit Writer(io::BlockingFile& file) : file_(file), block_(snapshot_block_bytes) {}

    // Room for so many bytes in this block, or a new one.
    void reserve(size_t bytes) {
        if (used_ + bytes > snapshot_block_bytes) flush();
    }
    template <typename T>
    void put(T value) {
        store_le(block_.data() + used_, value);
        used_ += sizeof value;
    }
    // Ends the block. Errors are kept until finish().
    void flush() {
        if (used_ == block_head_bytes) return;
        store_le(block_.data() + 4, static_cast<uint32_t>(used_ - block_head_bytes));
        store_le(block_.data() + 8, number_);
        store_le(block_.data(), crc32c(Bytes(block_).subspan(4, used_ - 4)));
        if (status_) {
            status_ = file_.write_exactly(Bytes(block_).first(used_),
                                          number_ * uint64_t{snapshot_block_bytes});
        }
        ++number_;
        used_ = block_head_bytes;
    }
    Status finish() {
        flush();
        TRY_STATUS(status_);
        return file_.sync();
    }

private:
    io::BlockingFile& file_;
    std::vector<std::byte> block_;
    size_t used_ = block_head_bytes;
    uint64_t number_ = 0;
    Status status_;
};

std::unexpected<Error> damaged() {
    return fail(Errc::corrupt, "the snapshot of the locator is damaged");
}

class Reader {
public:
    explicit Reader(io::BlockingFile& file) : file_(file), block_(snapshot_block_bytes) {}

    // So many bytes that were put behind one reserve().
    Result<const std::byte*> take(size_t bytes) {
        if (end_ - at_ < bytes) {
            if (at_ != end_) return damaged();
            TRY_STATUS(next_block());
            if (end_ - at_ < bytes) return damaged();
        }
        const std::byte* taken = block_.data() + at_;
        at_ += bytes;
        return taken;
    }
    // What comes next begins with a block.
    bool is_at_block_end() const { return at_ == end_; }

private:
    Status next_block() {
        size_t filled = 0;
        while (filled < block_.size()) {
            TRY(const size_t count, file_.read(MutableBytes(block_).subspan(filled),
                                               number_ * uint64_t{snapshot_block_bytes} + filled));
            if (count == 0) break;
            filled += count;
        }
        if (filled < block_head_bytes) return damaged();
        const auto content = load_le<uint32_t>(block_.data() + 4);
        if (content > filled - block_head_bytes) return damaged();
        end_ = block_head_bytes + content;
        if (load_le<uint32_t>(block_.data()) != crc32c(Bytes(block_).subspan(4, end_ - 4)) ||
            load_le<uint64_t>(block_.data() + 8) != number_) {
            return damaged();
        }
        at_ = block_head_bytes;
        ++number_;
        return {};
    }

    io::BlockingFile& file_;
    std::vector<std::byte> block_;
    size_t at_ = 0;
    size_t end_ = 0;
    uint64_t number_ = 0;
};

constexpr size_t facts_bytes = 8 * 8 + 2 * 4;

void put_facts(Writer& writer, const LocatorFacts& facts, uint64_t place_count) {
    writer.reserve(facts_bytes);
    writer.put(magic);
    writer.put(facts.directory_key);
    writer.put(facts.position);
    writer.put(facts.entry_count);
    writer.put(place_count);
    writer.put(facts.content_bytes);
    writer.put(facts.file_content_bytes);
    writer.put(facts.hidden_count);
    writer.put(static_cast<uint32_t>(facts.live.segments().size()));
    writer.put(static_cast<uint32_t>(facts.live.buckets().size()));
    for (const auto& [segment, bytes] : facts.live.segments()) {
        writer.reserve(12);
        writer.put(segment);
        writer.put(bytes);
    }
    for (const auto& [bucket, bytes] : facts.live.buckets()) {
        writer.reserve(16);
        writer.put(bucket);
        writer.put(bytes);
    }
    writer.flush();
}

void put_place(Writer& writer, const Digest128& digest, const Place& place) {
    writer.reserve(place_bytes);
    writer.put(digest.low);
    writer.put(digest.high);
    writer.put(place.segment);
    writer.put(place.offset_blocks);
    writer.put(place.record_blocks);
    writer.put(place.display_version);
}

Status remove_if_there(io::BlockingDisk& disk, const char* path) {
    const Status removed = disk.remove(path);
    if (!removed && removed.error().code != Errc::not_found) return removed;
    return {};
}

}  // namespace

Status save_locator(io::BlockingDisk& disk, const LocatorFacts& facts, const Locator& locator) {
    TRY_STATUS(remove_locator(disk));
    TRY_STATUS(remove_if_there(disk, new_snapshot_path));
    const auto write = [&]() -> Status {
        TRY(const auto file, disk.open(new_snapshot_path, io::OpenMode::create));
        // Asked for at once, so that a full disk says so before it is filled.
        const Status allocated = file->allocate(locator.count() * place_bytes);
        if (!allocated && allocated.error().code == Errc::full) return allocated;
        Writer writer(*file);
        put_facts(writer, facts, locator.count());
        locator.for_each([&writer](const Digest128& digest, const Place& place) {
            put_place(writer, digest, place);
        });
        return writer.finish();
    };
    const Status written = write();
    if (!written) {
        (void)remove_if_there(disk, new_snapshot_path);
        return written;
    }
    TRY_STATUS(disk.rename(new_snapshot_path, locator_snapshot_path));
    return disk.sync_directory("");
}

Status remove_locator(io::BlockingDisk& disk) {
    return remove_if_there(disk, locator_snapshot_path);
}

Result<bool> load_locator(io::BlockingDisk& disk, const std::function<bool(BucketId)>& is_live,
                          LocatorFacts& facts, Locator& locator) {
    auto file = disk.open(locator_snapshot_path, io::OpenMode::read);
    if (!file && file.error().code == Errc::not_found) return false;
    if (!file) return std::unexpected(std::move(file).error());

    Reader reader(**file);
    TRY(const std::byte* head, reader.take(facts_bytes));
    const auto number = [head](size_t index) { return load_le<uint64_t>(head + index * 8); };
    if (number(0) != magic) return damaged();
    if (number(1) != facts.directory_key || number(2) != facts.position ||
        number(3) != facts.entry_count) {
        return false;
    }
    const uint64_t place_count = number(4);
    facts.content_bytes = number(5);
    facts.file_content_bytes = number(6);
    facts.hidden_count = number(7);
    const auto segments = load_le<uint32_t>(head + 64);
    const auto buckets = load_le<uint32_t>(head + 68);
    for (uint32_t index = 0; index < segments; ++index) {
        TRY(const std::byte* at, reader.take(12));
        facts.live.restore_segment(load_le<uint32_t>(at), load_le<uint64_t>(at + 4));
    }
    for (uint32_t index = 0; index < buckets; ++index) {
        TRY(const std::byte* at, reader.take(16));
        const BucketId bucket{load_le<uint64_t>(at)};
        if (is_live && !is_live(bucket)) return false;
        facts.live.restore_bucket(bucket, load_le<uint64_t>(at + 8));
    }
    if (!reader.is_at_block_end() || place_count > facts.entry_count) return damaged();
    locator.reserve(place_count);
    for (uint64_t index = 0; index < place_count; ++index) {
        TRY(const std::byte* at, reader.take(place_bytes));
        const Place place{load_le<uint32_t>(at + 16), load_le<uint32_t>(at + 20),
                          load_le<uint32_t>(at + 24), load_le<uint32_t>(at + 28)};
        if (place.segment == 0) return damaged();
        locator.publish({load_le<uint64_t>(at), load_le<uint64_t>(at + 8)}, place);
    }
    if (locator.count() != place_count) return damaged();
    return true;
}

}  // namespace penstock::node
