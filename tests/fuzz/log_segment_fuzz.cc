// Segments whose bytes are anything at all: walking one ends, tells of records and damage inside it
// in order and without a gap, and finding its end ends.
//
// Bytes that were only thrown together hold no record. So the input is a list of blocks, and a
// first byte for each says what becomes of it: zeros, raw bytes, or a block whose marks and
// checksums are mended, so that it is a record's beginning at that place.
#include <algorithm>
#include <cstring>

#include "node/store/log_reader.h"

namespace {

using namespace penstock;
using namespace penstock::node;

constexpr uint32_t number = 3;

class File final : public io::BlockingFile {
public:
    explicit File(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
    Result<size_t> read(MutableBytes buffer, uint64_t offset) override {
        if (offset >= bytes_.size()) return size_t{0};
        const size_t size = std::min(buffer.size(), bytes_.size() - offset);
        std::memcpy(buffer.data(), bytes_.data() + offset, size);
        return size;
    }
    Result<uint64_t> size_bytes() override { return bytes_.size(); }
    Status write_exactly(Bytes, uint64_t) override { return refuse(); }
    Status sync() override { return refuse(); }
    Status truncate(uint64_t) override { return refuse(); }
    Status allocate(uint64_t) override { return refuse(); }
    Status lock_exclusively() override { return refuse(); }
    int descriptor() const override { return -1; }

private:
    static Status refuse() { return fail(Errc::invalid, "only read here"); }
    std::vector<std::byte> bytes_;
};

// `like` becomes a record that begins at block `index`: small, so that others fit behind it.
void mend(MutableBytes block, uint32_t index, Bytes like) {
    const auto byte = [&](size_t at) {
        return at < like.size() ? std::to_integer<uint8_t>(like[at]) : uint8_t{0};
    };
    RecordDraft draft;
    const std::string name(1 + byte(1) % 64, static_cast<char>(byte(2)));
    const std::vector<std::byte> payload(byte(3) % 200, std::byte{1});
    draft.kind = static_cast<RecordKind>(1 + byte(0) % static_cast<uint8_t>(RecordKind::mark));
    draft.flags = byte(4);
    const bool is_named = draft.kind != RecordKind::segment && draft.kind != RecordKind::mark;
    if (is_named) draft.object = name;
    draft.bucket_label = "b";
    draft.digest = {byte(2), byte(3)};
    const bool has_payload = draft.kind == RecordKind::object || draft.kind == RecordKind::extents;
    if (has_payload) draft.payload = payload;
    draft.content_bytes = draft.payload.size();
    draft.payload_crc = crc32c(draft.payload);
    const uint32_t durable_block = byte(5);
    std::vector<std::byte> record(record_bytes(draft));
    build_record(draft,
                 {lsn_at(number, index), lsn_at(number, durable_block), {1, index}, {byte(6), 0}},
                 record);
    std::memcpy(block.data(), record.data(), std::min(block.size(), record.size()));
    if (byte(7) != 0) block[byte(7)] ^= std::byte{1};  // one bit of rot
}

std::vector<std::byte> segment_from(Bytes input) {
    constexpr size_t described_bytes = 9;
    constexpr size_t blocks_max = 16;  // looking for the one wrong bit of each takes its time
    const size_t blocks =
        std::min((input.size() + described_bytes - 1) / described_bytes, blocks_max);
    std::vector<std::byte> bytes(blocks * block_bytes);
    for (size_t index = 0; index < blocks; ++index) {
        const Bytes like =
            input.subspan(index * described_bytes)
                .first(std::min(described_bytes, input.size() - index * described_bytes));
        const MutableBytes rest = MutableBytes(bytes).subspan(index * block_bytes);
        switch (std::to_integer<uint8_t>(like[0]) % 4) {
            case 0:
                break;
            case 1:
                std::memcpy(rest.data(), like.data(), like.size());
                break;
            default:
                mend(rest, static_cast<uint32_t>(index), like.subspan(1));
        }
    }
    return bytes;
}

void walk(const std::vector<std::byte>& bytes, Lsn to) {
    File file(bytes);
    SegmentBytes segment(file, number, bytes.size());
    Lsn reached = lsn_at(number, 0);
    const SegmentVisitor visitor{
        .on_record =
            [&](const RecordHeader& header, const Place& place) {
                ASSERT(header.head.lsn == reached && begin_of(place) == reached);
                reached += header.head.record_blocks();
                return Status();
            },
        .on_damage =
            [&](const Damage& damage) {
                ASSERT(damage.from == reached && damage.to > damage.from);
                reached = damage.to;
            },
    };
    ASSERT(walk_segment(segment, lsn_at(number, 0), to, std::nullopt, visitor));
    ASSERT(reached >= to);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes input(reinterpret_cast<const std::byte*>(data), size);
    const std::vector<std::byte> bytes = segment_from(input);
    const Lsn begin = lsn_at(number, 0);
    const Lsn size_end = lsn_at(number, static_cast<uint32_t>(bytes.size() / block_bytes));
    walk(bytes, size_end);

    File file(bytes);
    SegmentBytes segment(file, number, bytes.size());
    const auto end = find_segment_end(segment, begin, begin);
    ASSERT(end && end->end >= begin && end->durable >= begin);
    // A mark that came from elsewhere may promise more than the file has.
    ASSERT(end->end <= std::max(size_end, end->durable));
    walk(bytes, std::min(end->end, size_end));
    return 0;
}
