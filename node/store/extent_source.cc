#include "node/store/extent_source.h"

#include <algorithm>
#include <utility>

#include "io/base/units.h"
#include "io/wait.h"
#include "node/store/object_file.h"
#include "node/store/reader.h"

namespace penstock::node {
namespace {

constexpr uint64_t read_bytes = 256_KiB;
// Whole reads beyond this that find the page cache cold go past it: they would only wash out what
// others use.
constexpr uint64_t bypass_bytes_min = 64_MiB;

// One read that is on its way; lives until it is done, also when its source is gone.
struct Ahead {
    explicit Ahead(io::Reactor& reactor) : done(reactor) {}
    io::Event done;
    Result<io::Chunk> result = io::Chunk();
};

class ExtentSource final : public io::Source {
public:
    ExtentSource(Reader& reader, const StoreCore& core, std::vector<OpenExtent> extents,
                 uint64_t size, std::shared_ptr<void> pin)
        : reader_(reader),
          core_(core),
          extents_(std::make_shared<std::vector<OpenExtent>>(std::move(extents))),
          pin_(std::move(pin)),
          to_read_(size),
          to_give_(size) {}

    void read_through(std::shared_ptr<io::File> direct) { direct_ = std::move(direct); }

    io::Task<Result<io::Chunk>> next() override {
        if (to_give_ == 0) co_return io::Chunk();
        if (ahead_ == nullptr) start_read();
        const std::shared_ptr<Ahead> ahead = std::exchange(ahead_, nullptr);
        co_await ahead->done.wait();
        CO_TRY(io::Chunk chunk, std::move(ahead->result));
        ASSERT(chunk.size > 0 && chunk.size <= to_give_);
        to_give_ -= chunk.size;
        if (to_read_ > 0) start_read();
        co_return chunk;
    }
    std::optional<uint64_t> remaining_bytes() const override { return to_give_; }

private:
    // Up to the next multiple of 256 KiB of the file, so that blocks are read once.
    void start_read() {
        OpenExtent& extent = (*extents_)[index_];
        const uint64_t stop = round_down(extent.offset, read_bytes) + read_bytes;
        const auto size = static_cast<uint32_t>(std::min(extent.size, stop - extent.offset));
        ahead_ = std::make_shared<Ahead>(*core_.reactor);
        io::start_detached(
            read(reader_, ahead_, extents_, index_, pin_, direct_, extent.offset, size));
        extent.offset += size;
        extent.size -= size;
        to_read_ -= size;
        if (extent.size == 0) ++index_;
    }

    // One at a time: the next begins when the taker has what this one gave.
    static io::Task<void> read(Reader& reader, std::shared_ptr<Ahead> ahead,
                               std::shared_ptr<std::vector<OpenExtent>> extents, size_t index,
                               std::shared_ptr<void> /*pin*/, std::shared_ptr<io::File> direct,
                               uint64_t offset, uint32_t size) {
        Result<io::Gate::Pass> pass = reader.gate().enter();
        if (!pass) {
            ahead->result = std::unexpected(pass.error());
            ahead->done.set();
            co_return;
        }
        ahead->result =
            co_await read_extent(reader, (*extents)[index], std::move(direct), offset, size);
        // What was read to its end is let go: an object may have more files than may be open.
        if (index > 0) (*extents)[index - 1].file.reset();
        ahead->done.set();
    }

    static io::Task<Result<io::Chunk>> read_extent(Reader& reader, OpenExtent& extent,
                                                   std::shared_ptr<io::File> direct,
                                                   uint64_t offset, uint32_t size) {
        if (extent.file == nullptr) {
            Result<std::shared_ptr<OpenFile>> file = co_await reader.open_extent(extent.extent);
            if (!file && file.error().code == Errc::not_found) {
                co_return fail(Errc::corrupt, "a file of the object is missing");
            }
            CO_TRY(extent.file, std::move(file));
        }
        const std::shared_ptr<OpenFile> file = extent.file;
        io::File& through = direct != nullptr ? *direct : *file->file;
        co_return co_await reader.read_blocks(file, through, extent.id, extent.content_bytes,
                                              offset, size);
    }

    Reader& reader_;
    const StoreCore& core_;
    std::shared_ptr<std::vector<OpenExtent>> extents_;
    std::shared_ptr<void> pin_;
    size_t index_ = 0;
    uint64_t to_read_;
    uint64_t to_give_;
    std::shared_ptr<io::File> direct_;  // null: through the page cache
    std::shared_ptr<Ahead> ahead_;
};

// Whether the page cache has the beginning of this stretch.
bool is_resident(const StoreCore& core, const OpenExtent& extent) {
    const uint64_t probed = std::min<uint64_t>(extent.size, io::direct_alignment);
    io::Buffer buffer = core.buffers->take(io::direct_alignment);
    return extent.file->file->try_read(buffer.bytes().first(probed), extent.offset) == probed;
}

}  // namespace

io::Task<Result<std::unique_ptr<io::Source>>> make_extent_source(Reader& reader,
                                                                 const StoreCore& core,
                                                                 std::vector<OpenExtent> extents,
                                                                 uint64_t size,
                                                                 std::shared_ptr<void> pin) {
    ASSERT(!extents.empty() && extents[0].file != nullptr);
    std::shared_ptr<io::File> direct;
    const bool may_bypass = extents.size() == 1 && size > bypass_bytes_min;
    if (may_bypass && !is_resident(core, extents[0])) {
        Result<std::unique_ptr<io::File>> opened =
            co_await core.disk->open(object_file_path(extents[0].id), io::OpenMode::read_direct);
        // A file system that cannot is read through its cache.
        if (opened) direct = std::move(*opened);
    }
    auto source =
        std::make_unique<ExtentSource>(reader, core, std::move(extents), size, std::move(pin));
    source->read_through(std::move(direct));
    co_return source;
}

}  // namespace penstock::node
